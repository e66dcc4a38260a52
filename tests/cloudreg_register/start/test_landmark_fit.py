"""The start from landmarks: maps that are known are found, maps that are left open are refused."""

import numpy as np
import pytest

from cloudreg_io.errors import InputError
from cloudreg_io.space import Affine, Orientation, VoxelSize
from cloudreg_register.images.frame import Frame
from cloudreg_register.lddmm.affine import AffineMode
from cloudreg_register.start.initial import initial_affine
from cloudreg_register.start.landmark_fit import fitted_affine
from cloudreg_register.start.landmarks import Pairs

ATLAS = Frame((130, 80, 110), VoxelSize(100, 100, 100), Orientation("PIR"))
TARGET = Frame((200, 150, 180), VoxelSize(80, 80, 80), Orientation("LPS"))
START = initial_affine(ATLAS.orientation, TARGET.orientation, scale=1.05)
TURN = Affine.from_parameters(rotation=(10, -25, 40), translation=(300, -200, 100))
KINDS = {
    AffineMode.RIGID: TURN,
    AffineMode.FIXED_SCALE: TURN,
    AffineMode.SIMILARITY: TURN @ Affine.from_parameters(scale=(1.2, 1.2, 1.2)),
    AffineMode.AFFINE: TURN @ Affine.from_parameters(scale=(1.2, 0.9, 1.1)),
}


def pairs_of(truth, count, seed=0, error=0.0, flat=()):
    rng = np.random.default_rng(seed)
    atlas = rng.uniform(-3000, 3000, (count, 3))
    for axis in flat:
        atlas[:, axis] = 500
    target = truth.apply(atlas) + rng.normal(0, error, (count, 3)) + TARGET.centre
    return Pairs(tuple(map(str, range(count))), atlas + ATLAS.centre, target)


@pytest.mark.parametrize("mode", KINDS)
def test_a_map_of_its_kind_is_found(mode):
    truth = KINDS[mode] @ START
    fewest = 4 if mode is AffineMode.AFFINE else 3
    found = fitted_affine(pairs_of(truth, fewest), ATLAS, TARGET, START, mode)
    np.testing.assert_allclose(found.matrix, truth.matrix, atol=1e-6)


def test_errors_of_the_points_are_averaged():
    truth = KINDS[AffineMode.RIGID] @ START
    found = fitted_affine(pairs_of(truth, 30, error=100), ATLAS, TARGET, START, AffineMode.RIGID)
    np.testing.assert_allclose(found.translation, truth.translation, atol=60)
    np.testing.assert_allclose(found.linear, truth.linear, atol=0.02)


def test_a_rigid_map_keeps_the_scale_of_the_start():
    truth = KINDS[AffineMode.SIMILARITY] @ START
    found = fitted_affine(pairs_of(truth, 8), ATLAS, TARGET, START, AffineMode.RIGID)
    assert found.determinant == pytest.approx(START.determinant)


@pytest.mark.parametrize(
    ("mode", "count", "flat", "message"),
    [
        (AffineMode.RIGID, 2, (), "needs 3"),
        (AffineMode.AFFINE, 3, (), "needs 4"),
        (AffineMode.SIMILARITY, 6, (0, 1), "one line"),
        (AffineMode.AFFINE, 6, (2,), "one plane"),
    ],
)
def test_points_that_leave_the_map_open(mode, count, flat, message):
    with pytest.raises(InputError, match=message):
        fitted_affine(pairs_of(START, count, flat=flat), ATLAS, TARGET, START, mode)


@pytest.mark.parametrize("mode", KINDS)
def test_landmarks_of_a_mirrored_brain_are_refused(mode):
    mirrored = START @ Affine.from_parameters(scale=(1, 1, -1))
    with pytest.raises(InputError, match="mirrored"):
        fitted_affine(pairs_of(mirrored, 6), ATLAS, TARGET, START, mode)
