"""Synthetic data with known truth: a phantom brain and an acquisition maker."""

from cloudreg_io.synthetic.acquisition import make_acquisition
from cloudreg_io.synthetic.from_volume import inverted, make_from_volume
from cloudreg_io.synthetic.index import Coverage, IndexCode, check_coverage, make_index_acquisition
from cloudreg_io.synthetic.phantom import Phantom, Structure, make_phantom
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
    "IndexCode",
    "Phantom",
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
]
