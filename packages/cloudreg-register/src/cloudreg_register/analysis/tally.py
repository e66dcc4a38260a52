"""Tally: voxels, intensities and points of each label, counted piece by piece and added up.

Labels are constant over long runs, so a block is cut where the label (or the hemisphere) changes and the runs are
summed: one comparison a voxel in place of a sort.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Side = Literal["left", "right", "both"]
SIDES: tuple[Side, ...] = ("left", "right", "both")
Key = tuple[int, Side]


@dataclass(frozen=True, slots=True)
class Count:
    """What one label has on one side: `totals` are the sums of each channel, whole numbers exactly."""

    voxels: int = 0
    totals: tuple[int | float, ...] = ()
    points: int = 0

    def __add__(self, other: Count) -> Count:
        if not self.totals or not other.totals:
            totals = self.totals or other.totals
        else:
            totals = tuple(a + b for a, b in zip(self.totals, other.totals, strict=True))
        return Count(self.voxels + other.voxels, totals, self.points + other.points)


@dataclass(slots=True)
class Tally:
    """Counts by label and side."""

    counts: dict[Key, Count] = field(default_factory=dict)

    def add(self, key: Key, count: Count) -> None:
        """Add to one label."""
        self.counts[key] = self.counts.get(key, Count()) + count

    def add_block(
        self,
        labels: NDArray[Any],
        images: Sequence[NDArray[Any]] = (),
        right: NDArray[np.bool_] | None = None,
    ) -> None:
        """Count a block of voxels.

        Parameters
        ----------
        labels : [z, y, x] of an unsigned type
        images : sequence of [z, y, x]
            One a channel.
        right : [z, y, x] bool, optional
            Which voxels lie in the right hemisphere; without it the side is "both".
        """
        flat = np.ascontiguousarray(labels).ravel()
        if not flat.size:
            return
        side = None if right is None else np.ascontiguousarray(right).ravel()
        changed = flat[1:] != flat[:-1]
        if side is not None:
            changed |= side[1:] != side[:-1]
        starts = np.concatenate([[0], np.flatnonzero(changed) + 1])
        lengths = np.diff(starts, append=flat.size)
        sums = [_run_sums(np.ascontiguousarray(image).ravel(), starts) for image in images]
        sides = None if side is None else side[starts]
        self._add_runs(flat[starts], sides, lengths, sums)

    def add_points(self, labels: NDArray[Any], right: NDArray[np.bool_] | None = None) -> None:
        """Count points [n] by the labels that they lie in."""
        for select, side in _by_side(right, len(labels)):
            ids, numbers = np.unique(labels[select], return_counts=True)
            for number, n in zip(ids.tolist(), numbers.tolist(), strict=True):
                self.add((number, side), Count(points=n))

    def _add_runs(
        self,
        ids: NDArray[Any],
        right: NDArray[np.bool_] | None,
        lengths: NDArray[Any],
        sums: Sequence[NDArray[Any]],
    ) -> None:
        labels = np.unique(ids)
        # small keys: a stable sort of 16-bit numbers is by far the fastest
        sides: tuple[Side, ...] = ("both",) if right is None else ("left", "right")
        small = np.uint16 if len(sides) * len(labels) <= 1 << 16 else np.uint32
        key: NDArray[Any] = np.searchsorted(labels, ids).astype(small)
        if right is not None:
            key = (2 * key + right).astype(small, copy=False)
        order = np.argsort(key, kind="stable")
        key = key[order]
        starts = np.concatenate([[0], np.flatnonzero(key[1:] != key[:-1]) + 1])
        columns = [np.add.reduceat(part[order], starts).tolist() for part in (lengths, *sums)]
        for which, voxels, *totals in zip(key[starts].tolist(), *columns, strict=True):
            label, side = divmod(which, len(sides))
            self.add((int(labels[label]), sides[side]), Count(voxels, tuple(totals)))

    def to_json(self) -> list[list[Any]]:
        """As JSON: [id, side, voxels, points, totals…], sorted."""
        return [
            [number, side, count.voxels, count.points, *count.totals]
            for (number, side), count in sorted(self.counts.items())
        ]

    @classmethod
    def of_json(cls, pieces: Iterable[Sequence[Sequence[Any]]]) -> Tally:
        """The sum of what several pieces of work counted."""
        tally = cls()
        for piece in pieces:
            for number, side, voxels, points, *totals in piece:
                tally.add((number, side), Count(voxels, tuple(totals), points))
        return tally


def _run_sums(values: NDArray[Any], starts: NDArray[np.intp]) -> NDArray[Any]:
    """Sums of runs: of integers exactly (below 2⁶³), of floats in double precision."""
    kind = values.dtype.kind
    wide = np.uint64 if kind in "ub" else np.int64 if kind == "i" else np.float64
    sums: NDArray[Any] = np.add.reduceat(values, starts, dtype=wide)
    return sums


def _by_side(right: NDArray[np.bool_] | None, n: int) -> list[tuple[NDArray[np.bool_], Side]]:
    if right is None:
        return [(np.ones(n, bool), "both")]
    return [(~right, "left"), (right, "right")]
