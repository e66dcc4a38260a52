"""The commands `transform points`, `volume`, `maps`, `export` and `import-matlab`.

Only typer is imported here; the work is imported when there is work.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cloudreg_io.console import (
    DebugFlag,
    JobsOption,
    JsonFlag,
    MemoryOption,
    OverwriteFlag,
    command_progress,
    memory_bytes,
    only_rank_zero,
    typed_place,
)

app = typer.Typer(help="Apply a registration.", no_args_is_help=True, add_completion=False)

TransformOption = Annotated[
    Path,
    typer.Option(
        "--transform",
        metavar="DIR",
        callback=typed_place,
        help="Folder of a transform: OUT/registration/transform.",
    ),
]
ToOption = Annotated[Literal["atlas", "target"], typer.Option(help="Where the result lives.")]


@app.command()
def points(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN.csv", callback=typed_place, help="A table with the columns x,y,z in µm, and any others."
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(metavar="OUT.csv", callback=typed_place, help="The same rows, moved, with `inside`."),
    ],
    *,
    transform: TransformOption,
    to: ToOption,
    voxels: Annotated[
        bool,
        typer.Option("--voxels", help="x,y,z of IN are full-resolution voxels, 0 the first; OUT is in µm."),
    ] = False,
    overwrite: OverwriteFlag = False,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Move points between a target and its atlas.

    0 is the centre of the first voxel of the full-resolution volume. Points outside of a volume are moved too,
    with 0 in the column `inside`.
    """
    only_rank_zero()
    import json

    from cloudreg_register.transforms.apply import transform_points

    report = transform_points(source, target, transform, to=to, voxels=voxels, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps(report.to_json()))
        return
    typer.echo(f"{report.points} points moved to the {to}, {report.outside} of them outside: {target}")


@app.command()
def volume(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            callback=typed_place,
            help="A precomputed volume or a NRRD, NIfTI, TIFF file, on the other side of the transform.",
        ),
    ],
    target: Annotated[
        str, typer.Argument(metavar="DST", callback=typed_place, help="Folder of the new precomputed volume.")
    ],
    *,
    transform: TransformOption,
    to: ToOption,
    voxel_size: Annotated[
        tuple[float, float, float] | None,
        typer.Option(metavar="X Y Z", help="Voxel size of DST in µm. Default: that of the volume it lies on."),
    ] = None,
    source_voxel_size: Annotated[
        tuple[float, float, float] | None,
        typer.Option(metavar="X Y Z", help="Voxel size of a SRC file in µm, in place of its header's."),
    ] = None,
    labels: Annotated[bool, typer.Option("--labels", help="SRC holds ids: nothing is interpolated.")] = False,
    channel: Annotated[
        int | None, typer.Option(min=0, help="Of a SRC of several channels; by default all, DST/0, DST/1, ….")
    ] = None,
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
    """Warp a whole volume, image or labels, through a registration.

    Killed or interrupted at any time, the same command goes on where it stopped.
    """
    import json

    from cloudreg_register.transforms.apply_volume import transform_volume

    reports = transform_volume(
        source,
        target,
        transform,
        to=to,
        voxel_size=voxel_size,
        source_voxel_size=source_voxel_size,
        labels=labels,
        channel=channel,
        work=work,
        jobs=jobs,
        memory=memory_bytes(memory),
        overwrite=overwrite,
        progress=command_progress(context),
    )
    if reports is None:  # a worker rank: its work is done
        return
    if as_json:
        typer.echo(json.dumps({"volumes": reports}))
        return
    for report in reports:
        size = " × ".join(map(str, report["size"]))
        typer.echo(f"{report['volume']}: {size} voxels on the {to}, {report['bytes'] / 1e6:.1f} MB")


@app.command()
def export(
    transform: Annotated[Path, typer.Argument(metavar="DIR", callback=typed_place, help="Folder of a transform.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", callback=typed_place, help="To be written: a .nrrd.")],
    *,
    itk: Annotated[bool, typer.Option("--itk", help="For ITK, the default.")] = True,
    to: ToOption = "target",
    voxel_size: Annotated[
        float | None,
        typer.Option(metavar="UM", min=0.1, help="Default: a quarter of the velocity's."),
    ] = None,
    overwrite: OverwriteFlag = False,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Write a transform as a displacement field that SimpleITK, ANTs and 3D Slicer apply.

    With --to target it maps points of the atlas to the target, which is what pulls a target onto the atlas.

    It is in µm, 0 at the centre of the first voxel, x, y, z as the voxels are stored: give images such a spacing,
    origin and direction before it is applied to them. The README of cloudreg-register shows it with SimpleITK.
    """
    only_rank_zero()
    import json

    from cloudreg_register.transforms.apply import export_transform

    report = export_transform(transform, file, to=to, voxel_size=voxel_size, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps(report.to_json()))
        return
    typer.echo(
        f"{report.file}: {' × '.join(map(str, report.grid.size))} vectors; interpolated between them, points are "
        f"off by {report.error_mean_um:.2f} µm in the mean, {report.error_max_um:.2f} at most"
    )


@app.command()
def maps(
    transform: Annotated[Path, typer.Argument(metavar="DIR", callback=typed_place, help="Folder of a transform.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", callback=typed_place, help="Folder of the maps.")],
    *,
    to: ToOption = "target",
    voxel_size: Annotated[
        float | None,
        typer.Option(metavar="UM", min=0.1, help="Default: half of the velocity's."),
    ] = None,
    overwrite: OverwriteFlag = False,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Write what shows how good a transform is: jacobian.nrrd, inverse_error.nrrd and confidence.nrrd.

    With --to target they lie on the atlas: by how much each place grows, how far it is from itself after the way
    there and back (µm), and how far the images, rather than the smoothness of the map, say where it belongs.
    """
    only_rank_zero()
    import json

    from cloudreg_register.transforms.maps import write_maps

    report = write_maps(transform, out, to=to, voxel_size=voxel_size, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps(report.to_json()))
        return
    found = report.regularity
    typer.echo("\n".join(map(str, report.files)))
    typer.echo(
        f"{found.folded} of {found.voxels} voxels folded, volumes change by {found.smallest:.2f} to "
        f"{found.largest:.2f}; there and back {found.inverse_error_mean_um:.3f} µm in the mean, "
        f"{found.inverse_error_max_um:.3f} at most"
    )


@app.command("import-matlab")
def import_matlab(
    affine: Annotated[Path, typer.Argument(metavar="A.mat", callback=typed_place, help="The affine map.")],
    velocity: Annotated[Path, typer.Argument(metavar="v.mat", callback=typed_place, help="vtx, vty, vtz.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", callback=typed_place, help="Folder to be written.")],
    *,
    atlas_size: Annotated[tuple[int, int, int], typer.Option(metavar="X Y Z", help="Voxels of the atlas.")],
    atlas_voxel_size: Annotated[
        tuple[float, float, float], typer.Option(metavar="X Y Z", help="Of the atlas, in µm.")
    ],
    target_size: Annotated[
        tuple[int, int, int], typer.Option(metavar="X Y Z", help="Voxels of the target at full resolution.")
    ],
    target_voxel_size: Annotated[
        tuple[float, float, float], typer.Option(metavar="X Y Z", help="Of the target, in µm.")
    ],
    velocity_voxel_size: Annotated[
        tuple[float, float, float],
        typer.Option(metavar="X Y Z", help="In µm: the resolution at which it was registered."),
    ] = (100.0, 100.0, 100.0),
    orientation: Annotated[str, typer.Option(help="Of the target: where x, y, z grow to.")] = "LPS",
    atlas_orientation: Annotated[str, typer.Option(help="Of the atlas.")] = "PIR",
    overwrite: OverwriteFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Make a transform of what the older CloudReg left: A.mat and v.mat."""
    only_rank_zero()
    from cloudreg_io.space import Orientation, VoxelSize
    from cloudreg_register.images.frame import Frame
    from cloudreg_register.transforms.apply import refuse_existing
    from cloudreg_register.transforms.matlab import import_matlab as imported

    refuse_existing(folder, overwrite=overwrite)
    atlas = Frame(atlas_size, VoxelSize.of(atlas_voxel_size), Orientation(atlas_orientation), "atlas")
    target = Frame(target_size, VoxelSize.of(target_voxel_size), Orientation(orientation), "target")
    imported(affine, velocity, VoxelSize.of(velocity_voxel_size), atlas, target).save(folder)
    typer.echo(f"{folder}: a transform, for `transform points` and `transform volume`")
