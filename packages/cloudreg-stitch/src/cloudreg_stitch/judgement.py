"""What is said of each tile: its confidence, its flags, and the evidence for them in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cloudreg_stitch.displacement import Measurement
from cloudreg_stitch.null import evidence_against
from cloudreg_stitch.solve import Solution
from cloudreg_stitch.survey import Survey

_LOW = 0.3
_DRIFT = 0.5  # voxels over an overlap
_SATURATED = 0.01


_Remark = tuple[str, str]  # flag, or nothing, and the evidence for it


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of one tile.

    Attributes
    ----------
    confidence : float
        0 (the stage position) to 1.
    flags : tuple of str
        Of `placement.FLAGS`.
    evidence : tuple of str
        Sentences, one for each thing that is remarkable.
    """

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
    used : frozenset of int
        Pairs on which positions rest.
    weights : mapping of pair to float
        How far the solution believes each link.
    pairs_of : tuple of tuple of int
        Pairs of each tile.
    """

    survey: Survey
    measurements: Sequence[Measurement]
    confidences: Sequence[float]
    level: float
    links: Sequence[int]
    solution: Solution
    pinned: frozenset[int]
    duplicates: Mapping[int, Mapping[int, str]]

    used: frozenset[int] = field(init=False)
    weights: Mapping[int, float] = field(init=False)
    pairs_of: tuple[tuple[int, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        used = frozenset(pair for pair, used in zip(self.links, self.solution.used, strict=True) if used)
        pairs_of: list[list[int]] = [[] for _ in self.survey.plan.grid.tiles]
        for i, pair in enumerate(self.survey.plan.pairs):
            pairs_of[pair.a].append(i)
            pairs_of[pair.b].append(i)
        object.__setattr__(self, "used", used)
        object.__setattr__(self, "weights", dict(zip(self.links, self.solution.weights.tolist(), strict=True)))
        object.__setattr__(self, "pairs_of", tuple(map(tuple, pairs_of)))

    def dark(self, tile: int) -> bool:
        """Whether a tile holds too little to be aligned."""
        statistics = self.survey.tiles[tile]
        return statistics is not None and statistics.dark

    def blank(self, tile: int) -> bool:
        """Whether a tile holds nothing."""
        statistics = self.survey.tiles[tile]
        return statistics is not None and statistics.blank

    def trusted(self, tile: int) -> bool:
        """Whether a tile is placed by more than the stage."""
        return tile in self.pinned or bool(self.used.intersection(self.pairs_of[tile]))


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
    pairs = findings.pairs_of[tile]
    used = findings.used.intersection(pairs)
    confidence = _confidence(findings, tile, used)
    if tile in findings.pinned:
        remarks = [("pinned", "the placement file says so")]
    elif used:
        remarks = _about_placed(findings, pairs, used, confidence, connected)
    elif findings.dark(tile) and not findings.blank(tile):
        remarks = [("stage_position", "too dark to be aligned"), ("low_confidence", _dark(findings, tile))]
    else:
        remarks = [("stage_position", _why_not_placed(findings, tile, pairs))]
    remarks += _about_content(findings, tile, placed=bool(used))
    return Verdict(
        confidence,
        tuple(flag for flag, _ in remarks if flag),
        tuple(f"{flag}: {reason}" if flag else reason for flag, reason in remarks),
    )


def _about_placed(
    findings: Findings, pairs: Sequence[int], used: frozenset[int], confidence: float, connected: bool
) -> list[_Remark]:
    remarks = []
    if reason := _doubt(findings, pairs, used, confidence, connected):
        remarks.append(("low_confidence", reason))
    drifting = [findings.measurements[i].drift for i in used if findings.measurements[i].drift > _DRIFT]
    if 2 * len(drifting) > len(used):
        remarks.append(("drift", f"its displacement changes by up to {max(drifting):.1f} voxels over an overlap"))
    return remarks


def _about_content(findings: Findings, tile: int, placed: bool) -> list[_Remark]:
    remarks = []
    statistics = findings.survey.tiles[tile]
    if statistics and statistics.blank and not placed:
        remarks.append(("blank", _blank(statistics.contrast, statistics.change, statistics.mean)))
    if statistics and statistics.saturated > _SATURATED:
        remarks.append(("saturated", f"{statistics.saturated:.1%} of the voxels are at the largest value"))
    alike = findings.duplicates.get(tile, {})
    names = {other: findings.survey.plan.grid.tiles[other].name for other in alike}
    if alike and not placed:
        reasons = "; ".join(f"of {names[other]}: {reason}" for other, reason in alike.items())
        remarks.append(("duplicate", reasons))
    elif copies := [names[other] for other in alike if not findings.trusted(other)]:
        remarks.append(("", f"{', '.join(copies)} shows the same, but this one fits its neighbours"))
    return remarks


def _confidence(findings: Findings, tile: int, used: frozenset[int]) -> float:
    if tile in findings.pinned:
        return 1.0
    doubt = float(np.prod([1 - findings.confidences[i] * findings.weights[i] for i in sorted(used)]))
    return round(1 - doubt, 3) if used else 0.0


def _blank(contrast: float, change: float, mean: float) -> str:
    if contrast == 0:
        return f"no voxel changes from plane to plane (mean {mean:.0f} counts)"
    return (
        f"it changes from plane to plane as noise of {change:.1f} counts does "
        f"(contrast {contrast:.2f}, where noise has 1.00)"
    )


def _dark(findings: Findings, tile: int) -> str:
    statistics = findings.survey.tiles[tile]
    if statistics is None:
        return "nothing is known of it"
    return (
        f"dark: its change from plane to plane, {statistics.change:.1f} counts, is nearly all noise "
        f"(contrast {statistics.contrast:.2f}, where noise has 1.00)"
    )


def _why_not_placed(findings: Findings, tile: int, pairs: Sequence[int]) -> str:
    reasons = []
    for i in pairs:
        pair = findings.survey.plan.pairs[i]
        neighbour = pair.b if pair.a == tile else pair.a
        other = findings.survey.plan.grid.tiles[neighbour].name
        if findings.dark(tile) or findings.dark(neighbour):
            reason = "there is too little in one of them to compare"
        elif findings.confidences[i] > 0:
            reason = "contradicts the other displacements"
        else:
            reason = evidence_against(findings.measurements[i], findings.level)
        reasons.append(f"{other}: {reason}")
    return "; ".join(reasons) if reasons else "it has no scanned neighbour"


def _doubt(
    findings: Findings, pairs: Sequence[int], used: frozenset[int], confidence: float, connected: bool
) -> str:
    believed = [i for i in pairs if findings.confidences[i] > 0]
    if not connected:
        return "no displacement connects it and its neighbours to the largest part of the grid"
    if len(believed) > 2 * len(used):
        return f"{len(believed) - len(used)} of its {len(believed)} displacements contradict the others"
    if confidence < _LOW:
        return f"its displacements are weak (confidence {confidence:.2f})"
    return ""
