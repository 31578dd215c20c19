"""UrbanLN in the training loop: what the teacher is to the optimiser, to a run that goes on, and to several processes."""

from dataclasses import replace

import pytest
import torch
from core.training import urbanln_task
from core.training.test_loop import Listener, losses, run, same
from core.training.urbanln_task import CONFIG, SETTINGS, make_task
from safetensors.torch import load_file

from urbanfm_core.errors import Cancelled
from urbanfm_core.training.resume import FILE


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(make_task(), tmp_path_factory.mktemp("whole"), settings=SETTINGS)


@pytest.mark.parametrize("stops", [[0], [1], [2], [4], [0, 1, 0]])
def test_stopped_and_started_again_it_equals_an_unbroken_run(whole, tmp_path, stops):
    """Two steps make an epoch. Student, teacher, queues and random state all come back, bit by bit."""
    for stop in stops:
        with pytest.raises(Cancelled):
            run(make_task(), tmp_path / "parts", Listener(stop), settings=SETTINGS)
        held = load_file(tmp_path / "parts" / FILE)
        assert {"model/teacher.image_queue", "model/teacher.text_queue", "model/teacher.queue_next"} <= held.keys()
    found = run(make_task(), tmp_path / "parts", settings=SETTINGS)
    assert same(found.weights, whole.weights)
    assert losses(found.history) == losses(whole.history)


def test_views_and_captions_are_drawn_anew_each_time():
    """What makes the random state matter above."""
    samples = make_task().samples
    torch.manual_seed(1)
    first, second = samples.batch(torch.arange(20)), samples.batch(torch.arange(20))
    assert (first["image"] != second["image"]).any() and (first["text"] != second["text"]).any()


def test_the_teacher_has_neither_gradients_nor_state_of_the_optimiser(tmp_path):
    task = make_task()
    groups = task.parameter_groups(SETTINGS)
    trained = {id(parameter) for group in groups for parameter in group["params"]}
    assert trained == {id(parameter) for parameter in task.model.student.parameters()}
    task.train()
    task(task.samples.batch(torch.arange(8)))["loss"].backward()
    for name, parameter in task.model.student.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0 and parameter.grad.isfinite().all(), name
    assert all(parameter.grad is None for parameter in task.model.teacher.parameters())


def test_teacher_and_queues_follow_while_training(whole):
    fresh = make_task().model.state_dict()
    moved = [name for name in fresh if name.startswith("teacher.network.clip") and "weight" in name]
    assert moved and all((whole.weights[name] != fresh[name]).any() for name in moved)
    # Every place of the queues was overwritten with what the teacher gave.
    assert (whole.weights["teacher.image_queue"] != fresh["teacher.image_queue"]).any(dim=1).all()
    length = whole.weights["teacher.image_queue"].norm(dim=1)
    torch.testing.assert_close(length, torch.ones(10), atol=1e-5, rtol=0)
    student = whole.weights["student.clip.visual_projection.weight"]
    teacher = whole.weights["teacher.network.clip.visual_projection.weight"]
    start = fresh["student.clip.visual_projection.weight"]
    assert 0 < (teacher - start).norm() < (student - start).norm()


def test_the_ablation_without_a_teacher_contrasts_the_batch(tmp_path):
    found = run(make_task(replace(CONFIG, msd=False)), tmp_path, settings=SETTINGS)
    assert not any(name.startswith("teacher") for name in found.weights)
    assert set(found.history[0]) >= {"loss", "temperature"} and "distillation" not in found.history[0]
    assert found.history[-1]["loss"] < found.history[0]["loss"]


def test_bfloat16_trains_and_keeps_float32_weights(tmp_path):
    found = run(make_task(), tmp_path, settings=replace(SETTINGS, precision="bfloat16"))
    kinds = {tensor.dtype for name, tensor in found.weights.items() if name != "teacher.queue_next"}
    assert kinds == {torch.float32}
    assert found.history[-1]["contrastive"] < found.history[0]["contrastive"]


@pytest.mark.slow
@pytest.mark.parametrize("msd", [True, False])
def test_two_processes_train_as_one_with_the_same_queues(tmp_path, free_port, msd):
    assert urbanln_task.start_two(tmp_path, tmp_path / "two", free_port, msd) == [0, 0]
    found = [torch.load(tmp_path / "two" / f"end{rank}.pt", weights_only=True) for rank in range(2)]
    assert same(found[0]["weights"], found[1]["weights"])
    one = run(make_task(replace(CONFIG, msd=msd), still=True), tmp_path / "one", settings=SETTINGS)
    for name, tensor in one.weights.items():
        # A bias of the keys changes no attention: its gradient is noise, of which AdamW makes whole steps.
        if name.endswith("k_proj.bias"):
            continue
        torch.testing.assert_close(found[0]["weights"][name], tensor, atol=1e-4, rtol=1e-3)
    for mine, theirs in zip(found[0]["history"], one.history, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], abs=1e-5)


def test_a_word_with_the_number_of_padding_does_not_cost_a_caption_its_end():
    """CLIP's '!' is word 0, which also fills up short captions."""
    samples = make_task(still=True).samples
    samples.texts[:] = 0
    samples.texts[:, :6] = torch.tensor([4, 0, 0, 0, 5, CONFIG.end_id], dtype=samples.texts.dtype)
    text = samples.batch(torch.arange(4))["text"]
    assert text.shape[1] <= 7 and (text == CONFIG.end_id).any(dim=1).all()
