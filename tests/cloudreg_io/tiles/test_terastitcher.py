"""TeraStitcher import files: grid, sparse slices, moved data, and what is refused."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudreg_io.errors import CloudRegError, InputError, NotFoundError
from cloudreg_io.tiles import open_acquisition
from cloudreg_io.tiles.completeness import check
from cloudreg_io.tiles.readers.terastitcher_project import format_z_ranges, parse_z_ranges
from support.colm_folders import write_image

EMPTY = "<NORTH_displacements /><EAST_displacements /><SOUTH_displacements /><WEST_displacements />"


def stack(folder, row, column, *, position=None, ranges="[0,6)", regex=r".*\.tif"):
    y, x, z = position or (row * 12, column * 16, 0)
    sparse = "" if ranges is None else f'Z_RANGES="{ranges}" '
    return (
        f'<Stack N_CHANS="1" N_BYTESxCHAN="2" ROW="{row}" COL="{column}" ABS_V="{y}" ABS_H="{x}" ABS_D="{z}" '
        f'STITCHABLE="no" DIR_NAME="{folder}" {sparse}IMG_REGEX="{regex}">{EMPTY}</Stack>'
    )


REF = '<ref_sys ref1="1" ref2="2" ref3="3" />'
DIMS = 'V="1.5" H="1.25" D="5"'


def document(stacks, *, directory=".", ref=REF, dims=DIMS, slices=6, rows=2, end="\n"):
    lines = [
        '<?xml version="1.0" encoding="UTF-8" ?>',
        '<!DOCTYPE TeraStitcher SYSTEM "TeraStitcher.DTD">',
        '<TeraStitcher volume_format="TiledXY|2Dseries">',
        f'<stacks_dir value="{directory}" />',
        ref,
        f"<voxel_dims {dims} />",
        '<origin V="0" H="0" D="0" />',
        '<mechanical_displacements V="18" H="20" />',
        f'<dimensions stack_rows="{rows}" stack_columns="2" stack_slices="{slices}" />',
        "<STACKS>",
        *stacks,
        "</STACKS>",
        "</TeraStitcher>",
    ]
    return end.join(lines)


STACKS = (
    stack("", 0, 0, ranges="", position=(0, 0, 0)),
    stack("LOC 1", 0, 1, ranges="[1,3);[4,6)", position=(3, 18, 2)),
    stack("deep/LOC2", 1, 0, position=(14, 2, 0)),
    stack("LOC3", 1, 1, ranges=None, position=(15, 17, -1)),
)
SLICES = {"LOC 1": (1, 2, 4, 5), "deep/LOC2": range(6), "LOC3": range(6)}


@pytest.fixture
def tiles(tmp_path):
    for index, (folder, planes) in enumerate(SLICES.items()):
        (tmp_path / folder).mkdir(parents=True)
        for plane in planes:
            write_image(tmp_path / folder / f"img_{plane:04d}.tif", 100 * index + plane)
    (tmp_path / "xml_import.xml").write_text(document(STACKS))
    return tmp_path


def rewrite(folder, *args, **options):
    (folder / "xml_import.xml").write_text(document(*args, **options))


def test_reads_a_sparse_grid(tiles):
    found = open_acquisition(tiles)
    grid = found.grid
    assert (found.reader, found.channels, found.tile_root) == ("terastitcher", ("CHN00",), tiles)
    assert (grid.rows, grid.columns, grid.tile_size) == (2, 2, (20, 16, 6))
    assert tuple(grid.voxel_size) == (1.25, 1.5, 5)
    assert [tile.name for tile in grid.scanned] == ["LOC 1", "deep/LOC2", "LOC3"]
    assert [tile.nominal for tile in grid.scanned] == [(16, 0, 3), (0, 11, 1), (15, 12, 0)]
    assert (grid.tiles[0].row, grid.tiles[0].column, grid.tiles[0].scanned) == (0, 0, False)
    source, sparse = found.source(0), grid.tile("LOC 1")
    assert source.present(sparse).tolist() == [False, True, True, False, True, True]
    # nobody imaged planes 0 and 3: they read as 0 and are not missing
    assert source.read(sparse, slice(None))[:, 1, 1].tolist() == [0, 1, 2, 0, 4, 5]
    report = check(found)
    assert (report.problems, report.planes_promised, report.planes_found) == ((), 16, 16)
    assert open_acquisition(tiles / "xml_import.xml").grid == grid


@pytest.mark.parametrize("ref", ["", '<ref_sys ref1="-2" ref2="1" ref3="3" />'])
def test_axes_absent_or_inverted_and_crlf(tiles, ref):
    wanted = open_acquisition(tiles).grid
    text = document(STACKS, ref=ref, dims='V="-1.5" H="1.25" D="-5"', end="\r\n")
    (tiles / "xml_import.xml").write_bytes(text.encode())
    assert open_acquisition(tiles).grid == wanted


def test_slices_last_only(tiles):
    rewrite(tiles, STACKS, ref='<ref_sys ref1="3" ref2="2" ref3="1" />')
    with pytest.raises(InputError, match="slices must be the third axis"):
        open_acquisition(tiles)


def test_moved_data(tiles, tmp_path):
    for directory in ("/no/such/place", "C:\\data\\VW0", "VW0"):
        rewrite(tiles, STACKS, directory=directory)
        assert open_acquisition(tiles).tile_root == tiles
    inner = tiles / "VW0"
    inner.mkdir()
    for folder in ("LOC 1", "deep", "LOC3"):
        shutil.move(tiles / folder, inner / folder)
    rewrite(tiles, STACKS, directory="D:\\old\\VW0")
    assert open_acquisition(tiles).tile_root == inner
    shutil.rmtree(inner)
    with pytest.raises(NotFoundError, match="such as LOC 1") as caught:
        open_acquisition(tiles)
    assert str(tiles) in caught.value.why


def test_positions_from_steps_where_there_are_none(tiles):
    stacks = [stack(f, r, c, position=(0, 0, 0), ranges=None) for f, r, c in (("deep/LOC2", 0, 0), ("LOC3", 0, 1))]
    rewrite(tiles, stacks, rows=1)
    assert open_acquisition(tiles).grid.tiles[1].nominal == (16.0, 0.0, 0.0)


def test_slices_left_open_and_a_default_pattern(tiles):
    stacks = [stack(f, 0, c, ranges=None, regex="") for c, f in enumerate(("deep/LOC2", "LOC3"))]
    (tiles / "LOC3" / "Thumbs.db").write_bytes(b"x")
    rewrite(tiles, stacks, rows=1, slices=0)
    assert open_acquisition(tiles).grid.planes == 6


def test_missing_slices_are_found_by_their_numbers(tiles):
    (tiles / "LOC3" / "img_0002.tif").unlink()
    (problem,) = check(open_acquisition(tiles)).problems
    assert (problem.kind, problem.tile, problem.planes) == ("missing", "LOC3", (2,))
    for path in sorted((tiles / "deep" / "LOC2").iterdir()):
        path.rename(path.with_name(path.name.replace("img_0005", "img_0020")))
    with pytest.raises(InputError, match=r"LOC3 has 5 of 6 slices, and their names do not tell"):
        open_acquisition(tiles)


def test_a_missing_folder_is_a_missing_tile(tiles):
    shutil.rmtree(tiles / "LOC3")
    (problem,) = check(open_acquisition(tiles)).problems
    assert (problem.kind, problem.tile) == ("missing_tile", "LOC3")


def test_channels_by_their_numbers(tiles):
    for folder, planes in SLICES.items():
        for plane in planes:
            old = tiles / folder / f"img_{plane:04d}.tif"
            write_image(old.with_name(f"VW0_CHN02_PLN{plane:04d}.tif"), 7000 + plane)
            old.rename(old.with_name(f"VW0_CHN00_PLN{plane:04d}.tif"))
    found = open_acquisition(tiles)
    assert found.channels == ("CHN00", "CHN02")
    assert found.source(2).read(found.grid.tile("LOC 1"), slice(4, 5))[0, 1, 1] == 7004


def test_numbers_without_zeros_come_in_order(tiles):
    for path in sorted((tiles / "LOC3").iterdir()):
        path.rename(path.with_name(f"img_{int(path.stem[4:]) + 7}.tif"))
    found = open_acquisition(tiles)
    assert found.source(0).read(found.grid.tile("LOC3"), slice(None))[:, 1, 1].tolist() == [
        200 + z for z in range(6)
    ]
    assert "without leading zeros" in found.warnings[0]


@pytest.mark.parametrize("folder", ["../up", "/etc", "a/../..", "C:\\x", "..\\up"])
def test_folders_outside_are_refused(tiles, folder):
    rewrite(tiles, [*STACKS[:3], stack(folder, 1, 1)])
    with pytest.raises(InputError, match=r"row 1, column 1.*is not a safe folder name"):
        open_acquisition(tiles)


def test_entities_are_refused(tiles):
    bomb = document(STACKS).replace(
        '<!DOCTYPE TeraStitcher SYSTEM "TeraStitcher.DTD">',
        '<!DOCTYPE TeraStitcher [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
    )
    bomb = bomb.replace('DIR_NAME="LOC3"', 'DIR_NAME="&b;"')
    for encoding in ("utf-8", "utf-16"):
        (tiles / "xml_import.xml").write_bytes(bomb.replace("UTF-8", encoding).encode(encoding))
        with pytest.raises(InputError, match="declares XML entities; refused"):
            open_acquisition(tiles / "xml_import.xml", reader="terastitcher")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("</TeraStitcher>", "", "is not well-formed XML"),
        ("TiledXY|2Dseries", "TiledXY|3Dseries", "volume_format = 'TiledXY|3Dseries' cannot be read"),
        ('<voxel_dims V="1.5"', "<voxel_dims", "<voxel_dims> lacks the attribute V"),
        ('V="1.5"', 'V="1,5"', "<voxel_dims V='1,5'> is not a number"),
        ('V="1.5"', 'V="0"', "is not a positive number"),
        ('stack_rows="2"', 'stack_rows="3"', "has 4 <Stack> elements; 3 rows × 2 columns need 6"),
        ('stack_rows="2"', 'stack_rows="999999999"', "stack_rows='999999999'"),
        ('stack_rows="2"', 'stack_rows="x"', "stack_rows='x'"),
        ("<dimensions", "<dimension", "lacks the element <dimensions>"),
        ("[1,3);[4,6)", "[1,3);[3,6)", "Z_RANGES = '[1,3);[3,6)' is not a list"),
        ("[1,3);[4,6)", "[4,9)", "Z_RANGES = '[4,9)'"),
        (".*\\.tif", "(.*", "IMG_REGEX = '(.*' cannot be used"),
        ('ABS_V="15"', "", "<Stack in row 1, column 1> lacks the attribute ABS_V"),
    ],
)
def test_bad_projects(tiles, before, after, message):
    text = document(STACKS)
    assert before in text
    (tiles / "xml_import.xml").write_text(text.replace(before, after))
    with pytest.raises((InputError, NotFoundError)) as caught:
        open_acquisition(tiles)
    assert message in str(caught.value)
    assert "xml_import.xml" in str(caught.value) or "voxel size" in message or "positive" in message


def test_not_terastitcher(tiles):
    path = tiles / "other.xml"
    path.write_text("<a/>")
    with pytest.raises(NotFoundError, match="lacks a <TeraStitcher> XML file"):
        open_acquisition(path)
    with pytest.raises(InputError, match="its root is <a>"):
        open_acquisition(path, reader="terastitcher")


WORDS = st.sampled_from([part for part in re.split(r"(\s+|\")", document(STACKS)) if part.strip('" \n')])


@given(WORDS, st.text(max_size=8) | st.integers().map(str))
@settings(max_examples=80, deadline=None)
def test_any_change_gives_our_errors_or_an_acquisition(tmp_path_factory, word, other):
    folder = tmp_path_factory.mktemp("changed")
    (folder / "LOC3").mkdir()
    write_image(folder / "LOC3" / "a.tif", 5)
    text = document(STACKS).replace(word, other)
    (folder / "xml_import.xml").write_text(text, encoding="utf-8", errors="replace")
    with suppress(CloudRegError):
        assert open_acquisition(folder / "xml_import.xml", reader="terastitcher").grid.tiles


@given(st.lists(st.integers(0, 10**6), unique=True).map(sorted))
def test_z_ranges_round_trip(edges):
    ranges = tuple(zip(edges[::2], edges[1::2], strict=False))
    slices = ranges[-1][1] if ranges else 0
    text = format_z_ranges(ranges)
    assert parse_z_ranges(text, slices) == ranges
    planes = np.zeros(slices + 1, bool)
    for first, end in ranges:
        planes[first:end] = True
    assert planes.sum() == sum(end - first for first, end in ranges)
