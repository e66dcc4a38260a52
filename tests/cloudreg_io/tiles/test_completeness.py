"""The completeness check and the file source: everything that can be wrong with planes, by tile and plane."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import tifffile

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.run.counters import Meter
from cloudreg_io.space import VoxelSize
from cloudreg_io.tiles import FileTileSource, fingerprint, open_acquisition
from cloudreg_io.tiles.completeness import check
from cloudreg_io.tiles.problem import plane_list
from support.colm_folders import Colm, value_of, write_image


def findings(report):
    return [(p.kind, p.channel, p.tile, p.planes) for p in report.problems]


def test_a_whole_acquisition_has_no_problem(colm):
    for full in (False, True):
        report = check(open_acquisition(colm.root), ["CHN00", 1], full=full)
        assert (report.planes_promised, report.planes_found, report.problems) == (48, 48, ())
        report.error()


def test_missing_planes_and_tiles_may_be_filled(colm):
    for plane in (0, 2, 3):
        colm.plane(1, 0, plane).unlink()
    shutil.rmtree(colm.tiles / "LOC005")
    acquisition = open_acquisition(colm.root)
    report = check(acquisition, [0])
    assert findings(report) == [
        ("missing", "CHN00", "LOC001", (0, 2, 3)),
        ("missing_tile", "CHN00", "LOC005", (0, 1, 2, 3)),
    ]
    assert (report.planes_promised, report.planes_found) == (24, 17)
    assert report.counts == {"missing": 3, "missing_tile": 1}
    with pytest.raises(InputError, match=r"CHN00 LOC001 planes 0, 2-3: missing") as caught:
        report.error()
    assert "LOC005 planes 0-3: whole tile missing (no folder)" in str(caught.value)
    assert "--missing fill" in caught.value.fix
    report.error("fill")
    assert findings(check(acquisition, [1])) == [("missing_tile", "CHN01", "LOC005", (0, 1, 2, 3))]

    tile, gone = acquisition.grid.tile("LOC001"), acquisition.grid.tile("LOC005")
    with pytest.raises(NotFoundError, match="plane 2 of tile LOC001, channel CHN00, is missing"):
        acquisition.source(0).read(tile, slice(1, 3))
    source = acquisition.source(0, fill_missing=True)
    assert source.present(tile).tolist() == [False, True, False, False]
    out = np.full((4, 16, 20), 9, np.uint16)
    assert source.read(tile, slice(None), out) is out
    assert out[:, 1, 1].tolist() == [0, value_of(1, 0, 1), 0, 0]
    assert not source.present(gone).any()
    assert not source.read(gone, slice(0, 2)).any()


def spoil_empty(colm, path):
    path.write_bytes(b"")


def spoil_truncated(colm, path):
    path.write_bytes(path.read_bytes()[:-50])


def spoil_not_tiff(colm, path):
    path.write_text("<html>404</html>")


def spoil_shape(colm, path):
    write_image(path, 5, shape=(20, 16))


def spoil_dtype(colm, path):
    write_image(path, 5, dtype="uint8")


def spoil_multi_page(colm, path):
    tifffile.imwrite(path, np.zeros((3, 16, 20), np.uint16), photometric="minisblack")


@pytest.mark.parametrize("kind", ["empty", "truncated", "not_tiff", "shape", "dtype", "multi_page"])
@pytest.mark.parametrize("full", [False, True])
def test_bad_files_are_named_and_never_filled(colm, kind, full):
    path = colm.plane(3, 1, 2)
    globals()[f"spoil_{kind}"](colm, path)
    acquisition = open_acquisition(colm.root)
    report = check(acquisition, [0, 1], full=full)
    assert findings(report) == [(kind, "CHN01", "LOC003", (2,))]
    assert report.problems[0].path == path
    for missing in ("error", "fill"):
        with pytest.raises(InputError) as caught:
            report.error(missing)
        assert "CHN01 LOC003 plane 2" in str(caught.value)
        assert path.name in str(caught.value)
        assert "--missing" not in str(caught.value)
    with pytest.raises(InputError, match=path.name):
        acquisition.source(1, fill_missing=True).read(acquisition.grid.tile("LOC003"), slice(2, 3))


def test_colour_is_another_type(colm):
    tifffile.imwrite(colm.plane(0, 0, 1), np.zeros((16, 20, 3), np.uint8), photometric="rgb")
    assert findings(check(open_acquisition(colm.root), [0])) == [("dtype", "CHN00", "LOC000", (1,))]


def test_damage_inside_compressed_data_needs_the_full_check(colm):
    path = colm.plane(2, 0, 3)
    write_image(path, 5, compression="deflate")
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages[0].dataoffsets[0] + tiff.pages[0].databytecounts[0] // 2
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)
    acquisition = open_acquisition(colm.root)
    assert check(acquisition).problems == ()
    assert findings(check(acquisition, full=True)) == [("damaged", "CHN00", "LOC002", (3,))]


def test_duplicates(colm):
    path = colm.plane(0, 0, 1)
    shutil.copy(path, path.with_suffix(".tiff"))
    report = check(open_acquisition(colm.root), [0])
    assert findings(report) == [("duplicate", "CHN00", "LOC000", (1,))]
    with pytest.raises(InputError, match=r"PLN0001\.tif and .*PLN0001\.tiff"):
        report.error("fill")
    assert check(open_acquisition(colm.root), [1]).problems == ()


def test_extra_planes_and_unmarked_folders_are_told_only(colm):
    write_image(colm.plane(0, 0, 4), 1)
    write_image(colm.plane(0, 0, 7), 1)
    (colm.tiles / "LOC0042").mkdir()
    report = check(open_acquisition(colm.root), [0])
    assert findings(report) == [("extra_plane", "CHN00", "LOC000", (4, 7)), ("unmarked_folder", "", "LOC0042", ())]
    report.error()


def test_many_problems_are_counted_and_ten_shown(tmp_path):
    made = Colm(tmp_path / "exp", rows=3, columns=4, planes=2).write()
    for location in range(12):
        made.plane(location, 0, 1).write_bytes(b"")
    made.plane(0, 1, 0).unlink()
    with pytest.raises(InputError) as caught:
        check(open_acquisition(made.root)).error()
    text = str(caught.value)
    assert "empty file (0 bytes): 12, missing: 1" in text
    assert text.count("\n  CHN") == 10
    assert "and 3 more" in text
    assert "accepts none of the others" in text


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_dtypes_stay_as_they_are(colm, dtype):
    for location in range(6):
        for channel in (0, 1):
            for plane in range(4):
                write_image(colm.plane(location, channel, plane), 40 + location, dtype=dtype)
    acquisition = open_acquisition(colm.root)
    source = acquisition.source(0)
    assert source.dtype == acquisition.dtype == dtype
    planes = source.read(acquisition.grid.tiles[3], slice(1, 3))
    assert planes.dtype == dtype
    assert (planes[:, 1:] == 43).all()


def test_other_dtypes_are_refused(colm):
    for path in colm.tiles.rglob("*.tif"):
        write_image(path, 5, dtype="int16")
    with pytest.raises(InputError, match=r"hold int16; readable are uint8, uint16, float32"):
        open_acquisition(colm.root)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(colm, value):
    for path in colm.tiles.rglob("*.tif"):
        write_image(path, 5, dtype="float32")
    plane = np.full((16, 20), 1.0, np.float32)
    plane[3, 4] = plane[9, 1] = value
    tifffile.imwrite(colm.plane(1, 0, 2), plane)
    acquisition = open_acquisition(colm.root)
    with pytest.raises(
        InputError, match=r"PLN0002\.tif holds 2 NaN or infinite values, the first at x = 4, y = 3"
    ):
        acquisition.source(0).read(acquisition.grid.tiles[1], slice(None))
    assert findings(check(acquisition, [0], full=True)) == [("not_finite", "CHN00", "LOC001", (2,))]


def test_the_source_checks_its_arguments_and_counts(colm):
    acquisition = open_acquisition(colm.root)
    source = FileTileSource.of(acquisition, "CHN01")
    tile = acquisition.grid.tiles[0]
    with pytest.raises(InputError, match="shape"):
        source.read(tile, slice(0, 2), np.empty((3, 16, 20), np.uint16))
    meter = Meter()
    wide = source.read(tile, slice(0, 3), np.empty((3, 16, 20), np.float32))
    assert wide[2, 5, 5] == value_of(0, 1, 2)
    assert meter.cost().planes_decoded == 3
    assert source.read(tile, slice(2, 2)).shape == (0, 16, 20)


def test_a_file_that_goes_away_is_missing(colm):
    acquisition = open_acquisition(colm.root)
    colm.plane(0, 0, 0).unlink()
    assert findings(check(acquisition, [0])) == [("missing", "CHN00", "LOC000", (0,))]


def test_fingerprints(colm, tmp_path):
    def prints(root):
        found = open_acquisition(root)
        return fingerprint(found, [0]), fingerprint(found, ["CHN00", 1])

    before = prints(colm.root)
    assert len(set(before)) == 2
    assert all(len(text) == 64 for text in before)
    moved = colm.root.rename(tmp_path / "moved")
    assert prints(moved / "VW0") == before
    path = next(moved.rglob("*CHN01_PLN0002.tif"))
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert prints(moved)[0] == before[0]
    assert prints(moved)[1] != before[1]
    sized = open_acquisition(moved, voxel_size=VoxelSize(1, 1, 1))
    assert fingerprint(sized, [0]) != before[0]


@pytest.mark.parametrize(
    ("planes", "text"),
    [
        ([4], "plane 4"),
        ([3, 7, 8, 9], "planes 3, 7-9"),
        (range(0, 40, 2), "planes 0, 2, 4, 6, 8, 10, 12, 14 and 12 more runs"),
    ],
)
def test_lists_of_planes(planes, text):
    assert plane_list(planes) == text
