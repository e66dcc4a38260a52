"""The additive background: what pixels show where there is no tissue.

Blocks without tissue form a narrow cluster at the dark end of all blocks of the sample: its width is read noise.
The background is the mean of that cluster, place by place: it starts at the darkest blocks and
follows the background as it changes over the plane. If there is no such cluster (every plane is full of tissue),
the darkest pixels of the sample are the best that can be said.
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


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """An estimate of the background.

    Attributes
    ----------
    field : [y, x] float32
        On fine blocks, in counts.
    certain : bool
        Whether places without tissue were found; otherwise the darkest pixels were taken.
    noise : float
        Standard deviation of the mean of a block without tissue, in counts.
    """

    field: Float32
    certain: bool
    noise: float


def estimate_background(planes: ShrunkenPlanes) -> Background:
    """The background of a sample of planes."""
    means = planes.means
    start = float(np.quantile(means, _DARKEST))
    noise = _block_noise(means)
    reach = _WIDTH * noise + _HAZE * max(0.0, float(np.quantile(means, 0.9)) - start)
    if not _is_cluster(means, start, reach):
        return Background(np.full(means.shape[1:], planes.dark.min(), np.float32), False, noise)
    coarse = planes.blocks.to_coarse(means)
    field = np.full(coarse.shape[1:], start)
    for _ in range(_ROUNDS):
        inside = np.abs(coarse - field) <= reach
        spread = max(noise, 0.1)
        field = smooth_mean(coarse, inside / spread**2, strength=1.0)
    return Background(planes.blocks.coarse_to_fine(field).astype(np.float32), True, noise)


def _block_noise(means: Float32) -> float:
    """Noise of the darkest blocks, from differences between neighbours."""
    dark = means <= np.quantile(means, 0.02)
    both = dark[:, :, 1:] & dark[:, :, :-1]
    steps = np.diff(means, axis=2)[both]
    return 1.4826 * float(np.median(np.abs(steps))) / 2**0.5 if steps.size else 0.0


def _is_cluster(means: Float32, start: float, reach: float) -> bool:
    """Whether the darkest blocks lie closer together than those just above them, as background does."""
    near = np.mean(means <= start + reach)
    above = np.mean((means > start + reach) & (means <= start + 3 * reach))
    return bool(near >= _LEAST_SHARE and near > above)
