from pathlib import Path

import pytest

from urbanfm_core.errors import OutputError
from urbanfm_core.files import atomic_path


def test_a_file_appears_only_when_whole(tmp_path):
    target = tmp_path / "a b ü" / "out.tif"
    with atomic_path(target) as temporary:
        assert temporary.suffix == ".tif" and temporary.parent == target.parent
        temporary.write_text("x")
        assert not target.exists()
    assert target.read_text() == "x"
    assert [item.name for item in target.parent.iterdir()] == ["out.tif"]


def test_a_failure_keeps_the_old_file_and_leaves_nothing(tmp_path):
    target = tmp_path / "out.gpkg"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("new")
        Path(f"{temporary}-journal").write_text("side file of a driver")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["out.gpkg"]


def test_folders_are_replaced_whole(tmp_path):
    target = tmp_path / "checkpoint"
    for content in ("first", "second"):
        with atomic_path(target) as temporary:
            temporary.mkdir()
            (temporary / "w").write_text(content)
    assert (target / "w").read_text() == "second"
    assert [item.name for item in tmp_path.iterdir()] == ["checkpoint"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"), atomic_path(tmp_path / "file" / "out.tif"):
        pass
