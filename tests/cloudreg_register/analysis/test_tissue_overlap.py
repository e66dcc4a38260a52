"""The overlap of tissue: of balls whose overlap is known."""

import numpy as np
import pytest

from cloudreg_io.space import Affine
from cloudreg_register.analysis.tissue_overlap import tissue_overlaps
from cloudreg_register.images.image import Image
from cloudreg_register.transforms.transform import Transform

EDGE, RADIUS = 50.0, 700.0


def ball(centre=(0.0, 0.0, 0.0), size=48, floor=0.1):
    grid = Image.of_array(np.zeros((size,) * 3, np.float32), (EDGE,) * 3, "RAS").centred_grid
    away = np.linalg.norm(grid.points() - centre, axis=-1)
    return Image.of_array((floor + (away < RADIUS)).astype(np.float32), (EDGE,) * 3, "RAS")


def overlap(target, atlas, shift=(0.0, 0.0, 0.0)):
    start = Affine.from_parameters(translation=shift)
    map_of_start = Transform.of_affine(start, atlas.frame, target.frame)
    return tissue_overlaps(target, atlas, {"start": map_of_start})["start"]


def lens(distance):
    """Dice of two balls of one radius whose centres are so far apart."""
    h = distance / RADIUS
    return 1 - 0.75 * h + h**3 / 16


def test_a_ball_on_itself_overlaps_whole():
    assert overlap(ball(), ball()) == 1.0
    assert overlap(ball((300, 0, -200)), ball(), (300, 0, -200)) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("distance", [200, 500, 900])
def test_balls_apart_overlap_as_geometry_says(distance):
    assert overlap(ball(), ball(), (0, distance, 0)) == pytest.approx(lens(distance), abs=0.02)


def test_an_atlas_of_another_size_and_away_from_its_middle_is_looked_up_where_it_is():
    assert overlap(ball((100, 0, 0)), ball((0, 150, 0), size=60), (100, -150, 0)) == pytest.approx(1, abs=0.04)


def test_what_was_not_imaged_does_not_count():
    whole = ball()
    lost = np.array(whole.array)
    lost[20:30] = 0
    assert overlap(Image.of_array(lost, (EDGE,) * 3, "RAS"), whole) == pytest.approx(1, abs=0.03)


def test_no_overlap_is_0():
    assert overlap(ball(), ball(), (0, 0, 4000)) == 0.0
