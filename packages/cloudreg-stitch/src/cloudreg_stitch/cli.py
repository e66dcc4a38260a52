"""`cloudreg-stitch ACQ OUT`, which is also `cloudreg stitch ACQ OUT`.

Only typer is imported here; the work is imported when there is work.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cloudreg_io.console import (
    CheckStageFlag,
    DebugFlag,
    FlipXFlag,
    FlipYFlag,
    JobsOption,
    JsonFlag,
    MemoryOption,
    OverwriteFlag,
    SwapXYFlag,
    VersionFlag,
    command_progress,
    memory_bytes,
    run_app,
    typed_place,
)

if TYPE_CHECKING:
    from cloudreg_stitch.channel_sources import Corrector
    from cloudreg_stitch.stitching import StitchOptions, StitchReport

app = typer.Typer(add_completion=False)


@app.command("stitch")
def stitch(
    context: typer.Context,
    acquisition: Annotated[
        Path,
        typer.Argument(
            metavar="ACQ",
            callback=typed_place,
            help="Raw tiles: a COLM folder, a grid list, a TeraStitcher XML.",
        ),
    ],
    out: Annotated[
        str,
        typer.Argument(metavar="OUT", callback=typed_place, help="Folder, or s3://bucket/path, of the results."),
    ],
    *,
    channels: Annotated[str, typer.Option(help="Channels to fuse, such as 0,1; all by default.")] = "",
    align_channel: Annotated[str, typer.Option(help="Channel to align on; by default the first.")] = "",
    align_only: Annotated[bool, typer.Option("--align-only", help="Find the placement, fuse nothing.")] = False,
    fuse_only: Annotated[
        bool, typer.Option("--fuse-only", help="Fuse at OUT/placement.json, or at --placement FILE.")
    ] = False,
    search: Annotated[
        tuple[int, int, int] | None,
        typer.Option(
            metavar="X Y Z",
            help="How far, in voxels, neighbours may be off the stage's word. "
            "Default: 30 for each 1024 of a tile, at least 24; 10 in z.",
        ),
    ] = None,
    placement: Annotated[
        Path | None,
        typer.Option(
            callback=typed_place,
            help="A placement file. With --fuse-only it is used as it is; else its tiles flagged `pinned` stay.",
        ),
    ] = None,
    shading: Annotated[
        Path | None,
        typer.Option(callback=typed_place, help="Folder of shading files, <channel>.tif; applied to every plane."),
    ] = None,
    bias: Annotated[
        Path | None, typer.Option(callback=typed_place, help="Folder of bias fields, <channel>.tif.")
    ] = None,
    missing: Annotated[
        Literal["error", "fill"], typer.Option(help="Planes that are not there: stop, or leave them out.")
    ] = "error",
    interpolation: Annotated[
        Literal["linear", "nearest"], typer.Option(help="Between voxels, or whole voxels with counts untouched.")
    ] = "linear",
    blend: Annotated[Literal["cosine", "none"], typer.Option(help="What to do where tiles overlap.")] = "cosine",
    bounds: Annotated[
        tuple[int, int, int, int, int, int] | None,
        typer.Option(metavar="X0 Y0 Z0 X1 Y1 Z1", help="Align and fuse this part only, in voxels of the mosaic."),
    ] = None,
    voxel_size: Annotated[
        tuple[float, float, float] | None,
        typer.Option(metavar="X Y Z", help="Voxel size in µm, in place of the metadata's."),
    ] = None,
    flip_x: FlipXFlag = False,
    flip_y: FlipYFlag = False,
    swap_xy: SwapXYFlag = False,
    check_stage: CheckStageFlag = True,
    mips: Annotated[
        int | None,
        typer.Option(min=1, help="Levels of the pyramid, full resolution included. Default: by --smallest."),
    ] = None,
    smallest: Annotated[
        int, typer.Option(min=1, help="Levels are added until no axis has more voxels than this.")
    ] = 128,
    compression: Annotated[Literal["gzip", "zstd", "br", "none"], typer.Option(help="Of the chunks.")] = "gzip",
    sharded: Annotated[
        bool | None,
        typer.Option(
            "--sharded/--no-sharded", help="Pack chunks into large files. Default: above 100,000 chunks."
        ),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(callback=typed_place, help="Local folder for the journal and small files when OUT is in S3."),
    ] = None,
    jobs: JobsOption = 1,
    memory: MemoryOption = "",
    overwrite: OverwriteFlag = False,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
    version: VersionFlag = False,
) -> None:
    """Align the tiles of an acquisition and fuse each channel into OUT/<channel>, viewable at all scales.

    Killed or interrupted at any time, the same command goes on where it stopped.

    Under mpirun -np N there are N - 1 workers; one rank hands out the work.
    """
    if align_only and fuse_only:
        raise typer.BadParameter("--align-only and --fuse-only exclude each other")
    from cloudreg_io.run import executor

    with executor(jobs) as pool:
        if pool is None:  # a worker rank: its work is done
            return
        from cloudreg_io.space import Bounds, VoxelSize
        from cloudreg_io.tiles import StageAxes
        from cloudreg_stitch.fusion import FuseOptions
        from cloudreg_stitch.stitching import StitchOptions
        from cloudreg_stitch.stitching import stitch as work_on

        options = StitchOptions(
            steps="align" if align_only else "fuse" if fuse_only else "all",
            channels=tuple(name.strip() for name in channels.split(",") if name.strip()),
            align_channel=align_channel,
            voxel_size=VoxelSize.of(voxel_size) if voxel_size else None,
            axes=StageAxes(flip_x, flip_y, swap_xy),
            check_stage=check_stage,
            placement=placement,
            shading=shading,
            bias=bias,
            missing=missing,
            search=search,
            fuse=FuseOptions(
                interpolation=interpolation,
                blend=blend,
                bounds=Bounds(bounds[:3], bounds[3:]) if bounds else None,
                mips=mips,
                smallest=smallest,
                compression=compression,
                sharded=sharded,
                memory=memory_bytes(memory),
            ),
            work=work,
            jobs=jobs,
            overwrite=overwrite,
        )
        report = work_on(
            acquisition,
            out,
            options,
            pool=pool,
            progress=command_progress(context),
            corrector=corrector() if shading or bias else None,
        )
        typer.echo(_as_json(report) if as_json else _as_text(report, options))


def corrector() -> Corrector:
    """What applies shading and bias; the one thing that cloudreg-stitch takes from cloudreg-correct.

    Raises
    ------
    ToolError
        It is not installed.
    """
    try:
        from cloudreg_correct import CorrectedTiles
    except ImportError as error:
        from cloudreg_io.errors import ToolError

        raise ToolError(
            "--shading and --bias need the package cloudreg-correct, which is not installed",
            fix="pip install 'cloudreg-stitch[shading]'",
        ) from error
    return CorrectedTiles


def _as_json(report: StitchReport) -> str:
    import json

    return json.dumps(
        {
            "out": report.out,
            "placement": str(report.placement),
            "tiles": report.tiles,
            "flagged": report.flagged,
            "channels": [
                {
                    "channel": fusion.channel,
                    "volume": fusion.url,
                    "size": fusion.size,
                    "voxel_size_um": list(fusion.voxel_size),
                    "uncovered": fusion.uncovered,
                    "coverage": fusion.coverage,
                    "seams": fusion.seams,
                    "decodes": fusion.decodes,
                    "qc": str(fusion.qc),
                }
                for fusion in report.fusions
            ],
        }
    )


def _as_text(report: StitchReport, options: StitchOptions) -> str:
    lines = [f"placement: {report.tiles} tiles, {report.flagged} of them flagged"]
    if options.steps != "fuse":
        lines[0] += f"; {report.placement}"
    for fusion in report.fusions:
        size = " × ".join(map(str, fusion.size))
        lines.append(f"{fusion.channel}: {size} voxels of {fusion.voxel_size}, {fusion.url}")
        if (worst := fusion.seams["before"]["worst"]) is not None:
            lines.append(f"  tiles differ by at most {worst:.2%} where they overlap; details in {fusion.qc}")
    if report.fusions:
        lines.append(f"look at it: cloudreg viz serve {report.out}")
    return "\n".join(lines)


def main() -> None:
    """Entry point of the console script."""
    run_app(app)
