"""The COLM reader: what it reads, what it accepts, and what it says about bad metadata."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudreg_io.errors import CloudRegError, InputError, NotFoundError
from cloudreg_io.files.natural_order import natural_key
from cloudreg_io.space import VoxelSize
from cloudreg_io.tiles import FileTileSource, open_acquisition
from cloudreg_io.tiles.readers.colm_metadata import Ini, read_cells, read_settings
from cloudreg_io.tiles.readers.colm_names import Key
from support.colm_folders import SECTIONS, Colm, value_of, write_image


def test_reads_grid_channels_and_planes(colm):
    found = open_acquisition(colm.root)
    grid = found.grid
    assert (found.reader, found.channels, found.dtype) == ("colm", ("CHN00", "CHN01"), "uint16")
    assert (grid.rows, grid.columns, grid.tile_size) == (2, 3, (20, 16, 4))
    assert tuple(grid.voxel_size) == pytest.approx((0.585 * 2048 / 20, 0.585 * 2048 / 20, 3.5))
    assert grid.voxel_size.z == 3.5
    assert [tile.name for tile in grid.tiles] == [f"LOC{i:03d}" for i in range(6)]
    assert grid.tile("LOC004").nominal == (15.0, 10.0, 0.0)  # column 1, row 1; 25 % of 20, 37.5 % of 16
    assert found.warnings == ()
    assert found.problems == ()
    source = found.source(1)
    planes = source.read(grid.tile("LOC005"), slice(1, 4))
    assert planes.dtype == np.uint16
    assert planes[:, 1, 1].tolist() == [value_of(5, 1, z) for z in (1, 2, 3)]
    assert planes[:, 0, 0].tolist() == [7, 7, 7]


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("path", ["", "VW0", "Experiment.ini"])
def test_metadata_beside_or_inside_and_either_path(colm, inside, path):
    if inside:
        for name in ("Experiment.ini", "Scanned Cells.txt"):
            shutil.move(colm.root / name, colm.tiles / name)
        path = "VW0/Experiment.ini" if path == "Experiment.ini" else path
    found = open_acquisition(colm.root / path)
    assert (found.root, found.tile_root) == (colm.root, colm.tiles)
    assert len(found.grid.scanned) == 6


def test_tiles_without_a_vw0_folder(colm):
    for name in ("Experiment.ini", "Scanned Cells.txt"):
        shutil.move(colm.root / name, colm.tiles / name)
    moved = colm.tiles.rename(colm.root / "my tiles")
    assert len(open_acquisition(moved).grid.scanned) == 6


def test_a_sibling_vw01_is_not_taken(colm):
    shutil.copytree(colm.tiles, colm.root / "VW01")
    (colm.root / "VW01" / "LOC000").rename(colm.root / "VW01" / "LOC099")
    assert len(open_acquisition(colm.root).grid.scanned) == 6
    with pytest.raises(NotFoundError, match=r"Experiment\.ini"):
        open_acquisition(colm.root / "VW01")
    shutil.rmtree(colm.tiles)
    with pytest.raises(NotFoundError, match="VW0"):
        open_acquisition(colm.root)


def test_many_locations_and_channels_parse_by_number(tmp_path):
    made = Colm(tmp_path / "big", rows=26, columns=40, planes=2, channels=())
    made.cells = [["0"] * 40 for _ in range(26)]
    made.write()
    made.cells[0][2] = made.cells[25][39] = "1"
    made.write_metadata()
    for location in (2, 1039):
        folder = made.tiles / f"LOC{location:03d}"
        folder.mkdir(parents=True)
        for channel, text in ((0, "CHN00"), (10, "CHN010"), (11, "CHN11")):
            for plane in (0, 1):
                # numbers without leading zeros, capital suffix
                write_image(folder / f"VW0_LOC{location}_CM0_{text}_PLN{plane}.TIFF", 100 + channel + plane)
    made.set("Num Enabled Channels", "3")
    found = open_acquisition(made.root)
    assert found.channels == ("CHN00", "CHN10", "CHN11")
    assert [(tile.name, tile.row, tile.column) for tile in found.grid.scanned] == [
        ("LOC002", 0, 2),
        ("LOC1039", 25, 39),
    ]
    last = found.source("10").read(found.grid.tile("LOC1039"), slice(None))
    assert last[:, 2, 2].tolist() == [110, 111]
    with pytest.raises(NotFoundError, match=r"channel 3 not found; channels present: CHN00, CHN10, CHN11"):
        found.source(3)


def test_planes_beyond_9999_come_in_order_of_their_numbers(tmp_path):
    made = Colm(tmp_path / "deep", rows=1, columns=1, planes=2, channels=(0,)).write()
    made.set("Num in stack (Top Left Corner)", "10002")
    for plane in (9999, 10000, 10001):
        write_image(made.plane(0, 0, plane), plane)
    found = open_acquisition(made.root)
    deep = FileTileSource.of(found, 0, fill_missing=True)
    assert deep.read(found.grid.tiles[0], slice(9998, 10002))[:, 1, 1].tolist() == [0, 9999, 10000, 10001]


def test_channels_in_the_ini_against_those_in_files(colm):
    colm.set("Num Enabled Channels", "3")
    (warning,) = open_acquisition(colm.root).warnings
    assert "Num Enabled Channels = 3, but files of 2 channels are there: CHN00, CHN01" in warning


def test_unscanned_cells_and_unmarked_folders(colm):
    colm.cells[0][0] = colm.cells[1][2] = "0"
    colm.write_metadata()
    shutil.rmtree(colm.tiles / "LOC000")
    (colm.tiles / "LOC042").mkdir()
    found = open_acquisition(colm.root)
    assert [tile.name for tile in found.grid.tiles if not tile.scanned] == ["LOC000", "LOC005"]
    unmarked = [problem.tile for problem in found.problems if problem.kind == "unmarked_folder"]
    assert unmarked == ["LOC005", "LOC042"]
    assert any("LOC042" in warning for warning in found.warnings)
    assert not found.source(0).present(found.grid.tile("LOC005")).any()
    assert not found.source(0).read(found.grid.tile("LOC005"), slice(None)).any()


def test_square_without_y_resolution_and_sizes_against_the_files(colm):
    colm.set("Y Resolution", None)
    assert open_acquisition(colm.root).grid.tile_size == (20, 16, 4)
    colm.set("X Resolution", "2048")
    with pytest.raises(InputError, match=r"X Resolution = 2048, but the planes have 20"):
        open_acquisition(colm.root)
    found = open_acquisition(colm.root, voxel_size=VoxelSize(1, 2, 3))
    assert tuple(found.grid.voxel_size) == (1, 2, 3)
    assert any("X Resolution" in warning for warning in found.warnings)


def test_one_odd_first_plane_does_not_set_the_size(colm):
    write_image(colm.plane(0, 0, 0), 5, shape=(30, 30))
    colm.plane(1, 0, 0).write_bytes(b"")
    assert open_acquisition(colm.root).grid.tile_size == (20, 16, 4)


def test_the_opened_acquisition_travels(colm):
    found = pickle.loads(pickle.dumps(open_acquisition(colm.root)))
    source = pickle.loads(pickle.dumps(FileTileSource.of(found, 0)))
    assert source.read(found.grid.tiles[3], slice(2, 3))[0, 5, 5] == value_of(3, 0, 2)
    assert len(pickle.dumps(source)) < 200 * 24 + 2000


@pytest.mark.parametrize("objective", ["4x", "04X/0.28", '"4 x"', "Olympus 4x/0.28", "4×"])
def test_objectives(colm, objective):
    colm.set("North", objective)
    assert open_acquisition(colm.root).grid.voxel_size.x == pytest.approx(1.46 * 2048 / 20)


def test_an_unknown_objective_needs_a_voxel_size(colm):
    colm.set("North", "16x/0.8")
    with pytest.raises(InputError, match=r"\[Objectives\] North = '16x/0.8'.*4x .*10x .*25x") as caught:
        open_acquisition(colm.root)
    assert "--voxel-size" in caught.value.fix
    assert open_acquisition(colm.root, voxel_size=(1, 1, 4)).grid.voxel_size == VoxelSize(1, 1, 4)


KEYS = [(section, key) for section, keys in SECTIONS.items() for key in keys if key != "Y Resolution"]


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_a_missing_empty_or_wrong_key_is_named(colm, section, key):
    wanted = colm.sections[section][key]
    colm.set(key, None)
    with pytest.raises(NotFoundError) as missing:
        open_acquisition(colm.root)
    assert key in str(missing.value)
    assert f"[{section}]" in str(missing.value)
    assert "Experiment.ini" in str(missing.value)
    colm.set(key, "")
    with pytest.raises(InputError, match="is empty") as empty:
        open_acquisition(colm.root)
    assert key in str(empty.value)
    colm.set(key, "many")
    with pytest.raises(InputError) as wrong:
        open_acquisition(colm.root)
    assert f"[{section}] {key}" in str(wrong.value)
    assert "'many'" in str(wrong.value)
    colm.set(key, wanted)
    open_acquisition(colm.root)


@pytest.mark.parametrize("value", ["nan", "inf", "1e400", "0x10", "1_000", "-4", "0", "2.5", "1e12", "٣"])
def test_odd_numbers_are_refused(colm, value):
    colm.set("Num Horizontal", value)
    with pytest.raises(InputError, match="Num Horizontal"):
        open_acquisition(colm.root)


def test_a_decimal_comma_is_named(colm):
    colm.set("Stack Step (mm)", "0,0035")
    with pytest.raises(
        InputError, match=r"Stack Step \(mm\) = '0,0035' is written with a decimal comma"
    ) as caught:
        open_acquisition(colm.root)
    assert "line 13" in str(caught.value)
    assert "0.0035" in caught.value.fix


@pytest.mark.parametrize("percent", ["0", "-5", "100", "130"])
def test_overlap_out_of_range(colm, percent):
    colm.set("Actual Vertical Overlap (%)", percent)
    with pytest.raises(InputError, match=r"Actual Vertical Overlap \(%\) = .* not between 0 and 100"):
        open_acquisition(colm.root)


def test_odd_overlaps_are_told(colm):
    colm.set("Actual Horizontal Overlap (%)", "60")
    assert "more than half" in open_acquisition(colm.root).warnings[0]
    colm.set("Actual Horizontal Overlap (%)", "0.15")
    assert "per cent" in open_acquisition(colm.root).warnings[0]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_encodings_of_the_metadata(colm, encoding):
    for name in ("Experiment.ini", "Scanned Cells.txt"):
        text = (colm.root / name).read_text()
        if name == "Experiment.ini":
            text += "[Remarks]\nText = 5 µm, Müller = 3\nno key here\n; comment = 1\n"
        (colm.root / name).write_text(text, encoding=encoding, newline="")
    assert len(open_acquisition(colm.root).grid.scanned) == 6


def test_a_key_twice_with_two_values(colm):
    with (colm.root / "Experiment.ini").open("a") as file:
        file.write("[Objectives]\nNorth = 10x/0.6\n")
    open_acquisition(colm.root)
    with (colm.root / "Experiment.ini").open("a") as file:
        file.write("North = 4x\n")
    with pytest.raises(InputError, match=r"\[Objectives\] North different values on lines"):
        open_acquisition(colm.root)


def test_metadata_files_missing(colm):
    (colm.root / "Scanned Cells.txt").rename(colm.root / "scanned cells.TXT")
    open_acquisition(colm.root)
    (colm.root / "Experiment.ini").unlink()
    with pytest.raises(NotFoundError, match=r"lacks Experiment\.ini \(looked in .*exp, .*VW0\)") as caught:
        open_acquisition(colm.root)
    assert "found the folder VW0" in str(caught.value)
    assert "Scanned Cells" in str(caught.value)


def test_no_tiles_at_all(colm):
    shutil.rmtree(colm.tiles)
    colm.tiles.mkdir()
    with pytest.raises(NotFoundError, match=r"no tiles found under .*VW0 \(looked for LOC000/"):
        open_acquisition(colm.root)
    for location in range(6):
        (colm.tiles / f"LOC{location:03d}").mkdir()
    with pytest.raises(NotFoundError, match="no planes found"):
        open_acquisition(colm.root)


def test_the_same_location_twice(colm):
    shutil.copytree(colm.tiles / "LOC001", colm.tiles / "LOC0001")
    with pytest.raises(InputError, match=r"LOC001 and LOC0001|LOC0001 and LOC001"):
        open_acquisition(colm.root)


@pytest.mark.parametrize("name", ["a b", "Gehirn µ", 'it\'s "quoted"', "$(touch x); `y`", "-rf"])
def test_odd_folder_names(tmp_path, name):
    made = Colm(tmp_path / name).write()
    found = open_acquisition(made.root)
    assert found.source(0).read(found.grid.tiles[1], slice(0, 1))[0, 1, 1] == value_of(1, 0, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_links(colm, tmp_path):
    (colm.tiles / "LOC002").rename(tmp_path / "elsewhere")
    (colm.tiles / "LOC002").symlink_to(tmp_path / "elsewhere")
    (colm.tiles / "LOC077").symlink_to("LOC077")
    (colm.tiles / "up").symlink_to("..")
    found = open_acquisition(colm.root)
    assert len(found.grid.scanned) == 6
    (warning,) = found.warnings
    assert "links to another place: LOC002" in warning
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match="loop"):
        open_acquisition(tmp_path / "loop")


def test_other_files_beside_the_planes(colm):
    folder = colm.tiles / "LOC000"
    for name in ("._VW0_LOC000_CM0_CHN00_PLN0000.tif", "Thumbs.db", "notes.txt"):
        (folder / name).write_bytes(b"x")
    assert open_acquisition(colm.root).warnings == ()
    (folder / "preview.tif").write_bytes(b"x")
    assert "'preview.tif'" in open_acquisition(colm.root).warnings[0]


def test_works_without_locale_and_home(colm):
    code = "import sys; from cloudreg_io.tiles import open_acquisition as o; print(len(o(sys.argv[1]).grid.tiles))"
    command = [sys.executable, "-c", code, str(colm.root)]
    run = subprocess.run(command, env={"LANG": "C"}, capture_output=True, text=True, check=True)
    assert run.stdout == "6\n"


# -- Scanned Cells.txt


grids = st.integers(1, 6).flatmap(lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=1))


@given(
    cells=grids,
    end=st.sampled_from(["\n", "\r\n"]),
    trailing=st.sampled_from(["", ","]),
    mark=st.booleans(),
    last=st.sampled_from(["", "\n", "\r\n\r\n"]),
)
@settings(max_examples=60, deadline=None)
def test_cells_round_trip(tmp_path_factory, cells, end, trailing, mark, last):
    path = tmp_path_factory.mktemp("cells") / "Scanned Cells.txt"
    text = end.join(",".join(str(int(cell)) for cell in row) + trailing for row in cells) + last
    path.write_bytes(text.encode("utf-8-sig" if mark else "utf-8"))
    if any(map(any, cells)):
        assert read_cells(path, len(cells), len(cells[0])) == tuple(map(tuple, cells))
    else:
        with pytest.raises(InputError, match="no cell"):
            read_cells(path, len(cells), len(cells[0]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,1,1", "has 1 rows; Experiment.ini says 2 rows × 3 columns"),
        ("1,1,1\n1,1,1\n1,1,1", "has 3 rows"),
        ("1,1,1\n1,1", "has 2 columns on line 2"),
        ("1,1,1\n\n1,1,1,1", "has 4 columns on line 3"),
        ("1,1,1\n1,x,1", "line 2, column 2: 'x' is neither 0 nor 1"),
        ("1,1,1\n1,,1", "line 2, column 2: '' is neither 0 nor 1"),
        ("1,1,2\n1,1,1", "line 1, column 3: '2' is neither"),
        ("", "has 0 rows"),
    ],
)
def test_bad_cells(colm, text, message):
    (colm.root / "Scanned Cells.txt").write_text(text)
    with pytest.raises(InputError) as caught:
        open_acquisition(colm.root)
    assert message in str(caught.value)


# -- Experiment.ini


words = st.text(
    st.characters(codec="utf-8", exclude_characters="=[]\"';#\r\n", exclude_categories=("C", "Z")), min_size=1
)


@given(
    st.dictionaries(words, st.dictionaries(words, words, min_size=1), min_size=1),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
)
@settings(max_examples=60, deadline=None)
def test_ini_round_trip(tmp_path_factory, sections, quoted, end):
    folded = {(s.casefold(), k.casefold()) for s, keys in sections.items() for k in keys}
    if len(folded) < sum(map(len, sections.values())):
        return
    path = tmp_path_factory.mktemp("ini") / "Experiment.ini"
    quote = '"' if quoted else ""
    lines = []
    for section, keys in sections.items():
        lines += [f"[{section}]", *(f"{key} = {quote}{value}{quote}" for key, value in keys.items())]
    path.write_bytes(end.join(lines).encode("utf-8"))
    ini = Ini(path)
    for section, keys in sections.items():
        for key, value in keys.items():
            assert ini.text(Key(section, key)) == value


@given(st.binary(max_size=400))
@settings(max_examples=100, deadline=None)
def test_any_bytes_give_our_errors(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("junk") / "Experiment.ini"
    path.write_bytes(data)
    with pytest.raises(CloudRegError):
        read_settings(path)
    with pytest.raises(CloudRegError):
        read_cells(path, 1000, 1000)


@given(st.lists(st.integers(0, 10**6), unique=True), st.sampled_from(["%d", "%03d", "%06d"]))
def test_natural_order(numbers, form):
    names = [f"img_{form % number}.tif" for number in numbers]
    assert sorted(names, key=natural_key) == [f"img_{form % number}.tif" for number in sorted(numbers)]


@given(st.lists(st.text(), unique=True))
def test_natural_order_is_total(names):
    assert sorted(names, key=natural_key) == sorted(sorted(names), key=natural_key)
