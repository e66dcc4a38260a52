"""Corrections before registration: a grid of tiles, and slow illumination, both known."""

import numpy as np
import pytest
import torch

from cloudreg_io.synthetic import make_phantom
from cloudreg_register.images.image import Image
from cloudreg_register.lddmm.levels import unit_length
from cloudreg_register.lddmm.options import RegisterOptions
from cloudreg_register.lddmm.problem import Problem
from cloudreg_register.preparation.grid_correction import without_grid
from cloudreg_register.preparation.illumination import evenly_lit, logarithm
from cloudreg_register.preparation.smoothing import smoothed

EDGE = 200.0
SPACING = (EDGE, EDGE, EDGE)


@pytest.fixture(scope="module")
def phantom():
    return make_phantom((48, 40, 44), SPACING, seed=1, texture=0.1, cells=0.0, beacons=0)


@pytest.fixture(scope="module")
def brain(phantom):
    return 1000 * phantom.atlas() + 50


@pytest.fixture(scope="module")
def tissue(phantom):
    return phantom.labels() > 0


@pytest.fixture(scope="module")
def gain(brain):
    """Of illumination: a wave over the volume, a factor of 2 between its ends."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in brain.shape), indexing="ij")
    return np.exp(0.35 * np.sin(1.5 * x + 0.7 * y) - 0.2 * z).astype(np.float32)


def spread(image, truth, tissue):
    """Of what is left of the gain, in logarithms."""
    return float(np.log(image / truth)[tissue].std())


def seams(shape, period=10, depth=0.35):
    """A grid in x and y: darker near every border of a tile."""
    y, x = (np.minimum(np.arange(n) % period, -np.arange(n) % period) for n in shape[1:])
    return (1 - depth * np.exp(-0.5 * np.minimum(y[:, None], x[None]) ** 2)).astype(np.float32)


def test_the_grid_of_tiles_goes(brain, tissue):
    pattern = seams(brain.shape)
    unit = 4 * EDGE / 0.3  # a kernel of four voxels, as 37 µm ones have
    found = without_grid(brain * pattern, np.ones_like(brain), SPACING, unit)
    before, after = spread(brain * pattern, brain, tissue), spread(found, brain, tissue)
    untouched = without_grid(brain, np.ones_like(brain), SPACING, unit)
    assert before > 0.1
    assert spread(found, untouched, tissue) < 0.25 * before  # of the pattern itself, little is left
    assert after < before


def test_planes_that_were_not_imaged_do_not_count_for_the_grid(brain):
    imaged = np.ones_like(brain)
    imaged[:20, 10:30] = 0
    holed = brain * seams(brain.shape)
    expected = without_grid(np.where(imaged > 0, holed, 0), imaged, SPACING, 1000.0)
    found = without_grid(np.where(imaged > 0, holed, 1e6), imaged, SPACING, 1000.0)
    np.testing.assert_allclose(found[imaged > 0], expected[imaged > 0], rtol=1e-4)


def test_uneven_light_becomes_more_even(phantom, brain, tissue, gain):
    unit = unit_length(phantom.grid)
    found = evenly_lit(brain * gain, np.ones_like(brain), SPACING, unit)
    before, after = spread(brain * gain, brain, tissue), spread(found, brain, tissue)
    assert before > 0.2
    assert after < 0.65 * before


def test_even_light_stays(phantom, brain, tissue):
    found = evenly_lit(brain, np.ones_like(brain), SPACING, unit_length(phantom.grid))
    assert spread(found, brain, tissue) < 0.08


def test_illumination_is_the_same_whatever_the_unit_of_length_and_brightness(phantom, brain, gain):
    image, unit = brain * gain, unit_length(phantom.grid)
    found = evenly_lit(image, np.ones_like(brain), SPACING, unit)
    other = evenly_lit(8 * image, np.ones_like(brain), [4 * s for s in SPACING], 4 * unit)
    np.testing.assert_allclose(other, 8 * found, rtol=1e-3)


@pytest.mark.parametrize("offset", [0.0, -200.0])
def test_background_of_exactly_0_and_negative_values_have_a_logarithm(brain, offset):
    values, shown = logarithm(brain - 50 + offset, np.ones_like(brain))
    assert torch.isfinite(values).all()
    assert 0.2 < float(shown.mean()) < 0.9


def test_the_options_ask_for_the_corrections(brain, gain):
    uneven = Image.of_array(brain * gain * seams(brain.shape), SPACING, "LPS")
    atlas = Image.of_array(brain, SPACING, "LPS")
    plain, grid, bias = (
        Problem.of(uneven, atlas, RegisterOptions(**chosen)).sample
        for chosen in ({}, {"grid_correction": True}, {"bias_correction": True})
    )
    assert float((plain - grid).abs().max()) > 0.1
    assert float((plain - bias).abs().max()) > 0.1


def test_smoothed_ignores_what_has_no_weight_and_does_not_wrap_around():
    field = torch.full((20, 24, 22), 3.0)
    weight = torch.ones_like(field)
    field[:, :5], weight[:, :5] = 1e6, 0.0
    torch.testing.assert_close(smoothed(field, weight, (5.0, 1.0, 0.0))[:, 6:], torch.full((20, 18, 22), 3.0))
    ends = torch.zeros(40, 1, 1)
    ends[0] = 1.0
    assert float(smoothed(ends, torch.ones_like(ends), (2.0, 0.0, 0.0))[-1]) == 0


def test_smoothed_is_a_gaussian():
    field = torch.zeros(41, 1, 1, dtype=torch.float64)
    field[20] = 1.0
    found = smoothed(field, torch.ones_like(field), (2.0, 0.0, 0.0))[:, 0, 0]
    at = torch.arange(41) - 20
    expected = torch.exp(-0.5 * (at.double() / 2) ** 2) / (2 * np.sqrt(2 * np.pi))
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)
