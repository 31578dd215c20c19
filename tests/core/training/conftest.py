import socket

import pytest
import torch
from core.training.line_task import Line, LineConfig, line_samples

from urbanfm_core.training.task import Task


@pytest.fixture
def make_task():
    def make(rows=64, method=None, config=None):
        method, config = method or Line(), config or LineConfig()
        torch.manual_seed(0)
        return Task(method, config, method.build(config), line_samples(rows))

    return make


@pytest.fixture
def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
