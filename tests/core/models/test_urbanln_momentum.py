"""UrbanLN's text positions and momentum step, against golden numbers and formulas written out."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from urbanfm_core.errors import ConfigError, ShapeError
from urbanfm_core.models.urbanln.losses import momentum_step
from urbanfm_core.models.urbanln.momentum import MomentumTeacher
from urbanfm_core.models.urbanln.positions import stretch_positions, stretched_length
from urbanfm_core.objectives.contrastive import distillation_losses

GOLDEN = Path(__file__).parents[2] / "golden" / "urbanln"


@pytest.fixture(scope="module")
def positions():
    return np.load(GOLDEN / "urbanln_positions.npz")


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "urbanln_momentum.npz")


def close(found, expected, atol=1e-9):
    np.testing.assert_allclose(np.asarray(found.detach()), expected, atol=atol, rtol=0)


class Linear(nn.Module):
    """The golden step's encoders: one linear layer for each side, unit length."""

    def __init__(self, golden, who):
        super().__init__()
        for name in ("Wv", "bv", "Wt", "bt"):
            setattr(self, name, nn.Parameter(torch.from_numpy(golden[f"{who}_{name}"].copy())))

    def forward(self, images, texts):
        return normalize(images @ self.Wv.T + self.bv, dim=-1), normalize(texts @ self.Wt.T + self.bt, dim=-1)


def golden_step(golden):
    student = Linear(golden, "student")
    teacher = MomentumTeacher(student, 16, 32, float(golden["ema"])).double()
    teacher.restart(Linear(golden, "teacher"))
    teacher.image_queue.copy_(torch.from_numpy(golden["queue_v"]))
    teacher.text_queue.copy_(torch.from_numpy(golden["queue_t"]))
    teacher.queue_next.copy_(torch.from_numpy(golden["ptr"]))
    return student, teacher


def test_positions_are_stretched_as_the_public_recipe_does(positions):
    table = torch.from_numpy(positions["table77"])
    found = stretch_positions(table)
    assert len(found) == stretched_length(77, 20, 4) == 248
    close(found, positions["recipe248"], atol=1e-6)
    defined = positions["offset_defined"]
    assert defined.sum() == 245
    close(found[torch.from_numpy(defined)], positions["offset248"][defined], atol=1e-6)
    # The formula as printed is another one.
    assert np.abs(found.numpy() - positions["literal_zero_based248"])[21:].max() > 0.1


def test_stretching_keeps_what_it_says_and_ends_on_the_last_difference():
    table = torch.randn(9, 3, dtype=torch.float64)
    found = stretch_positions(table, kept=4, ratio=2)
    expected = [table[e] if e < 4 else table[4 + (e - 4) // 2] for e in range(13)]
    for e in (5, 7, 9, 11):
        expected[e] = (table[4 + (e - 4) // 2] + table[5 + (e - 4) // 2]) / 2
    expected += [table[8] + (table[8] - table[7]) / 2]
    close(found, torch.stack(expected).numpy())
    close(stretch_positions(table, kept=4, ratio=1), table.numpy())


def test_what_cannot_be_stretched_is_refused():
    with pytest.raises(ConfigError, match="21 positions cannot be stretched"):
        stretch_positions(torch.zeros(21, 2))
    with pytest.raises(ConfigError, match="at least 1"):
        stretch_positions(torch.zeros(77, 2), ratio=0)
    with pytest.raises(ShapeError):
        stretch_positions(torch.zeros(77))


def test_one_step_is_the_golden_one(golden):
    """Order 'ema_first': teacher, losses, queues; then the student's step."""
    student, teacher = golden_step(golden)
    tau = torch.from_numpy(golden["tau"]).requires_grad_()
    images, texts = torch.from_numpy(golden["batch_image"]), torch.from_numpy(golden["batch_text"])
    found = momentum_step(student, teacher, 1 / tau, float(golden["mu"]), images, texts)
    for ours, theirs in (("contrastive", "L_C"), ("distillation", "L_D"), ("loss", "L")):
        close(found[ours], golden[f"ema_first.{theirs}"])
    found["loss"].backward()
    close(tau.grad, golden["ema_first.grad_tau"])
    torch.optim.SGD(student.parameters(), lr=float(golden["sgd_lr"])).step()
    for name, parameter in student.named_parameters():
        close(parameter.grad, golden[f"ema_first.grad_{name}"])
        close(parameter, golden[f"ema_first.student_after_{name}"])
    for name, parameter in teacher.network.named_parameters():
        close(parameter, golden[f"ema_first.teacher_after_{name}"])
        assert parameter.grad is None
    close(teacher.image_queue, golden["ema_first.queue_v_after"])
    close(teacher.text_queue, golden["ema_first.queue_t_after"])
    assert int(teacher.queue_next) == int(golden["ema_first.ptr_after"])


def test_the_losses_are_golden_in_either_order(golden):
    """The parts without the network: vectors and queues in, losses out; float32 too."""
    for order in ("ema_first", "ema_last"):
        for dtype, atol in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
            given = [torch.from_numpy(golden[f"{order}.{name}"]).to(dtype) for name in ("v", "t", "v_m", "t_m")]
            queues = [torch.from_numpy(golden[f"queue_{side}"]).to(dtype) for side in "vt"]
            keys = [torch.cat(pair) for pair in zip(given[2:], queues, strict=True)]
            scale = 1 / torch.tensor(golden["tau"], dtype=dtype)
            image, text, teacher_image, teacher_text = given
            to_text = torch.stack(distillation_losses(image, teacher_image, keys[1], scale))
            to_image = torch.stack(distillation_losses(text, teacher_text, keys[0], scale))
            expected = np.array([golden[f"{order}.L_C"], golden[f"{order}.L_D"]])
            close((to_text + to_image) / 2, expected, atol)


@pytest.mark.parametrize("rows", [3, 5, 7, 12])
def test_the_queue_is_a_ring(rows):
    """Of batches that do not divide it, and of one that is longer, the newest vectors stay, each at its place."""
    teacher = MomentumTeacher(nn.Linear(2, 2), 2, 5, 0.9)
    written = [teacher.image_queue[place].clone() for place in range(5)]
    count = 0
    for _ in range(4):
        batch = torch.randn(rows, 2)
        for vector in batch:
            written[count % 5] = vector
            count += 1
        teacher.enqueue(batch, -batch)
        torch.testing.assert_close(teacher.image_queue, torch.stack(written))
        assert int(teacher.queue_next) == count % 5
    torch.testing.assert_close(teacher.text_queue, -teacher.image_queue)


def test_the_teacher_is_the_moving_average_of_the_students():
    torch.manual_seed(0)
    student = nn.Linear(3, 2)
    teacher = MomentumTeacher(student, 2, 4, 0.995)
    expected = copy.deepcopy(student).weight.detach().double()
    for _ in range(5):
        with torch.no_grad():
            student.weight.add_(torch.randn(2, 3))
        teacher.follow(student)
        expected = 0.995 * expected + 0.005 * student.weight.detach().double()
    close(teacher.network.weight.double(), expected.numpy(), atol=1e-6)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_the_teacher_has_no_dropout_while_the_student_has():
    model = nn.ModuleDict({"student": nn.Dropout(0.5)})
    model["teacher"] = MomentumTeacher(model["student"], 2, 4, 0.9)
    model.train()
    assert model["student"].training and model["teacher"].training and not model["teacher"].network.training
