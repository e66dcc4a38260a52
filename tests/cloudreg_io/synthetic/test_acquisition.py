from __future__ import annotations

import configparser
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.fields import Shading
from cloudreg_io.space import Bounds
from cloudreg_io.synthetic import AcquisitionSpec, Truth, make_acquisition, make_phantom
from cloudreg_io.tiles.readers.colm import open_colm

SPEC = AcquisitionSpec(
    rows=2,
    columns=3,
    tile_size=(128, 96),
    planes=10,
    overlap=(15.0, 12.5),
    jitter=(4.0, 3.0, 2.0),
    z_step_um=3.5,
    channels=2,
    channel_shift={1: (0.6, -1.25, 0.5)},
    strength=0.5,
    dust=2,
    background_slope=8.0,
    signal=(500.0, 300.0),
    gain=1.5,
    unscanned=frozenset({(0, 2)}),
    blank=frozenset({(0, 0)}),
    dark=frozenset({(1, 2)}),
    duplicate={(1, 0): (1, 1)},
    compression="zstd",
    seed=11,
)
PHANTOM = make_phantom((380, 220, 24), SPEC.voxel_size, seed=2)
SCENES = (PHANTOM.scene(0), PHANTOM.scene(1))


@pytest.fixture(scope="module")
def truth(tmp_path_factory) -> Truth:
    return make_acquisition(tmp_path_factory.mktemp("acquisition") / "brain", SCENES, SPEC)


def planes(truth, tile, channel):
    folder = truth.folder / "VW0" / tile
    files = sorted(folder.glob(f"VW0_{tile}_CM0_CHN{channel:02d}_PLN*.tif"))
    return np.stack([tifffile.imread(file) for file in files])


def digests(folder):
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_metadata_is_what_colm_writes(truth):
    ini = configparser.ConfigParser()
    ini.read(truth.folder / "Experiment.ini")
    assert ini["North Scan Region"]["Num Horizontal"] == '"3"'
    assert ini["North Scan Region"]["Num Vertical"] == '"2"'
    assert float(ini["North Scan Region"]["Stack Step (mm)"].strip('"')) == 0.0035
    settings = ini["Experiment Settings"]
    assert settings["Num in stack (Top Left Corner)"] == '"10"'
    assert settings["X Resolution"] == '"128"'
    assert settings["Num Enabled Channels"] == '"2"'
    stats = ini["North Scan Region Stats"]
    assert stats["Actual Horizontal Overlap (%)"] == '"15"'
    assert stats["Actual Vertical Overlap (%)"] == '"12.5"'
    objective = ini["Objectives"]["North"].strip('"')
    assert int(objective[: objective.index("x")][-2:]) == 10
    assert tuple(SPEC.voxel_size) == pytest.approx((0.585 * 16, 0.585 * 16, 3.5))
    assert (truth.folder / "Scanned Cells.txt").read_text() == "1,1,0\n1,1,1\n"


def test_magnification_below_ten_has_two_characters_before_the_x(tmp_path):
    spec = AcquisitionSpec(rows=1, columns=1, tile_size=(32, 32), planes=1, magnification=4)
    made = make_acquisition(tmp_path / "a", SCENES[0], spec)
    text = (made.folder / "Experiment.ini").read_text()
    assert 'North = " 4x' in text


def test_the_reader_reads_what_was_written(truth):
    acquisition = open_colm(truth.folder)
    grid = acquisition.grid
    assert (grid.rows, grid.columns, grid.tile_size) == (2, 3, (128, 96, 10))
    assert tuple(grid.voxel_size) == pytest.approx(tuple(SPEC.voxel_size))
    assert acquisition.channels == truth.channels == ("CHN00", "CHN01")
    assert not acquisition.warnings
    assert not acquisition.problems
    for tile, true in zip(grid.tiles, truth.tiles, strict=True):
        assert (tile.name, tile.row, tile.column, tile.scanned) == (
            true.name,
            true.row,
            true.column,
            true.scanned,
        )
        assert tile.nominal == pytest.approx(true.nominal)
    source = acquisition.source(1)
    np.testing.assert_array_equal(source.read(grid.tile("LOC004"), slice(2, 5)), planes(truth, "LOC004", 1)[2:5])


def test_files_are_those_of_the_scanned_cells(truth):
    folders = sorted(path.name for path in (truth.folder / "VW0").iterdir())
    assert folders == ["LOC000", "LOC001", "LOC003", "LOC004", "LOC005"]
    for folder in folders:
        assert len(list((truth.folder / "VW0" / folder).iterdir())) == 20
    assert (truth.folder / "VW0/LOC001/VW0_LOC001_CM0_CHN01_PLN0009.tif").is_file()
    assert sorted(p.name for p in truth.folder.iterdir()) == [
        "Experiment.ini",
        "Scanned Cells.txt",
        "VW0",
        "truth.json",
        "truth_shading_CHN00.tif",
        "truth_shading_CHN01.tif",
    ]
    with tifffile.TiffFile(truth.folder / "VW0/LOC001/VW0_LOC001_CM0_CHN01_PLN0009.tif") as tiff:
        assert tiff.pages[0].shape == (96, 128)
        assert tiff.pages[0].dtype == np.uint16
        assert tiff.pages[0].compression == tifffile.COMPRESSION.ZSTD


def test_positions_are_nominal_plus_the_stage_error(truth):
    positions = np.array(list(truth.positions.values()))
    assert (np.floor(positions.min(axis=0)) == 0).all()
    off = np.array([np.subtract(t.position, t.nominal) for t in truth.tiles])
    assert (np.ptp(off, axis=0) <= 2 * np.array(SPEC.jitter)).all()
    assert (np.ptp(off, axis=0) > 0.5).all()
    assert truth.tiles[4].nominal == pytest.approx((128 * 0.85, 96 * 0.875, 0.0))
    assert np.abs(positions - np.rint(positions)).max() > 0.1  # fractional
    assert truth.size == tuple((np.rint(positions) + truth.tile_size).max(axis=0))


def test_the_planes_are_the_scene_at_the_true_place_through_the_true_camera(truth):
    """(raw - expected) / deviation has mean 0 and variance 1 in every tile that is not faulty."""
    for channel, scene in enumerate(SCENES):
        shading = Shading.load(truth.shading_file(f"CHN{channel:02d}"))
        shift = truth.channel_shift["CHN01"] if channel else (0.0, 0.0, 0.0)
        x, y, z = np.sum([truth.positions["LOC004"], truth.scene_offset, shift], axis=0)
        light = scene.evaluate(x, y, z, (10, 96, 128)) * SPEC.signal[channel] * shading.flat
        deviation = np.sqrt(1.5 * light + 36 + 1 / 12)
        residual = (planes(truth, "LOC004", channel) - shading.background - light) / deviation
        assert residual.std() == pytest.approx(1, abs=0.02)
        assert abs(residual.mean()) < 0.02
        wrong = scene.evaluate(x + 0.3, y, z, (10, 96, 128)) * SPEC.signal[channel] * shading.flat
        assert ((planes(truth, "LOC004", channel) - shading.background - wrong) / deviation).std() > 1.03


def test_shading_differs_by_channel_but_not_in_its_dust(truth):
    first, second = (Shading.load(truth.shading_file(c)) for c in truth.channels)
    assert np.abs(first.flat - second.flat).max() > 0.1
    np.testing.assert_array_equal(first.background, second.background)
    assert np.ptp(first.background) == pytest.approx(8.0, rel=0.5)

    def specks(flat):
        return np.diff(flat, n=2, axis=1) > 0.01

    assert (specks(first.flat) & specks(second.flat)).any()


def test_faulty_tiles(truth):
    flags = {tile.name: tile.flags for tile in truth.tiles}
    assert flags == {
        "LOC000": ("blank",),
        "LOC001": (),
        "LOC002": ("unscanned",),
        "LOC003": ("duplicate",),
        "LOC004": (),
        "LOC005": ("dark",),
    }
    np.testing.assert_array_equal(planes(truth, "LOC003", 0), planes(truth, "LOC004", 0))
    assert truth.tiles[3].duplicate_of == "LOC004"
    background = Shading.load(truth.shading_file("CHN00")).background
    blank = planes(truth, "LOC000", 0) - background
    assert abs(blank.mean()) < 0.1
    assert blank.std() == pytest.approx(6.0, abs=0.1)
    dark = planes(truth, "LOC005", 0) - background
    bright = planes(truth, "LOC004", 0) - background
    assert 0 < dark.mean() < 0.05 * bright.mean()
    assert [tile.textured for tile in truth.tiles] == [False, True, False, False, True, False]


def test_natural_blank_tiles_are_flagged(tmp_path):
    spec = replace(SPEC, start=(-400.0, -300.0, 0.0), blank=frozenset(), dark=frozenset(), duplicate={})
    made = make_acquisition(tmp_path / "a", SCENES, spec)
    assert {tile.flags for tile in made.scanned} == {("blank",)}


def test_pairs(truth):
    positions = truth.positions
    assert [(p.a, p.b, p.axis) for p in truth.pairs] == [
        ("LOC000", "LOC001", "x"),
        ("LOC000", "LOC003", "y"),
        ("LOC001", "LOC004", "y"),
        ("LOC003", "LOC004", "x"),
        ("LOC004", "LOC005", "x"),
    ]
    for pair in truth.pairs:
        assert pair.displacement == pytest.approx(np.subtract(positions[pair.b], positions[pair.a]))
    assert [pair.tissue > 0.3 for pair in truth.pairs] == [False, False, True, False, False]


def test_truth_survives_the_file(truth):
    assert Truth.load(truth.folder) == truth
    with pytest.raises(NotFoundError, match=r"truth\.json"):
        Truth.load(truth.folder / "VW0")


def test_a_damaged_truth_is_named(truth, tmp_path):
    value = json.loads((truth.folder / "truth.json").read_text())
    del value["tiles"][0]["position"]
    (tmp_path / "truth.json").write_text(json.dumps(value))
    with pytest.raises(InputError, match=r"truth\.json"):
        Truth.load(tmp_path)


def test_placement_errors_ignore_a_common_translation(truth):
    moved = {name: np.add(p, (5.0, -3.0, 1.0)) for name, p in truth.positions.items()}
    assert max(truth.placement_errors(moved).values()) < 1e-9
    moved["LOC004"] = moved["LOC004"] + (0.3, 0.4, 0.0)
    errors = truth.placement_errors(moved)
    assert errors["LOC004"] == pytest.approx(0.5)
    assert errors["LOC001"] == pytest.approx(0.0, abs=1e-9)
    assert list(truth.placement_errors(moved, ["LOC001", "LOC004"])) == ["LOC001", "LOC004"]
    del moved["LOC001"]
    with pytest.raises(NotFoundError, match="LOC001"):
        truth.placement_errors(moved)


def test_true_placement_file(truth, tmp_path):
    truth.save_placement(tmp_path / "placement.json")
    value = json.loads((tmp_path / "placement.json").read_text())
    assert value["units"] == "voxels"
    by_name = {tile["name"]: tile for tile in value["tiles"]}
    assert tuple(by_name["LOC004"]["position"]) == truth.positions["LOC004"]
    assert by_name["LOC002"]["flags"] == ["unscanned"]
    assert by_name["LOC002"]["position"] == by_name["LOC002"]["nominal"]


def test_covering_counts_tiles(truth):
    whole = Bounds.of_size(truth.size)
    count = truth.covering(whole)
    assert count.shape == whole.shape
    assert count.sum() == 5 * 128 * 96 * 10
    assert count.max() >= 3
    part = Bounds((100, 70, 3), (150, 110, 9))
    np.testing.assert_array_equal(truth.covering(part), count[part.slices()])


def test_same_bytes_again_and_from_two_processes(truth, tmp_path):
    make_acquisition(tmp_path / "two", SCENES, SPEC, jobs=2)
    assert digests(tmp_path / "two") == digests(truth.folder)


def test_another_seed_is_another_acquisition(truth, tmp_path):
    other = make_acquisition(tmp_path / "other", SCENES, replace(SPEC, seed=12))
    assert other.positions != truth.positions
    assert (planes(other, "LOC000", 0) != planes(truth, "LOC000", 0)).mean() > 0.8


def test_noise_belongs_to_tile_plane_and_channel(truth):
    background = Shading.load(truth.shading_file("CHN00")).background
    blank, other = (planes(truth, "LOC000", channel) - background for channel in (0, 1))
    n = blank[0].size
    assert abs((blank[0] * blank[1]).mean()) < 6 * 36 / n**0.5
    assert abs((blank * other).mean()) < 6 * 36 / blank.size**0.5


def test_whole_voxels(tmp_path):
    made = make_acquisition(tmp_path / "a", SCENES, replace(SPEC, whole_voxels=True))
    positions = np.array([tile.position for tile in made.tiles])
    np.testing.assert_array_equal(positions, np.rint(positions))


def test_an_existing_folder_is_refused_and_left_alone(truth):
    before = digests(truth.folder)
    with pytest.raises(InputError, match="exists"):
        make_acquisition(truth.folder, SCENES, SPEC)
    assert digests(truth.folder) == before


def test_a_failure_leaves_nothing_behind(tmp_path):
    class Broken:
        def evaluate(self, x0, y0, z0, shape, step=(1, 1, 1)):
            if shape[0] == 4:
                raise RuntimeError("broken")
            return np.ones(shape, np.float32)

    spec = AcquisitionSpec(rows=1, columns=2, tile_size=(16, 16), planes=20)
    with pytest.raises(RuntimeError, match="broken"):
        make_acquisition(tmp_path / "a", Broken(), spec)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 0}, "at least one"),
        ({"magnification": 20}, "20x"),
        ({"overlap": (100.0, 10.0)}, "overlap"),
        ({"jitter": (-1.0, 0.0, 0.0)}, "jitter"),
        ({"saturation": 70000}, "saturation"),
        ({"dark": frozenset({(2, 0)})}, r"\(2, 0\)"),
        ({"duplicate": {(0, 0): (0, 2)}}, "copy"),
        ({"compression": "gzip"}, "gzip"),
        ({"channel_shift": {2: (1.0, 0.0, 0.0)}}, "channel_shift"),
    ],
)
def test_bad_specifications_are_named(change, message):
    with pytest.raises(InputError, match=message):
        replace(SPEC, **change)


def test_scenes_must_match_channels(tmp_path):
    with pytest.raises(InputError, match="3 scenes"):
        make_acquisition(tmp_path / "a", [*SCENES, SCENES[0]], SPEC)
    nothing = replace(SPEC, unscanned=frozenset((r, c) for r in range(2) for c in range(3)), duplicate={})
    with pytest.raises(InputError, match="no cell"):
        make_acquisition(tmp_path / "a", SCENES, nothing)
