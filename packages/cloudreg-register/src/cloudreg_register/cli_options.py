"""Options of a registration, declared once: `cloudreg register`, `run` and `plan` have them all."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cloudreg_io.console import typed_place

if TYPE_CHECKING:
    from cloudreg_register.stage.choice import Choice


# options by their heading in the help, where they stand beside all that `run` does before it registers
of_atlas = partial(typer.Option, rich_help_panel="Registration: the atlas")
of_start = partial(typer.Option, rich_help_panel="Registration: where it starts")
of_map = partial(typer.Option, rich_help_panel="Registration: how the map is found")
of_results = partial(typer.Option, rich_help_panel="Registration: what is made of it")


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedRegistration:
    """What is typed about a registration: a group of options (`cloudreg_io.option_groups`)."""

    atlas: Annotated[
        str | None,
        of_atlas(
            metavar="PLACE|NAME",
            callback=typed_place,
            help="Template: a precomputed volume, a NRRD, NIfTI or TIFF file, or the name of one of BrainGlobe's "
            "atlases, such as allen_mouse_25um. Default: the Allen Reference Atlas.",
        ),
    ] = None
    labels: Annotated[
        str | None,
        of_atlas(metavar="PLACE", callback=typed_place, help="Its labels. Default: what the atlas brings along."),
    ] = None
    structures: Annotated[
        str | None,
        of_atlas(
            metavar="FILE",
            callback=typed_place,
            help="Names of the labels: Allen or BrainGlobe JSON, or CSV (id,acronym,name,parent).",
        ),
    ] = None
    atlas_orientation: Annotated[
        str | None,
        of_atlas(metavar="CODE", help="Where x, y, z of atlas and labels grow to; PIR for the Allen atlas."),
    ] = None
    atlas_voxel_size: Annotated[
        tuple[float, float, float] | None,
        of_atlas(metavar="X Y Z", help="Of atlas and labels in µm, in place of what their files say."),
    ] = None
    hemisphere: Annotated[
        Literal["left", "right"] | None, of_atlas(help="The sample has this half of the atlas only.")
    ] = None
    region: Annotated[
        list[str] | None,
        of_atlas(metavar="ACRONYM", help="The sample has this region of the atlas only; may be repeated."),
    ] = None
    any_extent: Annotated[
        bool,
        of_atlas("--any-extent", help="Go on though the brain is much larger or smaller than the atlas."),
    ] = False
    rotation: Annotated[
        tuple[float, float, float],
        of_start(metavar="X Y Z", help="Degrees about the target's x, then y, then z axis."),
    ] = (0, 0, 0)
    translation: Annotated[
        tuple[float, float, float] | None,
        of_start(
            metavar="X Y Z",
            help="µm along the target's axes. Default: the centres of mass of the tissue meet.",
        ),
    ] = None
    scale: Annotated[
        tuple[float, float, float],
        of_start(metavar="X Y Z", help="Size of the sample along its axes, in sizes of the atlas."),
    ] = (1, 1, 1)
    landmarks: Annotated[
        tuple[str, str] | None,
        of_start(
            metavar="ATLAS TARGET",
            help="Points of the same names in both: CSV (x,y,z,name in µm) or Neuroglancer states.",
        ),
    ] = None
    landmarks_for: Annotated[
        Literal["start", "cost", "both"], of_start(help="Landmarks give the start, pull at the map, or both.")
    ] = "both"
    landmark_sigma: Annotated[
        float | None,
        of_start(metavar="UM", help="How far landmarks may be off. Default: 1/132 of the atlas's length."),
    ] = None
    resolution: Annotated[
        float | None,
        of_map(
            metavar="UM",
            help="Voxel size at which to register. Default: 1/132 of the atlas's length, 100 µm for a mouse.",
        ),
    ] = None
    mode: Annotated[
        Literal["rigid", "similarity", "affine", "fixed-scale"] | None,
        of_map(help="What the affine map may do. Default: affine; with --classic, fixed-scale as there."),
    ] = None
    fixed_scale: Annotated[
        tuple[float, float, float] | None,
        of_map(metavar="X Y Z", help="As --scale, and kept as it is: as --mode fixed-scale."),
    ] = None
    regularization: Annotated[
        float | None,
        of_map(
            help="Higher lets the map bend more: as ever, higher is less regularisation. "
            "Default: 4; with --classic, 5000 as there."
        ),
    ] = None
    iterations: Annotated[
        tuple[int, int, int] | None,
        of_map(metavar="A B C", help="At most: at the coarsest level, at levels between, at the finest."),
    ] = None
    missing_data: Annotated[bool, of_map(help="Leave voxels of exactly 0 out: they were not imaged.")] = True
    grid_correction: Annotated[
        bool, of_map(help="Flatten the pattern of tiles and stripes that is the same in every plane before.")
    ] = False
    bias_correction: Annotated[
        bool, of_map(help="Flatten slow illumination before; the local contrast mostly takes care of it.")
    ] = False
    classic: Annotated[
        int | None,
        of_map(
            metavar="ITERATIONS",
            min=1,
            help="Do as the original did, for comparison: one level, so many iterations (it had 3000).",
        ),
    ] = None
    device: Annotated[
        Literal["auto", "cpu", "cuda"], of_map(help="Where to compute: auto takes a graphics card if any.")
    ] = "auto"
    to_atlas: Annotated[
        float | None,
        of_results(
            metavar="UM",
            help="Also put every channel on the atlas, at this voxel size: OUT/registration/on_atlas.",
        ),
    ] = None

    def choice(
        self, *, orientation: str, search: bool, voxel_size: tuple[float, float, float] | None = None
    ) -> Choice:
        """What is decided by it, together with what the commands ask each in its own way.

        Raises
        ------
        typer.BadParameter
            --fixed-scale beside what it stands for.
        """
        from cloudreg_register.stage.choice import Choice

        given: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        given["regions"] = tuple(given.pop("region") or ())
        if (fixed := given.pop("fixed_scale")) is not None:
            if self.mode not in (None, "fixed-scale") or self.scale != (1.0, 1.0, 1.0):
                raise typer.BadParameter("--fixed-scale stands for --mode fixed-scale and --scale: give it alone")
            given |= {"mode": "fixed-scale", "scale": fixed}
        if self.landmarks is not None:
            given["landmarks"] = (typed_place(self.landmarks[0]), typed_place(self.landmarks[1]))
        return Choice(orientation=orientation, search=search, voxel_size=voxel_size, **given)
