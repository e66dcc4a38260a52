"""Options of registration, declared once: `cloudreg register` and `cloudreg run` have them both."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cloudreg_io.console import typed_place

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
