import json
from dataclasses import replace

import numpy as np
import pytest

import align_scenes
from cloudreg_io.errors import InputError
from cloudreg_io.run import executor, open_run
from cloudreg_stitch.align import place
from cloudreg_stitch.options import AlignOptions
from cloudreg_stitch.placement import Placement
from cloudreg_stitch.survey import survey


def align(out, source, options=None, jobs=1):
    with executor(jobs) as pool, open_run(out, command="test", pool=pool, jobs=jobs) as run:
        return place(run, source, survey(run, source, options), options)


def evidence(out, name):
    tiles = json.loads((out / "qc" / "placement.json").read_text())["tiles"]
    return " ".join(next(tile["evidence"] for tile in tiles if tile["name"] == name))


@pytest.mark.parametrize("seed", [31, 32, 33, 34, 35])
def test_placement_is_right_to_a_twentieth_of_a_voxel(tmp_path, seed):
    source = align_scenes.scene(2, 2, seed=seed, overlap=0.15)
    placement = align(tmp_path, source)
    error = align_scenes.errors(placement, source)
    assert error.mean() <= 0.05
    assert error.max() <= 0.15
    assert not any(tile.flags for tile in placement.tiles)
    assert all(pair.used and pair.confidence > 0.5 for pair in placement.pairs)


@pytest.mark.parametrize("seed", [41, 42, 43])
def test_placement_where_the_signal_is_dark_and_noisy(tmp_path, seed):
    source = align_scenes.scene(2, 2, seed=seed, signal=60.0, noise=6.0, vignetting=0.6)
    placement = align(tmp_path, source)
    error = align_scenes.errors(placement, source)
    assert error.mean() <= 0.1
    assert error.max() <= 0.3
    assert not any(tile.flags for tile in placement.tiles)


def test_whole_positions_come_out_whole(tmp_path):
    source = align_scenes.scene(2, 2, seed=5, whole=True)
    placement = align(tmp_path, source)
    positions = np.array(list(placement.positions.values()))
    assert np.abs(positions - np.rint(positions)).max() < 0.05
    assert np.allclose(positions.min(axis=0), 0, atol=1e-9)


def test_blank_and_copied_tiles_stay_where_the_stage_says_and_say_why(tmp_path):
    source = align_scenes.scene(2, 4, seed=6, blank=frozenset({"LOC002"}), copies={"LOC004": "LOC001"})
    placement = align(tmp_path, source)
    assert placement.tile("LOC002").flags == ("stage_position", "blank")
    assert placement.tile("LOC004").flags == ("stage_position", "duplicate")
    assert "of LOC001: the planes are equal" in evidence(tmp_path, "LOC004")
    assert "as noise of 5.0 counts does" in evidence(tmp_path, "LOC002")
    assert "LOC004" in evidence(tmp_path, "LOC001")
    trusted = [tile.name for tile in placement.tiles if not tile.flags]
    assert trusted == ["LOC000", "LOC001", "LOC003", "LOC005", "LOC006", "LOC007"]
    assert align_scenes.errors(placement, source, trusted).max() < 0.15
    for name in ("LOC002", "LOC004"):
        assert placement.tile(name).confidence == 0
        # the stage's frame is that of the placed tiles, on average
        others = [np.subtract(placement.tile(n).position, placement.tile(n).nominal) for n in trusted]
        here = np.subtract(placement.tile(name).position, placement.tile(name).nominal)
        assert np.abs(here - np.mean(others, axis=0)).max() < 0.01
    assert not any(pair.used for pair in placement.pairs if {"LOC002", "LOC004"} & {pair.a, pair.b})


def test_a_stage_that_did_not_move_is_found(tmp_path):
    source = align_scenes.scene(2, 2, seed=7, copies={"LOC001": "LOC000"}, same_noise=False)
    placement = align(tmp_path, source)
    assert "duplicate" in placement.tile("LOC001").flags
    assert "change alike" in evidence(tmp_path, "LOC001")


def test_a_tile_without_neighbours_stays_where_the_stage_says(tmp_path):
    source = align_scenes.scene(2, 2, seed=8, unscanned={(0, 1), (1, 0)})
    placement = align(tmp_path, source)
    assert [tile.flags for tile in placement.tiles] == [
        ("stage_position",), ("unscanned",), ("unscanned",), ("stage_position",),
    ]  # fmt: skip
    assert "no scanned neighbour" in evidence(tmp_path, "LOC000")
    moved = np.subtract(placement.tile("LOC003").position, placement.tile("LOC000").position)
    assert np.allclose(moved, np.subtract(source.grid.tiles[3].nominal, source.grid.tiles[0].nominal))
    assert placement.tile("LOC001").position == source.grid.tiles[1].nominal


def test_missing_planes_do_not_harm(tmp_path):
    source = align_scenes.scene(1, 2, seed=9, planes=48, missing={"LOC001": (3, 4, 30)})
    placement = align(tmp_path, source)
    assert align_scenes.errors(placement, source).max() < 1
    assert not placement.tile("LOC001").flags


def test_pinned_tiles_stay_and_the_others_follow(tmp_path):
    source = align_scenes.scene(2, 2, seed=10)
    first = align(tmp_path / "first", source)
    by_hand = first.tile("LOC003").position
    by_hand = (by_hand[0] + 3.25, by_hand[1], by_hand[2])
    tiles = tuple(
        replace(tile, position=by_hand, flags=("pinned",)) if tile.name == "LOC003" else tile
        for tile in first.tiles
    )
    edited = replace(first, tiles=tiles, channel_shift={"CHN01": (0.5, 0.0, 0.0)})
    edited.save(tmp_path / "edited.json")
    second = align(tmp_path / "second", source, AlignOptions(placement=tmp_path / "edited.json"))
    assert second.tile("LOC003").flags == ("pinned",)
    # whole voxels at most are added, so that the smallest position lies in [0, 1)
    moved = np.subtract(second.tile("LOC003").position, by_hand)
    assert np.allclose(moved, np.rint(moved), atol=1e-3)
    assert all(0 <= min(tile.position[axis] for tile in second.scanned) < 1 for axis in range(3))
    assert align_scenes.errors(second, source).max() < 0.15
    assert second.channel_shift == {"CHN01": (0.5, 0.0, 0.0)}


def test_two_pinned_tiles_overrule_what_was_measured_between_them(tmp_path):
    source = align_scenes.scene(1, 3, seed=11)
    first = align(tmp_path / "first", source)
    position = {tile.name: tile.position for tile in first.tiles}
    position["LOC001"] = tuple(np.add(position["LOC001"], (4.0, 0.0, 0.0)))
    tiles = tuple(
        replace(tile, position=position[tile.name], flags=("pinned",) if tile.name != "LOC002" else ())
        for tile in first.tiles
    )
    replace(first, tiles=tiles).save(tmp_path / "edited.json")
    second = align(tmp_path / "second", source, AlignOptions(placement=tmp_path / "edited.json"))
    between = np.subtract(second.tile("LOC001").position, second.tile("LOC000").position)
    assert np.allclose(between, np.subtract(position["LOC001"], position["LOC000"]), atol=1e-3)
    true = np.subtract(source.truth["LOC002"], source.truth["LOC001"])
    found = np.subtract(second.tile("LOC002").position, second.tile("LOC001").position)
    assert np.abs(found - true).max() < 0.15


def test_a_placement_of_another_acquisition_is_refused(tmp_path):
    source = align_scenes.scene(1, 2, seed=12)
    other = align(tmp_path / "other", align_scenes.scene(1, 3, seed=12))
    path = tmp_path / "other" / "placement.json"
    assert Placement.load(path) == other
    with pytest.raises(InputError, match=r"placement\.json: tile LOC002 is not in this acquisition"):
        align(tmp_path / "out", source, AlignOptions(placement=path))


def test_the_same_bytes_from_one_process_and_from_two(tmp_path):
    source = align_scenes.scene(2, 2, seed=13, blank=frozenset({"LOC002"}))
    one, two = tmp_path / "one", tmp_path / "two"
    assert align(one, source) == align(two, source, jobs=2)
    for name in ("placement.json", "qc/placement.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_what_is_done_is_not_done_again_and_strips_are_removed(tmp_path):
    source = align_scenes.scene(1, 2, seed=14)
    align_scenes.PLANES_READ.clear()
    first = align(tmp_path, source)
    wanted = sorted((tile.name, z) for tile in source.grid.tiles for z in range(source.grid.planes))
    assert sorted(align_scenes.PLANES_READ) == wanted
    align_scenes.PLANES_READ.clear()
    assert align(tmp_path, source) == first
    assert not align_scenes.PLANES_READ
    assert not list((tmp_path / ".cloudreg" / "scratch").rglob("*_slabs.npy"))
    assert list((tmp_path / ".cloudreg" / "scratch").rglob("small.npy"))


def test_a_search_range_that_is_none_is_refused():
    with pytest.raises(InputError, match="search range"):
        AlignOptions(search=(30, -1, 10))
