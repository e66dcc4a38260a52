"""The commands of no package: demo, doctor, inspect, plan. Each parses, calls one function, prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from cloudreg_io.console import (
    CheckStageFlag,
    DebugFlag,
    FlipXFlag,
    FlipYFlag,
    JobsOption,
    JsonFlag,
    MemoryOption,
    SwapXYFlag,
    command_progress,
    memory_bytes,
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

ChannelsOption = Annotated[str, typer.Option(help="Which, such as 0,1 or CHN00,CHN01. Default: all.")]
MissingOption = Annotated[
    Literal["error", "fill"], typer.Option(help="Planes that are not there: stop, or leave them out.")
]


def channel_names(text: str) -> tuple[str, ...]:
    """The channels of --channels."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


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


def plan(
    acquisition: AcquisitionArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", callback=typed_place, help="Where the results would go.")],
    channels: ChannelsOption = "",
    align_channel: Annotated[str, typer.Option(help="Channel on which tiles are placed.")] = "",
    voxel_size: VoxelSizeOption = None,
    flip_x: FlipXFlag = False,
    flip_y: FlipYFlag = False,
    swap_xy: SwapXYFlag = False,
    missing: MissingOption = "error",
    shading: Annotated[bool, typer.Option(help="With the correction of the shading.")] = True,
    bias: Annotated[bool, typer.Option(help="With the correction of the bias.")] = True,
    bounds: Annotated[
        tuple[int, int, int, int, int, int] | None,
        typer.Option(metavar="X0 Y0 Z0 X1 Y1 Z1", help="Of this box of the mosaic only, in voxels."),
    ] = None,
    jobs: JobsOption = 1,
    memory: MemoryOption = "",
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Say what `run` would read, write, need and take; nothing is written. Exit status 1: too small a disk."""
    only_rank_zero()
    from cloudreg_cli.pipeline import RunOptions, plan_run
    from cloudreg_io.run.disk import Room
    from cloudreg_io.space import Bounds
    from cloudreg_io.tiles import StageAxes

    options = RunOptions(
        channels=channel_names(channels),
        align_channel=align_channel,
        voxel_size=voxel_size,
        axes=StageAxes(flip_x, flip_y, swap_xy),
        missing=missing,
        shading=shading,
        bias=bias,
        bounds=Bounds(bounds[:3], bounds[3:]) if bounds else None,
        memory=memory_bytes(memory),
    )
    forecast = plan_run(acquisition, out, options, jobs)
    typer.echo(json.dumps(forecast.to_json(out), indent=2) if as_json else forecast.in_words(out))
    Room.at(out).require(forecast.disk_bytes, out)
