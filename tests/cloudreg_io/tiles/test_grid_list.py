"""Grid lists: TOML and CSV, positions and cells, patterns, and what is refused."""

from __future__ import annotations

import re
import shutil
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudreg_io.errors import CloudRegError, InputError, NotFoundError
from cloudreg_io.space import VoxelSize
from cloudreg_io.tiles import open_acquisition
from cloudreg_io.tiles.completeness import check
from cloudreg_io.tiles.layout import cluster
from cloudreg_io.tiles.readers import grid_list
from cloudreg_io.tiles.readers.plane_pattern import PlanePattern
from support.colm_folders import write_image

FOLDERS = ["a b", "sub/b", "c", "d"]
POSITIONS = [(50.0, 10.0), (65.2, 9.6), (49.9, 23.0), (64.8, 23.1)]
TILES = "\n".join(
    f'[[tiles]]\nfolder = "{folder}"\nposition = [{x}, {y}]'
    for folder, (x, y) in zip(FOLDERS, POSITIONS, strict=True)
)


@pytest.fixture
def tiles(tmp_path):
    for index, folder in enumerate(FOLDERS):
        (tmp_path / folder).mkdir(parents=True)
        for z in range(8, 12):
            write_image(tmp_path / folder / f"img_488_{z}.tif", 100 * index + z)
            write_image(tmp_path / folder / f"img_561_{z}.tif", 1000 + 100 * index + z)
    return tmp_path


def open_toml(folder, text, tiles=TILES, **options):
    (folder / "tiles.toml").write_text(text + "\n" + tiles)
    return open_acquisition(folder, **options)


HEAD = 'voxel_size = [1.0, 1.0, 5.0]\n[channels]\ngreen = "*_488_{z}.tif"\nred = "*561*{z}.tif"'


def test_toml_with_positions(tiles):
    found = open_toml(tiles, HEAD)
    grid = found.grid
    assert (found.reader, found.channels, found.tile_root) == ("grid", ("green", "red"), tiles)
    assert (grid.rows, grid.columns, grid.tile_size) == (2, 2, (20, 16, 4))
    assert [(t.name, t.row, t.column) for t in grid.tiles] == [
        ("a b", 0, 0),
        ("sub/b", 0, 1),
        ("c", 1, 0),
        ("d", 1, 1),
    ]
    assert grid.tiles[3].nominal == pytest.approx((14.9, 13.5, 0))
    assert found.source("red").read(grid.tile("c"), slice(None))[:, 2, 2].tolist() == [1208, 1209, 1210, 1211]
    assert found.channel("1") == "red"
    assert check(found).problems == ()
    assert open_acquisition(tiles / "tiles.toml").grid == grid


def test_units_inversion_and_voxel_size_given_from_outside(tiles):
    head = HEAD.replace("voxel_size = [1.0, 1.0, 5.0]", 'invert = ["x"]')
    with pytest.raises(InputError, match="does not give the voxel size"):
        open_toml(tiles, head)
    grid = open_toml(tiles, head, voxel_size=VoxelSize(1, 1, 2)).grid
    assert [(t.name, t.row, t.column) for t in grid.tiles][:2] == [("sub/b", 0, 0), ("a b", 0, 1)]
    assert grid.tile("a b").nominal[0] == pytest.approx(15.2)
    grid = open_toml(tiles, 'position_unit = "voxels"\n' + HEAD.replace("[1.0, 1.0", "[0.5, 0.5")).grid
    assert grid.tile("sub/b").nominal[0] == pytest.approx(15.3)


def test_rows_columns_and_overlap(tiles):
    cells = "\n".join(
        f'[[tiles]]\nfolder = "{f}"\nrow = {r}\ncolumn = {c}'
        for f, r, c in zip(FOLDERS[:3], (3, 3, 4), (5, 6, 6), strict=True)
    )
    grid = open_toml(tiles, "overlap_percent = [20, 25]\n" + HEAD, cells).grid
    assert (grid.rows, grid.columns) == (2, 2)
    assert grid.tile("c").nominal == (16.0, 12.0, 0.0)
    (empty,) = [tile for tile in grid.tiles if not tile.scanned]
    assert (empty.row, empty.column, empty.nominal) == (1, 0, (0.0, 12.0, 0.0))
    with pytest.raises(InputError, match=r"tile 'a b' is not known: overlap_percent is not given"):
        open_toml(tiles, HEAD, cells)


def test_csv(tiles):
    rows = "\n".join(f"{f},{x},{y}" for f, (x, y) in zip(FOLDERS, POSITIONS, strict=True))
    text = (
        f"# free text\n# voxel_size = [1, 1, 5]\n# channels.green = '*_488_{{z}}.tif'\r\nFolder, X ,y\n{rows}\n\n"
    )
    (tiles / "tiles.csv").write_text(text)
    found = open_acquisition(tiles)
    assert found.channels == ("green",)
    assert found.grid.tile("d").nominal == pytest.approx((14.9, 13.5, 0))
    (tiles / "tiles.csv").rename(tiles / "positions.csv")
    beside = open_toml(tiles, 'tiles = "positions.csv"\n' + HEAD, "")
    assert beside.grid == found.grid
    (tiles / "bare.csv").write_text(f"folder,x,y\n{rows}")
    with pytest.raises(InputError, match="does not give the voxel size"):
        open_acquisition(tiles / "bare.csv")


def test_a_gap_in_the_numbers_is_a_missing_plane(tiles):
    (tiles / "c" / "img_488_10.tif").unlink()
    shutil.rmtree(tiles / "d")
    found = open_toml(tiles, HEAD)
    assert [(p.kind, p.tile, p.planes) for p in check(found, ["green"]).problems] == [
        ("missing", "c", (2,)),
        ("missing_tile", "d", (0, 1, 2, 3)),
    ]
    found = open_toml(tiles, "planes = 3\nfirst_plane = 9\n" + HEAD)
    assert ("extra_plane", "a b", (-1,)) in [(p.kind, p.tile, p.planes) for p in check(found, ["green"]).problems]


def test_without_numbers_every_tile_must_have_as_many(tiles):
    head = HEAD.replace("*_488_{z}.tif", "*_488_*.tif")
    planes = open_toml(tiles, head).source("green").read(open_toml(tiles, head).grid.tile("a b"), slice(None))
    assert planes[:, 1, 1].tolist() == [8, 9, 10, 11]  # 8 before 10
    (tiles / "c" / "img_488_10.tif").unlink()
    with pytest.raises(InputError, match=r"tile 'c', channel green, has 3 planes; 4 expected") as caught:
        open_toml(tiles, head)
    assert "{z}" in caught.value.fix


def test_numbers_in_steps_and_channel_folders(tmp_path):
    for folder in ("x0", "x1"):
        (tmp_path / "Ex_488" / folder).mkdir(parents=True)
        for number in (0, 50, 100):
            write_image(tmp_path / "Ex_488" / folder / f"{number:06d}.tif", number)
    tiles = '[[tiles]]\nfolder = "x0"\nposition = [0, 0, 2]\n[[tiles]]\nfolder = "x1"\nposition = [15, 0, 7]'
    head = 'voxel_size = [1, 1, 5]\nplane_step = 50\n[channels]\nCHN00 = "Ex_488/{folder}/{z}.tif"'
    found = open_toml(tmp_path, head, tiles)
    assert found.grid.tile_size[2] == 3
    assert found.grid.tile("x1").nominal == (15, 0, 1)
    assert found.source(0).read(found.grid.tile("x1"), slice(2, 3))[0, 1, 1] == 100
    with pytest.raises(InputError, match=r"plane 50 .* is not a multiple of plane_step = 30"):
        open_toml(tmp_path, head.replace("50", "30"), tiles)


def test_tiles_without_overlap_are_refused(tiles):
    with pytest.raises(
        InputError, match=r"tiles.toml: neighbouring tiles must overlap; overlap along x: -10"
    ) as caught:
        open_toml(tiles, HEAD.replace("[1.0, 1.0", "[0.5, 1.0"))
    assert "voxel size" in caught.value.why
    with pytest.raises(InputError, match=r"overlap along x: -40"):
        open_toml(tiles, HEAD.replace("[1.0, 1.0", "[0.25, 1.0"))


def test_positions_that_form_no_grid(tiles):
    with pytest.raises(InputError, match=r"'a b' and 'c' are both in row 0, column 0"):
        open_toml(tiles, HEAD, TILES.replace("23.", "11."))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("voxel_size = [1, 1", "is not valid TOML"),
        ("voxel_size = [1, 1]", "voxel_size = [1, 1] must be a list of 3 numbers"),
        ('voxel_size = [1, 1, "5"]', "must be a list of 3 numbers"),
        ("voxel_size = [1, 1, nan]", "must be a list of 3 numbers"),
        ("voxel_size = [585, 585, 3500]", "larger than a millimetre"),
        ("voxelsize = [1, 1, 5]", "unknown key 'voxelsize'"),
        ('position_unit = "mm"', "position_unit = 'mm' must be"),
        ("overlap_percent = [0, 10]", "overlap_percent = [0, 10] must be two numbers between"),
        ("invert = ['u']", "invert"),
        ("planes = 0", "planes = 0 must be a whole number"),
        ("planes = true", "planes = True must be"),
        ("root = 3", "root"),
        ("channels = {}", "channels"),
        ('channels."../x" = "*"', "channel '../x' must have a name"),
        ('channels.a = "{z}/{z}"', "is not [folders/]name"),
        ('channels.a = "../{folder}/*"', "is not [folders/]name"),
    ],
)
def test_bad_settings(tiles, text, message):
    with pytest.raises(InputError) as caught:
        open_toml(tiles, text if "voxel" in text else f"voxel_size = [1, 1, 5]\n{text}")
    assert message in str(caught.value)


@pytest.mark.parametrize("folder", ["../x", "/etc", "a/../../b", "C:\\\\x", "", ".", "a\\nb", "a\\u0000"])
def test_unsafe_folders(tiles, folder):
    with pytest.raises(InputError, match="is not a safe folder name"):
        open_toml(tiles, HEAD, f'[[tiles]]\nfolder = "{folder}"\nposition = [0, 0]')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "first line must name the columns"),
        ("a,b", "first line must name the columns"),
        ("folder,x,y,w\n", "unknown column 'w'"),
        ("folder,x,y\n", "lists no tiles"),
        ("folder,x,y\nc,1", "line 2 has 2 values; 3 expected"),
        ("folder,x,y\nc,1,1,5", "line 2 has 4 values"),
        ("folder,x,y\n\nc,1,abc", "line 3: y = 'abc' is not a number"),
        ("folder,row,column\nc,1.5,1", "row = 1.5 must be a whole number"),
        ("folder,row,column\nc,1,", "column = None must be"),
        ("folder,x,y\nc,1,1\nc,2,2", "lists the folder 'c' twice"),
        ("folder,x,y\n,1,1", "is not a safe folder name"),
    ],
)
def test_bad_csv(tiles, text, message):
    (tiles / "tiles.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        open_acquisition(tiles, voxel_size=VoxelSize(1, 1, 1))
    assert message in str(caught.value)


def test_nothing_found(tiles):
    with pytest.raises(NotFoundError, match="no planes found"):
        open_toml(tiles, HEAD.replace("488", "999").replace("561", "999"))
    with pytest.raises(InputError, match="lists no tiles"):
        open_toml(tiles, HEAD, "")
    with pytest.raises(NotFoundError, match=r"none\.csv not found"):
        open_toml(tiles, 'tiles = "none.csv"\n' + HEAD, "")


def test_the_documented_lists_open(tmp_path):
    readme = (Path(__file__).parents[3] / "packages" / "cloudreg-io" / "README.md").read_text(encoding="utf-8")
    (from_readme,) = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    as_csv = re.findall(r"```\n(# voxel_size.*?)```", readme, re.DOTALL)[0]
    from_docstring, csv_docstring = re.findall(r"::\n\n(.*?)\n\n(?=\S)", grid_list.__doc__, re.DOTALL)
    for folder in ("tile_00", "tile_01"):
        for place, name in ((folder, "a_488_7.tif"), (f"Ex_561/{folder}", "7.tif")):
            (tmp_path / place).mkdir(parents=True)
            write_image(tmp_path / place / name, 5, shape=(2048, 2048))
    for shown, suffix in (
        (from_readme, "toml"),
        (from_docstring, "toml"),
        (as_csv, "csv"),
        (csv_docstring, "csv"),
    ):
        text = re.sub("^(planes|first_plane) .*", "", textwrap.dedent(shown), flags=re.MULTILINE)
        # the docstring shows every key; its second tile has no position
        cell = "row = 0\ncolumn = 0" if "row = 0" in text else "position = [0.0, 0.0, 0.0]"
        path = tmp_path / f"list.{suffix}"
        path.write_text(text.replace("position = [0.0, 0.0, 0.0]", cell))
        found = open_acquisition(path)
        assert [tile.name for tile in found.grid.scanned] == ["tile_00", "tile_01"]
        assert found.grid.tile("tile_01").nominal[0] == pytest.approx(1842.8, abs=0.5)
        assert "ch488" in found.channels


@given(st.sampled_from(["toml", "csv"]), st.binary(max_size=200) | st.text().map(str.encode))
@settings(max_examples=80, deadline=None)
def test_any_bytes_give_our_errors(tmp_path_factory, suffix, data):
    path = tmp_path_factory.mktemp("junk") / f"tiles.{suffix}"
    path.write_bytes(data)
    with pytest.raises(CloudRegError):
        open_acquisition(path, voxel_size=(1, 1, 1))


@given(number=st.integers(0, 10**7), prefix=st.text("ab_0123456789.", max_size=8), width=st.integers(0, 8))
@settings(deadline=None)
def test_numbers_are_whole_runs_of_digits(tmp_path_factory, number, prefix, width):
    name = f"{prefix}-{number:0{width}d}.tif"
    assert PlanePattern.of("*{z}.tif").number(name) == number


def by_backtracking(pattern, name):
    """The number by one regular expression, whose stars take as much as they can."""
    parts = {"{z}": "(?<![0-9])([0-9]+)(?![0-9])", "*": ".*", "?": "."}
    regex = "".join(parts.get(part) or re.escape(part) for part in re.split(r"(\{z\}|\*|\?)", pattern))
    found = re.fullmatch(regex, name, re.DOTALL)
    return int(found[1]) if found else None


@given(
    before=st.text("*?a1[]_", max_size=6),
    after=st.text("*?a1[]_", max_size=5),
    name=st.text("a1[]_0\n", max_size=12),
)
@settings(max_examples=400, deadline=None)
def test_patterns_find_the_number_that_backtracking_finds(before, after, name):
    pattern = f"{before}{{z}}{after}"
    assert PlanePattern.of(pattern).number(name) == by_backtracking(pattern, name)


def test_no_pattern_takes_long():
    assert PlanePattern.of(30 * "*a" + "{z}.tif").number(200 * "a" + "b7.tif") is None


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=30),
    st.lists(st.floats(-9, 9), min_size=30, max_size=30),
)
def test_clusters_are_the_cells_the_stage_went_to(cells, jitter):
    groups = cluster([100.0 * cell + j for cell, j in zip(cells, jitter, strict=False)], 25.0)
    rank = {cell: index for index, cell in enumerate(sorted(set(cells)))}
    assert groups == [rank[cell] for cell in cells]
