import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from urbanfm_core import files
from urbanfm_core.errors import OutputError
from urbanfm_core.files import atomic_path, remove_leftovers


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


def gone_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def owned_by(pid, machine=None):
    return f"{machine or files._machine()}-{pid:x}-0a1b2c3d"


def test_the_next_writer_of_a_target_removes_what_a_dead_one_left(tmp_path):
    dead, name = gone_pid(), "out [1] ü"
    left = [f".{name}.{owned_by(dead)}.part.gpkg", f".{name}.{owned_by(dead)}.part.gpkg-journal"]
    alive = f".{name}.{owned_by(os.getpid())}.part.gpkg"
    other_target = f".out.{owned_by(dead)}.part.gpkg"
    hidden = f".{name}.part.gpkg"
    for item in (*left, alive, other_target, hidden):
        (tmp_path / item).write_text("x")
    (tmp_path / f".{name}.{owned_by(dead)}.part.gpkg.d").mkdir()
    with atomic_path(tmp_path / f"{name}.gpkg") as temporary:
        temporary.write_text("x")
    assert {item.name for item in tmp_path.iterdir()} == {alive, other_target, hidden, f"{name}.gpkg"}


def test_what_another_machine_wrote_is_left_alone_for_a_week(tmp_path):
    machine = "0000" if files._machine() != "0000" else "0001"
    old, young = (tmp_path / f".{name}.{owned_by(7, machine)}.part.tif" for name in ("old", "young"))
    for path, days in ((old, 8), (young, 6)):
        path.write_text("x")
        os.utime(path, (time.time() - days * 86_400,) * 2)
    remove_leftovers(tmp_path)
    assert [item.name for item in tmp_path.iterdir()] == [young.name]


def test_a_number_that_was_given_out_again_protects_nothing(tmp_path):
    left = tmp_path / f".ckpt.{owned_by(os.getpid())}.part"
    left.mkdir()
    (left / "w").write_text("x")
    remove_leftovers(tmp_path, "ckpt")
    assert left.exists()
    for path in (left / "w", left):
        os.utime(path, (1_000_000_000,) * 2)
    remove_leftovers(tmp_path, "ckpt")
    assert not left.exists()


def test_a_folder_that_a_killed_process_put_aside_comes_back(tmp_path):
    aside = tmp_path / f".ckpt.v1.{owned_by(gone_pid())}.old"
    aside.mkdir()
    (aside / "w").write_text("old")
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "ckpt.v1"):
        raise RuntimeError
    assert (tmp_path / "ckpt.v1" / "w").read_text() == "old"
    aside.mkdir()
    remove_leftovers(tmp_path, "ckpt.v1")
    assert [item.name for item in tmp_path.iterdir()] == ["ckpt.v1"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_a_disk_that_takes_no_more_is_an_error_of_the_output(tmp_path, code):
    target = tmp_path / "out.tif"
    target.write_text("old")
    with pytest.raises(OutputError, match=r"out\.tif.*disk"), atomic_path(target) as temporary:
        temporary.write_text("new")
        raise OSError(code, os.strerror(code))
    assert target.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["out.tif"]


def test_other_errors_of_the_system_are_not_laid_on_the_disk(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "out.tif"):
        (tmp_path / "input.tif").read_text()


def test_a_file_does_not_take_the_place_of_a_folder(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept").write_text("x")
    with pytest.raises(OutputError, match="is a folder"), atomic_path(tmp_path / "out") as temporary:
        temporary.write_text("new")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "kept"]


def test_nothing_is_no_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="no name"), atomic_path("") as temporary:
        temporary.write_text("new")
    assert tmp_path.is_dir()
