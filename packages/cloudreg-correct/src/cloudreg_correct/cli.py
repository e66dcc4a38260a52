"""The commands `correct tiles` and `correct volume`.

Only typer is imported here; the work is imported when there is work.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cloudreg_io.console import (
    DebugFlag,
    FlipXFlag,
    FlipYFlag,
    JobsOption,
    JsonFlag,
    MemoryOption,
    OverwriteFlag,
    SwapXYFlag,
    command_progress,
    memory_bytes,
    typed_place,
)

app = typer.Typer(help="Correct uneven illumination.", no_args_is_help=True, add_completion=False)


@app.command()
def tiles(
    context: typer.Context,
    acquisition: Annotated[
        Path,
        typer.Argument(
            metavar="ACQ",
            callback=typed_place,
            help="Raw tiles: a COLM folder, a grid list, a TeraStitcher XML. Only read.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", callback=typed_place, help="Folder of the corrected tiles, laid out like ACQ."
        ),
    ],
    *,
    channels: Annotated[str, typer.Option(help="Channels to correct, such as 0,1; all by default.")] = "",
    background: Annotated[
        str, typer.Option(metavar="auto|none|VALUE", help="Counts without light: estimated, 0, or a number.")
    ] = "auto",
    sample: Annotated[
        int | None,
        typer.Option(metavar="PLANES", min=5, help="Planes to estimate from. Default: 20 %, from 20 to 200."),
    ] = None,
    shading: Annotated[
        Path | None,
        typer.Option(
            callback=typed_place,
            help="A shading file, or a folder of <channel>.tif, to apply instead of an estimate.",
        ),
    ] = None,
    compression: Annotated[
        Literal["zstd", "deflate", "lzw", "none"],
        typer.Option(help="Of the planes. Every program reads deflate and lzw; zstd is four times faster."),
    ] = "zstd",
    missing: Annotated[
        Literal["error", "fill"], typer.Option(help="Planes that are not there: stop, or leave them out.")
    ] = "error",
    voxel_size: Annotated[
        tuple[float, float, float] | None,
        typer.Option(metavar="X Y Z", help="Voxel size in µm, in place of the metadata's."),
    ] = None,
    flip_x: FlipXFlag = False,
    flip_y: FlipYFlag = False,
    swap_xy: SwapXYFlag = False,
    jobs: JobsOption = 1,
    memory: MemoryOption = "",
    overwrite: OverwriteFlag = False,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Write the tiles of an acquisition anew, without shading and background.

    Killed or interrupted at any time, the same command goes on where it stopped.

    `cloudreg run` does not need this: it corrects planes as it reads them; so does `stitch --shading DIR`.
    """
    import json

    from cloudreg_correct.sample import ShadingOptions
    from cloudreg_correct.shading import background_choice
    from cloudreg_correct.steps import correct_acquisition
    from cloudreg_correct.tiles import TileOptions
    from cloudreg_io.tiles import StageAxes

    reports = correct_acquisition(
        acquisition,
        out,
        [name.strip() for name in channels.split(",") if name.strip()],
        TileOptions(ShadingOptions(background_choice(background), sample), shading, compression, missing),
        voxel_size=voxel_size,
        axes=StageAxes(flip_x, flip_y, swap_xy),
        jobs=jobs,
        memory=memory_bytes(memory),
        overwrite=overwrite,
        progress=command_progress(context),
    )
    if reports is None:  # a worker rank: its work is done
        return
    if as_json:
        typer.echo(json.dumps({"out": str(out), "channels": [report.to_json() for report in reports]}))
        return
    for report in reports:
        share = report.high / max(1, report.voxels)
        typer.echo(
            f"{report.channel}: {report.planes} planes corrected with {report.shading}; "
            f"{share:.2%} of the voxels clipped at the bright end"
        )


@app.command()
def volume(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC", callback=typed_place, help="A precomputed volume: a path or s3://…. Only read."
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(metavar="DST", callback=typed_place, help="Folder of the new volume: a path or s3://…."),
    ],
    *,
    voxel_size: Annotated[
        float,
        typer.Option(
            metavar="UM", min=0.001, help="Estimate on the coarsest mip with voxels no larger than this."
        ),
    ] = 15.0,
    bias: Annotated[
        Path | None,
        typer.Option(
            callback=typed_place, help="A bias field (.tif, its .json beside) to apply instead of an estimate."
        ),
    ] = None,
    iterations: Annotated[str, typer.Option(help="Of N4, for each level of its spline.")] = "50,50,50,50",
    compression: Annotated[Literal["gzip", "zstd", "br", "none"], typer.Option(help="Of the chunks.")] = "gzip",
    work: Annotated[
        Path | None,
        typer.Option(
            callback=typed_place, help="Folder of journal and scratch; needed when DST is s3://. Default: DST."
        ),
    ] = None,
    jobs: JobsOption = 1,
    memory: MemoryOption = "",
    overwrite: OverwriteFlag = False,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Write a stitched volume anew, without its slow differences of illumination.

    Killed or interrupted at any time, the same command goes on where it stopped.
    """
    import json

    from cloudreg_correct.bias import BiasOptions
    from cloudreg_correct.steps import correct_stitched
    from cloudreg_correct.volume import VolumeOptions

    report = correct_stitched(
        source,
        target,
        VolumeOptions(voxel_size, BiasOptions(_numbers(iterations)), bias, compression),
        work=work,
        jobs=jobs,
        memory=memory_bytes(memory),
        overwrite=overwrite,
        progress=command_progress(context),
    )
    if report is None:  # a worker rank: its work is done
        return
    if as_json:
        typer.echo(json.dumps(report.to_json()))
    else:
        place = report.volume.url.removeprefix("file://")
        typer.echo(f"{place}: corrected with {report.bias}; {report.high:,} voxels clipped")


def _numbers(text: str) -> tuple[int, ...]:
    from cloudreg_io.errors import InputError

    parts = text.split(",")
    if not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise InputError(f"--iterations {text}: not whole positive numbers", fix="--iterations 50,50,50,50")
    return tuple(int(part) for part in parts)
