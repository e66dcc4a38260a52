"""Shading, background and bias of light-sheet data: estimated robustly, applied without touching the raw data.

The names below are loaded when they are first used: importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cloudreg_correct.bias import bias_stage, estimate_bias
    from cloudreg_correct.corrected import CorrectedTiles
    from cloudreg_correct.sample import ShadingOptions, shading_stage
    from cloudreg_correct.sampling import choose_sample
    from cloudreg_correct.shading import estimate_shading

_HOME = {
    "CorrectedTiles": "corrected",
    "ShadingOptions": "sample",
    "bias_stage": "bias",
    "choose_sample": "sampling",
    "estimate_bias": "bias",
    "estimate_shading": "shading",
    "shading_stage": "sample",
}

__all__ = [
    "CorrectedTiles",
    "ShadingOptions",
    "bias_stage",
    "choose_sample",
    "estimate_bias",
    "estimate_shading",
    "shading_stage",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
