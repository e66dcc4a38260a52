"""The commands of no package: demo, doctor, inspect. Each parses, calls one function, prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cloudreg_io.console import (
    CheckStageFlag,
    DebugFlag,
    FlipXFlag,
    FlipYFlag,
    JobsOption,
    JsonFlag,
    SwapXYFlag,
    command_progress,
    only_rank_zero,
    typed_place,
)

AcquisitionArgument = Annotated[
    Path,
    typer.Argument(
        metavar="ACQ", callback=typed_place, help="Raw tiles: a COLM folder, a grid list, a TeraStitcher XML."
    ),
]
VoxelSizeOption = Annotated[
    tuple[float, float, float] | None,
    typer.Option("--voxel-size", metavar="X Y Z", help="In µm, in place of what the metadata say."),
]


def demo(
    context: typer.Context,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", callback=typed_place, help="New folder for everything.")
    ] = Path("cloudreg-demo"),
    jobs: JobsOption = 2,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Make a phantom brain, image it as tiles with known faults, run the whole pipeline, print the errors."""
    from cloudreg_cli.demo import in_words, run_demo

    result = run_demo(out, jobs=jobs, progress=command_progress(context))
    if result is not None:
        typer.echo(json.dumps(result, indent=2) if as_json else in_words(result))


def inspect(
    acquisition: AcquisitionArgument,
    voxel_size: VoxelSizeOption = None,
    flip_x: FlipXFlag = False,
    flip_y: FlipYFlag = False,
    swap_xy: SwapXYFlag = False,
    check_stage: CheckStageFlag = True,
    full: Annotated[bool, typer.Option("--full", help="Decode every plane, not only its header.")] = False,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Say what an acquisition is, and whether every plane is there. Exit status 1 if it cannot be used."""
    only_rank_zero()
    from cloudreg_cli.inspection import describe, in_words, look_at_overlaps
    from cloudreg_io.tiles import StageAxes
    from cloudreg_io.tiles.completeness import check
    from cloudreg_io.tiles.open import open_acquisition

    axes = StageAxes(flip_x, flip_y, swap_xy)
    found = open_acquisition(acquisition, voxel_size=voxel_size, axes=axes)
    report = check(found, found.channels, full=full)
    overlaps = look_at_overlaps(found, report) if check_stage else None
    typer.echo(
        json.dumps(describe(found, report, overlaps), indent=2) if as_json else in_words(found, report, overlaps)
    )
    if overlaps is not None:
        overlaps.require(axes)
    if report.stopping():
        raise typer.Exit(1)


def doctor(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where results would be written.")] = Path(),
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Check that this machine has what the work needs. Exit status 1 if something essential is missing."""
    only_rank_zero()
    from dataclasses import asdict

    from cloudreg_cli.doctor import examine

    findings = []
    for finding in examine(folder):
        findings.append(finding)
        if not as_json:
            mark = "ok  " if finding.ok else "FAIL" if finding.essential else "none"
            typer.echo(f"{mark} {finding.name:<18} {finding.text}")
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    if not all(finding.ok for finding in findings if finding.essential):
        raise typer.Exit(1)
