import numpy as np
import pytest

from cloudreg_correct.offset import consistent_offset
from cloudreg_correct.robust import CommonField, Differences
from cloudreg_correct.shading import background_choice, estimate_shading, fit_shading
from cloudreg_correct.shrink import shrink_planes
from cloudreg_io.errors import InputError
from cloudreg_io.fields import Shading
from support.shaded_planes import camera, error, expose


@pytest.mark.parametrize(
    ("family", "count", "empty", "limit"),
    [("lens", 60, 0.5, 2.0), ("sheet", 60, 0.0, 2.0), ("patches", 200, 0.5, 1.0)],
)
def test_error_against_a_field_of_another_family(family, count, empty, limit):
    # seeds that nothing was tuned on
    optics = camera(family, 71)
    planes, overlaps = expose(optics, count, empty, 72)
    found = estimate_shading(planes, overlaps=overlaps)
    before = error(np.ones_like(optics.flat), optics.flat)
    assert before > 5
    assert error(found.flat, optics.flat) <= limit
    assert error(estimate_shading(planes).flat, optics.flat) <= 0.3 * before
    assert np.abs(found.background - 110).max() < 3


def test_overlaps_tie_opposite_edges_together():
    optics = camera("gaussian", 5)
    planes, overlaps = expose(optics, 60, 0.2, 6)

    def seam(found):
        left = (optics.flat / found.flat)[:, :38].mean()
        right = (optics.flat / found.flat)[:, -38:].mean()
        return abs(left - right) / (left + right) * 2

    assert seam(estimate_shading(planes, overlaps=overlaps)) < 0.005


def test_dust_is_found():
    optics = camera("lens", 3, specks=8)
    planes, _ = expose(optics, 80, 0.0, 4)
    found = estimate_shading(planes)
    smooth = camera("lens", 3)
    holes = optics.flat / smooth.flat / (optics.flat / smooth.flat).max() < 0.95
    assert holes.sum() > 20
    # deeper inside the specks than the smooth field is
    without = np.abs(smooth.flat / optics.flat - 1)[holes].mean()
    assert np.abs(found.flat / optics.flat / np.median(found.flat / optics.flat) - 1)[holes].mean() < 0.5 * without


def test_background_that_changes_over_the_plane_is_followed():
    optics = camera("lens", 1, slope=8.0)
    planes, _ = expose(optics, 40, 0.5, 2)
    found = estimate_shading(planes)
    assert np.abs(found.background - optics.background).max() < 1.5


def test_saturated_pixels_are_ignored():
    rng = np.random.default_rng(0)
    planes = rng.poisson(300, (3, 64, 64)).astype(np.uint16)
    planes[0, :8, :8] = 4095  # a camera of 12 bits
    planes[1, 8:16, :8] = 65535
    found = shrink_planes(planes)
    side = 64 // found.blocks.fine[0]
    corner = slice(0, 8 // side)
    assert not found.used[0, corner, corner].any()
    assert found.used[0].mean() > 0.98
    assert not found.used[1, 8 // side : 16 // side, corner].any()
    assert found.used[2].mean() > 0.99
    assert shrink_planes(planes, saturation=200.0).used.mean() < 0.01


def test_means_are_those_of_numpy():
    rng = np.random.default_rng(1)
    for shape in ((50, 70), (333, 217)):
        plane = rng.integers(0, 1000, shape).astype(np.uint16)
        found = shrink_planes([plane])
        blocks = found.blocks
        ys, xs = blocks.y.edges(blocks.y.fine), blocks.x.edges(blocks.x.fine)
        j, i = blocks.y.fine // 2, blocks.x.fine - 1
        block = plane[ys[j] : ys[j + 1], xs[i] : xs[i + 1]].astype(float)
        assert found.means[0, j, i] == pytest.approx(block[block < plane.max()].mean(), rel=1e-6)


def test_full_planes_get_their_background_from_dim_and_bright_ones():
    rng = np.random.default_rng(5)
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    flat = 1 / (1 + 0.5 * (x**2 + y**2))
    level = np.exp(0.6 * rng.normal(size=60))
    texture = np.exp(0.05 * rng.normal(size=(60, 128, 128)))
    planes = rng.poisson(110 + 600 * level[:, None, None] * texture * flat).astype(np.float32)
    estimate = fit_shading(shrink_planes(planes))
    assert not estimate.background_certain
    assert np.abs(estimate.background - 110).max() < 15
    assert error(estimate.flat, flat) < 0.7


def test_offset_keeps_within_its_bounds():
    field = np.zeros((4, 4))
    flat = Differences(np.zeros((9, 3, 4)), np.ones((9, 3, 4)), np.ones((9, 3, 4)))
    across = Differences(np.zeros((9, 4, 3)), np.ones((9, 4, 3)), np.ones((9, 4, 3)))
    # an even field says nothing about the background
    assert consistent_offset(lambda _: (CommonField(field, flat, across), np.arange(9.0)), 60.0) == 60.0


def test_background_as_told():
    optics = camera("lens", 1)
    planes, _ = expose(optics, 20, 0.2, 2)
    assert set(np.unique(estimate_shading(planes, background=100.0).background)) == {100.0}
    assert not estimate_shading(planes, background="none").background.any()
    assert background_choice("12.5") == 12.5
    assert background_choice("auto") == "auto"
    with pytest.raises(InputError, match="neither auto, none nor"):
        background_choice("dark")


def test_same_planes_same_bytes_in_any_form():
    planes, _ = expose(camera("shadow", 4), 20, 0.3, 5)
    one, two = estimate_shading(planes), estimate_shading(plane for plane in planes)
    assert isinstance(one, Shading)
    np.testing.assert_array_equal(one.flat, two.flat)
    np.testing.assert_array_equal(one.background, two.background)


@pytest.mark.parametrize("shape", [(40, 300), (300, 40), (9, 7)])
def test_planes_of_odd_shapes(shape):
    rng = np.random.default_rng(0)
    planes = rng.poisson(500, (12, *shape)).astype(np.uint16)
    planes[::3] = rng.poisson(100, planes[::3].shape)
    found = estimate_shading(planes)
    assert found.shape == shape
    assert found.flat.min() > 0.8


@pytest.mark.parametrize(
    ("planes", "message"),
    [
        ([], "no plane"),
        (np.full((10, 32, 32), 110, np.uint16), "no signal"),
        (np.random.default_rng(0).normal(110, 6, (30, 64, 64)).astype(np.uint16), "no signal"),
        (np.ones((4, 32, 32), np.uint16), "4 planes are too few"),
        ([np.ones((8, 8)), np.ones((8, 9))], "different shapes"),
        ([np.full((8, 8), np.nan, np.float32)], "not finite"),
        ([np.ones(8)], "not \\[y, x\\]"),
    ],
)
def test_what_cannot_be_estimated_is_refused(planes, message):
    with pytest.raises(InputError, match=message):
        estimate_shading(planes)


def test_gains_beyond_reason_are_refused():
    y, _ = np.mgrid[-1:1:64j, -1:1:64j]
    flat = np.exp(-3 * (y + 1))
    planes = np.random.default_rng(0).poisson(50 + 3000 * flat * np.linspace(0.5, 2, 20)[:, None, None])
    with pytest.raises(InputError, match=r"outside \[0.2, 5\]"):
        estimate_shading(planes.astype(np.uint16), background=50.0)
