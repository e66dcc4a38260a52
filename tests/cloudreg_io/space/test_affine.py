import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudreg_io.errors import InputError
from cloudreg_io.space import Affine, VoxelSize

triples = st.tuples(*[st.floats(-300, 300)] * 3)
scales = st.tuples(*[st.floats(0.2, 5)] * 3)


@st.composite
def affines(draw):
    return Affine.from_parameters(translation=draw(triples), rotation=draw(triples), scale=draw(scales))


POINTS = np.array([[0.0, 0.0, 0.0], [100.0, -20.0, 3.0], [1.0, 2.0, 3.0]])


@given(affines())
def test_the_inverse_undoes_the_map(affine):
    np.testing.assert_allclose(affine.inverse().apply(affine.apply(POINTS)), POINTS, atol=1e-8)
    np.testing.assert_allclose((affine @ affine.inverse()).matrix, np.eye(4), atol=1e-9)


@given(affines(), affines(), affines())
def test_composition_applies_the_right_one_first_and_is_associative(a, b, c):
    np.testing.assert_allclose((b @ a).apply(POINTS), b.apply(a.apply(POINTS)), atol=1e-8)
    np.testing.assert_allclose(((a @ b) @ c).matrix, (a @ (b @ c)).matrix, rtol=1e-9, atol=1e-8)


@given(affines())
def test_equal_by_value_also_after_pickling(affine):
    again = pickle.loads(pickle.dumps(affine))
    assert again == affine
    assert hash(again) == hash(affine)
    assert not again.matrix.flags.writeable


def test_zero_and_minus_zero_are_one_value():
    assert hash(Affine(np.eye(4) * -1.0 * -1.0)) == hash(Affine.identity())
    mirrored = Affine(np.diag([-1.0, 1, 1, 1]))
    assert hash(mirrored @ mirrored) == hash(Affine.identity())


def test_rotations_turn_counter_clockwise_about_x_then_y_then_z():
    def turn(*degrees):
        return Affine.from_parameters(rotation=degrees)

    np.testing.assert_allclose(turn(90, 0, 0).apply([0, 1, 0]), [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(turn(0, 90, 0).apply([0, 0, 1]), [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(turn(0, 0, 90).apply([1, 0, 0]), [0, 1, 0], atol=1e-12)
    in_turn = turn(0, 0, 30) @ turn(0, 20, 0) @ turn(10, 0, 0)
    np.testing.assert_allclose(turn(10, 20, 30).matrix, in_turn.matrix, atol=1e-12)


def test_the_scale_comes_first_and_leaves_the_translation_alone():
    affine = Affine.from_parameters(translation=(10, 0, 0), rotation=(0, 0, 90), scale=(2, 1, 1))
    np.testing.assert_allclose(affine.apply([1, 0, 0]), [10, 2, 0], atol=1e-12)
    assert affine.determinant == pytest.approx(2)


def test_neuroglancer_counts_from_the_corner_of_voxel_0():
    own, frame = VoxelSize(1, 2, 5), VoxelSize(10, 20, 25)
    affine = Affine.from_parameters(translation=(7, 8, 9), scale=(2, 3, 4))
    corner = affine.to_neuroglancer(own, frame)
    centre_of_voxel_0 = np.array([0.5, 1, 2.5])
    np.testing.assert_allclose(corner.apply(centre_of_voxel_0), [7 + 5, 8 + 10, 9 + 12.5])
    assert Affine.identity().to_neuroglancer(own, own) == Affine.identity()


@pytest.mark.parametrize(
    ("matrix", "named"),
    [
        (np.eye(3), "4×4"),
        (np.full((4, 4), np.nan), "finite"),
        (np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [5, 0, 0, 1.0]]), "last row"),
        (np.diag([1.0, 1, 0, 1]), "singular"),
    ],
)
def test_other_matrices_are_refused(matrix, named):
    with pytest.raises(InputError, match=named):
        Affine(matrix)


def test_points_have_three_coordinates():
    with pytest.raises(InputError, match="three coordinates"):
        Affine.identity().apply([[1, 2]])


def test_the_matrix_given_is_copied_and_cannot_be_changed():
    matrix = np.eye(4)
    affine = Affine(matrix)
    matrix[0, 3] = 5
    assert affine == Affine.identity()
    with pytest.raises(ValueError, match="read-only"):
        affine.matrix[0, 0] = 2
