"""The command `run`: from raw tiles to volumes, and to an atlas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from cloudreg_cli.commands import (
    AcquisitionArgument,
    ChannelsOption,
    MissingOption,
    VoxelSizeOption,
    channel_names,
)
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
    command_progress,
    memory_bytes,
    typed_place,
)
from cloudreg_register.cli_options import (
    AnyExtentFlag,
    AtlasOption,
    AtlasOrientationOption,
    AtlasVoxelSizeOption,
    HemisphereOption,
    IterationsOption,
    LabelsOption,
    ModeOption,
    RegionOption,
    RegularizationOption,
    ResolutionOption,
    RotationOption,
    ScaleOption,
    StructuresOption,
    ToAtlasOption,
    TranslationOption,
)


def run(
    context: typer.Context,
    acquisition: AcquisitionArgument,
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", callback=typed_place, help="Folder of results; one that exists is gone on with."
        ),
    ],
    channels: ChannelsOption = "",
    align_channel: Annotated[
        str, typer.Option(help="Channel on which tiles are placed. Default: the first.")
    ] = "",
    voxel_size: VoxelSizeOption = None,
    flip_x: FlipXFlag = False,
    flip_y: FlipYFlag = False,
    swap_xy: SwapXYFlag = False,
    check_stage: CheckStageFlag = True,
    missing: MissingOption = "error",
    shading: Annotated[bool, typer.Option(help="Estimate and correct the shading of the planes.")] = True,
    background: Annotated[str, typer.Option(help="Counts without light: auto, none, or a number.")] = "auto",
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Planes from which shading is estimated. Default: 20 %, from 20 to 200."),
    ] = None,
    bias: Annotated[bool, typer.Option(help="Estimate and correct the slow illumination of the volume.")] = True,
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
            callback=typed_place, help="Place the tiles as this placement.json says; nothing is aligned."
        ),
    ] = None,
    interpolation: Annotated[
        Literal["linear", "nearest"],
        typer.Option(
            help="Between voxels where a tile lies at a fraction, or whole voxels with counts untouched."
        ),
    ] = "linear",
    bounds: Annotated[
        tuple[int, int, int, int, int, int] | None,
        typer.Option(
            metavar="X0 Y0 Z0 X1 Y1 Z1",
            help="Try this box of the mosaic, in voxels: only the tiles and planes near it are read.",
        ),
    ] = None,
    mips: Annotated[
        int | None, typer.Option(min=1, help="Number of levels of the volumes. Default: by --smallest.")
    ] = None,
    smallest: Annotated[
        int, typer.Option(min=1, help="Levels are added until no axis has more voxels than this.")
    ] = 128,
    compression: Annotated[Literal["gzip", "zstd", "br"], typer.Option(help="Of the chunks.")] = "gzip",
    sharded: Annotated[
        bool | None,
        typer.Option(
            "--sharded/--no-sharded", help="Pack chunks into large files. Default: above 100,000 chunks."
        ),
    ] = None,
    autofluorescence_channel: Annotated[
        str, typer.Option(help="Channel that is registered. Default: the one on which tiles are placed.")
    ] = "",
    register: Annotated[
        bool,
        typer.Option("--register", help="Register to the Allen Reference Atlas; implied by --atlas or --labels."),
    ] = False,
    atlas: AtlasOption = None,
    labels: LabelsOption = None,
    structures: StructuresOption = None,
    orientation: Annotated[
        str,
        typer.Option(metavar="CODE", help="Where x, y, z of the volume grow to, such as LPS; needed to register."),
    ] = "",
    atlas_orientation: AtlasOrientationOption = None,
    atlas_voxel_size: AtlasVoxelSizeOption = None,
    hemisphere: HemisphereOption = None,
    region: RegionOption = None,
    resolution: ResolutionOption = None,
    rotation: RotationOption = (0, 0, 0),
    translation: TranslationOption = None,
    scale: ScaleOption = (1, 1, 1),
    search_rotations: Annotated[
        bool, typer.Option("--search-rotations", help="Try all ways in which the brain may lie for the start.")
    ] = False,
    mode: ModeOption = "affine",
    regularization: RegularizationOption = None,
    iterations: IterationsOption = None,
    any_extent: AnyExtentFlag = False,
    to_atlas: ToAtlasOption = None,
    jobs: JobsOption = 1,
    memory: MemoryOption = "",
    overwrite: OverwriteFlag = False,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Take an acquisition to fused volumes: shading, placement, bias, fusion, for every channel.

    With an atlas, one channel is registered to it; labels and a table of regions are made of all.

    Killed at any moment, it goes on with the same command. The raw data are only read.

    `mpirun -np N cloudreg run …` spreads the work over N - 1 workers.
    """
    from cloudreg_cli.pipeline import RunOptions, run_acquisition
    from cloudreg_cli.summary import in_words
    from cloudreg_io.space import Bounds
    from cloudreg_io.tiles import StageAxes

    wanted = register or atlas is not None or labels is not None
    if wanted and not orientation:
        raise typer.BadParameter(
            "to register, say where x, y and z of the volume grow to: --orientation, such as LPS"
        )
    choice = None
    if wanted:
        from cloudreg_register.stage.choice import Choice

        choice = Choice(
            orientation=orientation,
            atlas=atlas,
            labels=labels,
            structures=structures,
            atlas_orientation=atlas_orientation,
            atlas_voxel_size=atlas_voxel_size,
            hemisphere=hemisphere,
            regions=tuple(region or ()),
            rotation=rotation,
            translation=translation,
            scale=scale,
            search=search_rotations,
            resolution=resolution,
            mode=mode,
            regularization=regularization,
            iterations=iterations,
            any_extent=any_extent,
            to_atlas=to_atlas,
        )
    options = RunOptions(
        channels=channel_names(channels),
        align_channel=align_channel,
        voxel_size=voxel_size,
        axes=StageAxes(flip_x, flip_y, swap_xy),
        check_stage=check_stage,
        missing=missing,
        shading=shading,
        background=background,
        sample=sample,
        bias=bias,
        search=search,
        placement=placement,
        interpolation=interpolation,
        bounds=Bounds(bounds[:3], bounds[3:]) if bounds else None,
        mips=mips,
        smallest=smallest,
        compression=compression,
        sharded=sharded,
        memory=memory_bytes(memory),
        autofluorescence_channel=autofluorescence_channel,
        registration=choice,
    )
    result = run_acquisition(
        acquisition, out, options, jobs=jobs, overwrite=overwrite, progress=command_progress(context)
    )
    if result is not None:
        typer.echo(json.dumps(result, indent=2) if as_json else in_words(result))
