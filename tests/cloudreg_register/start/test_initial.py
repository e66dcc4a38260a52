"""The initial affine: matrices worked out by hand, and the centre of mass."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudreg_io.errors import InputError
from cloudreg_io.space import Orientation
from cloudreg_register.images.image import Image
from cloudreg_register.images.tissue import Tissue
from cloudreg_register.start.initial import centred_on_tissue, initial_affine

COS, SIN = np.sqrt(3) / 2, 0.5  # of 30°

# atlas and target orientation, options, and the rows of the 4×4 matrix worked out on paper:
# A0 row i holds ±1 where the atlas's axis is parallel to the target's axis i, R = Rz Ry Rx, then T, then S
BY_HAND = [
    ("LPS", "LPS", {}, [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]),
    ("PIR", "LPS", {}, [[0, 0, -1, 0], [1, 0, 0, 0], [0, -1, 0, 0]]),
    ("PIR", "IRA", {}, [[0, 1, 0, 0], [0, 0, 1, 0], [-1, 0, 0, 0]]),
    ("LPS", "RPS", {}, [[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]),
    ("RAS", "LPS", {}, [[-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 1, 0]]),
    ("LPS", "SPL", {}, [[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]]),
    ("LPS", "LPS", {"rotation": (90, 0, 0)}, [[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0]]),
    ("LPS", "LPS", {"rotation": (0, 90, 0)}, [[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0]]),
    ("LPS", "LPS", {"rotation": (0, 0, 90)}, [[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]),
    ("LPS", "LPS", {"rotation": (90, 90, 0)}, [[0, 1, 0, 0], [0, 0, -1, 0], [-1, 0, 0, 0]]),
    ("LPS", "LPS", {"rotation": (90, 0, 90)}, [[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0]]),
    ("LPS", "LPS", {"rotation": (0, 0, -30)}, [[COS, SIN, 0, 0], [-SIN, COS, 0, 0], [0, 0, 1, 0]]),
    (
        "LPS",
        "LPS",
        {"translation": (100, -200, 300)},
        [[1, 0, 0, 100], [0, 1, 0, -200], [0, 0, 1, 300]],
    ),
    # the scale multiplies the translation
    ("LPS", "LPS", {"translation": (100, 0, -5), "scale": 2}, [[2, 0, 0, 200], [0, 2, 0, 0], [0, 0, 2, -10]]),
    # scales are those of the target's axes
    (
        "PIR",
        "LPS",
        {"translation": (10, 20, 30), "scale": (2, 3, 4)},
        [[0, 0, -2, 20], [3, 0, 0, 60], [0, -4, 0, 120]],
    ),
    # the axes are exchanged first, then turned, then shifted along the target's axes
    (
        "PIR",
        "LPS",
        {"rotation": (0, 0, 90), "translation": (1, 2, 3)},
        [[-1, 0, 0, 1], [0, 0, -1, 2], [0, -1, 0, 3]],
    ),
]


@pytest.mark.parametrize(("atlas", "target", "options", "rows"), BY_HAND)
def test_matrices_worked_out_by_hand(atlas, target, options, rows):
    affine = initial_affine(Orientation(atlas), Orientation(target), **options)
    np.testing.assert_allclose(affine.matrix, [*rows, [0, 0, 0, 1]], atol=1e-12)


CODES = st.permutations(["LR", "PA", "SI"]).flatmap(
    lambda pairs: st.tuples(*[st.sampled_from(pair) for pair in pairs]).map("".join)
)


@given(atlas=CODES, target=CODES)
def test_a_point_keeps_its_anatomical_position(atlas, target):
    """A point 1 mm left, 2 mm anterior, 3 mm superior of the centre is that in both codes."""
    away = {"L": 1, "R": -1, "A": 2, "P": -2, "S": 3, "I": -3}
    there = initial_affine(Orientation(atlas), Orientation(target)).apply([away[letter] for letter in atlas])
    np.testing.assert_allclose(there, [away[letter] for letter in target])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0}, "positive"),
        ({"scale": (1, -1, 1)}, "handedness"),
        ({"rotation": (1, 2)}, "three"),
        ({"translation": (1, 2, np.inf)}, "finite"),
    ],
)
def test_impossible_parameters(options, message):
    with pytest.raises(InputError, match=message):
        initial_affine(Orientation("LPS"), Orientation("LPS"), **options)


def ball(shape, centre, radius, inside=100.0, outside=0.0, orientation="LPS", edge=100.0):
    """A ball of a radius in voxels around a centre (x, y, z)."""
    z, y, x = np.indices(shape)
    distance = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
    rng = np.random.default_rng(0)
    array = np.where(distance < radius, inside, outside) + rng.normal(0, 5, shape)
    return Image.of_array(array.astype(np.float32), (edge,) * 3, orientation)


@pytest.mark.parametrize(("inside", "outside"), [(100, 0), (0, 100), (-300, -400)])
def test_the_tissue_of_a_ball(inside, outside):
    tissue = Tissue.of(ball((60, 50, 40), (18, 25, 33), 14, inside, outside))
    # 0 is the centre of the volume, voxel (19.5, 24.5, 29.5)
    np.testing.assert_allclose(tissue.centre, (-150, 50, 350), atol=40)
    # the caps that hold 0.5 % at either end are not counted: 8 % of the radius
    np.testing.assert_allclose(tissue.extent, [0.92 * 2800] * 3, rtol=0.06)


def test_a_few_bright_specks_do_not_move_the_tissue():
    image = ball((60, 50, 40), (18, 25, 33), 14)
    expected = Tissue.of(image)
    rng = np.random.default_rng(1)
    image.array[tuple(rng.integers(0, n, 30) for n in image.array.shape)] = 1e5
    tissue = Tissue.of(image)
    np.testing.assert_allclose(tissue.centre, expected.centre, atol=150)
    np.testing.assert_allclose(tissue.extent, expected.extent, rtol=0.2)


def test_centres_of_mass_meet():
    atlas, target = ball((60, 50, 40), (18, 25, 33), 12), ball((50, 50, 70), (40, 20, 25), 12, orientation="SPL")
    start = initial_affine(atlas.orientation, target.orientation, rotation=(0, 0, 20), scale=1.1)
    affine = centred_on_tissue(start, Tissue.of(atlas), Tissue.of(target))
    np.testing.assert_allclose(affine.linear, start.linear)
    np.testing.assert_allclose(affine.apply(Tissue.of(atlas).centre), Tissue.of(target).centre, atol=1e-6)
