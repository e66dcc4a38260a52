"""Synthetic data with known truth: a phantom brain and an acquisition maker."""

from cloudreg_io.synthetic.acquisition import make_acquisition
from cloudreg_io.synthetic.phantom import Phantom, Structure, make_phantom
from cloudreg_io.synthetic.scene import ArrayScene, BrainScene, Scene
from cloudreg_io.synthetic.spec import AcquisitionSpec
from cloudreg_io.synthetic.truth import TruePair, Truth, TrueTile
from cloudreg_io.synthetic.vignetting import FAMILIES, flat_field

__all__ = [
    "FAMILIES",
    "AcquisitionSpec",
    "ArrayScene",
    "BrainScene",
    "Phantom",
    "Scene",
    "Structure",
    "TruePair",
    "TrueTile",
    "Truth",
    "flat_field",
    "make_acquisition",
    "make_phantom",
]
