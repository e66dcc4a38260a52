"""What `cloudreg verify` asks of fusion: was each volume made of the files beside it; is all accounted for.

A placement may be edited between alignment and fusion. What counts is not what alignment wrote, but what the
volumes were fused with: the journal holds digests of all that determined them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cloudreg_io.errors import CloudRegError
from cloudreg_io.run import digest
from cloudreg_io.run.journal import StageKey, StageRecord
from cloudreg_io.verify import Finding, Judgement
from cloudreg_stitch.adopt import PLACEMENT
from cloudreg_stitch.coverage import COUNTS
from cloudreg_stitch.placement import Placement

STAGE = "fuse"  # that of `cloudreg_stitch.fusion`, which loads Numba
Stages = Mapping[StageKey, StageRecord]


def judge_fusion(out: Path, stages: Stages) -> Judgement:
    """Compare placement, corrections and coverage of an OUT folder with what its volumes were fused with.

    Parameters
    ----------
    out : Path
    stages : mapping
        Of its journal.
    """
    fused = {channel: record for (name, channel), record in stages.items() if name == STAGE and record.ended}
    if not fused:
        return Judgement()
    findings = [*_placement(out, fused), *_corrections(out, stages, fused)]
    for channel, record in fused.items():
        findings += _coverage(out, channel, record)
    return Judgement(findings, frozenset({PLACEMENT} if (out / PLACEMENT).exists() else ()))


def _placement(out: Path, fused: Mapping[str, StageRecord]) -> Iterator[Finding]:
    try:
        found = digest(Placement.load(out / PLACEMENT).to_json())
    except CloudRegError as error:
        yield Finding(PLACEMENT, f"cannot be used: {error.what}", why="it was deleted, edited or is damaged")
        return
    others = [channel for channel, record in fused.items() if (record.options or {}).get("placement") != found]
    if others:
        yield Finding(
            PLACEMENT,
            f"is not the placement that {', '.join(others)} was fused with",
            why="it was edited or replaced since",
            fix="undo the edit; or fuse with it as it is: stitch --fuse-only --overwrite, "
            "or run --placement in another OUT",
        )


def _corrections(out: Path, stages: Stages, fused: Mapping[str, StageRecord]) -> Iterator[Finding]:
    """Shading and bias that this folder made and fusion used."""
    for kind in ("shading", "bias"):
        for channel, record in fused.items():
            name, used = f"{kind}/{channel}.tif", (record.options or {}).get(kind)
            made = (kind, channel) in stages and name in stages[kind, channel].outputs
            if used and made and (out / name).is_file() and digest(out / name) != used:
                yield Finding(
                    name,
                    f"is not the {kind} that {channel} was fused with",
                    why="it was edited, replaced or is damaged",
                    fix="put it back from a copy; or delete it and give the command again with --overwrite",
                )


def _coverage(out: Path, channel: str, record: StageRecord) -> Iterator[Finding]:
    name = f"qc/fusion.{channel}.json"
    try:
        wrong = list(_miscounted(json.loads((out / name).read_bytes()), record))
    except OSError:
        return  # that it is missing is told by its checksum
    except (ValueError, KeyError, TypeError) as error:
        wrong = [f"cannot be read: {type(error).__name__} {error}"]
    for what in wrong:
        yield Finding(name, what, why="it was edited, or is of another run")


def _miscounted(report: dict[str, Any], record: StageRecord) -> Iterator[str]:
    """Sums of the coverage that do not come out."""
    parts = (*COUNTS, "cropped")
    for row in (*report["tiles"], {"name": "all tiles", **report["coverage"]}):
        if sum(row[part] for part in parts) != row["input"]:
            yield f"{row['name']}: {row['input']} voxels went in, {sum(row[part] for part in parts)} are told"
    for part in ("input", *parts):
        if sum(tile[part] for tile in report["tiles"]) != report["coverage"][part]:
            yield f"the voxels {part} of the tiles do not add up to those of all tiles"
    uncovered = sum(result["uncovered"] for result in _of_last_plan(record))
    if report["uncovered"] != uncovered:
        yield f"{report['uncovered']} voxels are told as uncovered, fusion counted {uncovered}"
    if report["voxels"] != math.prod(report["size"]):
        yield f"{report['voxels']} voxels are not those of a volume of {report['size']}"


def _of_last_plan(record: StageRecord) -> list[dict[str, Any]]:
    """Results of the units of the last plan: with other strips, the units of the one before count again."""
    strips = next(reversed(record.results), "").rpartition(" of ")[2]
    return [result for unit, result in record.results.items() if unit.rpartition(" of ")[2] == strips]
