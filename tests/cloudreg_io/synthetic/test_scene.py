from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudreg_io.errors import InputError
from cloudreg_io.synthetic import ArrayScene, make_phantom
from cloudreg_io.synthetic.texture import Texture

SIZE = (220, 240, 60)
PHANTOM = make_phantom(SIZE, (5.0, 5.0, 10.0), seed=3, cells=1e-4)
place = st.floats(-30, 200, allow_nan=False)


def on_grid(scene, size=SIZE):
    return scene.evaluate(0.0, 0.0, 0.0, size[::-1])


@settings(max_examples=20, deadline=None)
@given(place, place, st.floats(-5, 40), st.tuples(*[st.integers(0, 12)] * 3))
def test_tiles_at_fractional_places_see_one_function(x, y, z, shift):
    """Overlapping boxes agree in their overlap to float precision: nothing was interpolated."""
    scene = PHANTOM.scene(1)
    dx, dy, dz = shift
    a = scene.evaluate(x, y, z, (16, 40, 50))
    b = scene.evaluate(x + dx, y + dy, z + dz, (16, 40, 50))
    np.testing.assert_allclose(a[dz:, dy:, dx:], b[: 16 - dz, : 40 - dy, : 50 - dx], atol=2e-5)


@settings(max_examples=20, deadline=None)
@given(st.floats(40, 180), st.floats(40, 180), st.floats(10, 50))
def test_a_sample_does_not_depend_on_the_box_it_is_asked_for_in(x, y, z):
    scene = PHANTOM.scene(0)
    box = scene.evaluate(x - 5, y - 4, z - 3, (7, 9, 11))
    alone = scene.evaluate(x, y, z, (1, 1, 1))
    assert box[3, 4, 5] == pytest.approx(float(alone[0, 0, 0]), abs=2e-5)


def test_steps_pick_the_same_samples():
    scene = PHANTOM.scene(1)
    fine = scene.evaluate(20.3, 30.7, 5.1, (13, 41, 31))
    coarse = scene.evaluate(20.3, 30.7, 5.1, (7, 11, 7), (5, 4, 2))
    np.testing.assert_allclose(coarse, fine[::2, ::4, ::5], atol=2e-5)


def test_texture_is_the_sum_of_its_waves():
    """Against a direct float64 sum of cosines."""
    texture = Texture.random([1, 2])
    rng = np.random.default_rng(0)
    x, y = np.sort(rng.uniform(0, 4000, 9)), np.sort(rng.uniform(0, 4000, 7))
    plane = texture.on(x, y).at(37.21, slice(0, 7), slice(0, 9))

    def total(waves):
        kx, ky, kz = waves.vectors.T[:, :, None, None]
        phase = kx * x + ky * y[:, None] + kz * 37.21 + waves.phases[:, None, None]
        return np.sqrt(2 / len(waves.phases)) * np.cos(phase).sum(axis=0)

    truth = total(texture.waves) * (0.3 + total(texture.envelope)) / np.sqrt(1.09)
    np.testing.assert_allclose(plane, truth, atol=1e-5)


def block(texture, start, n=112, planes=24):
    axis = start + np.arange(float(n))
    on = texture.on(axis, axis)
    return np.stack([on.at(float(z), slice(0, n), slice(0, n)) for z in range(planes)]).astype(float)


def correlation(a, b):
    """Normalised correlation of two blocks at every shift that leaves half of each axis in common."""
    shape = [2 * n for n in a.shape]
    product = np.fft.rfftn(a, shape, axes=(0, 1, 2)) * np.fft.rfftn(b, shape, axes=(0, 1, 2)).conj()
    raw = np.fft.fftshift(np.fft.irfftn(product, shape, axes=(0, 1, 2)))
    middle = tuple(slice(n // 2, 3 * n // 2) for n in a.shape)
    common = [1 - np.abs(np.arange(-n, n) / n) for n in a.shape]
    overlap = common[0][:, None, None] * common[1][:, None] * common[2]
    return (raw / np.maximum(overlap, 1e-9))[middle] / np.sqrt((a**2).sum() * (b**2).sum())


def test_texture_has_unit_variance_and_reaches_the_voxel():
    plane = block(Texture.random([5, 2]), 0.0, 512, 1)[0]
    assert abs(plane.mean()) < 0.05
    assert plane.var() == pytest.approx(1.0, abs=0.15)
    power = np.abs(np.fft.fft2(plane * np.outer(np.hanning(512), np.hanning(512)))) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(512), np.fft.fftfreq(512)))
    assert power[frequency > 1 / 5].sum() > 0.12 * power.sum()
    assert power[frequency > 1 / 2].sum() < 1e-3 * power.sum()  # no alias


@pytest.mark.parametrize("seed", [0, 1])
def test_texture_does_not_resemble_itself_elsewhere(seed):
    texture = Texture.random([seed, 2])
    here, there = block(texture, 0.0), block(texture, 1000.0)
    itself = correlation(here, here)
    assert itself.max() == pytest.approx(1.0, abs=1e-6)
    z, y, x = np.ogrid[-12:12, -56:56, -56:56]
    assert itself[z**2 + y**2 + x**2 >= 144].max() < 0.3
    assert correlation(here, there).max() < 0.3


def test_outside_of_the_brain_there_is_nothing():
    image = on_grid(PHANTOM.scene(0))
    assert (image >= 0).all()
    rim = np.ones(image.shape, bool)
    rim[2:-2, 4:-4, 4:-4] = False
    assert not image[rim].any()
    assert 0.2 < np.mean(image > 0) < 0.6
    assert not PHANTOM.scene(0).evaluate(1000.0, -500.0, 0.0, (3, 20, 20)).any()


def test_average_tissue_is_one():
    image = on_grid(PHANTOM.scene(0))
    assert image[image > 0.3].mean() == pytest.approx(1.0, abs=0.15)


def test_halves_are_unlike():
    image = on_grid(make_phantom(SIZE, seed=0, texture=0.0, cells=0.0, beacons=0).scene(0))
    mirrored = image[:, :, ::-1]
    differ = np.abs(image - mirrored) > 0.1
    assert differ[(image > 0) | (mirrored > 0)].mean() > 0.05


def test_channels_share_anatomy_but_differ():
    first, second = on_grid(PHANTOM.scene(0)), on_grid(PHANTOM.scene(1))
    smooth = make_phantom(SIZE, seed=3, texture=0.0, cells=0.0, beacons=0)
    np.testing.assert_array_equal(on_grid(smooth.scene(0)) > 0, on_grid(smooth.scene(1)) > 0)
    inside = (first > 0) & (second > 0)
    assert 0.2 < np.corrcoef(first[inside], second[inside])[0, 1] < 0.95
    beacons, cells = len(PHANTOM.beacons), len(PHANTOM.cells)
    assert len(PHANTOM.scene(1).blobs) == cells + beacons  # all cells
    assert beacons < len(PHANTOM.scene(0).blobs) < 0.3 * cells + beacons  # a few


def test_blobs_lie_where_they_are_said_to_lie():
    beacons = PHANTOM.beacons
    assert len(beacons) == 6
    depths = [z for _, _, z in beacons.centres]
    assert all(a <= b for a, b in pairwise(depths))
    smooth = make_phantom(SIZE, (5.0, 5.0, 10.0), seed=3, texture=0.0, cells=0.0)
    bare = make_phantom(SIZE, (5.0, 5.0, 10.0), seed=3, texture=0.0, cells=0.0, beacons=0)
    blobs = on_grid(smooth.scene(0)) - on_grid(bare.scene(0))
    for (x, y, z), (sx, sy, sz), amplitude in zip(
        beacons.centres, beacons.sigmas, beacons.amplitudes, strict=True
    ):
        at = smooth.scene(1).evaluate(x, y, z, (1, 1, 1)) - bare.scene(1).evaluate(x, y, z, (1, 1, 1))
        assert at[0, 0, 0] == pytest.approx(amplitude, rel=1e-4)
        i, j, k = round(z), round(y), round(x)
        exact = amplitude * np.exp(-0.5 * (((k - x) / sx) ** 2 + ((j - y) / sy) ** 2 + ((i - z) / sz) ** 2))
        assert blobs[i, j, k] == pytest.approx(exact, rel=1e-3)


def test_array_scene_cuts_and_does_not_interpolate():
    volume = np.arange(4 * 5 * 6, dtype=np.uint16).reshape(4, 5, 6)
    scene = ArrayScene(volume)
    np.testing.assert_array_equal(scene.evaluate(1.0, 2.0, 1.0, (2, 3, 4)), volume[1:3, 2:5, 1:5])
    beyond = scene.evaluate(-2.0, 0.0, 0.0, (4, 5, 6))
    assert not beyond[:, :, :2].any()
    np.testing.assert_array_equal(beyond[:, :, 2:], volume[:, :, :4])
    with pytest.raises(InputError, match="whole voxels"):
        scene.evaluate(0.5, 0.0, 0.0, (1, 1, 1))
