import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy, normalize

from urbanfm_core.errors import ConfigError, ShapeError
from urbanfm_core.objectives import contrastive
from urbanfm_core.objectives.contrastive import contrastive_loss, distillation_losses, logit_scale
from urbanfm_core.objectives.processes import all_rows

GOLDEN = Path(__file__).parents[2] / "golden" / "urbanln" / "urbanln_momentum.npz"
# With one exponential for both directions, and with two.
SCALES = (1 / 0.07, 100.0)


def unit(seed, rows=13, width=5, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(rows, width, generator=generator, dtype=torch.float64), dim=1).to(dtype)


def reference(a, b, scale):
    """The formula, one row at a time."""
    a, b = a.double().numpy(), b.double().numpy()
    total = 0.0
    for i in range(len(a)):
        row = np.array([scale * (a[i] @ b[j]) for j in range(len(a))])
        column = np.array([scale * (a[j] @ b[i]) for j in range(len(a))])
        total += row[i] - np.log(np.exp(row - row.max()).sum()) - row.max()
        total += column[i] - np.log(np.exp(column - column.max()).sum()) - column.max()
    return -total / (2 * len(a))


def full_matrix(a, b, scale):
    logits, target = scale * a @ b.t(), torch.arange(len(a))
    return 0.5 * (cross_entropy(logits, target) + cross_entropy(logits.t(), target))


def gradients(loss, a, b, scale, **options):
    """Of three times the loss, for both sides and the scale; everything in the dtype of `a`."""
    leaves = [part.detach().clone().requires_grad_() for part in (a, b, torch.tensor(scale, dtype=a.dtype))]
    return torch.autograd.grad(3.0 * loss(*leaves, **options), leaves)


@pytest.mark.parametrize("chunk", [None, 4])
@pytest.mark.parametrize("scale", [2.0, *SCALES, 0.2])
def test_it_is_the_formula(scale, chunk):
    a, b = unit(1), unit(2)
    found = contrastive_loss(a, b, scale, chunk=chunk).item()
    assert found == pytest.approx(reference(a, b, scale), rel=1e-6, abs=2e-6)


@pytest.mark.parametrize("rows, chunk", [(13, None), (13, 1), (13, 4), (12, 4), (13, 99), (1, None), (1, 1)])
@pytest.mark.parametrize("scale", SCALES)
def test_gradients_are_those_of_the_full_matrix(rows, chunk, scale):
    a, b = (unit(seed, rows, dtype=torch.float64) for seed in (3, 4))
    mine = gradients(contrastive_loss, a, b, scale, chunk=chunk)
    for found, expected in zip(mine, gradients(full_matrix, a, b, scale), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("chunk", [None, 100])
def test_float32_keeps_the_gradients_of_float64(chunk):
    a, b = unit(5, 300, 64, torch.float64), unit(6, 300, 64, torch.float64)
    mine = gradients(contrastive_loss, a.float(), b.float(), SCALES[0], chunk=chunk)
    for found, expected in zip(mine, gradients(full_matrix, a, b, SCALES[0]), strict=True):
        assert (found - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_a_negative_scale_and_rows_of_any_length():
    a, b = 9 * unit(1, dtype=torch.float64), 4 * unit(2, dtype=torch.float64)
    for scale in (-1.5, 3.0, 50.0, 0.0):
        expected = gradients(full_matrix, a, b, scale)
        for found, wanted in zip(gradients(contrastive_loss, a, b, scale, chunk=5), expected, strict=True):
            torch.testing.assert_close(found, wanted, atol=1e-11, rtol=1e-9)


def test_above_the_limit_the_matrix_is_not_kept(monkeypatch):
    a, b = unit(7, 40).requires_grad_(), unit(8, 40)

    def saved():
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda kept: sizes.append(kept.numel()) or kept, lambda kept: kept
        ):
            contrastive_loss(a, b, 10.0)
        return max(sizes)

    assert saved() == 40 * 40
    monkeypatch.setattr(contrastive, "_KEPT_PAIRS", 39 * 40)
    monkeypatch.setattr(contrastive, "_CHUNK_ROWS", 16)
    assert saved() == 40 * 5
    torch.testing.assert_close(contrastive_loss(a, b, 10.0), full_matrix(a, b, 10.0))


def test_it_can_be_asked_twice_for_gradients():
    a, b = unit(1).requires_grad_(), unit(2)
    loss = contrastive_loss(a, b, 10.0)
    first = torch.autograd.grad(loss, a, retain_graph=True)[0]
    assert torch.equal(first, torch.autograd.grad(loss, a)[0])


def test_one_side_may_be_fixed():
    a, b = unit(1), unit(2)
    expected = gradients(contrastive_loss, a, b, 10.0)
    for number, leaf in enumerate((a.clone().requires_grad_(), b.clone().requires_grad_())):
        sides = (leaf, b) if number == 0 else (a, leaf)
        found = torch.autograd.grad(3.0 * contrastive_loss(*sides, 10.0, chunk=4), leaf)[0]
        torch.testing.assert_close(found, expected[number])


def test_it_is_symmetric_and_does_not_mind_the_order_of_the_rows():
    a, b = unit(5), unit(6)
    order = torch.randperm(len(a), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(contrastive_loss(a, b, 14.0), contrastive_loss(b, a, 14.0))
    torch.testing.assert_close(contrastive_loss(a, b, 14.0), contrastive_loss(a[order], b[order], 14.0))
    assert contrastive_loss(a, b[order], 14.0) != contrastive_loss(a, b, 14.0)


def test_known_ends():
    eye = torch.eye(8)
    assert contrastive_loss(eye, eye, 100.0).item() == pytest.approx(0.0, abs=1e-6)
    same = torch.ones(8, 4) / 2
    assert contrastive_loss(same, same, 14.0).item() == pytest.approx(np.log(8), abs=1e-5)
    assert contrastive_loss(eye[:1], eye[:1], 14.0).item() == pytest.approx(0.0, abs=2e-6)


@pytest.mark.parametrize("chunk", [None, 5])
def test_autocast_does_not_coarsen_it(chunk):
    a, b = unit(7), unit(8)

    def work():
        return gradients(contrastive_loss, a, b, 14.0, chunk=chunk)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = work()
    for mine, plain in zip(found, work(), strict=True):
        assert torch.equal(mine, plain)


def test_bfloat16_rows_are_summed_in_float32():
    a, b = unit(7).bfloat16(), unit(8).bfloat16()
    assert contrastive_loss(a, b, 14.0).dtype == torch.float32
    assert torch.equal(contrastive_loss(a, b, 14.0), contrastive_loss(a.float(), b.float(), 14.0))
    rough = gradients(lambda a, b, scale: contrastive_loss(a, b, scale.float(), chunk=4), a, b, 14.0)
    fine = gradients(contrastive_loss, a.float(), b.float(), 14.0, chunk=4)
    for mine, full in zip(rough, fine, strict=True):
        assert mine.dtype == torch.bfloat16 and torch.equal(mine, full.bfloat16())


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_the_scale_learns(shape):
    a, b = unit(1), unit(2)
    logarithm = torch.zeros(shape, requires_grad=True)
    contrastive_loss(a, b, logarithm.exp() * 3).backward()
    step = 1e-3
    above, below = (contrastive_loss(a.double(), b.double(), 3 * float(np.exp(by))).item() for by in (step, -step))
    assert logarithm.grad.shape == shape
    assert logarithm.grad.item() == pytest.approx((above - below) / (2 * step), rel=1e-4)


def test_the_scale_of_a_temperature_is_clipped():
    assert logit_scale(0.07) == pytest.approx(1 / 0.07)
    assert (logit_scale(0.0001), logit_scale(20.0)) == (100.0, 1.0)
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="temperature"):
            logit_scale(wrong)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match=r"\(13, 5\) and \(11, 5\)"):
        contrastive_loss(unit(1), unit(2)[:11], 14.0)
    with pytest.raises(ShapeError):
        contrastive_loss(unit(1)[0], unit(2)[0], 14.0)
    with pytest.raises(ShapeError, match="N > 0"):
        contrastive_loss(unit(1)[:0], unit(2)[:0], 14.0)
    with pytest.raises(ShapeError, match="one number"):
        contrastive_loss(unit(1), unit(2), torch.ones(2))
    with pytest.raises(ConfigError, match="at least 1 row"):
        contrastive_loss(unit(1), unit(2), 14.0, chunk=0)
    with pytest.raises(ShapeError, match="first = 9"):
        distillation_losses(unit(1), unit(2), unit(3, 21), 14.0, first=9)
    with pytest.raises(ConfigError, match="at least 1 row"):
        distillation_losses(unit(1), unit(2), unit(3), 14.0, chunk=0)


@pytest.mark.parametrize("chunk", [None, 3])
@pytest.mark.parametrize("order", ["ema_first", "ema_last"])
def test_distillation_gives_the_recorded_losses_and_gradients(order, chunk):
    with np.load(GOLDEN) as file:
        known = {name: torch.from_numpy(file[name]) for name in file.files if file[name].dtype == np.float64}
    weights = {name: known[f"student_{name}"].requires_grad_() for name in ("Wv", "bv", "Wt", "bt")}
    tau = known["tau"].requires_grad_()
    image = normalize(known["batch_image"] @ weights["Wv"].t() + weights["bv"], dim=1)
    text = normalize(known["batch_text"] @ weights["Wt"].t() + weights["bt"], dim=1)
    teacher_image, teacher_text = known[f"{order}.v_m"], known[f"{order}.t_m"]
    image_keys, text_keys = torch.cat([teacher_image, known["queue_v"]]), torch.cat([teacher_text, known["queue_t"]])
    forth = distillation_losses(image, teacher_image, text_keys, 1 / tau, chunk=chunk)
    back = distillation_losses(text, teacher_text, image_keys, 1 / tau, chunk=chunk)
    contrast, distillation = ((a + b) / 2 for a, b in zip(forth, back, strict=True))
    assert contrast.item() == pytest.approx(known[f"{order}.L_C"].item(), abs=1e-9)
    assert distillation.item() == pytest.approx(known[f"{order}.L_D"].item(), abs=1e-9)
    mu = known["mu"]
    ((1 - mu) * contrast + mu * distillation).backward()
    for name, weight in {**weights, "tau": tau}.items():
        torch.testing.assert_close(weight.grad, known[f"{order}.grad_{name}"], atol=1e-9, rtol=1e-9)


def test_distillation_gives_nothing_to_the_teacher_and_is_zero_for_equals():
    left, queue = unit(1).requires_grad_(), unit(2, 20).requires_grad_()
    teacher = left.detach().clone().requires_grad_()
    contrast, distillation = distillation_losses(left, teacher, queue, 14.0, first=7, chunk=5)
    assert distillation.item() == pytest.approx(0.0, abs=1e-6)
    assert contrast.item() == pytest.approx(
        cross_entropy(14.0 * left @ queue.t(), torch.arange(7, 20)).item(), rel=1e-5
    )
    (contrast + distillation).backward()
    assert teacher.grad is None and left.grad.abs().sum() > 0 and queue.grad.abs().sum() > 0


def test_distillation_is_computed_in_float32():
    sides = [unit(seed, rows) for seed, rows in ((1, 13), (2, 13), (3, 30))]
    plain = distillation_losses(*sides, 14.0, chunk=4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert distillation_losses(*sides, 14.0, chunk=4) == plain
    half = distillation_losses(*(side.bfloat16() for side in sides), 14.0)
    assert {loss.dtype for loss in half} == {torch.float32}


class Pair(torch.nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(9)
        self.one, self.other = (torch.nn.Linear(6, 5).double() for _ in range(2))
        for weight in self.parameters():
            torch.nn.init.normal_(weight, generator=generator)
        self.scale = torch.nn.Parameter(torch.tensor(14.0, dtype=torch.float64))

    def forward(self, x, y, chunk, gather):
        # The second factor makes rows longer in one process than in the other.
        left = normalize(self.one(x), dim=1) * x[:, :1].abs()
        right = normalize(self.other(y), dim=1)
        return contrastive_loss(left, right, self.scale, chunk=chunk, gather=gather)


CASES = [(chunk, factor) for chunk in (None, 3) for factor in (1.0, 20.0)]


def _pairs(factor):
    x, y = (unit(seed, 10, 6, torch.float64) for seed in (11, 12))
    return torch.cat([x[:5], factor * x[5:]]), y


def _distilled(rows, first, candidates):
    left, teacher = unit(1, 10)[rows].requires_grad_(), unit(2, 10)[rows]
    contrast, distillation = distillation_losses(left, teacher, candidates, 14.0, first=first)
    (contrast + 2 * distillation).backward()
    return contrast.item(), distillation.item(), left.grad.numpy()


def _one_process(rank, store, results):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    rows, found = slice(5 * rank, 5 * rank + 5), []
    for chunk, factor in CASES:
        model = torch.nn.parallel.DistributedDataParallel(Pair())
        x, y = _pairs(factor)
        loss = model(x[rows], y[rows], chunk, True)
        loss.backward()
        found.append((loss.item(), [weight.grad.numpy() for weight in model.parameters()]))
    candidates = torch.cat([all_rows(unit(3, 10)[rows]), unit(4, 7)])
    results.put((rank, found, _distilled(rows, rank * 5, candidates)))
    dist.destroy_process_group()


def test_two_processes_have_the_loss_and_the_gradients_of_one(tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=_one_process, args=(rank, tmp_path / "store", results)) for rank in range(2)]
    for worker in workers:
        worker.start()
    found = sorted((results.get(timeout=120) for _ in workers), key=lambda item: item[0])
    for worker in workers:
        worker.join()
    for number, (_, factor) in enumerate(CASES):
        model = Pair()
        expected = model(*_pairs(factor), None, True)
        expected.backward()
        for _, cases, _ in found:
            loss, weights = cases[number]
            assert loss == pytest.approx(expected.item(), rel=1e-12)
            for mine, parameter in zip(weights, model.parameters(), strict=True):
                np.testing.assert_allclose(mine, parameter.grad, atol=1e-11)
    contrast, distillation, gradient = _distilled(slice(None), 0, torch.cat([unit(3, 10), unit(4, 7)]))
    assert np.mean([item[2][0] for item in found]) == pytest.approx(contrast, rel=1e-6)
    assert np.mean([item[2][1] for item in found]) == pytest.approx(distillation, rel=1e-5)
    np.testing.assert_allclose(np.concatenate([item[2][2] for item in found]) / 2, gradient, atol=1e-6)
