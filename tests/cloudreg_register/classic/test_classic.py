"""The original's schedule: its parts against what they should be, and that it registers."""

import itertools

import numpy as np
import pytest
import torch

from cloudreg_io.space import Affine, Grid
from cloudreg_io.synthetic import make_phantom, make_registration_case
from cloudreg_register.classic.affine import inverse_step, projected
from cloudreg_register.classic.contrast import ORDER, ClassicContrast
from cloudreg_register.classic.flow import clipped, inverses, jacobian, velocity_gradient
from cloudreg_register.classic.registration import register_classic
from cloudreg_register.images.image import Image
from cloudreg_register.lddmm.coordinates import Coordinates
from cloudreg_register.lddmm.options import RegisterOptions

EDGE = 500.0
OPTIONS = RegisterOptions(resolution=EDGE, threads=1)


@pytest.fixture(scope="module")
def case():
    phantom = make_phantom((24, 18, 20), (EDGE,) * 3, seed=1, texture=0.0, cells=0.0, beacons=0)
    return make_registration_case(phantom.atlas(), phantom.labels(), (EDGE,) * 3, 3, orientation="LPS")


@pytest.fixture(scope="module")
def images(case):
    target = Image.of_array(case.target, case.target_grid.spacing, case.orientation, "target")
    return target, Image.of_array(case.atlas, case.atlas_grid.spacing, case.orientation, "atlas")


@pytest.fixture(scope="module")
def registration(images):
    return register_classic(*images, OPTIONS, iterations=20)


def coordinates(size, spacing=EDGE, dtype=torch.float64):
    return Coordinates(Grid(size, (spacing,) * 3).centred(), dtype)


def waves(on, *factors):
    """A smooth field [z, y, x]."""
    x, y, z = (axis / 2000.0 for axis in on.axes())
    a, b, c = factors
    return torch.sin(a * x + 1) * torch.cos(b * y[:, None]) + torch.sin(c * z[:, None, None])


def test_energy_and_error_of_landmarks_fall(case, registration):
    energies = [step.energy for step in registration.history]
    assert len(energies) == 20
    assert all(later < earlier + 1e-2 * abs(earlier) for earlier, later in itertools.pairwise(energies))
    assert energies[-1] < 0.8 * energies[0]
    shift = np.array(case.target_grid.centre) - case.atlas_grid.centre
    before = np.linalg.norm(case.landmarks_atlas + shift - case.landmarks_target, axis=1)
    found, _ = registration.transform.to_target(case.landmarks_atlas)
    after = np.linalg.norm(found - case.landmarks_target, axis=1)
    assert after.mean() < 0.6 * before.mean()


def test_the_scale_of_the_start_stays(images, registration):
    assert np.linalg.svd(registration.transform.affine.linear)[1] == pytest.approx([1, 1, 1])
    start = Affine.from_parameters(scale=[1.1, 1.1, 1.1])
    scaled = register_classic(*images, OPTIONS, start=start, iterations=2)
    assert np.linalg.svd(scaled.transform.affine.linear)[1] == pytest.approx([1.1, 1.1, 1.1])


def test_the_velocity_has_ten_parts_and_all_of_them_move(registration):
    velocity = registration.transform.velocity
    assert len(velocity) == 10
    assert all(np.abs(part).max() > 1.0 for part in velocity)


def test_the_velocity_descends_along_its_gradient():
    """λ ∇I is the derivative of the energy in the limit of small steps; here at a velocity of 0."""
    on = coordinates((12, 11, 10))
    atlas, image = waves(on, 1, 2, 1.5), waves(on, 1.2, 1.7, 1.4)
    window = torch.exp(
        -sum(
            (axis.reshape([-1 if i == k else 1 for i in (2, 1, 0)]) / 700) ** 2 for k, axis in enumerate(on.axes())
        )
    )
    velocity = torch.zeros((10, 3, *on.shape), dtype=torch.float64)
    direction = torch.stack([waves(on, 1, 1, 2), waves(on, 2, 1, 1), waves(on, 1, 2, 1)]) * window

    def energy(e):
        *_, last = inverses(velocity + e * direction, on)
        positions = on.normalised(on.mapped(torch.eye(4)) + last.permute(1, 2, 3, 0))
        deformed = torch.grid_sampler_3d(atlas[None, None], positions[None], 0, 1, True)[0, 0]
        return 0.5 * float((window * (deformed - image) ** 2).sum())

    error = -window * (atlas - image)
    moments = [atlas] * 10
    forces = velocity_gradient(velocity, moments, error, on, torch.eye(4, dtype=torch.float64), on)
    found = sum(float((force * direction).sum()) for _, force in forces) / 10
    truth = (energy(1e-3) - energy(-1e-3)) / 2e-3
    assert found == pytest.approx(truth, rel=1e-3)


def test_the_jacobian_of_a_stretch():
    on = coordinates((8, 7, 6))
    x, y, z = on.axes()
    u = torch.stack(torch.broadcast_tensors(0.1 * x, 0.2 * y[:, None], -0.1 * z[:, None, None]))
    torch.testing.assert_close(jacobian(u, on), torch.full(on.shape, 1.1 * 1.2 * 0.9, dtype=torch.float64))


def test_a_step_is_clipped_and_a_step_of_nothing_is_nothing():
    step = torch.zeros((3, 1, 1, 3))
    step[0, 0, 0] = torch.tensor([0.0, 1.0, 1e6])
    found = clipped(step, 200.0)[0, 0, 0]
    assert found[0] == 0
    assert float(found[1]) == pytest.approx(1.0, rel=1e-4)
    assert float(found[2]) == pytest.approx(200.0, rel=1e-3)


def test_the_affine_step_finds_a_small_motion():
    on = coordinates((20, 18, 16), 300.0)
    motion = Affine.from_parameters(rotation=[1.0, -0.5, 0.7], translation=[60, -40, 30])
    moved = torch.linalg.inv(torch.from_numpy(motion.matrix.copy()))

    def image(positions):
        a, b, c = (positions / 1500.0).unbind(-1)
        return torch.sin(a + 0.3) + torch.cos(1.3 * b + a) + torch.sin(c * 1.1 - b)

    here = image(on.mapped(torch.eye(4)))
    step = inverse_step(here, here - image(on.mapped(moved)), torch.ones_like(here), torch.eye(4).double(), on)
    found = torch.eye(4, dtype=torch.float64)
    found[:3] -= step
    torch.testing.assert_close(found, moved, atol=2e-3, rtol=0.1)
    assert torch.linalg.svdvals(projected(torch.linalg.inv(found), torch.ones(3).double())[:3, :3]).tolist() == (
        pytest.approx([1, 1, 1])
    )


@pytest.fixture(scope="module")
def seen():
    """An image that is a cubic of another, with coefficients that vary in space."""
    on = coordinates((16, 15, 14))
    atlas = waves(on, 3.0, 2.5, 3.5)
    drift = 1 + 0.3 * torch.tanh(on.axes()[0] / 4000)
    return on, atlas, drift * (0.5 * atlas - 0.3 * atlas**2) + 0.2


def test_the_contrast_descends_to_the_normal_equations(seen):
    on, atlas, image = seen
    weight = torch.ones_like(atlas)
    begin = ClassicContrast.linear(on, 500.0, 0.0, 1.0)
    assert torch.allclose(begin.at(atlas)[0], atlas)

    def energy(contrast):
        return float(((contrast.at(atlas)[0] - image) ** 2).sum() + (contrast.scaled**2).sum())

    energies = [energy(begin.descended(atlas, image, weight, steps)) for steps in (0, 5, 20, 200)]
    assert energies == sorted(energies, reverse=True)
    fitted = begin.descended(atlas, image, weight, 200).at(atlas)[0]
    assert float(((fitted - image) ** 2).mean()) < 0.05 * float(((atlas - image) ** 2).mean())


def test_the_gradient_of_the_contrast(seen):
    on, atlas, image = seen
    weight = 0.5 + 0.5 * torch.sigmoid(atlas)
    contrast = ClassicContrast.linear(on, 500.0, 0.1, 0.8)
    powers = torch.stack([atlas**k for k in range(ORDER)])
    direction = torch.from_numpy(np.random.default_rng(0).normal(size=contrast.scaled.shape))

    def energy(e):
        moved = ClassicContrast(contrast.scaled + e * direction, contrast.inverse, contrast.shape)
        data = (weight * (image - moved.at(atlas)[0]) ** 2).sum()
        return 0.5 * float(data + (moved.scaled**2).sum())

    residual = contrast._restricted(powers * (weight * image)) - contrast._applied(contrast.scaled, powers, weight)
    truth = (energy(1e-4) - energy(-1e-4)) / 2e-4
    assert -float((residual * direction).sum()) == pytest.approx(truth, rel=1e-6)
