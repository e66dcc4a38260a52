from itertools import permutations, product

import numpy as np
import pytest

from cloudreg_io.errors import InputError
from cloudreg_io.space import Grid, Orientation, VoxelSize

CODES = [
    "".join(pair[bit] for pair, bit in zip(pairs, bits, strict=True))
    for pairs in permutations(("LR", "PA", "SI"))
    for bits in product((0, 1), repeat=3)
]
ARRAY = np.arange(2 * 3 * 4).reshape(2, 3, 4)
VOXEL_SIZE = VoxelSize(1, 2, 5)


def test_there_are_48_orientations():
    assert len(set(CODES)) == 48


@pytest.mark.parametrize("code", CODES)
def test_there_and_back_over_all_pairs(code):
    here = Orientation(code)
    for other in map(Orientation, CODES):
        turned = here.reorient(ARRAY, other)
        np.testing.assert_array_equal(other.reorient(turned, here), ARRAY)
        size = turned.shape[::-1]
        axes, _ = here.permutation_to(other)
        edges = VoxelSize.of([tuple(VOXEL_SIZE)[axis] for axis in axes])
        back = other.affine_to(here, size, edges) @ here.affine_to(other, (4, 3, 2), VOXEL_SIZE)
        np.testing.assert_array_equal(back.matrix, np.eye(4))
        same_side = here.is_right_handed == other.is_right_handed
        assert (here.centred_affine_to(other).determinant > 0) == same_side


@pytest.mark.parametrize("code", CODES)
def test_the_affine_takes_every_voxel_to_where_reorienting_puts_it(code):
    here, other = Orientation("LPS"), Orientation(code)
    turned = here.reorient(ARRAY, other)
    axes, _ = here.permutation_to(other)
    edges = [tuple(VOXEL_SIZE)[axis] for axis in axes]
    moved = here.affine_to(other, (4, 3, 2), VOXEL_SIZE).apply(Grid.of_array(ARRAY, VOXEL_SIZE).points())
    x, y, z = np.rint(moved / edges).astype(int).reshape(-1, 3).T
    np.testing.assert_array_equal(turned[z, y, x], ARRAY.ravel())


def test_a_single_step_grows_in_the_named_direction():
    # LPS to RPS reverses x alone; PIR to LPS takes x from z reversed, y from x, z from y reversed
    np.testing.assert_array_equal(Orientation("LPS").reorient(ARRAY, Orientation("RPS")), ARRAY[:, :, ::-1])
    assert Orientation("PIR").permutation_to(Orientation("LPS")) == ((2, 0, 1), (-1, 1, -1))


def test_brainglobe_codes_name_the_corner_of_zyx():
    assert Orientation.from_brainglobe("asr") == Orientation("LIP")
    # array axis 0 (z) begins anterior, so that z grows posterior, and so on
    assert Orientation.from_brainglobe("psl").code == "RIA"
    for code in CODES:
        assert Orientation.from_brainglobe(Orientation(code).brainglobe).code == code


def test_handedness():
    assert Orientation("RAS").is_right_handed
    assert Orientation("LPS").is_right_handed
    assert not Orientation("RPS").is_right_handed
    assert sum(Orientation(code).is_right_handed for code in CODES) == 24


@pytest.mark.parametrize("code", ["", "LP", "LPSA", "LRS", "XYZ", "L S", "LPX"])
def test_other_texts_are_refused(code):
    with pytest.raises(InputError, match="does not name three directions"):
        Orientation(code)


def test_lower_case_is_refused_with_both_readings():
    with pytest.raises(InputError, match=r"LIP[\s\S]*ASR"):
        Orientation("asr")
