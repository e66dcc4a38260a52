"""A placement that the user gives is refused, before anything is made, when it cannot be meant."""

from dataclasses import replace

import pytest

from cloudreg_io.errors import InputError
from cloudreg_io.space import VoxelSize
from cloudreg_stitch.adopt import given_placement
from cloudreg_stitch.placement import Placement
from support.mosaics import grid_of

GRID = grid_of((50, 40, 10), {(0, 0): (0, 0, 0), (0, 1): (45, 0, 0), (0, 2): (90, 0, 0)})
STAGE = Placement.by_stage(GRID)


def moved(by):
    return replace(STAGE, tiles=(*STAGE.tiles[:2], replace(STAGE.tiles[2], position=(90.0 + by, 0.0, 0.0))))


@pytest.mark.parametrize(
    "placement", [STAGE, moved(60), replace(STAGE, channel_shift={"CHN01": (0.0, 5.0, -2.0)})]
)
def test_taken(tmp_path, placement):
    placement.save(tmp_path / "p.json")
    assert given_placement(tmp_path / "p.json", GRID) == placement


@pytest.mark.parametrize(
    ("placement", "named"),
    [
        (moved(810), "tile LOC02 is .810 voxels in x"),
        (moved(-1e9), "tile LOC02 is -1e.09 voxels in x"),
        (replace(STAGE, channel_shift={"CHN01": (0.0, 0.0, 11.0)}), "channel_shift of CHN01 is .11 voxels in z"),
        (
            replace(STAGE, voxel_size=VoxelSize(1, 1, 5)),
            "voxel_size_um is 1 × 1 × 5 µm, the acquisition has 1 × 1 × 4 µm",
        ),
    ],
)
def test_refused(tmp_path, placement, named):
    placement.save(tmp_path / "p.json")
    with pytest.raises(InputError, match=named):
        given_placement(tmp_path / "p.json", GRID)
