import sys
from xml.etree import ElementTree

import pytest

from urbanfm_core.errors import MissingDependencyError
from urbanfm_core.training.plot import plot_losses

HISTORY = [
    {"epoch": epoch, "loss": 4 / epoch, "image_text": 5 / epoch, "learning_rate": 0.1, "samples_per_s": 1000.0 * epoch}
    for epoch in (1, 2, 3)
]


def paths(svg):
    return ElementTree.fromstring(svg).findall(".//{http://www.w3.org/2000/svg}g[@id]")


def test_the_picture_is_svg_and_the_same_each_time():
    one, two = (plot_losses(HISTORY, 2, "AETHER") for _ in range(2))
    assert one == two
    lines = [item for item in paths(one) if item.get("id", "").startswith("line2d")]
    assert len(lines) > 5
    assert plot_losses(HISTORY, 3) != one
    assert plot_losses([{**HISTORY[0], "samples_per_s": 7.0}, *HISTORY[1:]], 2, "AETHER") == one


def test_one_epoch_and_none_can_be_drawn():
    ElementTree.fromstring(plot_losses(HISTORY[:1], 1))
    ElementTree.fromstring(plot_losses([]))


def test_without_matplotlib_it_says_how_to_get_it(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"urbanfm\[plots\]"):
        plot_losses(HISTORY)
