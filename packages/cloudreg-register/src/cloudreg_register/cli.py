"""The command `register`.

Only typer is imported here; the work is imported when there is work.
"""

from __future__ import annotations

import sys
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
    memory_bytes,
    typed_place,
)

if TYPE_CHECKING:
    from cloudreg_register.stage import Registered
    from cloudreg_register.starting import Person

DRAW_START = "cloudreg_register.draw_start"  # in the context's meta: what draws qc/start.npz, gives the picture

AtlasOption = Annotated[
    str | None,
    typer.Option(
        metavar="PLACE|NAME",
        callback=typed_place,
        help="Template: a precomputed volume, a NRRD, NIfTI or TIFF file, or the name of one of BrainGlobe's "
        "atlases, such as allen_mouse_25um. Default: the Allen Reference Atlas.",
    ),
]
LabelsOption = Annotated[
    str | None,
    typer.Option(metavar="PLACE", callback=typed_place, help="Its labels. Default: what the atlas brings along."),
]
StructuresOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", callback=typed_place, help="Names of the labels: Allen or BrainGlobe JSON, or CSV."
    ),
]
OrientationOption = Annotated[
    str | None,
    typer.Option(
        metavar="CODE", help="Where the target's x, y, z grow to: one of L or R, P or A, S or I each, such as LPS."
    ),
]
AtlasOrientationOption = Annotated[
    str | None, typer.Option(metavar="CODE", help="The same of atlas and labels; PIR for the Allen atlas.")
]
AtlasVoxelSizeOption = Annotated[
    tuple[float, float, float] | None,
    typer.Option(metavar="X Y Z", help="Of atlas and labels in µm, in place of what their files say."),
]
HemisphereOption = Annotated[
    Literal["left", "right"] | None, typer.Option(help="The sample has this half of the atlas only.")
]
RegionOption = Annotated[
    list[str] | None,
    typer.Option(metavar="ACRONYM", help="The sample has this region of the atlas only; may be repeated."),
]
ResolutionOption = Annotated[
    float | None,
    typer.Option(
        metavar="UM",
        help="Voxel size at which to register. Default: 1/132 of the atlas's length, 100 µm for a mouse.",
    ),
]
RotationOption = Annotated[
    tuple[float, float, float],
    typer.Option(metavar="X Y Z", help="Start: degrees about the target's x, then y, then z axis."),
]
TranslationOption = Annotated[
    tuple[float, float, float] | None,
    typer.Option(
        metavar="X Y Z", help="Start: µm along the target's axes. Default: the centres of mass of the tissue meet."
    ),
]
ScaleOption = Annotated[
    tuple[float, float, float],
    typer.Option(metavar="X Y Z", help="Start: size of the sample along its axes, in sizes of the atlas."),
]
FixedScaleOption = Annotated[
    tuple[float, float, float] | None,
    typer.Option(metavar="X Y Z", help="As --scale, and kept as it is: as --mode fixed-scale."),
]
ModeOption = Annotated[
    Literal["rigid", "similarity", "affine", "fixed-scale"], typer.Option(help="What the affine map may do.")
]
RegularizationOption = Annotated[
    float | None, typer.Option(help="Higher lets the map bend more: as ever, higher is less regularisation.")
]
IterationsOption = Annotated[
    tuple[int, int, int] | None,
    typer.Option(metavar="A B C", help="At most: at the coarsest level, at levels between, at the finest."),
]
MissingDataFlag = Annotated[bool, typer.Option(help="Leave voxels of exactly 0 out: they were not imaged.")]
SearchFlag = Annotated[
    bool,
    typer.Option(help="Try all ways in which the brain may lie (seconds); left and right stay as the codes say."),
]
LandmarksOption = Annotated[
    tuple[str, str] | None,
    typer.Option(
        metavar="ATLAS TARGET",
        help="Points of the same names in both: CSV (x,y,z,name in µm) or Neuroglancer states.",
    ),
]
LandmarksForOption = Annotated[
    Literal["start", "cost", "both"], typer.Option(help="Landmarks give the start, pull at the map, or both.")
]
LandmarkSigmaOption = Annotated[
    float | None,
    typer.Option(metavar="UM", help="How far landmarks may be off. Default: 1/132 of the atlas's length."),
]
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute: auto takes a graphics card if any.")
]
GridCorrectionFlag = Annotated[
    bool, typer.Option(help="Flatten the pattern of tiles and stripes that is the same in every plane before.")
]
BiasCorrectionFlag = Annotated[
    bool, typer.Option(help="Flatten slow illumination before; the local contrast mostly takes care of it.")
]
AnyExtentFlag = Annotated[
    bool, typer.Option("--any-extent", help="Go on though the brain is much larger or smaller than the atlas.")
]
ToAtlasOption = Annotated[
    float | None,
    typer.Option(
        metavar="UM", help="Also put every channel on the atlas, at this voxel size: OUT/registration/on_atlas."
    ),
]


def register(
    context: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            callback=typed_place,
            help="The sample: a precomputed volume, or a NRRD, NIfTI or TIFF file.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", callback=typed_place, help="Folder of results; one that exists is gone on with."
        ),
    ],
    *,
    orientation: Annotated[
        str,
        typer.Option(
            metavar="CODE",
            help="Where the target's x, y, z grow to: one of L or R, P or A, S or I each, such as LPS.",
        ),
    ],
    atlas: AtlasOption = None,
    labels: LabelsOption = None,
    structures: StructuresOption = None,
    atlas_orientation: AtlasOrientationOption = None,
    voxel_size: Annotated[
        tuple[float, float, float] | None,
        typer.Option(
            metavar="X Y Z", help="Of the target in µm, in place of what it says; for TIFF mostly needed."
        ),
    ] = None,
    atlas_voxel_size: AtlasVoxelSizeOption = None,
    hemisphere: HemisphereOption = None,
    region: RegionOption = None,
    resolution: ResolutionOption = None,
    rotation: RotationOption = (0, 0, 0),
    translation: TranslationOption = None,
    scale: ScaleOption = (1, 1, 1),
    fixed_scale: FixedScaleOption = None,
    mode: ModeOption = "affine",
    regularization: RegularizationOption = None,
    iterations: IterationsOption = None,
    missing_data: MissingDataFlag = True,
    search: SearchFlag = False,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Show the start and ask: y, n, or another --rotation, --translation.")
    ] = False,
    landmarks: LandmarksOption = None,
    landmarks_for: LandmarksForOption = "both",
    landmark_sigma: LandmarkSigmaOption = None,
    grid_correction: GridCorrectionFlag = False,
    bias_correction: BiasCorrectionFlag = False,
    classic: Annotated[
        int | None,
        typer.Option(
            metavar="ITERATIONS",
            min=1,
            help="Do as the original did, for comparison: one level, so many iterations (it had 3000).",
        ),
    ] = None,
    device: DeviceOption = "auto",
    any_extent: AnyExtentFlag = False,
    to_atlas: ToAtlasOption = None,
    jobs: JobsOption = 1,
    memory: MemoryOption = "",
    overwrite: OverwriteFlag = False,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Register a brain to an atlas: OUT/registration gets the map, labels and atlas on the brain, its regions.

    Killed or interrupted at any time, the same command goes on where it stopped, to the same bytes.
    """
    import json

    from cloudreg_register.choice import Choice
    from cloudreg_register.registering import register_target

    if fixed_scale is not None and (mode not in ("affine", "fixed-scale") or scale != (1, 1, 1)):
        raise typer.BadParameter("--fixed-scale stands for --mode fixed-scale and --scale: give it alone")
    choice = Choice(
        orientation=orientation,
        voxel_size=voxel_size,
        atlas=atlas,
        labels=labels,
        structures=structures,
        atlas_orientation=atlas_orientation,
        atlas_voxel_size=atlas_voxel_size,
        hemisphere=hemisphere,
        regions=tuple(region or ()),
        rotation=rotation,
        translation=translation,
        scale=fixed_scale or scale,
        search=search,
        landmarks=None if landmarks is None else (typed_place(landmarks[0]), typed_place(landmarks[1])),
        landmarks_for=landmarks_for,
        landmark_sigma=landmark_sigma,
        grid_correction=grid_correction,
        bias_correction=bias_correction,
        classic=classic,
        device=device,
        any_extent=any_extent,
        to_atlas=to_atlas,
        resolution=resolution,
        mode="fixed-scale" if fixed_scale is not None else mode,
        regularization=regularization,
        iterations=iterations,
        missing_data=missing_data,
    )
    done = register_target(
        target,
        out,
        choice,
        jobs=jobs,
        memory=memory_bytes(memory),
        overwrite=overwrite,
        progress=command_progress(context),
        person=_person(context) if confirm else None,
    )
    if done is None:  # a worker rank: its work is done
        return
    typer.echo(json.dumps(done.to_json(), indent=2) if as_json else in_words(done))


def _person(context: typer.Context) -> Person:
    """Who is asked to confirm: the one at the terminal. The script that mounts this may know how to draw."""
    from cloudreg_register.starting import Person

    draw = context.meta.get(DRAW_START)

    def ask(question: str) -> str:
        typer.echo(question, err=True, nl=False)
        answer = sys.stdin.readline()
        if not answer:
            raise EOFError
        return answer

    def show(data: Path, text: str) -> None:
        typer.echo(f"{text}\n\nthe start: {data if draw is None else draw(data)}", err=True)

    return Person(ask, show)


def in_words(done: Registered) -> str:
    """What a registration made, for a person."""
    import shlex

    report = done.to_json()
    shape = report["map"]
    lines = [
        f"transform   {report['transform']}   {report['steps']} steps at voxels down to "
        f"{report['resolution_um']:.3g} µm",
        f"            volume changes by {shape['jacobian_min']:.2f} to {shape['jacobian_max']:.2f}, "
        f"{shape['folded']} folded voxels",
    ]
    lines += [
        f"volume      {volume['volume']}   {' × '.join(map(str, volume['size']))} voxels"
        for volume in report["volumes"]
    ]
    if report["regions"]:
        lines.append(f"regions     {report['regions']}")
    lines.append(f"look at it: cloudreg viz serve {shlex.quote(report['out'])}")
    return "\n".join(lines)
