"""The displacement of two neighbouring tiles: coarse search, then sub-voxel fit. One unit of work a pair."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.run import Shared
from cloudreg_io.space import Vector3, Vector3i
from cloudreg_stitch.blocks import FullStrip, SlabPair
from cloudreg_stitch.correlation import CorrelationMap, Range, correlate
from cloudreg_stitch.highpass import highpass
from cloudreg_stitch.peak import quadratic_peak
from cloudreg_stitch.refine import Refined, refine
from cloudreg_stitch.scratch_arrays import PlaneReader
from cloudreg_stitch.strips import PairPlan, Strip, SurveyPlan, side_of_a, side_of_b
from cloudreg_stitch.survey import Survey, strips_folder

_TEXTURE = 24  # voxels: what varies over more than twice this is taken for shading
_MANY_PLANES = 16
_PEAKS = 3
LEAST_SCORE = 4.0  # standard deviations: a lower peak is never believed
_RIVAL = 0.7  # a second peak as high as this part of the first is looked at too


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was found between two tiles.

    Attributes
    ----------
    found : bool
        Whether there was anything to correlate at all.
    displacement, sigma : (x, y, z) float
        position(b) − position(a) and its standard error, in voxels.
    score : float
        Height of the correlation peak in standard deviations of the null (`correlation`).
    null : float
        Height of the highest peak of the null, in the same unit.
    trials : int
        Number of shifts that were tried.
    lowest : float
        Most negative correlation in the same unit.
    ncc : float
        Correlation at the displacement: of the blocks, or of the binned strips without blocks.
    blocks, agreeing : int
        Blocks at full resolution, and how many of them say the same within a voxel.
    drift : float
        Significant change of the displacement over the overlap, in voxels.
    """

    found: bool
    displacement: Vector3
    sigma: Vector3
    score: float = 0.0
    null: float = 0.0
    trials: int = 0
    lowest: float = 0.0
    ncc: float = 0.0
    blocks: int = 0
    agreeing: int = 0
    drift: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """For the journal."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Measurement:
        """From the journal."""
        vectors = {name: tuple(value[name]) for name in ("displacement", "sigma")}
        return cls(**{**value, **vectors})


@dataclass(frozen=True, slots=True)
class PairTask:
    """A pair to be measured.

    Attributes
    ----------
    survey : Shared of Survey
    pair : int
        Index in the survey's plan.
    centre : (x, y, z) float
        Displacement around which to search, in voxels.
    search : (x, y, z) int
        How far, in voxels.
    """

    survey: Shared[Survey]
    pair: int
    centre: Vector3
    search: Vector3i


def measure_pair(task: PairTask) -> dict[str, Any]:
    """Measure one pair; a stage function."""
    survey = task.survey.get()
    return measure(survey, survey.plan.pairs[task.pair], task.centre, task.search).to_json()


def measure(survey: Survey, pair: PairPlan, centre: Vector3, search: Vector3i) -> Measurement:
    """Find the displacement of a pair within `search` voxels of `centre`."""
    nothing = Measurement(False, centre, (math.inf, math.inf, math.inf))
    if pair.strip_a is None or pair.strip_b is None:
        return nothing
    folder_a = strips_folder(survey.scratch, survey.channel, pair.a)
    folder_b = strips_folder(survey.scratch, survey.channel, pair.b)
    binned_a = np.load(folder_a / f"{side_of_a(pair.axis)}_binned.npy")
    binned_b = np.load(folder_b / f"{side_of_b(pair.axis)}_binned.npy")
    if min(binned_a.size, binned_b.size) == 0:
        return nothing
    frame = BinFrame.of(survey.plan, pair.strip_a, pair.strip_b)
    radius = max(2, _TEXTURE // survey.plan.bin)
    found = correlate_binned(binned_a, binned_b, frame.shifts(centre, search), radius)
    return _refine(_SlabFiles(survey, pair, folder_a, folder_b), found, frame, nothing)


def correlate_binned(
    binned_a: NDArray[np.float32], binned_b: NDArray[np.float32], shifts: tuple[Range, Range, Range], radius: int
) -> CorrelationMap:
    """Correlate the texture, finer than `radius` bins, of two binned strips [z, y, x] at shifts along z, y, x."""
    return correlate(_texture(binned_a, radius), _texture(binned_b, radius), shifts)


def peak_and_noise(found: CorrelationMap) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Correlation and null, each by how much is in common, and the standard deviation of the null."""
    score, null = found.ncc * found.weight, found.null * found.weight
    tried = null[found.weight > 0]
    return score, null, float(np.sqrt(np.mean(np.square(tried, dtype=np.float64)))) if tried.size else 0.0


def _texture(binned: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """What of a strip can be told from shading, dust and the camera's own pattern."""
    texture: NDArray[np.float32] = highpass(binned, radius)
    if len(texture) >= _MANY_PLANES:
        # what is the same in all planes is the camera's rather than the sample's
        texture -= texture.mean(axis=0, dtype=np.float64).astype(np.float32)
    return texture


@dataclass(frozen=True, slots=True)
class BinFrame:
    """How a shift of bins and a displacement of tiles belong together.

    Attributes
    ----------
    edge : (z, y, x) int
        Of a bin, in voxels.
    offset : (z, y, x) int
        Displacement at shift 0, in voxels.
    """

    edge: tuple[int, int, int]
    offset: tuple[int, int, int]

    @classmethod
    def of(cls, plan: SurveyPlan, a: Strip, b: Strip) -> BinFrame:
        """Of two strips of a plan."""
        return cls((plan.bin_z, plan.bin, plan.bin), (0, a.y[0] - b.y[0], a.x[0] - b.x[0]))

    def shifts(self, centre: Vector3, search: Vector3i) -> tuple[Range, Range, Range]:
        """Shifts along z, y, x that cover `search` voxels around the displacement `centre`, both x, y, z."""
        z, y, x = (
            (math.floor((c - s - o) / e), math.ceil((c + s - o) / e))
            for c, s, o, e in zip(centre[::-1], search[::-1], self.offset, self.edge, strict=True)
        )
        return z, y, x

    def displacement(self, shift: NDArray[np.float64]) -> Vector3:
        """Displacement x, y, z in voxels of a shift z, y, x in bins."""
        z, y, x = (float(v) for v in np.array(self.offset) + shift * self.edge)
        return (x, y, z)


def _refine(files: _SlabFiles, found: CorrelationMap, frame: BinFrame, nothing: Measurement) -> Measurement:
    score, null, sigma = peak_and_noise(found)
    if sigma == 0:
        return nothing
    hopeless = bool(score.max() <= max(LEAST_SCORE * sigma, null.max()))
    looked_at = [(_at_peak(files, found, frame, peak, hopeless), peak) for peak in _peaks(score)]
    best, peak = max(looked_at, key=lambda item: item[0].ncc)
    return Measurement(
        found=True,
        displacement=best.displacement,
        sigma=best.sigma,
        score=float(score[peak]) / sigma,
        null=float(null.max()) / sigma,
        trials=int(np.count_nonzero(found.weight)),
        lowest=float(score.min()) / sigma,
        ncc=best.ncc,
        blocks=best.blocks,
        agreeing=best.agreeing,
        drift=best.drift,
    )


def _at_peak(
    files: _SlabFiles, found: CorrelationMap, frame: BinFrame, peak: tuple[int, int, int], hopeless: bool
) -> Refined:
    inside = tuple(min(max(p, 1), max(1, n - 2)) for p, n in zip(peak, found.ncc.shape, strict=True))
    around = found.ncc[tuple(slice(p - 1, p + 2) for p in inside)].astype(np.float64)
    offset = quadratic_peak(around) if peak == inside and around.shape == (3, 3, 3) else np.zeros(3)
    coarse = frame.displacement(np.array(peak) + found.first + offset)
    # a peak between two bins can be off by most of a bin when the texture is coarse
    radius = tuple(e // 2 + 1 if e > 1 else 1 for e in frame.edge)
    refined = None if hopeless else refine(files.pair, coarse, radius)  # type: ignore[arg-type]
    if refined is not None:
        return refined
    z, y, x = (e / 2 for e in frame.edge)
    return Refined(coarse, (x, y, z), float(found.ncc[peak]), 0, 0, 0.0)


def _peaks(score: NDArray[np.float32]) -> list[tuple[int, int, int]]:
    """The highest point, and others as high as `_RIVAL` of it that are not next to a higher one."""
    left = score.copy()
    found: list[tuple[int, int, int]] = []
    highest = float(score.max())
    while len(found) < _PEAKS:
        z, y, x = (int(v) for v in np.unravel_index(int(left.argmax()), left.shape))
        if found and left[z, y, x] < _RIVAL * highest:
            break
        found.append((z, y, x))
        left[max(0, z - 2) : z + 3, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = -np.inf
    return found


class _SlabFiles:
    """The full-resolution strips of a pair, opened only when a peak asks for them."""

    def __init__(self, survey: Survey, pair: PairPlan, folder_a: Path, folder_b: Path) -> None:
        assert pair.strip_a is not None
        assert pair.strip_b is not None
        absent: set[int] = set()
        for index in (pair.a, pair.b):
            if statistics := survey.tiles[index]:
                absent.update(statistics.absent)
        slabs = survey.plan.slabs
        usable = [not absent.intersection(range(z0, z1)) for z0, z1 in slabs]
        a = PlaneReader(folder_a / f"{side_of_a(pair.axis)}_slabs.npy")
        b = PlaneReader(folder_b / f"{side_of_b(pair.axis)}_slabs.npy")
        self.pair = SlabPair(FullStrip(a, pair.strip_a), FullStrip(b, pair.strip_b), slabs, usable)
