"""The search for the start: brains that lie in ways that nobody told."""

import numpy as np
import pytest

from cloudreg_io.space import Affine, Grid, Orientation
from cloudreg_register.images.image import Image
from cloudreg_register.lddmm.options import RegisterOptions
from cloudreg_register.start.initial import initial_affine
from cloudreg_register.start.search import Candidate, better_start, mirror_note, quarter_turns, search_start

EDGE = (125.0, 125.0, 125.0)
ATLAS = Grid((24, 16, 20), EDGE).centred()
# where spots lie in µm (anterior, superior, to either side), how wide and how bright they are
SPOTS = [
    (900, 100, 300, 260, 1.0),
    (100, 300, 600, 200, -0.6),
    (-700, -200, 250, 300, 0.7),
    (-900, 350, 0, 200, 0.9),
]


def brain(points, aside=0.0):
    """Brightness at points [..., 3] (right, anterior, superior); `aside` makes left and right differ."""
    right, front, up = np.moveaxis(points, -1, 0)
    wide = 950 - 0.15 * front
    body = 1 / (1 + np.exp(12 * ((front / 1350) ** 2 + (right / wide) ** 2 + ((up - 60) / 780) ** 2 - 0.9)))
    light = np.full(points.shape[:-1], 1.0)
    for at, above, beside, width, gain in SPOTS:
        for side in (-1, 1):
            away = (front - at) ** 2 + (up - above) ** 2 + (right - side * beside) ** 2
            light += gain * (1 + aside * side) * np.exp(-away / (2 * width**2))
    return body * light + 0.05


def image(grid, to_animal, code, aside=0.0, seed=0):
    values = brain(to_animal.apply(grid.points()), aside)
    values += np.random.default_rng(seed).normal(0, 0.02, values.shape)
    return Image.of_array(values.astype(np.float32), EDGE, code)


def scene(code, told, motion, aside=0.0):
    """An atlas, a target that lies as `code` but for a motion, while its code is told as `told`; the true map."""
    atlas, ras = Orientation("ARS"), Orientation("RAS")
    target = Grid((28, 28, 28), EDGE).centred()
    truth = motion @ initial_affine(atlas, Orientation(code))
    return (
        image(target, initial_affine(atlas, ras) @ truth.inverse(), told, aside, seed=1),
        image(ATLAS, initial_affine(atlas, ras), atlas, aside),
        truth,
    )


def degrees(found, truth):
    turn = found.linear @ np.linalg.inv(truth.linear)
    left, _, right = np.linalg.svd(turn)
    return np.degrees(np.arccos(np.clip((np.trace(left @ right) - 1) / 2, -1, 1)))


def test_quarter_turns_are_the_proper_rotations_of_a_cube():
    turns = quarter_turns()
    assert len(set(turns)) == 24
    assert turns[0] == Affine.identity()
    assert all(turn.determinant == pytest.approx(1) for turn in turns)


def test_a_brain_that_lies_otherwise_than_told_is_found():
    motion = Affine.from_parameters(rotation=(14, -12, 16), translation=(250, -150, 200))
    target, atlas, truth = scene("SAL", "LPS", motion)
    start = initial_affine(atlas.orientation, target.orientation)
    found = search_start(target, atlas, start, RegisterOptions(threads=1))
    assert found[0].orientation == Orientation("SAL")
    assert degrees(found[0].affine, truth) < 5
    np.testing.assert_allclose(found[0].affine.apply([0, 0, 0]), motion.translation, atol=80)
    assert [c.score for c in found[1:]] == sorted((c.score for c in found[1:]), reverse=True)
    assert found[0].score > found[1].score
    assert "cannot tell" in mirror_note(found)


@pytest.mark.parametrize("told", ["LPS", "LAI", "RPI", "RAS", "PRS", "SAL"])
def test_a_start_that_is_the_wrong_way_round_is_doubted(told):
    target, atlas, _ = scene("LPS", told, Affine.from_parameters(rotation=(9, -8, 5), translation=(150, -100, 80)))
    start = initial_affine(atlas.orientation, target.orientation)
    better = better_start(target, atlas, start, RegisterOptions(threads=1))
    assert (better and better.orientation.code) == (None if told == "LPS" else "LPS")


def test_a_mirrored_brain_is_noticed_where_the_atlas_tells_left_from_right():
    target, atlas, _ = scene("LPS", "LPS", Affine.identity(), aside=0.9)
    mirrored = Image.of_array(np.ascontiguousarray(target.array[:, :, ::-1]), EDGE, target.orientation)
    start = initial_affine(atlas.orientation, target.orientation)
    notes = [mirror_note(search_start(t, atlas, start, RegisterOptions(threads=1))) for t in (target, mirrored)]
    assert "as the orientation codes say" in notes[0]
    assert "is it mirrored?" in notes[1]


def test_without_a_mirror_score_nothing_is_said():
    assert not mirror_note([Candidate(Orientation("LPS"), Affine.identity(), 1.0)])
