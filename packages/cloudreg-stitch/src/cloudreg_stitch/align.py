"""Placement of all tiles of an acquisition: displacements, acceptance, positions, second search, verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.files.atomic import write_json
from cloudreg_io.run import Run, Shared, Unit, digest
from cloudreg_io.space import Vector3, vector3
from cloudreg_io.tiles import TileGrid, TileSource
from cloudreg_stitch.crop import Crop
from cloudreg_stitch.displacement import Measurement, PairTask, measure_pair
from cloudreg_stitch.duplicates import find_duplicates
from cloudreg_stitch.judgement import Findings, Verdict, judge
from cloudreg_stitch.null import confidence, evidence_against, threshold
from cloudreg_stitch.options import AlignOptions
from cloudreg_stitch.placement import Displacement, PlacedTile, Placement
from cloudreg_stitch.solve import Link, Solution, solve
from cloudreg_stitch.strips import PairPlan
from cloudreg_stitch.survey import STRIPS, Survey

PLACEMENT = "placement.json"
QC = "qc/placement.json"
_DIGITS = 4  # of a voxel


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """Where the stage, or a hand, has put the tiles; x, y, z in voxels."""

    stage: NDArray[np.float64]
    pinned: NDArray[np.bool_]
    channel_shift: dict[str, Vector3]

    def between(self, pair: PairPlan) -> Vector3:
        return vector3(self.stage[pair.b] - self.stage[pair.a])


@dataclass(frozen=True, slots=True, eq=False)
class _Outcome:
    """What is handed to the worker that writes the files."""

    out: Path
    survey: Survey
    placement: Placement
    verdicts: list[Verdict]
    findings: Findings


def place(
    run: Run,
    source: TileSource,
    survey: Survey,
    options: AlignOptions | None = None,
    cropped: tuple[Crop, TileGrid] | None = None,
) -> Placement:
    """Find where every tile goes, and write `placement.json` and `qc/placement.json`.

    Parameters
    ----------
    run : Run
    source : TileSource
        Of the alignment channel; only its grid is looked at.
    survey : Survey
        Of the same channel. Its strips are removed afterwards.
    options : AlignOptions
    cropped : (Crop, TileGrid), optional
        Where `source` is a crop of a larger grid: the placement is of that one.

    Raises
    ------
    InputError
        When the given placement file belongs to another acquisition.
    """
    options = options or AlignOptions()
    frame = _frame(source.grid, options)
    keyed = options.to_json()
    first = _measure(run, survey, frame, keyed)
    level = threshold(first)
    seen = _seen(survey)
    measurements, confidences = (
        first,
        [confidence(m, level) if s else 0.0 for m, s in zip(first, seen, strict=True)],
    )
    links, solution = _solve(survey, frame, measurements, confidences)
    again = [i for i in _missed(survey, confidences, solution) if seen[i]]
    if again:
        measurements = _measure_again(run, survey, again, solution, first, keyed)
        # fewer trials, so a lower level; a pair that did not need a second search keeps its confidence
        near = threshold([measurements[i] for i in again])
        confidences = [
            confidence(m, near) if i in again else c
            for i, (m, c) in enumerate(zip(measurements, confidences, strict=True))
        ]
        links, solution = _solve(survey, frame, measurements, confidences)
    findings = Findings(
        survey=survey,
        measurements=measurements,
        confidences=confidences,
        level=level,
        links=links,
        solution=solution,
        pinned=frozenset(np.flatnonzero(frame.pinned).tolist()),
        duplicates=find_duplicates(survey),
    )
    verdicts = judge(findings)
    placement = _placement(source.channel, frame, findings, verdicts)
    if cropped is not None:
        placement = cropped[0].whole(placement, cropped[1])
    outcome = run.share("placement", _Outcome(run.out, survey, placement, verdicts, findings))
    keyed = keyed | {"displacements": digest([m.to_json() for m in measurements])}
    run.stage("placement", _write, [Unit("placement", outcome)], options=keyed, outputs=[PLACEMENT, QC])
    run.discard(f"{STRIPS}/{survey.channel}")
    for tile, verdict in zip(source.grid.tiles, verdicts, strict=True):
        if set(verdict.flags) - {"pinned", "unscanned"}:
            run.warn(f"tile {tile.name}: {'. '.join(verdict.evidence)}")
    return placement


def _frame(grid: TileGrid, options: AlignOptions) -> _Frame:
    stage = np.array([tile.nominal for tile in grid.tiles], np.float64)
    pinned = np.zeros(len(stage), bool)
    if options.placement is None:
        return _Frame(stage, pinned, {})
    given = Placement.load(options.placement)
    if unknown := sorted({tile.name for tile in given.tiles} - {tile.name for tile in grid.tiles}):
        raise InputError(
            f"{options.placement}: tile {unknown[0]} is not in this acquisition",
            why="the placement belongs to another one",
            fix="give the placement.json of this acquisition, or leave --placement out",
        )
    index = {tile.name: i for i, tile in enumerate(grid.tiles)}
    by_hand = {index[tile.name]: tile.position for tile in given.scanned if "pinned" in tile.flags}
    if by_hand:
        chosen = list(by_hand)
        positions = np.array([by_hand[i] for i in chosen])
        # the other tiles follow the frame of the pinned ones
        stage += np.mean(positions - stage[chosen], axis=0)
        stage[chosen] = positions
        pinned[chosen] = True
    return _Frame(stage, pinned, dict(given.channel_shift))


def _key(survey: Survey, pair: PairPlan) -> str:
    tiles = survey.plan.grid.tiles
    return f"{tiles[pair.a].name} {tiles[pair.b].name}"


def _measure(run: Run, survey: Survey, frame: _Frame, options: dict[str, Any]) -> list[Measurement]:
    shared = run.share(f"survey {survey.channel} result", survey)
    plan = survey.plan
    units = [
        Unit(_key(survey, pair), PairTask(shared, i, frame.between(pair), plan.search))
        for i, pair in enumerate(plan.pairs)
    ]
    results = run.stage("displacement", measure_pair, units, channel=survey.channel, options=options)
    return [Measurement.from_json(results[unit.key]) for unit in units]


def _measure_again(
    run: Run,
    survey: Survey,
    again: Sequence[int],
    solution: Solution,
    first: list[Measurement],
    options: dict[str, Any],
) -> list[Measurement]:
    """Search a few pairs once more, near where the other tiles say that they must be."""
    shared = run.share(f"survey {survey.channel} result", survey)
    plan = survey.plan
    x, y, z = plan.search
    reach = (min(x, plan.bin + 2), min(y, plan.bin + 2), min(z, plan.bin_z + 1))
    units = {}
    for i in again:
        pair = plan.pairs[i]
        centre = vector3(solution.positions[pair.b] - solution.positions[pair.a])
        units[i] = Unit(_key(survey, pair), PairTask(shared, i, centre, reach))
    options = options | {"first": digest([m.to_json() for m in first])}
    results = run.stage(
        "displacement again", measure_pair, list(units.values()), channel=survey.channel, options=options
    )
    return [Measurement.from_json(results[units[i].key]) if i in units else m for i, m in enumerate(first)]


def _seen(survey: Survey) -> list[bool]:
    """Whether both tiles of each pair hold enough to be compared; a match in near noise proves nothing."""
    dark = [statistics is not None and statistics.dark for statistics in survey.tiles]
    return [not (dark[pair.a] or dark[pair.b]) for pair in survey.plan.pairs]


def _missed(survey: Survey, confidences: Sequence[float], solution: Solution) -> list[int]:
    """Pairs that are not believed, of tiles that the other pairs connect."""
    component = solution.component
    return [
        i
        for i, pair in enumerate(survey.plan.pairs)
        if confidences[i] == 0 and pair.strip_a is not None and component[pair.a] == component[pair.b]
    ]


def _solve(
    survey: Survey, frame: _Frame, measurements: Sequence[Measurement], confidences: Sequence[float]
) -> tuple[list[int], Solution]:
    chosen = [i for i, trust in enumerate(confidences) if trust > 0]
    pairs = survey.plan.pairs
    links = [Link(pairs[i].a, pairs[i].b, measurements[i].displacement, measurements[i].sigma) for i in chosen]
    return chosen, solve(frame.stage, links, frame.pinned, [confidences[i] for i in chosen])


def _placement(channel: str, frame: _Frame, findings: Findings, verdicts: Sequence[Verdict]) -> Placement:
    grid = findings.survey.plan.grid
    positions = np.where(
        np.array([findings.trusted(i) for i in range(len(grid.tiles))])[:, None],
        findings.solution.positions,
        frame.stage,
    )
    positions = np.round(positions, _DIGITS)
    lowest = positions[[tile.scanned for tile in grid.tiles]].min(axis=0)
    # tiles placed by hand keep their fraction of a voxel
    positions = np.round(positions - (np.floor(lowest) if frame.pinned.any() else lowest), _DIGITS) + 0.0
    tiles = tuple(
        PlacedTile(
            name=tile.name,
            row=tile.row,
            column=tile.column,
            position=vector3(positions[i]) if tile.scanned else tile.nominal,
            nominal=tile.nominal,
            confidence=verdicts[i].confidence,
            flags=verdicts[i].flags,
        )
        for i, tile in enumerate(grid.tiles)
    )
    used = findings.used
    pairs = tuple(
        Displacement(
            a=grid.tiles[pair.a].name,
            b=grid.tiles[pair.b].name,
            axis=pair.axis,
            displacement=vector3(np.round(found.displacement, _DIGITS) + 0.0),
            confidence=round(findings.confidences[i], 3),
            used=i in used,
        )
        for i, (pair, found) in enumerate(zip(findings.survey.plan.pairs, findings.measurements, strict=True))
    )
    return Placement(tiles, pairs, grid.voxel_size, channel, frame.channel_shift)


def _write(shared: Shared[_Outcome]) -> dict[str, Any]:
    outcome = shared.get()
    (outcome.out / "qc").mkdir(exist_ok=True)
    write_json(outcome.out / QC, _qc(outcome))
    outcome.placement.save(outcome.out / PLACEMENT)
    return {"tiles": len(outcome.placement.tiles)}


def _qc(outcome: _Outcome) -> dict[str, Any]:
    findings, plan = outcome.findings, outcome.survey.plan
    residual = {
        i: np.round(r, _DIGITS).tolist() for i, r in zip(findings.links, findings.solution.residuals, strict=True)
    }
    tiles = [
        {
            "name": placed.name,
            "flags": list(placed.flags),
            "evidence": list(verdict.evidence),
            "statistics": statistics.to_json() if statistics else None,
        }
        for placed, verdict, statistics in zip(
            outcome.placement.tiles, outcome.verdicts, outcome.survey.tiles, strict=True
        )
    ]
    pairs = [
        {
            "a": pair.a,
            "b": pair.b,
            "axis": pair.axis,
            "used": pair.used,
            "confidence": pair.confidence,
            "measurement": _finite(measurement.to_json()),
            "residual": residual.get(i),
            "evidence": "" if findings.confidences[i] else evidence_against(measurement, findings.level),
        }
        for i, (pair, measurement) in enumerate(zip(outcome.placement.pairs, findings.measurements, strict=True))
    ]
    return {
        "channel": outcome.survey.channel,
        "search": list(plan.search),
        "bin": [plan.bin, plan.bin, plan.bin_z],
        "slabs": [list(slab) for slab in plan.slabs],
        "level": findings.level if np.isfinite(findings.level) else None,
        "tiles": tiles,
        "pairs": pairs,
    }


def _finite(value: dict[str, Any]) -> dict[str, Any]:
    if not np.all(np.isfinite(value["sigma"])):
        value["sigma"] = None
    return value
