"""Whether the tiles overlap where the stage says, found out on a few of them before the work begins.

A stage whose x runs against the image's columns, or whose axes are exchanged, still has neighbours as neighbours:
they only meet at other edges. So a few pairs are compared at all four edges, in one slab of planes each, as told
first. What the comparisons mean is `cloudreg_stitch.stage_evidence`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cloudreg_io.run import Run, Unit, count
from cloudreg_io.run.counters import Meter
from cloudreg_io.space import Vector3i
from cloudreg_io.tiles import Acquisition, StageAxes, Tile, TileGrid, TileSource
from cloudreg_io.tiles.stage import AS_TOLD
from cloudreg_stitch.binning import bin_plane
from cloudreg_stitch.displacement import BinFrame, correlate_binned, peak_and_noise
from cloudreg_stitch.options import AlignOptions
from cloudreg_stitch.stage_evidence import TURNS, AxisEvidence, StageReport, simplest_change
from cloudreg_stitch.strips import PairPlan, Strip, SurveyPlan, plan_survey

_LOOKS = 6  # pairs, or depths of a pair, that are compared along an axis
_ENOUGH = 3  # matches at one other edge, after which no further pair is looked at
_DEPTHS = (0.5, 0.3, 0.7, 0.15, 0.85)  # of a tile, where slabs of planes are taken
_SLAB = 12  # planes beyond the search range
_RADIUS = 3  # bins: of coarser texture, such as the outline of the sample, distant places look alike
_CHANCE = 1e-6  # of a match by chance in one comparison
_ABOVE_NULL = 1.5
_LEAST_NCC = 0.15
_SURE = 0.6  # a correlation as told that no other edge will exceed by much
_RIVAL = 0.67  # of the highest correlation at any edge: what is lower is no match, however unlikely by chance


def check_stage(source: TileSource, search: Vector3i) -> StageReport:
    """Compare a few neighbours at all edges.

    Parameters
    ----------
    source : TileSource
        Of one channel; raw planes will do. Missing planes must read as 0.
    search : (x, y, z) int
        How far, in voxels, neighbours may be off.

    Returns
    -------
    StageReport
    """
    meter = Meter()
    comparison = _Comparison.of(source, search)
    evidence = tuple(
        comparison.look(axis, pairs)
        for axis in "xy"
        if (pairs := [(a, b) for a, b, along in source.grid.neighbours() if along == axis])
    )
    cost = meter.cost()
    return StageReport(evidence, simplest_change(evidence), comparison.planes, cost.bytes_read)


def look_at_stage(
    acquisition: Acquisition, channel: str, options: AlignOptions, axes: StageAxes = AS_TOLD
) -> StageReport:
    """Check the stage before a command makes its OUT folder.

    Parameters
    ----------
    acquisition : Acquisition
        Opened with `axes`.
    channel : str
        The alignment channel.
    options : AlignOptions
        Its search range is used.
    axes : StageAxes
        Those that the user gave.

    Raises
    ------
    InputError
        The tiles overlap elsewhere than told.
    """
    report = check_stage(acquisition.source(channel, fill_missing=True), options.search_of(acquisition.grid))
    report.require(axes)
    return report


def record_look(run: Run, report: StageReport) -> None:
    """Put what was seen, and what it cost, into the journal and the provenance of a run."""
    run.stage("stage check", _record, [Unit("overlaps", report)])  # of the acquisition, not of a channel
    if report.silent:
        run.warn(
            f"nothing in the overlaps along {' and '.join(report.silent)} shows whether the tiles lie as the "
            "positions say: that is taken on trust"
        )


def _record(report: StageReport) -> dict[str, Any]:
    count(planes_decoded=report.planes, bytes_read=report.bytes_read)
    return report.to_json()


@dataclass(slots=True)
class _Comparison:
    """Compares pairs of tiles at all edges.

    `plans` has the strips of a grid as deep as a slab, under each of the four turns.
    """

    source: TileSource
    search: Vector3i
    depth: int
    plans: dict[StageAxes, SurveyPlan]
    pairs: dict[StageAxes, dict[frozenset[str], PairPlan]]
    planes: int = 0

    @classmethod
    def of(cls, source: TileSource, search: Vector3i) -> _Comparison:
        grid = source.grid
        width, height, planes = grid.tile_size
        depth = min(planes, search[2] + _SLAB)
        told = replace(grid, tile_size=(width, height, depth))
        plans = {turn: plan_survey(turn.of(told), search, source.dtype.itemsize) for turn in TURNS}
        pairs = {turn: _by_names(plan) for turn, plan in plans.items()}
        return cls(source, search, depth, plans, pairs)

    def look(self, axis: str, pairs: Sequence[tuple[Tile, Tile]]) -> AxisEvidence:
        """Compare pairs, the middle ones of the grid first, until they agree or enough have been looked at."""
        matches: dict[StageAxes, tuple[float, ...]] = {}
        told, looks = 0.0, 0
        for a, b, z in self._places(pairs):
            looks += 1
            for turn, (ncc, matching) in self._compare(a, b, z).items():
                told = max(told, ncc) if turn == AS_TOLD else told
                if matching:
                    matches[turn] = (*matches.get(turn, ()), ncc)
            if AS_TOLD in matches or any(len(found) >= _ENOUGH for found in matches.values()):
                break
        return AxisEvidence(axis, looks, matches, told)

    def _places(self, pairs: Sequence[tuple[Tile, Tile]]) -> Iterator[tuple[Tile, Tile, int]]:
        """Pairs and first planes of slabs that both tiles have, at most `_LOOKS`."""
        ordered = _from_the_middle(self.source.grid, pairs)
        given = 0
        for fraction in _DEPTHS:
            for a, b in ordered:
                z = self._slab(a, b, fraction)
                if z is not None and given < _LOOKS:
                    given += 1
                    yield a, b, z
            if self.depth >= self.source.grid.planes:
                return  # another depth would be the same planes

    def _slab(self, a: Tile, b: Tile, fraction: float) -> int | None:
        """First plane of a slab at about this part of the planes that both tiles have; None if there is none."""
        both = np.flatnonzero(self.source.present(a) & self.source.present(b))
        if not both.size:
            return None
        centre = int(both[int(fraction * (both.size - 1))])
        return min(max(0, centre - self.depth // 2), self.source.grid.planes - self.depth)

    def _compare(self, a: Tile, b: Tile, z: int) -> dict[StageAxes, tuple[float, bool]]:
        """Correlation, and whether it is a match, of two tiles in each way; the others only if not as told."""
        slabs = {tile.name: self._read(tile, z) for tile in (a, b)}
        found: dict[StageAxes, tuple[float, bool]] = {}
        for turn in TURNS:
            if (pair := self.pairs[turn].get(frozenset(slabs))) is not None:
                found[turn] = self._at(self.plans[turn], pair, slabs)
            ncc, matching = found.get(AS_TOLD, (0.0, False))
            if matching and ncc > _SURE:
                break
        highest = max((ncc for ncc, _ in found.values()), default=0.0)
        return {turn: (ncc, matching and ncc > _RIVAL * highest) for turn, (ncc, matching) in found.items()}

    def _at(self, plan: SurveyPlan, pair: PairPlan, slabs: Mapping[str, NDArray[Any]]) -> tuple[float, bool]:
        if pair.strip_a is None or pair.strip_b is None:
            return 0.0, False
        tiles = plan.grid.tiles
        a = _binned(slabs[tiles[pair.a].name], pair.strip_a, plan)
        b = _binned(slabs[tiles[pair.b].name], pair.strip_b, plan)
        if min(a.size, b.size) == 0:
            return 0.0, False
        shifts = BinFrame.of(plan, pair.strip_a, pair.strip_b).shifts(pair.nominal, self.search)
        correlation = correlate_binned(a, b, shifts, _RADIUS)
        score, null, sigma = peak_and_noise(correlation)
        if sigma == 0:
            return 0.0, False
        peak = int(score.argmax())
        ncc, height = float(correlation.ncc.flat[peak]), float(score.flat[peak])
        level = sigma * float(stats.norm.isf(_CHANCE / max(1, int(np.count_nonzero(correlation.weight)))))
        return ncc, height > max(level, _ABOVE_NULL * float(null.max())) and ncc > _LEAST_NCC

    def _read(self, tile: Tile, z: int) -> NDArray[Any]:
        self.planes += int(self.source.present(tile)[z : z + self.depth].sum())
        return self.source.read(tile, slice(z, z + self.depth))


def _by_names(plan: SurveyPlan) -> dict[frozenset[str], PairPlan]:
    tiles = plan.grid.tiles
    return {frozenset((tiles[pair.a].name, tiles[pair.b].name)): pair for pair in plan.pairs}


def _from_the_middle(grid: TileGrid, pairs: Sequence[tuple[Tile, Tile]]) -> list[tuple[Tile, Tile]]:
    """The sample is mostly in the middle; an edge of the grid is mostly dark."""
    middle = np.array([(grid.rows - 1) / 2, (grid.columns - 1) / 2])

    def distance(pair: tuple[Tile, Tile]) -> float:
        centre = np.mean([(tile.row, tile.column) for tile in pair], axis=0)
        return float(np.linalg.norm(centre - middle))

    return sorted(pairs, key=distance)


def _binned(slab: NDArray[Any], strip: Strip, plan: SurveyPlan) -> NDArray[np.float32]:
    """A strip [z, y, x] of a tile's planes in bins, as a survey keeps it."""
    (y0, y1), (x0, x1), edge = strip.y, strip.x, plan.bin
    planes = np.empty((len(slab), (y1 - y0) // edge, (x1 - x0) // edge), np.float32)
    for plane, out in zip(slab, planes, strict=True):
        bin_plane(np.ascontiguousarray(plane[y0:y1, x0:x1]), edge, out)
    whole = len(slab) // plan.bin_z * plan.bin_z
    grouped = planes[:whole].reshape(-1, plan.bin_z, *planes.shape[1:])
    result: NDArray[np.float32] = grouped.mean(axis=1, dtype=np.float32)
    return result
