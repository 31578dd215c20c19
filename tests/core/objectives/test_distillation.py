import multiprocessing

import numpy as np
import pytest
import torch
import torch.distributed as dist

from urbanfm_core.errors import ConfigError, ShapeError
from urbanfm_core.objectives.distillation import cosine_distillation, relation_distillation

PRESENT = torch.tensor([True, True, False, True, True, False, True])


def vectors(seed, rows=7, width=5):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a, b):
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def relation_reference(pois, images, teacher, present, temperature):
    """Eq. 5, one row and one column at a time, with means in place of the sums."""
    kept = np.flatnonzero(present)
    pois, images, teacher = (side.detach().numpy()[kept] for side in (pois, images, teacher))
    size = len(kept)
    student = np.array([[cosine(pois[i], images[j]) for j in range(size)] for i in range(size)]) / temperature
    target = np.array([[cosine(teacher[i], teacher[j]) for j in range(size)] for i in range(size)]) / temperature
    total = 0.0
    for ours, theirs in ((student, target), (student.T, target.T)):
        for i in range(size):
            q = np.exp(ours[i]) / np.exp(ours[i]).sum()
            p = np.exp(theirs[i]) / np.exp(theirs[i]).sum()
            total += (q * np.log(q / p)).sum()
    return total / size


def test_cosine_distillation_is_the_formula():
    student, teacher = vectors(1), vectors(2)
    rows = np.flatnonzero(PRESENT)
    expected = -np.mean([cosine(student[i].numpy(), teacher[i].numpy()) for i in rows])
    assert cosine_distillation(student, teacher, PRESENT).item() == pytest.approx(expected, abs=1e-12)
    assert cosine_distillation(teacher * 3, teacher, PRESENT).item() == pytest.approx(-1.0)
    assert cosine_distillation(-teacher, teacher, PRESENT).item() == pytest.approx(1.0)


@pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
def test_relation_distillation_is_the_formula(temperature):
    pois, images, teacher = vectors(1), vectors(2), vectors(3, width=4)
    found = relation_distillation(pois, images, teacher, PRESENT, temperature)
    assert found.item() == pytest.approx(relation_reference(pois, images, teacher, PRESENT, temperature), rel=1e-9)


def test_a_student_like_its_teacher_has_nothing_to_learn():
    teacher = vectors(4)
    everyone = torch.ones(7, dtype=torch.bool)
    assert relation_distillation(teacher * 2, teacher, teacher, everyone, 0.07).item() == pytest.approx(0.0, abs=1e-12)
    assert relation_distillation(vectors(5), vectors(6), teacher, everyone, 0.07).item() > 0.1


def test_it_is_symmetric_between_the_sides_and_does_not_mind_order():
    pois, images, teacher = vectors(1), vectors(2), vectors(3)
    found = relation_distillation(pois, images, teacher, PRESENT, 0.1)
    torch.testing.assert_close(relation_distillation(images, pois, teacher, PRESENT, 0.1), found)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    shuffled = relation_distillation(pois[order], images[order], teacher[order], PRESENT[order], 0.1)
    torch.testing.assert_close(shuffled, found)


@pytest.mark.parametrize("loss", ["cosine", "relation"])
def test_rows_that_are_left_out_get_no_gradient_even_if_they_are_nan(loss):
    student, other = vectors(1).requires_grad_(), vectors(2).requires_grad_()
    teacher = vectors(3)
    teacher[~PRESENT] = torch.nan
    if loss == "cosine":
        found = cosine_distillation(student, teacher, PRESENT)
    else:
        found = relation_distillation(student, other, teacher, PRESENT, 0.07)
    found.backward()
    assert (student.grad[~PRESENT] == 0).all()
    assert (student.grad[PRESENT].abs().sum(1) > 0).all()


def test_nobody_left_gives_zero_with_a_graph():
    student, teacher, nobody = (
        vectors(1).requires_grad_(),
        torch.full((7, 5), torch.nan),
        torch.zeros(7, dtype=torch.bool),
    )
    for found in (
        cosine_distillation(student, teacher, nobody),
        relation_distillation(student, student * 2, teacher, nobody, 0.07),
    ):
        assert found.item() == 0.0
        found.backward()
        assert (student.grad == 0).all()


def test_autocast_does_not_coarsen_them():
    student, other, teacher = (vectors(seed).float() for seed in (1, 2, 3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = relation_distillation(student, other, teacher, PRESENT, 0.07)
        assert cosine_distillation(student.bfloat16(), teacher, PRESENT).dtype == torch.float32
    assert torch.equal(found, relation_distillation(student, other, teacher, PRESENT, 0.07))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match=r"\(7, 4\), \(7, 5\)"):
        cosine_distillation(vectors(1), vectors(1, width=4), PRESENT)
    with pytest.raises(ShapeError):
        cosine_distillation(vectors(1), vectors(1), PRESENT[:6])
    with pytest.raises(ShapeError):
        relation_distillation(vectors(1), vectors(2, width=4), vectors(3), PRESENT, 0.07)
    with pytest.raises(ConfigError, match="temperature"):
        relation_distillation(vectors(1), vectors(2), vectors(3), PRESENT, 0.0)


def _one_process(rank, store, results):
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    rows = slice(0, 4) if rank == 0 else slice(4, 8)
    sides = [vectors(seed, rows=8)[rows].requires_grad_() for seed in (1, 2)]
    present = torch.tensor([True, True, False, True, True, True, True, True])[rows]
    loss = relation_distillation(*sides, vectors(3, rows=8)[rows], present, 0.07)
    loss.backward()
    results.put((rank, loss.item(), *(side.grad.numpy() for side in sides)))
    dist.destroy_process_group()


def test_two_processes_make_the_loss_of_the_joint_batch(tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=_one_process, args=(rank, tmp_path / "store", results)) for rank in range(2)]
    for worker in workers:
        worker.start()
    found = sorted((results.get(timeout=60) for _ in workers), key=lambda item: item[0])
    for worker in workers:
        worker.join()
    pois, images = (vectors(seed, rows=8).requires_grad_() for seed in (1, 2))
    present = torch.tensor([True, True, False, True, True, True, True, True])
    expected = relation_distillation(pois, images, vectors(3, rows=8), present, 0.07)
    expected.backward()
    assert np.mean([item[1] for item in found]) == pytest.approx(expected.item(), rel=1e-9)
    for part, side in ((2, pois), (3, images)):
        joint = np.concatenate([item[part] for item in found]) / 2  # as averaged over two processes
        np.testing.assert_allclose(joint, side.grad, atol=1e-12)
