"""The commands `ingest` and `download`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cloudreg_io.console import (
    DebugFlag,
    JobsOption,
    JsonFlag,
    MemoryOption,
    OverwriteFlag,
    command_progress,
    only_rank_zero,
    typed_place,
)

if TYPE_CHECKING:
    from cloudreg_io.files.location import Location
    from cloudreg_io.volumes.ingest import IngestReport

app = typer.Typer(help="Volumes in and out.", no_args_is_help=True)


@app.command()
def ingest(
    context: typer.Context,
    stack: Annotated[
        Path,
        typer.Argument(
            metavar="STACK",
            callback=typed_place,
            help="Folder of numbered 2-D TIFFs, or a 3-D TIFF, NRRD or NIfTI file.",
        ),
    ],
    url: Annotated[
        str,
        typer.Argument(metavar="URL", callback=typed_place, help="Folder of the new volume: a path or s3://…."),
    ],
    *,
    voxel_size: Annotated[
        tuple[float, float, float] | None,
        typer.Option(metavar="X Y Z", help="Of the stack, in µm. Default: what the header of a 3-D file says."),
    ] = None,
    layer: Annotated[
        Literal["image", "segmentation"] | None, typer.Option(help="Default: segmentation for uint64, else image.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="Data type of the volume. Values that do not fit are an error.")
    ] = None,
    missing: Annotated[
        Literal["error", "fill"], typer.Option(help="What to do about gaps in the numbers of planes.")
    ] = "error",
    nan_to: Annotated[float | None, typer.Option(help="Replaces NaN and infinity, else an error.")] = None,
    smallest: Annotated[int, typer.Option(min=1, help="Size below which no coarser mip is made.")] = 128,
    mips: Annotated[int | None, typer.Option(min=1, help="Number of mips. Default: by --smallest.")] = None,
    chunk: Annotated[tuple[int, int, int], typer.Option(metavar="X Y Z", help="Size of chunks.")] = (128, 128, 32),
    compression: Annotated[Literal["gzip", "zstd", "br", "none"], typer.Option(help="Of chunks.")] = "gzip",
    sharded: Annotated[
        bool | None,
        typer.Option(
            "--sharded/--no-sharded", help="Pack chunks into large files. Default: above 100,000 chunks."
        ),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            callback=typed_place, help="Folder of journal and scratch; needed when URL is s3://. Default: URL."
        ),
    ] = None,
    jobs: JobsOption = 1,
    memory: MemoryOption = "",
    overwrite: OverwriteFlag = False,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Make a precomputed volume with all its mips from a stack that is already stitched."""
    import json

    from cloudreg_io.console import memory_bytes
    from cloudreg_io.files.location import Location
    from cloudreg_io.run import executor, open_run
    from cloudreg_io.run.memory import VOLUMES, Budget
    from cloudreg_io.space import VoxelSize
    from cloudreg_io.volumes.ingest import (
        IngestOptions,
        perform_ingest,
        plan_ingest,
        require_free,
        require_memory_to_ingest,
    )

    with executor(jobs) as pool:
        if pool is None:  # a worker rank: its work is done
            return
        options = IngestOptions(
            voxel_size=VoxelSize.of_microscope(voxel_size) if voxel_size else None,
            layer=layer,
            dtype=dtype,
            missing=missing,
            nan_to=nan_to,
            smallest=smallest,
            mips=mips,
            chunk=chunk,
            compression=compression,
            sharded=sharded,
        )
        location = Location.parse(url)
        plan = plan_ingest(stack, location, options)  # before a folder is made for the journal
        folder = work or _local(location)
        require_free(plan, folder)
        allowed = memory_bytes(memory)
        require_memory_to_ingest(plan, Budget.of(allowed, jobs, VOLUMES))
        with open_run(
            folder,
            command="ingest",
            options=options.to_json(),
            inputs={"stack": str(stack.absolute()), "volume": str(location)},
            pool=pool,
            jobs=jobs,
            progress=command_progress(context),
            overwrite=overwrite,
        ) as run:
            report = perform_ingest(run, plan, memory=allowed)
        typer.echo(json.dumps(report.to_json()) if as_json else _as_text(report))


@app.command()
def download(
    url: Annotated[
        str, typer.Argument(metavar="URL", callback=typed_place, help="A precomputed volume: a path or s3://….")
    ],
    file: Annotated[
        Path, typer.Argument(metavar="FILE", callback=typed_place, help=".tif, .nrrd, .nii or .nii.gz")
    ],
    *,
    voxel_size: Annotated[
        float, typer.Option(metavar="UM", min=0.001, help="The coarsest mip with voxels no larger is taken.")
    ],
    isotropic: Annotated[
        bool, typer.Option("--isotropic", help="Resample to cubes of exactly that size.")
    ] = False,
    bounds: Annotated[
        tuple[int, int, int, int, int, int] | None,
        typer.Option(
            metavar="X0 Y0 Z0 X1 Y1 Z1", help="Only this box, in voxels of mip 0; the upper end excluded."
        ),
    ] = None,
    memory: MemoryOption = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.")] = False,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Write a volume as one 3-D file, with its spacing in the header."""
    import json

    from cloudreg_io.console import memory_bytes
    from cloudreg_io.space import Bounds
    from cloudreg_io.volumes.download import download as do

    only_rank_zero()
    report = do(
        url,
        file,
        voxel_size=voxel_size,
        isotropic=isotropic,
        bounds=Bounds(bounds[:3], bounds[3:]) if bounds else None,
        memory=memory_bytes(memory),
        overwrite=overwrite,
    )
    if as_json:
        typer.echo(json.dumps(report.to_json()))
    else:
        size = " × ".join(map(str, report.size))
        typer.echo(f"{file}: {size} voxels of {report.voxel_size}, from mip {report.mip}")


def _local(location: Location) -> Path:
    from cloudreg_io.errors import InputError

    if not location.is_file:
        raise InputError(f"{location} cannot hold the journal", fix="--work DIR names a local folder for it")
    return location.path


def _as_text(report: IngestReport) -> str:
    size, levels = " × ".join(map(str, report.volume.size())), len(report.volume.spec.scales)
    place = report.volume.url.removeprefix("file://")
    made = (
        f"{place}: {size} voxels of {report.volume.voxel_size()}, {levels} mips, "
        f"{report.bytes / 1e6:.1f} MB in {report.chunks} chunks"
    )
    return f"{report.order}\n{made}" if report.order else made
