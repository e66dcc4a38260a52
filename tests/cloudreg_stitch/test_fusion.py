"""Fusion through files: exactness, reports, plans, resume."""

import json

import numpy as np
import pytest

from cloudreg_io.console import memory_bytes
from cloudreg_io.errors import InputError, NotFoundError, ToolError
from cloudreg_io.run import open_run
from cloudreg_io.run.memory import Budget, Need
from cloudreg_io.space import Bounds
from cloudreg_io.volumes.volume import open_volume
from cloudreg_stitch.fusion import FuseOptions, fuse, lay_out
from cloudreg_stitch.memory import STITCH
from cloudreg_stitch.plan import plan_fusion, worker_bytes
from support.mosaics import ArraySource, cut, grid_of, jittered, placement_of
from support.trees import tree

TILE = (96, 80, 20)
CHUNK = (16, 16, 8)


def mosaic(seed=0, rows=2, columns=3, unscanned=((1, 2),)):
    at = jittered(rows, columns, TILE, 16, seed)
    grid = grid_of(TILE, at, unscanned=unscanned)
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 65536, (26, 170, 280)).astype(np.uint16)
    return ArraySource(grid, cut(truth, grid, at)), placement_of(grid, at), truth, at


def enough_for(data):
    return Budget.of(None, 1, STITCH).least(Need("fusion", data))


def decoded(folder):
    (command,) = json.loads((folder / "provenance.json").read_text())["commands"]
    return sum(stage["planes_decoded"] for stage in command["stages"])


def fused(folder, source, placement, **options):
    with open_run(folder, command="stitch") as run:
        return fuse(run, source, placement, FuseOptions(chunk=CHUNK, **options))


def test_whole_positions_give_the_source_back_from_disk(tmp_path):
    source, placement, truth, at = mosaic()
    report = fused(tmp_path, source, placement)
    volume = open_volume(tmp_path / "CHN00")
    assert volume.voxel_size(0) == source.grid.voxel_size
    data = volume.read(volume.bounds(0))
    covered = np.zeros(data.shape, bool)
    for tile in source.grid.scanned:
        x, y, z = at[tile.row, tile.column]
        covered[z : z + 20, y : y + 80, x : x + 96] = True
    z, y, x = data.shape
    assert (data == np.where(covered, truth[:z, :y, :x], 0)).all()
    assert report.uncovered == (~covered).sum()
    assert len(volume.spec.scales) > 1
    for mip in range(1, len(volume.spec.scales)):
        assert volume.read(mip=mip).any()


def test_report_accounts_for_the_input(tmp_path):
    source, placement, _, _ = mosaic()
    report = fused(tmp_path, source, placement)
    content = json.loads((tmp_path / "qc" / "fusion.CHN00.json").read_text())
    assert report.coverage == content["coverage"]
    assert content["coverage"]["input"] == 5 * 96 * 80 * 20
    assert sum(content["coverage"][k] for k in ("alone", "blended", "dropped", "cropped")) == 5 * 96 * 80 * 20
    assert [tile["name"] for tile in content["tiles"]] == ["LOC00", "LOC01", "LOC02", "LOC10", "LOC11"]
    assert len(content["pairs"]) == 5
    assert content["seams"]["before"]["worst"] == 0
    assert report.decodes == 1.0


def test_memory_changes_the_strips_and_not_the_bytes(tmp_path):
    source, placement, _, _ = mosaic(1)
    options = FuseOptions(chunk=CHUNK)
    layout, spec = lay_out(source, placement, options)
    little = enough_for(worker_bytes(layout, spec, 128))
    plan = plan_fusion(layout, spec, budget=Budget.of(little, 1, STITCH))
    assert plan.strips > 1
    assert plan.decodes > 1
    whole = fused(tmp_path / "whole", source, placement)
    strips = fused(tmp_path / "strips", source, placement, memory=little)
    assert whole.decodes == 1
    assert strips.decodes == plan.decodes == pytest.approx(decoded(tmp_path / "strips") / (5 * 20))
    assert decoded(tmp_path / "whole") == 5 * 20
    assert tree(tmp_path / "whole") == tree(tmp_path / "strips")
    with pytest.raises(ToolError, match="too little") as caught:
        fused(tmp_path / "none", source, placement, memory=little // 4)
    asked = memory_bytes(caught.value.fix.removeprefix("--memory "))
    assert plan_fusion(layout, spec, budget=Budget.of(asked, 1, STITCH)).strips > 1


def test_a_finished_fusion_is_not_done_again_with_other_memory(tmp_path):
    source, placement, _, _ = mosaic(2)
    layout, spec = lay_out(source, placement, FuseOptions(chunk=CHUNK))
    first = fused(tmp_path, source, placement)
    content = tree(tmp_path)
    again = fused(tmp_path, source, placement, memory=enough_for(worker_bytes(layout, spec, 128)))
    assert first == again
    assert decoded(tmp_path) == 5 * 20
    assert tree(tmp_path) == content


def test_other_options_on_the_same_folder_are_refused_by_name(tmp_path):
    source, placement, _, _ = mosaic(3)
    fused(tmp_path, source, placement)
    with pytest.raises(InputError, match="blend"):
        fused(tmp_path, source, placement, blend="none")
    with open_run(tmp_path, command="stitch", overwrite=True) as run:
        fuse(run, source, placement, FuseOptions(chunk=CHUNK, blend="none"))
    fused(tmp_path / "fresh", source, placement, blend="none")
    assert tree(tmp_path / "fresh") == {k: v for k, v in tree(tmp_path).items() if not k.startswith("fresh")}


class _FailingSource(ArraySource):
    def read(self, tile, z, out=None):
        if len(self.reads) >= self.limit:
            raise OSError("the disk is gone")
        return super().read(tile, z, out)


@pytest.mark.parametrize("limit", [1, 37, 70])
def test_an_interrupted_fusion_goes_on_and_ends_with_the_same_bytes(tmp_path, limit):
    source, placement, _, _ = mosaic(4)
    fused(tmp_path / "whole", source, placement)
    failing = _FailingSource(source.grid, source.arrays)
    failing.limit = limit
    out = tmp_path / "again"
    with pytest.raises(OSError, match="disk"):
        fused(out, failing, placement)
    fused(out, source, placement)
    assert tree(out) == tree(tmp_path / "whole")


def test_missing_planes_are_an_error_unless_filling_is_asked_for(tmp_path):
    source, placement, _, _ = mosaic(5)
    source.missing = {"LOC01": [3, 4]}
    with pytest.raises(NotFoundError, match=r"LOC01.*2 plane.*first 3"):
        fused(tmp_path / "error", source, placement)
    report = fused(tmp_path / "fill", source, placement, missing="fill")
    content = json.loads(report.qc.read_text())
    assert next(tile for tile in content["tiles"] if tile["name"] == "LOC01")["missing_planes"] == [3, 4]


def test_bounds_and_dtypes(tmp_path):
    source, placement, truth, _ = mosaic(6)
    report = fused(tmp_path / "part", source, placement, bounds=Bounds((30, 10, 5), (90, 60, 15)))
    assert report.size == (60, 50, 10)
    assert report.coverage["cropped"] > 0
    part = open_volume(tmp_path / "part" / "CHN00").read()
    assert (part[:, 20, 20] == truth[5:15, 30, 50]).all()
    wide = ArraySource(source.grid, {name: a.astype(np.uint32) for name, a in source.arrays.items()})
    with pytest.raises(InputError, match="uint32"):
        fused(tmp_path / "wide", wide, placement)
