"""The eight ways in which a stage's axes may lie to the image's: of grids, and of every kind of acquisition."""

from __future__ import annotations

import itertools
import shutil

import pytest

from cloudreg_io.errors import InputError
from cloudreg_io.space import VoxelSize
from cloudreg_io.tiles import StageAxes, Tile, TileGrid, fingerprint, open_acquisition
from cloudreg_io.tiles.stage import AS_TOLD, all_axes
from support.colm_folders import Colm, write_image

WAYS = list(all_axes())


def grid(rows=2, columns=3, step=(90.0, 60.0), voxel=(1.0, 1.5, 5.0)):
    tiles = [
        Tile(f"r{r}c{c}", r, c, (c * step[0], r * step[1], 0.0), (r, c) != (0, 0))
        for r in range(rows)
        for c in range(columns)
    ]
    return TileGrid(rows, columns, (100, 80, 4), VoxelSize(*voxel), tuple(tiles))


def places(found):
    return {tile.name: (tile.row, tile.column, *map(float, tile.nominal)) for tile in found.tiles}


def test_there_are_eight_the_simplest_first():
    assert len(set(WAYS)) == 8
    assert WAYS[0] == AS_TOLD
    assert not AS_TOLD
    assert [str(axes) for axes in WAYS[1:4]] == ["--swap-xy", "--flip-y", "--flip-x"]
    assert str(StageAxes(True, False, True)) == "--flip-x --swap-xy"


def test_flips_mirror_rows_columns_and_positions():
    told = grid()
    turned = StageAxes(flip_x=True).of(told)
    assert [tile.name for tile in turned.tiles] == ["r0c2", "r0c1", "r0c0", "r1c2", "r1c1", "r1c0"]
    assert places(turned)["r1c2"] == (1, 0, 0, 60, 0)
    assert not turned.tile("r0c0").scanned
    assert places(StageAxes(flip_y=True).of(told))["r0c2"] == (1, 2, 180, 60, 0)


def test_an_exchange_keeps_micrometres():
    told = grid()
    turned = StageAxes(swap_xy=True).of(told)
    assert (turned.rows, turned.columns) == (3, 2)
    # 180 voxels of 1 µm along x are 120 of 1.5 µm along y, and 60 of 1.5 µm along y are 90 of 1 µm along x
    assert places(turned)["r1c2"] == pytest.approx((2, 1, 90, 120, 0))


@pytest.mark.parametrize(("first", "second"), list(itertools.product(WAYS, WAYS)))
def test_one_after_the_other_is_one(first, second):
    told = grid()
    one, both = first.then(second).of(told), second.of(first.of(told))
    assert (one.rows, one.columns) == (both.rows, both.columns)
    assert [tile.name for tile in one.tiles] == [tile.name for tile in both.tiles]
    for name, place in places(one).items():
        assert places(both)[name] == pytest.approx(place)


# ---- acquisitions of 2 rows × 3 columns of 20 × 20 voxels whose metadata tell them in one of the eight ways


def told_cells(axes):
    """For every true cell: the cell (row, column) that metadata tell which `axes` put right."""
    rows, columns = (3, 2) if axes.swap_xy else (2, 3)  # as told
    cells = [Tile(f"{r} {c}", r, c, (0.0, 0.0, 0.0)) for r in range(rows) for c in range(columns)]
    true = axes.of(TileGrid(rows, columns, (20, 20, 2), VoxelSize(1, 1, 5), tuple(cells)))
    assert (true.rows, true.columns) == (2, 3)
    return {(tile.row, tile.column): tuple(map(int, tile.name.split())) for tile in true.tiles}, rows, columns


def marked(path, cell):
    write_image(path, 100 + 10 * cell[0] + cell[1], shape=(20, 20))


def write_colm(root, axes):
    cells, rows, columns = told_cells(axes)
    colm = Colm(root, rows=rows, columns=columns, planes=2, channels=(0,)).write()
    colm.set("X Resolution", "20")
    colm.set("Y Resolution", "20")
    x, y = ("37.5", "25") if axes.swap_xy else ("25", "37.5")
    colm.set("Actual Horizontal Overlap (%)", x)
    colm.set("Actual Vertical Overlap (%)", y)
    for true, (row, column) in cells.items():
        for plane in range(2):
            marked(colm.plane(column + row * columns, 0, plane), true)
    return root


def write_grid_list(root, axes):
    cells, _, _ = told_cells(axes)
    x, y = (12.5, 15.0) if axes.swap_xy else (15.0, 12.5)
    rows = []
    for true, (row, column) in cells.items():
        folder = root / f"t{true[0]}{true[1]}"
        folder.mkdir(parents=True)
        for plane in range(2):
            marked(folder / f"{plane}.tif", true)
        rows.append(f"{folder.name},{column * x},{row * y}")
    (root / "tiles.csv").write_text("# voxel_size = [1, 1, 5]\nfolder,x,y\n" + "\n".join(rows) + "\n")
    return root


def write_terastitcher(root, axes):
    cells, rows, columns = told_cells(axes)
    x, y = (12.5, 15.0) if axes.swap_xy else (15.0, 12.5)
    stacks = {}
    for true, (row, column) in cells.items():
        folder = root / f"t{true[0]}{true[1]}"
        folder.mkdir(parents=True)
        for plane in range(2):
            marked(folder / f"{plane}.tif", true)
        stacks[row, column] = (
            f'<Stack ROW="{row}" COL="{column}" ABS_V="0" ABS_H="0" ABS_D="0" DIR_NAME="{folder.name}" '
            'Z_RANGES="[0,2)" IMG_REGEX=".*tif"/>'
        )
    (root / "xml_import.xml").write_text(
        f'<TeraStitcher volume_format="TiledXY|2Dseries"><stacks_dir value="{root}"/>'
        '<voxel_dims V="1" H="1" D="5"/><origin V="0" H="0" D="0"/>'
        f'<mechanical_displacements V="{y}" H="{x}"/>'
        f'<dimensions stack_rows="{rows}" stack_columns="{columns}" stack_slices="2"/>'
        f"<STACKS>{''.join(stacks[key] for key in sorted(stacks))}</STACKS></TeraStitcher>"
    )
    return root


@pytest.mark.parametrize("axes", WAYS, ids=lambda axes: str(axes) or "as told")
@pytest.mark.parametrize("write", [write_colm, write_grid_list, write_terastitcher])
def test_every_reader_is_put_right(tmp_path, write, axes):
    found = open_acquisition(write(tmp_path / "raw", axes), axes=axes)
    assert (found.grid.rows, found.grid.columns) == (2, 3)
    source = found.source(0)
    assert [(tile.row, tile.column) for tile in found.grid.tiles] == list(itertools.product(range(2), range(3)))
    for tile in found.grid.tiles:
        pixel = source.read(tile, slice(0, 1))[0, 5, 5]
        assert pixel == 100 + 10 * tile.row + tile.column
        assert tile.nominal == pytest.approx((15.0 * tile.column, 12.5 * tile.row, 0))
    assert found.warnings == ()


def test_the_fingerprint_tells_them_apart(tmp_path):
    root = write_colm(tmp_path / "raw", AS_TOLD)
    assert len({fingerprint(open_acquisition(root, axes=axes), [0]) for axes in WAYS}) == 8


def test_an_exchange_that_leaves_no_overlap_is_refused_and_one_that_makes_it_is_not(tmp_path):
    for folder in "abcd":
        (tmp_path / folder).mkdir()
        write_image(tmp_path / folder / "0.tif", 7)  # 20 columns, 16 rows
    rows = "a,0,0\nb,14,0\nc,0,18\nd,14,18\n"
    (tmp_path / "tiles.csv").write_text(f"# voxel_size = [1, 1, 5]\nfolder,x,y\n{rows}")
    with pytest.raises(InputError, match=r"overlap along y: -2 of 16") as caught:
        open_acquisition(tmp_path)
    assert "--swap-xy" in caught.value.fix
    grid = open_acquisition(tmp_path, axes=StageAxes(swap_xy=True)).grid
    assert grid.tile("d").nominal == (18, 14, 0)
    shutil.copy(tmp_path / "tiles.csv", tmp_path / "right.csv")
    (tmp_path / "tiles.csv").write_text("# voxel_size = [1, 1, 5]\nfolder,x,y\na,0,0\nb,18,0\nc,0,14\nd,18,14\n")
    with pytest.raises(InputError, match=r"tiles.csv --swap-xy: .*overlap along y"):
        open_acquisition(tmp_path, axes=StageAxes(swap_xy=True))
