"""Nothing of a registration mixes tensors of a graphics card with tensors of the processor."""

import numpy as np
import pytest
import torch

from cloudreg_register.classic import registration as classic
from cloudreg_register.lddmm import registration
from cloudreg_register.lddmm.landmark_term import LandmarkTerm
from cloudreg_register.lddmm.options import RegisterOptions
from support.card import CARD, card
from support.small_registration import case_of, coarsest, images_of, phantom


@pytest.fixture(scope="module")
def images():
    return images_of(case_of(phantom()))


@pytest.fixture
def on_card(monkeypatch):
    """Run with a card in place of the processor."""

    def run(found):
        for module in (registration, classic):
            monkeypatch.setattr(module, "chosen_device", lambda _: CARD)
        with card():
            return found()

    return run


def same(a, b):
    """Equal but for the order of sums."""
    return np.allclose(a.transform.velocity, b.transform.velocity, atol=0.1) and np.allclose(
        a.transform.affine.matrix, b.transform.affine.matrix, atol=0.1
    )


def test_the_card_refuses_tensors_of_the_processor():
    with card():
        there, here = torch.zeros(3, device=CARD), torch.ones(3)
        assert (there + here[0]).cpu().numpy().tolist() == [1, 1, 1]
        for mixed in (lambda: there + here, lambda: here * there.sum(), lambda: there @ here):
            with pytest.raises(AssertionError, match="of the processor beside"):
                mixed()
        with pytest.raises((RuntimeError, TypeError)):
            there.numpy()


@pytest.mark.parametrize("landmarks", [False, True], ids=["images", "landmarks"])
def test_a_registration(images, on_card, monkeypatch, tmp_path, landmarks):
    monkeypatch.setattr(registration, "default_levels", coarsest)
    points = torch.tensor([[0.0, 0.0, 0.0], [1000.0, 500.0, -800.0]], dtype=torch.float64)
    more = {"landmarks": LandmarkTerm(points, points + 200, 100.0)} if landmarks else {}
    options = RegisterOptions(threads=1, iterations=(10, 1, 1))

    def found(path):
        return registration.register(*images, options, checkpoint=path, **more)

    plain = found(None)
    path = tmp_path / "checkpoint.npz"
    assert same(plain, on_card(lambda: found(path)))
    assert same(plain, on_card(lambda: found(path)))  # from the state that was kept last


def test_the_original_schedule(images, on_card, monkeypatch, tmp_path):
    monkeypatch.setattr(classic, "_KEPT_EVERY", 0.0)
    options = RegisterOptions(resolution=500.0, threads=1)

    def found(path):
        return classic.register_classic(*images, options, iterations=2, checkpoint=path)

    plain, path = found(None), tmp_path / "checkpoint.npz"
    assert same(plain, on_card(lambda: found(path)))
    assert same(plain, on_card(lambda: found(path)))
