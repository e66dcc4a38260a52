"""Grid correction: tiles that are darker at their borders leave a grid in x and y, the same in every plane.

The mean over z shows the grid; the anatomy, which changes with z, is smooth in it. Each column is multiplied by
what the mean would be if it were smooth over what it is (CloudReg's correction of COLM data).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from cloudreg_register.preparation.smoothing import smoothed

_SIGMA = 0.3  # units: wider than the seam of two tiles, narrower than the brain
_LEAST = 1e-3  # of the mean brightness: columns that show nothing are left as they are, nearly

Float32 = NDArray[np.float32]


def without_grid(array: Float32, imaged: Float32, spacing: Sequence[float], unit: float) -> Float32:
    """A sample [z, y, x] without the grid of its tiles.

    Parameters
    ----------
    array, imaged : [z, y, x]
        Brightness, and how far each voxel was imaged (0 to 1).
    spacing : (x, y, z) float
        µm.
    unit : float
        Of length, in µm.
    """
    dark = min(0.0, float(array.min()))
    bright = array - dark
    weight = imaged.sum(axis=0, dtype=np.float64)
    column = (bright * imaged).sum(axis=0, dtype=np.float64) / np.maximum(weight, 1e-6)
    least = _LEAST * float((column * weight).sum() / max(weight.sum(), 1e-6))
    sigma = (0.0, _SIGMA * unit / spacing[1], _SIGMA * unit / spacing[0])
    smooth = smoothed(torch.from_numpy(column)[None], torch.from_numpy(weight)[None], sigma)[0].numpy()
    gain = (smooth + least) / (column + least)
    return np.asarray(bright * gain + dark, np.float32)
