"""Derivatives against finite differences, in float64, and the quadratic model against a dense solution."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cloudreg_io.space import Grid
from cloudreg_io.synthetic import make_phantom
from cloudreg_register.images.image import Image
from cloudreg_register.lddmm import newton
from cloudreg_register.lddmm.affine import AffineMode, generated_fields, generators, stepped
from cloudreg_register.lddmm.contrast import Contrast
from cloudreg_register.lddmm.coordinates import Coordinates
from cloudreg_register.lddmm.flow import Flow
from cloudreg_register.lddmm.levels import Level
from cloudreg_register.lddmm.newton import Quadratic
from cloudreg_register.lddmm.objective import Map
from cloudreg_register.lddmm.options import RegisterOptions
from cloudreg_register.lddmm.problem import Problem
from cloudreg_register.lddmm.regulariser import Regulariser, filtered

EDGE = 600.0
LEVEL = Level(factor=1, velocity_spacing=900.0, window=4, scatter=0.2, affine_only=0, iterations=1)


def smooth(shape, seed, size):
    """Random fields [..., z, y, x] of about `size`, smooth over two samples."""
    noise = torch.from_numpy(np.random.default_rng(seed).normal(size=shape))
    waves = [torch.fft.fftfreq(n).double() for n in shape[-3:]]
    square = waves[0][:, None, None] ** 2 + waves[1][:, None] ** 2 + waves[2][: shape[-1] // 2 + 1] ** 2
    field = filtered(noise, torch.exp(-40 * square))
    return field * (size / field.std())


def coordinates(size, spacing):
    return Coordinates(Grid(size, (spacing, spacing, spacing)).centred(), torch.float64)


@pytest.fixture(scope="module")
def objective():
    phantom = make_phantom((20, 15, 17), (EDGE, EDGE, EDGE), seed=2, texture=0.2, cells=0.0, beacons=0)
    rng = np.random.default_rng(0)
    target = phantom.atlas() + rng.normal(0, 0.05, phantom.grid.shape).astype(np.float32)
    target[:, :4, :] = 0  # part of it was never imaged
    images = [Image.of_array(array, (EDGE,) * 3, "LPS") for array in (target, phantom.atlas())]
    problem = Problem.of(*images, RegisterOptions(resolution=EDGE), dtype=torch.float64)
    return problem.objective(LEVEL)


@pytest.fixture(scope="module")
def at(objective):
    velocity = smooth((1, 3, *objective.on_velocity.shape), 1, 250.0)
    turn = torch.tensor([100.0, -80.0, 120.0, *[60.0 * (-1) ** k for k in range(9)]], dtype=torch.float64)
    return Map(velocity, stepped(torch.eye(4, dtype=torch.float64), objective.generators, turn))


@pytest.fixture(scope="module")
def belief(objective, at):
    return objective.evaluate(at, objective.start()).belief


@pytest.fixture(scope="module")
def held(objective, at, belief):
    """The energy of a map with contrast, scatter and mixture held at what they are at `at`."""
    weight = belief.tissue * objective.imaged
    values = objective.deformed(at).values
    contrast = Contrast.fit(
        values, objective.sample, weight, objective.window, order=objective.order, ridge=objective.ridge
    )

    def energy(moved):
        expected, _, variance = contrast.at(objective.deformed(moved).values)
        spread = variance.clamp(min=objective.scatter**2).sqrt()
        _, unlikely = belief.mixture.responsibilities(objective.sample, expected, spread)
        data = objective.per_voxel * float((objective.imaged * unlikely).sum())
        return data + objective.regulariser.energy(moved.velocity)

    return energy


def difference(energy, step):
    return (energy(step) - energy(-step)) / (2 * step)


def test_the_energy_that_is_differentiated_is_that_of_the_objective(objective, at, belief, held):
    assert held(at) == pytest.approx(objective.evaluate(at, belief).energy, rel=1e-12)


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_gradient_by_the_velocity(objective, at, belief, held, seed):
    direction = smooth(at.velocity.shape, seed, 1.0)
    found = float((objective.evaluate(at, belief).model.by_velocity * direction[0]).sum())
    truth = difference(lambda e: held(replace(at, velocity=at.velocity + e * direction)), 1e-4)
    assert found == pytest.approx(truth, rel=1e-3)


def test_gradient_by_each_parameter_of_the_affine_map(objective, at, belief, held):
    found = objective.evaluate(at, belief).model.by_affine
    for k, one in enumerate(torch.eye(len(found), dtype=torch.float64)):
        moved = difference(
            lambda e, one=one: held(replace(at, affine=stepped(at.affine, objective.generators, e * one))), 1e-4
        )
        assert float(found[k]) == pytest.approx(moved, rel=1e-3, abs=1e-5 * float(found.abs().max()))


def test_gradient_by_the_contrast_is_zero_where_it_was_fitted():
    rng = np.random.default_rng(0)
    atlas, weight = (torch.from_numpy(rng.uniform(low, 1, (12, 12, 12))) for low in (-1, 0))
    image = torch.sin(2 * atlas) + 0.1 * torch.from_numpy(rng.normal(size=atlas.shape))
    fitted = Contrast.fit(atlas, image, weight, atlas.shape, order=3, ridge=0.0).coefficients.flatten()
    powers = torch.stack([atlas**k for k in range(4)])

    def misfit(coefficients):
        return float((weight * (image - torch.einsum("k,kzyx->zyx", coefficients, powers)) ** 2).sum())

    for one in torch.eye(4, dtype=torch.float64):
        slope = difference(lambda e, one=one: misfit(fitted + e * one), 1e-4)
        beside = difference(lambda e, one=one: misfit(fitted + 0.1 * one + e * one), 1e-4)
        assert abs(slope) < 1e-3 * abs(beside)


def test_slope_of_the_contrast():
    rng = np.random.default_rng(1)
    atlas = torch.from_numpy(rng.uniform(-1, 1, (10, 11, 12)))
    contrast = Contrast.fit(atlas, atlas**2 + 0.3 * atlas, torch.ones_like(atlas), (4, 4, 4), order=3, ridge=0.01)
    truth = (contrast.at(atlas + 1e-5)[0] - contrast.at(atlas - 1e-5)[0]) / 2e-5
    torch.testing.assert_close(contrast.at(atlas)[1], truth, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize(("parts", "substeps"), [(1, 5), (3, 2)])
def test_adjoint_of_the_flow(inverse, parts, substeps):
    velocity = smooth((parts, 3, 8, 9, 10), 0, 150.0)
    direction, weights = smooth(velocity.shape, 1, 1.0), smooth(velocity.shape[1:], 2, 1.0)

    def end(e):
        return Flow(velocity + e * direction, (200.0,) * 3, inverse=inverse, substeps=substeps)

    found = float((end(0.0).adjoint(weights) * direction).sum())
    truth = difference(lambda e: float((end(e).displacement * weights).sum()), 1e-5)
    assert found == pytest.approx(truth, rel=1e-6)


def test_the_regulariser_is_symmetric_and_positive():
    on = coordinates((9, 8, 10), 200.0)
    regulariser = Regulariser(on, length=500.0, power=4.0, weight=3.0)
    a, b = smooth((3, *on.shape), 0, 1.0), smooth((3, *on.shape), 1, 1.0)
    la, lb = regulariser.applied(a), regulariser.applied(b)
    assert float((a * lb).sum()) == pytest.approx(float((b * la).sum()), rel=1e-10)
    assert float((a * la).sum()) > 3.0 * float((a * a).sum())  # L is no less than the identity
    assert float((la * b).sum()) == pytest.approx(
        difference(lambda e: regulariser.energy(a + e * b), 1e-3), rel=1e-6
    )


def test_the_regulariser_is_the_power_of_id_minus_laplacian():
    on = coordinates((6, 6, 6), 100.0)
    field = smooth((6, 6, 6), 0, 1.0)
    around = sum(torch.roll(field, shift, axis) for axis in range(3) for shift in (1, -1))
    expected = field - 300.0**2 * (around - 6 * field) / 100.0**2
    torch.testing.assert_close(Regulariser(on, 300.0, 1.0, 1.0).applied(field), expected)


@pytest.fixture
def model():
    on = coordinates((5, 6, 4), 500.0)
    rng = np.random.default_rng(7)
    roots = torch.from_numpy(rng.normal(size=(*on.shape, 3, 2)))
    # of rank 2: like an image's, it says nothing along an edge
    full = roots @ roots.transpose(-1, -2)
    curvature = torch.stack([full[..., i, j] for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))])
    fields = generated_fields(on, generators(AffineMode.SIMILARITY, 1000.0))
    return Quadratic(
        curvature,
        Regulariser(on, 500.0, 4.0, 0.1).multiplier,
        fields,
        smooth((3, *on.shape), 1, 1.0),
        torch.from_numpy(rng.normal(size=len(fields))),
    )


def dense(model):
    """Matrix and gradient of the model in (w, b)."""
    n = model.by_velocity.numel()
    basis = torch.eye(n, dtype=torch.float64).reshape(n, *model.by_velocity.shape)
    smoothness = torch.stack([filtered(one, model.smoothness).flatten() for one in basis])
    index = ((0, 1, 2), (1, 3, 4), (2, 4, 5))
    pulled = torch.cat([torch.cat([torch.diag(model.curvature[k].flatten()) for k in row], 1) for row in index])
    fields = model.fields.flatten(1)
    upper = torch.cat([smoothness + pulled, pulled @ fields.T], 1)
    lower = torch.cat([fields @ pulled, fields @ pulled @ fields.T], 1)
    return torch.cat([upper, lower]), torch.cat([model.by_velocity.flatten(), model.by_affine])


def test_the_minimum_of_the_model_is_that_of_a_dense_solution(model, monkeypatch):
    monkeypatch.setattr(newton, "_TOLERANCE", 1e-12)
    matrix, gradient = dense(model)
    velocity, affine = model.minimum(2000)
    torch.testing.assert_close(
        torch.cat([velocity.flatten(), affine]), torch.linalg.solve(matrix, -gradient), rtol=1e-5, atol=1e-7
    )


def test_few_iterations_of_conjugate_gradients_lower_the_model_most_of_the_way(model):
    matrix, gradient = dense(model)
    velocity, affine = model.minimum(10)
    step = torch.cat([velocity.flatten(), affine])
    best = torch.linalg.solve(matrix, -gradient)
    assert float(gradient @ step + 0.5 * step @ matrix @ step) < 0.9 * float(0.5 * gradient @ best)


def test_the_affine_minimum_is_that_of_the_affine_block(model):
    matrix, gradient = dense(model)
    n = model.by_velocity.numel()
    torch.testing.assert_close(
        model.affine_minimum(), torch.linalg.solve(matrix[n:, n:], -gradient[n:]), rtol=2e-3, atol=1e-6
    )


@pytest.mark.parametrize("mode", list(AffineMode))
def test_steps_keep_the_kind_of_affine_map(mode):
    made = generators(mode, 3000.0)
    steps = torch.from_numpy(np.random.default_rng(0).normal(0, 300.0, (20, len(made))))
    affine = torch.eye(4, dtype=torch.float64)
    for step in steps:
        affine = stepped(affine, made, step)
    lengths = torch.linalg.svdvals(affine[:3, :3])
    assert {"rigid": 6, "fixed-scale": 6, "similarity": 7, "affine": 12}[mode] == len(made)
    assert float(torch.linalg.det(affine)) > 0
    if mode in {AffineMode.RIGID, AffineMode.FIXED_SCALE}:
        torch.testing.assert_close(lengths, torch.ones_like(lengths))
    elif mode is AffineMode.SIMILARITY:
        torch.testing.assert_close(lengths, lengths.mean().expand(3))
        assert abs(float(lengths[0]) - 1) > 0.01
    else:
        assert float(lengths[0] - lengths[2]) > 0.01


def test_a_scale_that_was_given_stays():
    made = generators(AffineMode.FIXED_SCALE, 3000.0)
    scale = torch.tensor([1.1, 0.9, 1.3, 1.0], dtype=torch.float64)
    affine = torch.diag(scale)
    for step in torch.from_numpy(np.random.default_rng(0).normal(0, 300.0, (20, len(made)))):
        affine = stepped(affine, made, step)
    torch.testing.assert_close(torch.linalg.svdvals(affine[:3, :3]), scale[:3].sort(descending=True).values)
    assert not torch.allclose(affine, torch.diag(scale))
