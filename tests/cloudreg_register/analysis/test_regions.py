"""The region table against counts made the slow and obvious way."""

import csv
import io
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cloudreg_io.errors import InputError
from cloudreg_io.files.structures import Structure, StructureTree
from cloudreg_io.run import open_run
from cloudreg_io.space import Grid, Orientation
from cloudreg_io.synthetic import make_phantom
from cloudreg_register.analysis.region_table import COLUMNS, region_table, table_csv
from cloudreg_register.analysis.regions import RegionInputs, measure_regions
from cloudreg_register.analysis.tally import Tally
from cloudreg_register.atlases.midplane import Midplane
from cloudreg_register.images.frame import Frame
from support.small_volumes import write_volume

PHANTOM = make_phantom((40, 36, 30), (20.0, 20.0, 20.0), seed=2)
LABELS = PHANTOM.labels()
TREE = StructureTree(tuple(Structure(s.id, s.acronym, s.name, s.parent) for s in PHANTOM.structures))
FRAME = Frame((40, 36, 30), PHANTOM.grid.voxel_size, Orientation(PHANTOM.orientation), "phantom")
AXIS = next(k for k, letter in enumerate(PHANTOM.orientation) if letter in "LR")
RNG = np.random.default_rng(5)
IMAGE = RNG.integers(0, 65535, LABELS.shape).astype(np.uint16)
POINTS = RNG.uniform(-60, 860, (500, 3))


def right_mask(grid=PHANTOM.grid):
    """Beyond the middle of the left-right axis, in the direction R."""
    positions = grid.points()[..., AXIS]
    middle = FRAME.centre[AXIS]
    return positions > middle if PHANTOM.orientation[AXIS] == "R" else positions < middle


@settings(max_examples=60, deadline=None)
@given(
    labels=hnp.arrays(np.uint64, (2, 3, 4), elements=st.sampled_from([0, 3, 2**63 + 1])),
    image=hnp.arrays(np.uint16, (2, 3, 4)),
    right=hnp.arrays(bool, (2, 3, 4)),
)
def test_runs_give_what_masks_give(labels, image, right):
    whole, halves = Tally(), Tally()
    whole.add_block(labels, [image, image.astype(np.float32)])
    halves.add_block(labels, [image], right)
    for number in np.unique(labels).tolist():
        inside = labels == number
        count = whole.counts[number, "both"]
        assert (count.voxels, *count.totals) == (inside.sum(), image[inside].sum(), image[inside].sum())
        for side, mask in (("left", inside & ~right), ("right", inside & right)):
            if mask.any():
                assert halves.counts[number, side].voxels == mask.sum()
                assert halves.counts[number, side].totals == (image[mask].sum(),)
            else:
                assert (number, side) not in halves.counts
    assert Tally.of_json([whole.to_json()]).counts == whole.counts
    assert Tally.of_json([whole.to_json(), whole.to_json()]).counts[number, "both"] == count + count


def test_sums_of_integers_are_exact():
    tally = Tally()
    tally.add_block(np.ones((1, 1, 3), np.uint32), [np.array([[[2**53, 1, 1]]], np.uint64)])
    assert tally.counts[1, "both"].totals == (2**53 + 2,)


def measured(tmp_path, **inputs):
    labels = write_volume(tmp_path / "labels", LABELS, (20, 20, 20), layer="segmentation", chunk=(16, 16, 16))
    with open_run(tmp_path / "OUT", command="regions") as run:
        rows = measure_regions(run, RegionInputs(labels, TREE, **{"voxel_size": 20.0} | inputs))
    table = list(csv.DictReader(io.StringIO((tmp_path / "OUT/registration/regions.csv").read_text())))
    return rows, table


def test_the_table_of_a_phantom(tmp_path):
    channel = write_volume(tmp_path / "image", IMAGE, (20, 20, 20), chunk=(16, 16, 16))
    _, table = measured(tmp_path, channels={"CHN00": channel}, midplane=Midplane.of_atlas(FRAME), points=POINTS)
    assert tuple(table[0]) == COLUMNS
    index = np.rint(POINTS / 20).astype(int)
    inside = np.all((index >= 0) & (index < (40, 36, 30)), axis=1)
    x, y, z = np.where(inside[:, None], index, 0).T
    label_of_point = np.where(inside, LABELS[z, y, x], 0)
    side_of_point = POINTS[:, AXIS] > FRAME.centre[AXIS]
    if PHANTOM.orientation[AXIS] == "L":
        side_of_point = ~side_of_point
    right = right_mask()
    for row in table:
        number, on_right = int(row["id"]), row["hemisphere"] == "right"
        mask = (number == LABELS) & (right == on_right)
        family = [number] if not number else TREE.descendants(number)
        family_mask = np.isin(LABELS, family) & (right == on_right)
        assert int(row["voxels"]) == mask.sum()
        assert float(row["volume_mm3"]) == pytest.approx(mask.sum() * 8e-6)
        assert int(row["total"]) == IMAGE[mask].sum(dtype=np.int64)
        assert row["mean"] == "" if not mask.any() else float(row["mean"]) == pytest.approx(IMAGE[mask].mean())
        assert float(row["volume_mm3_rollup"]) == pytest.approx(family_mask.sum() * 8e-6)
        assert int(row["total_rollup"]) == IMAGE[family_mask].sum(dtype=np.int64)
        own = (label_of_point == number) & (side_of_point == on_right)
        assert int(row["points"]) == own.sum()
        assert int(row["points_rollup"]) == (np.isin(label_of_point, family) & (side_of_point == on_right)).sum()
    assert sum(int(row["voxels"]) for row in table) == LABELS.size
    assert sum(int(row["total"]) for row in table) == IMAGE.sum(dtype=np.int64)
    assert sum(int(row["points"]) for row in table) == len(POINTS)
    assert [row["acronym"] for row in table[-2:]] == ["outside", "outside"]
    assert len(table) == 2 * (len(TREE) + 1)


def test_without_channel_and_midplane(tmp_path):
    rows, table = measured(tmp_path)
    assert {row["hemisphere"] for row in table} == {"both"}
    assert {row["mean"] + row["total"] for row in table} == {""}
    ids, counts = np.unique(LABELS, return_counts=True)
    found = {row.structure.id: row.own.voxels for row in rows if row.own.voxels}
    assert found == dict(zip(ids.tolist(), counts.tolist(), strict=True))
    assert len({int(row["id"]) for row in table} - {0}) == len(TREE)


def test_a_second_channel_adds_columns(tmp_path):
    first = write_volume(tmp_path / "first", IMAGE, (20, 20, 20), chunk=(16, 16, 16))
    second = write_volume(tmp_path / "second", (IMAGE // 3).astype(np.uint16), (20, 20, 20), chunk=(16, 16, 16))
    _, table = measured(tmp_path, channels={"CHN00": first, "CHN01": second})
    assert tuple(table[0]) == (*COLUMNS, "mean_CHN01", "total_CHN01", "total_rollup_CHN01")
    assert sum(int(row["total_CHN01"]) for row in table) == (IMAGE // 3).sum(dtype=np.int64)


def test_coarse_levels_and_labels_of_another_voxel_size(tmp_path):
    """Channel voxels of 10 µm counted at 40 µm, labels of 20 µm: volumes agree within the coarser voxel."""
    fine = np.repeat(np.repeat(np.repeat(IMAGE, 2, 0), 2, 1), 2, 2)
    channel = write_volume(tmp_path / "image", fine, (10, 10, 10), chunk=(32, 32, 32), mips=3)
    rows, _ = measured(tmp_path, channels={"CHN00": channel}, voxel_size=45.0)
    assert rows[0].voxel_mm3 == pytest.approx(64e-6)
    truth = Counter(dict(zip(*(a.tolist() for a in np.unique(LABELS, return_counts=True)), strict=True)))
    volumes = Counter()
    for row in rows:
        volumes[row.structure.id] += row.volume_mm3
    assert sum(volumes.values()) == pytest.approx(LABELS.size * 8e-6)
    for number, count in truth.items():
        assert volumes[number] == pytest.approx(count * 8e-6, rel=0.25, abs=12 * 64e-6)


def test_labels_that_the_table_lacks_have_rows(tmp_path, caplog):
    small = StructureTree(tuple(s for s in TREE if s.id != 614454000 and s.parent != 614454000))
    labels = write_volume(tmp_path / "labels", LABELS, (20, 20, 20), layer="segmentation", chunk=(16, 16, 16))
    with open_run(tmp_path / "OUT", command="regions") as run:
        rows = measure_regions(run, RegionInputs(labels, small, voxel_size=20.0))
    assert sum(row.own.voxels for row in rows) == LABELS.size
    unknown = [row for row in rows if row.structure.acronym == "unknown"]
    lacking = set(np.unique(LABELS).tolist()) - {0} - {s.id for s in small}
    assert {row.structure.id for row in unknown} == lacking
    if lacking:
        assert "not in the table of structures" in caplog.text


def test_kept_results_give_the_same_table(tmp_path, monkeypatch):
    """A command that stopped after some slabs goes on and writes the same bytes."""
    import cloudreg_register.analysis.regions as module

    labels = write_volume(tmp_path / "labels", LABELS, (20, 20, 20), layer="segmentation", chunk=(16, 16, 16))
    inputs = RegionInputs(labels, TREE, points=POINTS, voxel_size=20.0)
    with open_run(tmp_path / "whole", command="regions") as run:
        measure_regions(run, inputs)
    monkeypatch.setattr(module, "_look_up", lambda part: 1 / 0)
    with pytest.raises(ZeroDivisionError), open_run(tmp_path / "killed", command="regions") as run:
        measure_regions(run, inputs)
    monkeypatch.undo()
    with open_run(tmp_path / "killed", command="regions") as run:
        measure_regions(run, inputs)
    whole, killed = (tmp_path / name / "registration/regions.csv" for name in ("whole", "killed"))
    assert whole.read_bytes() == killed.read_bytes()


class TestPointsOfATable:
    """A table with points holds all that one without has."""

    @pytest.fixture
    def measure(self, tmp_path):
        labels = write_volume(tmp_path / "labels", LABELS, (20, 20, 20), layer="segmentation", chunk=(16, 16, 16))
        table = tmp_path / "OUT/registration/regions.csv"

        def measure(points=None, *, overwrite=False, **more):
            inputs = RegionInputs(labels, TREE, points=points, **({"voxel_size": 20.0} | more))
            with open_run(tmp_path / "OUT", command="regions", overwrite=overwrite) as run:
                rows = measure_regions(run, inputs)
            assert len(rows) == table.read_text().count("\n") - 1
            return table.read_bytes(), sum(row.own.points for row in rows)

        return measure

    def test_it_replaces_one_without_and_stays(self, measure, tmp_path):
        plain, none = measure()
        told, number = measure(POINTS)
        assert (none, number) == (0, len(POINTS))
        assert told != plain
        before = (tmp_path / "OUT/registration/regions.csv").stat().st_mtime_ns
        assert measure() == (told, number)  # as `register` or `run` do when they are given again
        assert measure(POINTS) == (told, number)
        assert (tmp_path / "OUT/registration/regions.csv").stat().st_mtime_ns == before

    def test_other_points_would_lose_it(self, measure):
        measure(POINTS)
        with pytest.raises(InputError, match=rf"points was '{len(POINTS):,} .*now '3 "):
            measure(POINTS[:3])
        assert measure(POINTS[:3], overwrite=True)[1] == 3

    def test_what_else_is_different_is_refused(self, measure):
        plain, _ = measure()
        with pytest.raises(InputError, match="voxel_size"):
            measure(POINTS, voxel_size=40.0)
        assert measure() == (plain, 0)

    def test_a_map_that_is_made_anew_takes_the_points_along_when_they_are_given_again(self, measure):
        measure(POINTS)
        _, number = measure(overwrite=True, upstream="another map")
        assert number == 0
        assert measure(POINTS, upstream="another map")[1] == len(POINTS)

    def test_killed_while_it_counts_both_can_go_on(self, measure, monkeypatch):
        import cloudreg_register.analysis.regions as module

        plain, _ = measure()
        monkeypatch.setattr(module, "_look_up", lambda part: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            measure(POINTS)
        monkeypatch.undo()
        assert measure() == (plain, 0)
        assert measure(POINTS[:3])[1] == 3


def test_inputs_that_do_not_belong_together(tmp_path):
    labels = write_volume(tmp_path / "labels", LABELS, (20, 20, 20), layer="segmentation", chunk=(16, 16, 16))
    small = write_volume(tmp_path / "small", IMAGE[:20], (20, 20, 20), chunk=(16, 16, 16))
    with pytest.raises(InputError, match="not of one extent"):
        RegionInputs(labels, TREE, {"CHN00": small})
    floats = write_volume(tmp_path / "float", IMAGE.astype(np.float32), (20, 20, 20), chunk=(16, 16, 16))
    with pytest.raises(InputError, match="unsigned"):
        RegionInputs(floats, TREE)


@pytest.mark.parametrize("code", ["PIR", "PIL", "LPS", "RAS", "SAL"])
def test_the_midplane_of_an_atlas(code):
    frame = Frame((20, 22, 24), (10, 10, 10), Orientation(code))
    axis = next(k for k, letter in enumerate(code) if letter in "LR")
    beyond = np.array(frame.centre)
    beyond[axis] += 1
    assert Midplane.of_atlas(frame).right_at([beyond])[0] == (code[axis] == "R")


def test_the_midplane_through_a_curved_map():
    """The atlas's x as a curved function of the target's position: sides are right but for a thin sheet."""
    atlas = Frame((100, 60, 50), (20, 20, 20), Orientation("RAS"))
    target = Frame((90, 70, 60), (20, 20, 20), Orientation("RAS"))

    def to_atlas(points):
        moved = np.array(points)
        moved[:, 0] += 60 * np.sin(points[:, 1] / 200) + 40 * np.cos(points[:, 2] / 150)
        return moved

    midplane = Midplane.through(to_atlas, atlas, target)
    points = np.random.default_rng(0).uniform(0, 1200, (4000, 3))
    distance = to_atlas(points)[:, 0] - atlas.centre[0]
    clear = np.abs(distance) > 4
    np.testing.assert_array_equal(midplane.right_at(points)[clear], (distance > 0)[clear])
    grid = Grid((45, 35, 30), (40, 40, 40), (10, 10, 10))
    there = to_atlas(grid.points().reshape(-1, 3))[:, 0].reshape(grid.shape) - atlas.centre[0]
    clear = np.abs(there) > 4
    np.testing.assert_array_equal(midplane.right_of(grid)[clear], (there > 0)[clear])


def test_an_empty_tally_still_lists_every_structure():
    rows = region_table(Tally(), TREE, 1.0)
    assert len(rows) == len(TREE) + 1
    assert table_csv(rows).count("\n") == len(TREE) + 2
