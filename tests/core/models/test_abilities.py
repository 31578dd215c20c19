"""What a method can do it says, and what it cannot do it refuses by naming those that can."""

import re
from typing import get_args

import pytest
import torch
from torch import nn

from urbanfm_core.errors import ConfigError
from urbanfm_core.models import METHODS, get_method
from urbanfm_core.models.abilities import Ability
from urbanfm_core.models.exchange import Trained
from urbanfm_core.progress import Progress

ABILITIES = get_args(Ability)
VERBS = {
    "captions": lambda method, trained: method.describe(trained, None, None, None, Progress(), beams=1, longest=9),
    "attention": lambda method, trained: method.attention(trained, None, None, None, None, Progress()),
    "fine-tuning": lambda method, trained: method.tuner(),
    "pixels": lambda method, trained: method.pixel_function(trained),
    "points": lambda method, trained: method.embed_points(trained, None, None, Progress()),
    "text": lambda method, trained: method.text_vectors(trained, ["quiet park"], Progress()),
    "windows": lambda method, trained: method.window_function(trained),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_say_what_they_can(name):
    method = get_method(name)
    assert method.can <= set(ABILITIES)
    for ability in method.can:
        method.require(ability)


@pytest.mark.parametrize("ability", ABILITIES)
def test_a_method_that_cannot_names_those_that_can(ability):
    methods = [get_method(name) for name in METHODS]
    able = [method.title for method in methods if ability in method.can]
    unable = [method for method in methods if ability not in method.can]
    assert able and unable
    trained = Trained(None, nn.Identity(), {}, torch.device("cpu"))
    for method in unable:
        for ask in (lambda method, _: method.require(ability), VERBS.get(ability)):
            if ask is not None:
                with pytest.raises(ConfigError, match=rf"\b{method.title}\b") as refused:
                    ask(method, trained)
                assert all(re.search(rf"\b{title}\b", refused.value.hint) for title in able)
                assert method.title not in refused.value.hint
