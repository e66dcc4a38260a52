"""Synthetic data with known truth: a phantom brain, an acquisition maker, registrations with known answer."""

from cloudreg_io.files.structures import Structure
from cloudreg_io.synthetic.acquisition import make_acquisition
from cloudreg_io.synthetic.damage import DamageSpec
from cloudreg_io.synthetic.deformation import Deformation, random_deformation
from cloudreg_io.synthetic.from_volume import inverted, make_from_volume
from cloudreg_io.synthetic.index import Coverage, IndexCode, check_coverage, make_index_acquisition
from cloudreg_io.synthetic.phantom import Phantom, make_phantom
from cloudreg_io.synthetic.registration_case import RegistrationCase, make_registration_case
from cloudreg_io.synthetic.scene import ArrayScene, BrainScene, Scene
from cloudreg_io.synthetic.spec import PERFECT_OPTICS, AcquisitionSpec
from cloudreg_io.synthetic.truth import TruePair, TrueTile, Truth
from cloudreg_io.synthetic.vignetting import FAMILIES, flat_field

__all__ = [
    "FAMILIES",
    "PERFECT_OPTICS",
    "AcquisitionSpec",
    "ArrayScene",
    "BrainScene",
    "Coverage",
    "DamageSpec",
    "Deformation",
    "IndexCode",
    "Phantom",
    "RegistrationCase",
    "Scene",
    "Structure",
    "TruePair",
    "TrueTile",
    "Truth",
    "check_coverage",
    "flat_field",
    "inverted",
    "make_acquisition",
    "make_from_volume",
    "make_index_acquisition",
    "make_phantom",
    "make_registration_case",
    "random_deformation",
]
