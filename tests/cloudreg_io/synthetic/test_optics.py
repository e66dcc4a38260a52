from __future__ import annotations

import numpy as np
import pytest

from cloudreg_io.errors import InputError
from cloudreg_io.synthetic.camera import Camera, normal
from cloudreg_io.synthetic.vignetting import FAMILIES, dust, flat_field

SHAPE = (120, 160)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("strength", [0.2, 0.6])
def test_strength_is_the_depth_of_the_darkest_pixel(family, strength):
    field = flat_field(family, SHAPE, strength, seed=7)
    assert field.shape == SHAPE
    assert field.mean() == pytest.approx(1, abs=1e-5)
    assert field.min() / field.max() == pytest.approx(1 - strength, abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_family_is_a_quadratic(family):
    """The least-squares polynomial of degree 2 leaves more than 0.3 % somewhere (in the mean over seeds)."""
    y, x = np.meshgrid(np.linspace(-1, 1, SHAPE[0]), np.linspace(-1, 1, SHAPE[1]), indexing="ij")
    basis = np.stack([x**i * y**j for i in range(3) for j in range(3 - i)]).reshape(6, -1).T
    rest = []
    for seed in range(5):
        field = flat_field(family, SHAPE, 0.5, seed).ravel()
        rest.append(np.abs(field - basis @ np.linalg.lstsq(basis, field, rcond=None)[0]).max())
    assert np.mean(rest) > 0.003


def test_seeds_and_families_differ():
    fields = [flat_field(f, SHAPE, 0.5, seed) for f in FAMILIES for seed in (1, 2)]
    for i, a in enumerate(fields):
        for b in fields[:i]:
            assert np.abs(a - b).max() > 0.03


def test_no_vignetting_is_flat_and_bad_values_are_named():
    assert (flat_field("none", SHAPE, 0.5, 1) == 1).all()
    assert (flat_field("lens", SHAPE, 0.0, 1) == 1).all()
    with pytest.raises(InputError, match="'lense'"):
        flat_field("lense", SHAPE, 0.5, 1)
    with pytest.raises(InputError, match="strength"):
        flat_field("lens", SHAPE, 0.9, 1)


def test_dust_is_small_and_dark():
    clean, dirty = dust(SHAPE, 0, 1), dust(SHAPE, 5, 1)
    assert (clean == 1).all()
    assert 0.5 < dirty.min() < 0.95
    assert dirty.max() <= 1
    assert 0 < np.mean(dirty < 0.99) < 0.05


def test_normal_numbers_are_normal_and_follow_from_the_seed():
    numbers = normal((400, 500), (1, 2, 3))
    assert numbers.dtype == np.float32
    assert abs(numbers.mean()) < 0.01
    assert numbers.std() == pytest.approx(1, abs=0.01)
    assert np.mean(numbers**4) == pytest.approx(3, abs=0.1)
    assert np.mean(np.abs(numbers) > 1.959964) == pytest.approx(0.05, abs=0.003)
    np.testing.assert_array_equal(numbers, normal((400, 500), (1, 2, 3)))
    other = normal((400, 500), (1, 2, 4))
    assert abs(np.mean(numbers * other)) < 0.01
    assert abs(np.mean(numbers[:, 1:] * numbers[:, :-1])) < 0.01


def camera(**changes):
    ones = np.ones((200, 300), np.float32)
    values = {"flat": ones, "background": 100 * ones, "signal": 500.0, "gain": 2.0, "read_noise": 6.0}
    return Camera(**{**values, "saturation": 65535, **changes})


@pytest.mark.parametrize("light", [0.0, 0.2, 3.0])
def test_noise_is_photons_plus_read_noise(light):
    plane = camera().expose(np.full((200, 300), light, np.float32), (1,)).astype(float)
    assert plane.mean() == pytest.approx(100 + 500 * light, abs=0.01 * (36 + 1000 * light) ** 0.5 + 0.05)
    # rounding to counts adds 1/12
    assert plane.var() == pytest.approx(2 * 500 * light + 36 + 1 / 12, rel=0.02)


def test_the_image_is_background_plus_flat_times_signal():
    rng = np.random.default_rng(0)
    flat = rng.uniform(0.5, 1.5, (200, 300)).astype(np.float32)
    light = rng.uniform(0, 2, (200, 300)).astype(np.float32)
    plane = camera(flat=flat, gain=0.0, read_noise=0.0).expose(light, (1,))
    np.testing.assert_allclose(plane, 100 + flat * 500 * light, atol=0.51)


def test_saturation_clips():
    plane = camera(saturation=1000).expose(np.full((200, 300), 5.0, np.float32), (1,))
    assert (plane == 1000).all()
    dark = camera(background=np.zeros((200, 300), np.float32)).expose(np.zeros((200, 300), np.float32), (1,))
    assert dark.min() == 0
    assert dark.max() < 40  # nothing wrapped around
