"""One small compact and one small full sample city, made once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from urbanfm_core.data.samplecity import generate
from urbanfm_core.progress import Progress


@pytest.fixture(scope="session")
def compact_city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("compact") / "city"
    generate(out, 50, 0, Progress(), compact=True)
    return out


@pytest.fixture(scope="session")
def full_city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("full") / "city"
    generate(out, 50, 3, Progress())
    return out
