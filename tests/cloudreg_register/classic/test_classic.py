"""The original's schedule: its parts against what they should be, and that it registers."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from cloudreg_io.errors import InputError
from cloudreg_io.space import Affine, Grid
from cloudreg_io.synthetic import make_phantom, make_registration_case
from cloudreg_register.classic import registration as registration_module
from cloudreg_register.classic.affine import inverse_step, projected, scale_of
from cloudreg_register.classic.contrast import ORDER, ClassicContrast
from cloudreg_register.classic.flow import clipped, inverses, jacobian, velocity_gradient
from cloudreg_register.classic.registration import register_classic
from cloudreg_register.images.image import Image
from cloudreg_register.lddmm.affine import AffineMode
from cloudreg_register.lddmm.coordinates import Coordinates
from cloudreg_register.lddmm.options import RegisterOptions
from cloudreg_register.stage.choice import Choice

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
    rotation = projected(torch.linalg.inv(found), torch.ones(3).double(), AffineMode.RIGID)
    assert torch.linalg.svdvals(rotation[:3, :3]).tolist() == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(
    ("mode", "lengths"),
    [("rigid", [1.2, 1.1, 1.0]), ("fixed-scale", [1.2, 1.1, 1.0]), ("similarity", [1.8, 1.65, 1.5])],
)
def test_the_nearest_map_of_a_kind(mode, lengths):
    """A start of three scales, 1.5 times larger since: one factor is kept only where one may change."""
    start = Affine.from_parameters(rotation=[10.0, 5.0, -20.0]) @ Affine.from_parameters(scale=[1.2, 1.1, 1.0])
    now = Affine.from_parameters(scale=[1.5] * 3) @ start
    scale = scale_of(torch.from_numpy(start.matrix.copy()))
    found = projected(torch.from_numpy(now.matrix.copy()), scale, AffineMode(mode))[:3, :3]
    assert found.norm(dim=0).tolist() == pytest.approx(lengths)
    assert (found.T @ found).numpy() == pytest.approx(np.diag(np.square(lengths)), abs=1e-9)


def test_an_affine_map_stays_as_it_is():
    sheared = torch.eye(4, dtype=torch.float64)
    sheared[0, 1] = 0.3
    assert projected(sheared, torch.ones(3).double(), AffineMode.AFFINE) is sheared


@pytest.mark.parametrize("mode", ["similarity", "affine"])
def test_modes_that_may_scale_do(images, mode):
    options = replace(OPTIONS, mode=AffineMode(mode))
    start = Affine.from_parameters(scale=[1.1, 1.1, 1.1])
    found = register_classic(*images, options, start=start, iterations=4).transform.affine.linear
    lengths = np.linalg.svd(found)[1]
    assert lengths[0] < 1.099  # towards 1: the case is as large as its atlas
    assert (lengths == pytest.approx([lengths[0]] * 3)) == (mode == "similarity")


def test_higher_regularization_bends_more(images):
    soft, usual, stiff = (
        register_classic(*images, replace(OPTIONS, regularization=sigma), iterations=4).transform.velocity
        for sigma in (5000.0, None, 1500.0)
    )
    assert np.square(soft).mean() > 1.2 * np.square(stiff).mean()
    assert soft.tobytes() == usual.tobytes()


@pytest.mark.parametrize(
    "foreign", [{"iterations": (1, 1, 1)}, {"local_contrast": False}, {"contrast_order": 2}, {"tolerance": 0.1}]
)
def test_what_the_original_cannot_do_is_refused(images, foreign):
    with pytest.raises(InputError, match=f"{next(iter(foreign))} = .*no such option"):
        register_classic(*images, replace(OPTIONS, **foreign), iterations=1)


@pytest.mark.parametrize(
    ("foreign", "message"),
    [
        ({"iterations": (1, 1, 1)}, "--iterations 1 1 1 is for several levels"),
        ({"landmarks": ("a.csv", "b.csv")}, "landmarks cannot pull at the map with --classic"),
        ({"regularization": 8.0}, "--regularization 8 with --classic: at least 1000"),
    ],
)
def test_such_options_are_refused_before_any_work(foreign, message):
    with pytest.raises(InputError, match=message):
        Choice(orientation="LPS", classic=3, **foreign)


def test_landmarks_may_give_the_start():
    chosen = Choice(orientation="LPS", classic=3, landmarks=("a.csv", "b.csv"), landmarks_for="start")
    assert chosen.options(100.0).mode is AffineMode.FIXED_SCALE
    assert Choice(orientation="LPS").options(100.0).mode is AffineMode.AFFINE


class KilledError(Exception):
    pass


def bits(found):
    """All that must be the same: the map, and the history but its seconds."""
    steps = [replace(step, seconds=0.0) for step in found.history]
    return found.transform.velocity.tobytes(), found.transform.affine.matrix.tobytes(), steps


def test_killed_after_any_step_it_goes_on_to_the_same_bits(images, monkeypatch, tmp_path):
    monkeypatch.setattr(registration_module, "_KEPT_EVERY", 0.0)
    whole = bits(register_classic(*images, OPTIONS, iterations=3))
    for last in (1, 2, 3):
        path, done = tmp_path / f"{last}.npz", []

        def killed(state, last=last):
            if len(state.history) == last:
                raise KilledError

        with pytest.raises(KilledError):
            register_classic(*images, OPTIONS, iterations=3, checkpoint=path, watch=killed)
        again = register_classic(*images, OPTIONS, iterations=3, checkpoint=path, watch=done.append)
        assert len(done) == 3 - last
        assert bits(again) == whole


def test_states_are_kept_some_seconds_apart_and_only_for_the_same_work(images, monkeypatch, tmp_path):
    path = tmp_path / "state.npz"
    register_classic(*images, OPTIONS, iterations=1, checkpoint=path)
    assert not path.exists()  # this took less
    monkeypatch.setattr(registration_module, "_KEPT_EVERY", 0.0)
    register_classic(*images, OPTIONS, iterations=2, checkpoint=path)
    done = []
    stiff = replace(OPTIONS, regularization=2000.0)
    register_classic(*images, stiff, iterations=2, checkpoint=path, watch=done.append)
    assert len(done) == 2
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="is a checkpoint that is damaged"):
        register_classic(*images, stiff, iterations=2, checkpoint=path)


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
