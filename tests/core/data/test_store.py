import os

import numpy as np
import pytest

from urbanfm_core.data.store import SampleStore, file_identity, fingerprint
from urbanfm_core.errors import InputError


def test_partitions_come_back_memory_mapped_and_equal(tmp_path):
    store = SampleStore(tmp_path, {"a": 1})
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert not store.has("zonal/00001")
    store.save("zonal/00001", sums=array, ids=np.array(["x", "y"]))
    again = SampleStore(tmp_path, {"a": 1})
    assert again.has("zonal/00001")
    loaded = again.load("zonal/00001")
    assert isinstance(loaded["sums"], np.memmap) and not loaded["sums"].flags.writeable
    np.testing.assert_array_equal(loaded["sums"], array)
    assert loaded["ids"].tolist() == ["x", "y"]


def test_other_inputs_make_another_store(tmp_path):
    store = SampleStore(tmp_path, {"a": 1})
    store.save("p", x=np.zeros(1))
    assert not SampleStore(tmp_path, {"a": 2}).has("p")
    store.remove()
    assert not SampleStore(tmp_path, {"a": 1}).has("p")


def test_a_partition_that_failed_to_write_does_not_exist(tmp_path):
    store = SampleStore(tmp_path, {})
    with pytest.raises(ValueError):
        store.save("p", good=np.zeros(2), bad=np.array([object()]))
    assert not store.has("p")
    assert [item.name for item in store.path.iterdir()] == ["manifest.json"]


def test_partitions_are_made_once_and_in_order(tmp_path):
    values, made = np.arange(11), []

    def make(rows):
        made.append((rows.start, rows.stop))
        if len(made) == 3:
            raise KeyboardInterrupt
        return {"doubled": 2 * values[rows]}

    with pytest.raises(KeyboardInterrupt):
        list(SampleStore(tmp_path, {}).partitions("twice/x", len(values), 4, make))
    found = list(SampleStore(tmp_path, {}).partitions("twice/x", len(values), 4, make))
    assert made == [(0, 4), (4, 8), (8, 11), (8, 11)]
    assert [(rows.start, rows.stop) for rows, _ in found] == [(0, 4), (4, 8), (8, 11)]
    np.testing.assert_array_equal(np.concatenate([kept["doubled"] for _, kept in found]), 2 * values)
    assert list(SampleStore(tmp_path, {}).partitions("none", 0, 4, make)) == []


def test_a_file_is_known_by_its_content_and_time(tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes(b"x" * (3 << 20))
    first = fingerprint(file_identity(file))
    assert fingerprint(file_identity(str(file))) == first
    stamp = file.stat().st_mtime_ns
    file.write_bytes(b"x" * ((3 << 20) - 1) + b"y")
    os.utime(file, ns=(stamp, stamp))
    assert fingerprint(file_identity(file)) != first
    with pytest.raises(InputError, match="nowhere"):
        file_identity(tmp_path / "nowhere.csv")
