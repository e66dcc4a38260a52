"""Synthetic data with known truth: a phantom brain and an acquisition maker."""

from cloudreg_io.synthetic.phantom import Phantom, Structure, make_phantom
from cloudreg_io.synthetic.scene import ArrayScene, BrainScene, Scene

__all__ = ["ArrayScene", "BrainScene", "Phantom", "Scene", "Structure", "make_phantom"]
