"""Choosing the reader, and what is said when none fits."""

from __future__ import annotations

import pytest

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.tiles import open_acquisition


def test_what_every_format_lacks_is_told(tmp_path):
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(NotFoundError, match="no tiles found at") as caught:
        open_acquisition(tmp_path)
    text = str(caught.value)
    for sign in ("VW0", "Experiment.ini", "Scanned Cells.txt", "tiles.toml or tiles.csv", "xml_import.xml"):
        assert sign in text
    assert text.count(str(tmp_path)) >= 5
    (tmp_path / "VW0").mkdir()
    with pytest.raises(NotFoundError, match=r"COLM: found the folder VW0 .*; lacks Experiment\.ini"):
        open_acquisition(tmp_path)


def test_empty_missing_and_remote_places(tmp_path):
    with pytest.raises(NotFoundError, match="the folder is empty"):
        open_acquisition(tmp_path)
    with pytest.raises(NotFoundError, match="nowhere not found"):
        open_acquisition(tmp_path / "nowhere")
    with pytest.raises(InputError, match="s3://bucket/exp is not a folder on this machine"):
        open_acquisition("s3://bucket/exp")
    with pytest.raises(InputError, match="readers are colm, grid, terastitcher"):
        open_acquisition(tmp_path, reader="zeiss")


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"\x89PNG")
    with pytest.raises(NotFoundError, match=r"lacks a \.toml or \.csv file"):
        open_acquisition(path)


def test_the_reader_may_be_given(colm):
    (colm.root / "tiles.toml").write_text("voxel_size = [1, 1, 1]\n")
    assert open_acquisition(colm.root).reader == "colm"
    with pytest.raises(InputError, match="lists no tiles"):
        open_acquisition(colm.root, reader="grid")
    with pytest.raises(NotFoundError, match=r"xml_import\.xml not found"):
        open_acquisition(colm.root, reader="terastitcher")
    colm.set("Num Vertical", "7")
    with pytest.raises(InputError, match="7 rows × 3 columns"):
        open_acquisition(colm.root)
