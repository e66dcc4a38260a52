"""What a tile is like: bright or dark, noisy, clipped, blank, the same as another.

Whether a tile shows anything is read from how it changes from one plane to the next. Noise is independent
from voxel to voxel, so binning by n × n divides its variance by n²; tissue is not. The ratio

    contrast = n² var(change of the binned plane) / var(change of the plane)

is 1 for noise alone and up to n² for tissue, whatever the gain of the camera; the difference of two planes
also removes dust, vignetting and hot pixels, which are the same in both.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLANK_CONTRAST = 1.1
_DARK_CONTRAST = 1.25  # at 60 counts of tissue over a noise of 6 it is above 2
_EVERY = 8  # planes between two samples of the statistics
_ROWS = 16  # rows between two samples of the noise


@dataclass(frozen=True, slots=True)
class TileStatistics:
    """Statistics of one tile.

    Attributes
    ----------
    mean : float
        Counts.
    change : float
        Standard deviation, in counts, of the difference of successive planes divided by √2: an upper bound
        of the noise.
    contrast : float
        1 for noise alone; larger where neighbouring voxels change together. 0 when nothing changes at all.
    saturated : float
        Fraction of voxels at the largest value of the data type.
    digest : str
        Equal for tiles of equal content.
    absent : tuple of int
        Planes that are missing and were read as 0.
    small_absent : tuple of int
        Planes of the small copy without data.
    """

    mean: float
    change: float
    contrast: float
    saturated: float
    digest: str
    absent: tuple[int, ...] = ()
    small_absent: tuple[int, ...] = ()

    @property
    def blank(self) -> bool:
        """Whether there is nothing but noise."""
        return self.contrast < _BLANK_CONTRAST

    @property
    def dark(self) -> bool:
        """Whether what there is changes so much less than noise that a match in it proves nothing."""
        return self.contrast < _DARK_CONTRAST

    def to_json(self) -> dict[str, Any]:
        """For the journal."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> TileStatistics:
        """From the journal."""
        lists = {name: tuple(value[name]) for name in ("absent", "small_absent")}
        return cls(**{**value, **lists})


class StatisticsGatherer:
    """Gathers the statistics of one tile while its planes go by."""

    def __init__(self, dtype: np.dtype[Any], edge: int) -> None:
        self._edge = edge
        self._limit = np.iinfo(dtype).max if dtype.kind in "ui" else None
        self._hash = hashlib.blake2b(digest_size=12)
        self._saturated = self._seen = 0
        self._before: tuple[int, NDArray[Any], NDArray[np.float32]] | None = None
        self._change: list[tuple[float, float]] = []

    def add(self, z: int, plane: NDArray[Any], binned: NDArray[np.float32]) -> None:
        """Look at the next plane; most are let pass."""
        if self._before is not None and z == self._before[0] + 1:
            _, rows, bins = self._before
            voxels = plane[::_ROWS].astype(np.float32) - rows
            self._change.append((_variance(voxels), _variance(binned - bins)))
            self._before = None
        if z % _EVERY == 0:
            self._before = (z, plane[::_ROWS].astype(np.float32), binned.copy())
            self._hash.update(binned.data)
            if self._limit is not None:
                self._saturated += int(np.count_nonzero(plane[:: _ROWS // 2] == self._limit))
                self._seen += plane[:: _ROWS // 2].size

    def result(self, mean: float, absent: list[int], small_absent: list[int]) -> TileStatistics:
        """The statistics of all planes seen."""
        voxels, bins = np.mean(self._change, axis=0) if self._change else (np.nan, np.nan)
        if np.isnan(voxels):  # a single plane tells nothing of its noise
            contrast, voxels = float(self._edge**2), 0.0
        else:
            contrast = float(self._edge**2 * bins / voxels) if voxels > 0 else 0.0
        return TileStatistics(
            mean=mean,
            change=float(np.sqrt(voxels / 2)),
            contrast=contrast,
            saturated=self._saturated / max(1, self._seen),
            digest=self._hash.hexdigest(),
            absent=tuple(absent),
            small_absent=tuple(small_absent),
        )


def _variance(values: NDArray[np.float32]) -> float:
    return float(np.var(values, dtype=np.float64))
