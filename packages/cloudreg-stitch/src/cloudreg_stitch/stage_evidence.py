"""What a few overlaps say about the stage: the evidence along each axis, and the change that would agree with it.

One match as told is enough to believe the metadata about an axis; pairs that do not match anywhere (dark places,
too little overlap) say nothing. Only when several pairs match at one other edge and none as told is the metadata
called wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cloudreg_io.errors import InputError
from cloudreg_io.tiles import StageAxes
from cloudreg_io.tiles.stage import AS_TOLD, all_axes

_NEEDED = 2  # matches at one other edge to call the metadata wrong

# Where a neighbour along an axis may truly lie: there, opposite, or on either side of the other axis.
TURNS = (AS_TOLD, StageAxes(True, True), StageAxes(swap_xy=True), StageAxes(True, True, True))


@dataclass(frozen=True, slots=True)
class AxisEvidence:
    """What the neighbours along one axis show.

    Attributes
    ----------
    axis : "x" or "y"
        Of the grid as told.
    looks : int
        Pairs that were compared, each in one slab of planes.
    matches : mapping of StageAxes to tuple of float
        For each way in which neighbours may truly meet: the correlations of the pairs that match so.
    told : float
        Highest correlation that any pair reached as told.
    """

    axis: str
    looks: int = 0
    matches: Mapping[StageAxes, tuple[float, ...]] = field(default_factory=dict)
    told: float = 0.0

    @property
    def best(self) -> StageAxes | None:
        """How neighbours meet: as told when any pair says so, else as most say; None when that is not clear."""
        if self.matches.get(AS_TOLD):
            return AS_TOLD
        ranked = sorted(self.matches, key=lambda turn: len(self.matches[turn]), reverse=True)
        if not ranked or len(self.matches[ranked[0]]) < min(_NEEDED, self.looks):
            return None
        clear = len(ranked) == 1 or len(self.matches[ranked[0]]) > 2 * len(self.matches[ranked[1]])
        return ranked[0] if clear else None

    def correlation(self, turn: StageAxes) -> float:
        """Median correlation of the pairs that match in this way; 0 when none does."""
        return float(np.median(self.matches[turn])) if self.matches.get(turn) else 0.0


@dataclass(frozen=True, slots=True)
class StageReport:
    """What the overlaps say about the stage.

    Attributes
    ----------
    evidence : tuple of AxisEvidence
        Of the axes along which there are neighbours.
    better : StageAxes
        The change, to what the positions are now, under which the overlaps match; none when they do now, or
        nothing can be told.
    planes, bytes_read : int
        What was decoded, and read for it.
    """

    evidence: tuple[AxisEvidence, ...]
    better: StageAxes
    planes: int = 0
    bytes_read: int = 0

    @property
    def confirmed(self) -> bool:
        """Whether the overlaps along every axis match as told."""
        return all(axis.best == AS_TOLD for axis in self.evidence)

    @property
    def silent(self) -> tuple[str, ...]:
        """Axes whose neighbours match nowhere."""
        return tuple(axis.axis for axis in self.evidence if axis.best is None)

    def in_words(self) -> str:
        """One line: what each axis shows."""
        return "; ".join(_in_words(axis) for axis in self.evidence) or "no tile has a neighbour"

    def require(self, axes: StageAxes = AS_TOLD) -> None:
        """Stop when the tiles overlap elsewhere than told.

        Parameters
        ----------
        axes : StageAxes
            Those that the user gave already.

        Raises
        ------
        InputError
            Naming the options under which the overlaps match.
        """
        if not self.better:
            return
        wanted = axes.then(self.better)
        options = str(wanted) or f"leave {axes} out"
        raise InputError(
            f"neighbouring tiles do not overlap where the positions say: {self.in_words()}",
            why=_WHY[self.better.swap_xy],
            fix=f"{options}: the overlaps then correlate {self._promised():.2f}; "
            "or --no-check-stage to go on as it is",
        )

    def _promised(self) -> float:
        ways = [(axis, _turn_of(self.better, axis.axis)) for axis in self.evidence]
        return float(np.median([axis.correlation(turn) for axis, turn in ways if axis.matches.get(turn)]))

    def to_json(self) -> dict[str, Any]:
        """As a JSON value."""
        return {
            "confirmed": self.confirmed,
            "better": str(self.better) or None,
            "axes": [
                {
                    "axis": axis.axis,
                    "pairs_compared": axis.looks,
                    "correlation_as_told": round(axis.told, 3),
                    "matches": {str(turn) or "as told": len(found) for turn, found in axis.matches.items()},
                }
                for axis in self.evidence
            ],
        }


_WHY = {
    False: "the stage's axis runs against the image's, or the columns or rows were numbered from the other end",
    True: "the stage's x runs along the image's rows, or rows and columns were exchanged",
}


def _in_words(axis: AxisEvidence) -> str:
    told = axis.correlation(AS_TOLD)
    if axis.best == AS_TOLD:
        return f"{axis.axis} correlates {told:.2f} as told"
    pairs = f"{axis.looks} overlap{'s' if axis.looks != 1 else ''} compared"
    if axis.best is None:
        return f"{axis.axis} cannot be told ({pairs}: too dark, too little, or nothing in them)"
    there = "opposite edges" if not axis.best.swap_xy else "the edges of the other axis"
    better = axis.correlation(axis.best)
    return f"{axis.axis} correlates {axis.told:.2f} as told, but {better:.2f} at {there} ({pairs})"


def simplest_change(evidence: Sequence[AxisEvidence]) -> StageAxes:
    """The change that agrees with every axis that is clear, and with most of the others; the simplest of such."""
    if all(axis.best in (None, AS_TOLD) for axis in evidence):
        return AS_TOLD
    fitting = [
        axes for axes in all_axes() if all(axis.best in (None, _turn_of(axes, axis.axis)) for axis in evidence)
    ]
    # none where the axes contradict each other: then nothing can be told
    return max(fitting, key=lambda axes: _agreeing(axes, evidence), default=AS_TOLD)


def _agreeing(axes: StageAxes, evidence: Sequence[AxisEvidence]) -> int:
    return sum(len(axis.matches.get(_turn_of(axes, axis.axis), ())) for axis in evidence)


def _turn_of(axes: StageAxes, axis: str) -> StageAxes:
    """Which of the four turns these axes are for neighbours along one axis."""
    along_x = (axis == "x") != axes.swap_xy
    flip = axes.flip_x if along_x else axes.flip_y
    return StageAxes(flip, flip, axes.swap_xy)
