import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudreg_io.errors import InputError
from cloudreg_io.space import Grid, Orientation, VoxelSize
from cloudreg_io.volumes import Volume, VolumeSpec
from cloudreg_register.images.frame import Frame

LPS = Orientation("LPS")
SIZES = st.tuples(*[st.integers(1, 500)] * 3)
EDGES = st.tuples(*[st.floats(0.1, 200)] * 3)
CODES = st.sampled_from(["LPS", "PIR", "RAS", "AIL"])


@given(size=SIZES, edges=EDGES, code=CODES)
def test_json_gives_the_frame_back(size, edges, code):
    frame = Frame(size, VoxelSize(*edges), Orientation(code), "a volume", "12ab")
    assert Frame.from_json(json.loads(json.dumps(frame.to_json()))) == frame


@given(size=SIZES, edges=EDGES)
def test_the_centre_is_midway_between_the_corners(size, edges):
    frame = Frame(size, VoxelSize(*edges), LPS)
    np.testing.assert_allclose(frame.centre, frame.grid().centre, atol=1e-6)
    np.testing.assert_allclose(frame.grid(centred=True).centre, 0, atol=1e-6)
    corners = np.array([frame.grid().corner, np.add(frame.grid().corner, frame.extent)])
    assert frame.contains(corners).all()
    outwards = np.array([[-0.01 * edges[0], 0, 0], [0, 0.01 * edges[1], 0]])
    assert not frame.contains(corners + outwards).any()


def test_a_level_with_a_rest_has_the_centre_of_mip_0(tmp_path):
    spec = VolumeSpec.plan((101, 64, 33), (2, 2, 5), "uint16", mips=[(1, 1, 1), (4, 4, 2)])
    volume = Volume(str(tmp_path), spec)
    frame = Frame.of_volume(volume, LPS)
    assert frame.centre == (100.0, 63.0, 80.0)
    assert frame.grid() == volume.grid()
    # its last voxel along x is mostly empty: what of it is centred on itself would be shifted by 3 µm
    assert volume.grid(1).centre[0] == pytest.approx(103.0)


def test_labels_of_another_voxel_size_share_the_outer_corner():
    frame = Frame((132, 80, 114), VoxelSize(100, 100, 100), Orientation("PIR"), "Allen")
    grid = frame.aligned((1320, 800, 1140), VoxelSize(10, 10, 10), "labels")
    assert grid.corner == frame.grid().corner
    assert grid == Grid((1320, 800, 1140), (10, 10, 10), (-45, -45, -45))
    assert frame.aligned((528, 320, 455), VoxelSize(25, 25, 25)).size == (528, 320, 455)  # 11.375 mm for 11.4
    with pytest.raises(InputError, match=r"the labels extends over 6\.6 × 4 × 5\.7 mm, Allen over 13\.2"):
        frame.aligned((264, 160, 228), VoxelSize(25, 25, 25), "labels")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": None}, "does not describe a frame"),
        ({"size": [0, 1, 1]}, "holds nothing"),
        ({"orientation": "LLS"}, "does not name three directions"),
        ({"voxel_size_um": [1, 1]}, "three edges"),
        ({"centre_um": [1, 2, 3]}, "stored centre"),
    ],
)
def test_what_is_wrong_in_the_json_is_named(change, message):
    value = Frame((10, 10, 10), VoxelSize(1, 1, 1), LPS).to_json()
    with pytest.raises(InputError, match=message):
        Frame.from_json({**value, **change})
    del value["size"]
    with pytest.raises(InputError, match="needs the key 'size'"):
        Frame.from_json(value)
