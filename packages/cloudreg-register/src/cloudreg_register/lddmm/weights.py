"""Weights: which voxels show the atlas's tissue, which an artifact, which nothing.

Each voxel of the sample is drawn from one of three sources: tissue, normal about the expected image with the
scatter of its neighbourhood; artifact (bright: dye, bubbles, saturation), normal about one value; background
(torn, cut or empty), normal about another. Expectation: the probability of each source for each voxel, in
logarithms. Maximisation: means, scales and shares of artifact and background, and the contrast of the tissue
(Tward et al., Front. Neurosci. 14:52, 2020). Voxels that were not imaged weigh 0 in everything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# shares never fall below these: a source that has vanished could not come back
_SMALLEST_SHARES = (0.5, 0.02, 0.02)
# scales of artifact and background, in standard deviations of the image: an artifact is broad, background narrow
_ARTIFACT_SCALES = (1.0, 3.0)
_BACKGROUND_SCALES = (0.05, 0.5)
_EMPTY = 1e-3  # voxels


@dataclass(frozen=True, slots=True)
class Mixture:
    """Parameters of the three sources.

    Attributes
    ----------
    shares : (float, float, float)
        Of tissue, artifact, background; they sum to 1.
    artifact, background : (float, float)
        Mean and standard deviation.
    unit : float
        Standard deviation of the image, in which bounds of the scales are given.
    """

    shares: tuple[float, float, float]
    artifact: tuple[float, float]
    background: tuple[float, float]
    unit: float

    @classmethod
    def of_image(cls, image: Tensor, imaged: Tensor) -> Mixture:
        """Where to start: artifacts are like the brightest voxels, background like the darkest."""
        values = image[imaged > 0.5]
        stride = max(1, values.numel() // 1_000_000)
        low, high = (float(q) for q in torch.quantile(values[::stride], values.new_tensor([0.02, 0.98])))
        unit = float(values.std())
        return cls((0.79, 0.2, 0.01), (high, 2.5 * unit), (low, unit), unit)

    def responsibilities(self, image: Tensor, expected: Tensor, scatter: Tensor) -> tuple[Tensor, Tensor]:
        """Expectation.

        Parameters
        ----------
        image, expected, scatter : [z, y, x]
            The sample, the image expected of tissue, and its standard deviation.

        Returns
        -------
        [3, z, y, x]
            Probabilities of tissue, artifact, background; they sum to 1.
        [z, y, x]
            Negative log-likelihood of each voxel, without the constant of the normal distribution.
        """
        logs = torch.stack(
            [
                math.log(self.shares[0]) - torch.log(scatter) - 0.5 * ((expected - image) / scatter) ** 2,
                _log_normal(image, self.shares[1], *self.artifact),
                _log_normal(image, self.shares[2], *self.background),
            ]
        )
        total = torch.logsumexp(logs, dim=0)
        return torch.exp(logs - total), -total

    def updated(self, image: Tensor, responsibilities: Tensor, imaged: Tensor) -> Mixture:
        """Maximisation: the parameters that fit the responsibilities [3, z, y, x] best, within their bounds."""
        counted = responsibilities * imaged
        sums = [float(part.sum(dtype=torch.float64)) for part in counted]
        shares = [max(n / sum(sums), least) for n, least in zip(sums, _SMALLEST_SHARES, strict=True)]
        return Mixture(
            (shares[0] / sum(shares), shares[1] / sum(shares), shares[2] / sum(shares)),
            self._source(image, counted[1], sums[1], _ARTIFACT_SCALES),
            self._source(image, counted[2], sums[2], _BACKGROUND_SCALES),
            self.unit,
        )

    def _source(
        self, image: Tensor, counted: Tensor, total: float, bounds: tuple[float, float]
    ) -> tuple[float, float]:
        mean = float((counted * image).sum(dtype=torch.float64)) / (total + _EMPTY)
        square = float((counted * (image - mean) ** 2).sum(dtype=torch.float64)) / (total + _EMPTY)
        return mean, min(max(math.sqrt(square), bounds[0] * self.unit), bounds[1] * self.unit)


def _log_normal(image: Tensor, share: float, mean: float, scale: float) -> Tensor:
    return math.log(share / scale) - 0.5 * ((image - mean) / scale) ** 2
