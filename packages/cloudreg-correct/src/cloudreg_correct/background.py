"""The additive background: what pixels show where there is no tissue.

Blocks without tissue form a narrow cluster at the dark end of all blocks of the sample: its width is read noise.
The background is the mean of that cluster, place by place: it starts at the darkest blocks and
follows the background as it changes over the plane. If there is no such cluster (every plane is full of tissue),
`offset` finds one number for all pixels instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloudreg_correct.robust import smooth_mean
from cloudreg_correct.shrink import ShrunkenPlanes

Float32 = NDArray[np.float32]

_DARKEST = 0.002  # quantile at which the search begins
_LEAST_SHARE = 0.005  # of all blocks: fewer are no cluster
_WIDTH = 4.0  # standard deviations of a block's noise
_HAZE = 0.01  # of the tissue's brightness: what scattered light may add
_ROUNDS = 6
_DARK_SHARE = 0.05  # of the coarse blocks: where noise is looked for


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """An estimate of the background.

    Attributes
    ----------
    field : [y, x] float32
        On fine blocks, in counts.
    certain : bool
        Whether places without tissue were found; otherwise `field` is only a bound, the darkest pixels.
    noise : float
        Standard deviation of the mean of a fine block without tissue, in counts.
    """

    field: Float32
    certain: bool
    noise: float


def estimate_background(planes: ShrunkenPlanes) -> Background:
    """The background of a sample of planes."""
    blocks = planes.blocks
    coarse = blocks.to_coarse(planes.means)
    start = float(np.quantile(coarse, _DARKEST))
    noise = _fine_noise(blocks.within_coarse(planes.means), coarse)
    spread = noise / (blocks.y.factor * blocks.x.factor) ** 0.5
    reach = _WIDTH * spread + _HAZE * max(0.0, float(np.quantile(coarse, 0.9)) - start)
    field = np.full(blocks.coarse, start)
    for _ in range(_ROUNDS):
        inside = np.abs(coarse - field) <= reach
        field = smooth_mean(coarse, inside / max(spread, 0.1) ** 2, strength=1.0)
    if not _is_cluster(coarse - field, reach):
        return Background(np.full(blocks.fine, planes.dark.min(), np.float32), False, noise)
    return Background(blocks.coarse_to_fine(field).astype(np.float32), True, noise)


def _fine_noise(within: Float32, coarse: NDArray[np.float64]) -> float:
    """Noise of fine blocks: their spread within the darkest coarse blocks, which hold little else."""
    dark = coarse <= np.quantile(coarse, _DARK_SHARE)
    return float(np.median(within[dark].std(axis=1, dtype=np.float64)))


def _is_cluster(above_field: NDArray[np.float64], reach: float) -> bool:
    """Whether many blocks lie at the field and few just above it, as with background and unlike with tissue."""
    near = np.mean(np.abs(above_field) <= reach)
    above = np.mean((above_field > reach) & (above_field <= 3 * reach))
    return bool(near >= _LEAST_SHARE and near > 2 * above)
