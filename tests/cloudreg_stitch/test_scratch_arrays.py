"""Scratch that outlives its process: whole, flushed before anybody is told of it, damage named."""

import numpy as np
import pytest

from cloudreg_io.errors import ToolError
from cloudreg_stitch import scratch_arrays
from cloudreg_stitch.scratch_arrays import PlaneReader, PlaneWriter, whole_folder

PLANES = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def write(folder):
    with whole_folder(folder) as (temporary, files):
        writer = files.enter_context(PlaneWriter(temporary / "a.npy", PLANES.shape, PLANES.dtype))
        for plane in PLANES:
            writer.append(plane)


def test_files_are_flushed_before_the_folder_takes_its_place(tmp_path, monkeypatch):
    flushed = []

    def flush(paths):
        assert not (tmp_path / "made").exists()
        flushed.extend(np.load(path) for path in paths)  # complete, not in a buffer

    monkeypatch.setattr(scratch_arrays, "sync_files", flush)
    write(tmp_path / "made")
    assert np.array_equal(flushed, [PLANES])


def test_a_file_that_is_cut_off_says_how_to_begin_anew(tmp_path):
    write(tmp_path / "made")
    path = tmp_path / "made" / "a.npy"
    assert np.array_equal(PlaneReader(path)[:, :, :], PLANES)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ToolError, match=r"a.npy is cut off(?s:.*)cloudreg clean OUT --yes"):
        PlaneReader(path)[:, :, :]
