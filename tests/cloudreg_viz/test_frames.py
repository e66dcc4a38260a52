import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudreg_io.errors import InputError
from cloudreg_io.space import VoxelSize
from cloudreg_viz.frames import dimensions, layer_transform, position

edges = st.builds(VoxelSize, *[st.floats(0.1, 100)] * 3)
points = st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3)


@st.composite
def affines(draw):
    matrix = np.eye(4)
    matrix[:3, :3] += np.reshape(draw(st.lists(st.floats(-0.25, 0.25), min_size=9, max_size=9)), (3, 3))
    matrix[:3, 3] = draw(points)
    return matrix


def neuroglancer_output(transform, voxel):
    """Where Neuroglancer puts a source coordinate (voxels, corner): its own arithmetic, in metres."""
    matrix = np.array(transform["matrix"])
    scale_in = np.array([transform["inputDimensions"][axis][0] for axis in "xyz"])
    scale_out = np.array([transform["outputDimensions"][axis][0] for axis in "xyz"])
    # src/coordinate_transform.ts: coefficient × (input scale / output scale), translation in output units
    return (matrix[:, :3] * (scale_in / scale_out[:, None]) @ voxel + matrix[:, 3]) * scale_out


@given(affines(), edges, edges, points)
def test_a_point_lands_where_the_affine_says(affine, voxel, onto, point):
    x = np.array(point)  # µm, our frame of the layer
    y = affine[:3, :3] @ x + affine[:3, 3]  # µm, our frame of the first layer
    shown = neuroglancer_output(layer_transform(affine, voxel, onto), np.array(position(x, voxel)))
    # `dimensions` rounds a voxel's edge to 1e-9 µm, and a position counts edges
    rounding = 1e-9 * max(abs(np.array(position(x, voxel))))
    wanted = np.array(position(y, onto)) * [*onto]
    np.testing.assert_allclose(shown * 1e6, wanted, atol=1e-5 + rounding, rtol=1e-9)


def shown_matrix(affine, voxel, onto):
    return np.array(layer_transform(affine, voxel, onto)["matrix"])


def test_identity_between_unlike_voxels_aligns_the_centres_of_voxel_0():
    moved = shown_matrix(np.eye(4), VoxelSize(10, 10, 10), VoxelSize(2, 2, 4))
    np.testing.assert_allclose(moved[:3, 3], [1 - 5, 1 - 5, 2 - 5])
    same = VoxelSize(3, 4, 5)
    np.testing.assert_allclose(shown_matrix(np.eye(4), same, same), np.eye(4)[:3])


def test_a_flip_and_a_scale_take_the_layers_half_voxel_with_them():
    flip = np.diag([-2.0, 1, 1, 1])
    assert shown_matrix(flip, VoxelSize(10, 1, 1), VoxelSize(4, 1, 1))[0].tolist() == [-2, 0, 0, 2 + 10]


def test_the_callers_matrix_is_not_changed():
    affine = np.eye(4)
    shown_matrix(affine, VoxelSize(1, 1, 1), VoxelSize(9, 9, 9))
    assert np.array_equal(affine, np.eye(4))


def test_dimensions_are_metres():
    assert dimensions(VoxelSize(0.585, 0.585, 5)) == {"x": [5.85e-7, "m"], "y": [5.85e-7, "m"], "z": [5e-6, "m"]}


@pytest.mark.parametrize("wrong", [np.eye(3), np.zeros((4, 4)), np.diag([1, 1, 0, 1.0]), np.full((4, 4), np.nan)])
def test_what_is_no_affine_is_refused(wrong):
    with pytest.raises(InputError, match="affine"):
        shown_matrix(wrong, VoxelSize(1, 1, 1), VoxelSize(1, 1, 1))
