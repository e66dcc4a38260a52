"""What is said of each tile: its confidence, its flags, and the evidence for them in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cloudreg_stitch.displacement import Measurement
from cloudreg_stitch.null import evidence_against
from cloudreg_stitch.solve import Solution
from cloudreg_stitch.survey import Survey

_LOW = 0.3
_DRIFT = 0.5  # voxels over an overlap
_SATURATED = 0.01


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of one tile."""

    confidence: float
    flags: tuple[str, ...]
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """All that is known when the verdicts are given.

    Attributes
    ----------
    survey : Survey
    measurements : sequence of Measurement
        One for each pair of the plan.
    confidences : sequence of float
        Of each pair; 0 for those that are not believed.
    level : float
        Score that a peak must exceed.
    links : sequence of int
        Pairs that entered the solution, in its order.
    solution : Solution
    pinned : set of int
    duplicates : mapping
        Of `find_duplicates`.
    """

    survey: Survey
    measurements: Sequence[Measurement]
    confidences: Sequence[float]
    level: float
    links: Sequence[int]
    solution: Solution
    pinned: frozenset[int]
    duplicates: Mapping[int, Mapping[int, str]]

    @property
    def used(self) -> set[int]:
        """Pairs on which positions rest."""
        return {pair for pair, used in zip(self.links, self.solution.used, strict=True) if used}

    def pairs_of(self, tile: int) -> list[int]:
        """Pairs of a tile."""
        return [i for i, pair in enumerate(self.survey.plan.pairs) if tile in (pair.a, pair.b)]

    def trusted(self, tile: int) -> bool:
        """Whether a tile is placed by more than the stage."""
        return tile in self.pinned or bool(self.used.intersection(self.pairs_of(tile)))


def judge(findings: Findings) -> list[Verdict]:
    """Give the verdict on every cell of the grid."""
    tiles = findings.survey.plan.grid.tiles
    component = findings.solution.component
    sizes = np.bincount(component[[i for i, tile in enumerate(tiles) if tile.scanned]])
    largest = int(sizes.argmax())
    return [
        _judge_one(findings, i, int(component[i]) == largest) if tile.scanned else Verdict(0.0, ("unscanned",), ())
        for i, tile in enumerate(tiles)
    ]


def _judge_one(findings: Findings, tile: int, connected: bool) -> Verdict:
    pairs = findings.pairs_of(tile)
    used = findings.used.intersection(pairs)
    statistics = findings.survey.tiles[tile]
    flags: list[str] = []
    evidence: list[str] = []

    def say(flag: str, reason: str) -> None:
        flags.append(flag)
        evidence.append(f"{flag}: {reason}")

    if tile in findings.pinned:
        say("pinned", "the placement file says so")
    elif not used:
        say("stage_position", _why_not_placed(findings, tile, pairs))
        if statistics and statistics.blank:
            say("blank", _blank(statistics.contrast, statistics.change, statistics.mean))
    if statistics and statistics.saturated > _SATURATED:
        say("saturated", f"{statistics.saturated:.1%} of the voxels are at the largest value")
    for other, reason in findings.duplicates.get(tile, {}).items():
        if not used or not findings.trusted(other):
            name = findings.survey.plan.grid.tiles[other].name
            if used:
                evidence.append(f"{name} is a duplicate of it, but this one fits its neighbours")
            elif "duplicate" not in flags:
                say("duplicate", f"of {name}: {reason}")
    confidence = _confidence(findings, tile, used)
    if used and tile not in findings.pinned:
        if reason := _doubt(findings, pairs, used, confidence, connected):
            say("low_confidence", reason)
        drifting = [i for i in used if findings.measurements[i].drift > _DRIFT]
        if 2 * len(drifting) > len(used):
            most = max(findings.measurements[i].drift for i in drifting)
            say("drift", f"its displacement changes by up to {most:.1f} voxels over an overlap")
    return Verdict(confidence, tuple(flags), tuple(evidence))


def _confidence(findings: Findings, tile: int, used: set[int]) -> float:
    if tile in findings.pinned:
        return 1.0
    weights = dict(zip(findings.links, findings.solution.weights, strict=True))
    doubt = float(np.prod([1 - findings.confidences[i] * weights[i] for i in sorted(used)]))
    return round(1 - doubt, 3) if used else 0.0


def _blank(contrast: float, change: float, mean: float) -> str:
    if contrast == 0:
        return f"no voxel changes from plane to plane (mean {mean:.0f} counts)"
    return (
        f"it changes from plane to plane as noise of {change:.1f} counts does "
        f"(contrast {contrast:.2f}, where noise has 1.00)"
    )


def _why_not_placed(findings: Findings, tile: int, pairs: Sequence[int]) -> str:
    reasons = []
    for i in pairs:
        pair = findings.survey.plan.pairs[i]
        other = findings.survey.plan.grid.tiles[pair.b if pair.a == tile else pair.a].name
        if findings.confidences[i] > 0:
            reason = "contradicts the other displacements"
        else:
            reason = evidence_against(findings.measurements[i], findings.level)
        reasons.append(f"{other}: {reason}")
    return "; ".join(reasons) if reasons else "it has no scanned neighbour"


def _doubt(findings: Findings, pairs: Sequence[int], used: set[int], confidence: float, connected: bool) -> str:
    believed = [i for i in pairs if findings.confidences[i] > 0]
    if not connected:
        return "no displacement connects it and its neighbours to the largest part of the grid"
    if len(believed) > 2 * len(used):
        return f"{len(believed) - len(used)} of its {len(believed)} displacements contradict the others"
    if confidence < _LOW:
        return f"its displacements are weak (confidence {confidence:.2f})"
    return ""
