"""Inputs: the target and the atlas as registration takes them, and all that must be right about them beforehand.

The atlas is looked at first, since it is small and says at which voxel size the target is read. Labels are not
read here where their header says that they are labels, and those of the atlas.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.files.image import read_image_header, read_voxels
from cloudreg_io.files.location import Location
from cloudreg_io.run import digest
from cloudreg_io.space import Orientation, VoxelSize
from cloudreg_io.volumes import open_volume
from cloudreg_register.atlases.atlas import Atlas
from cloudreg_register.atlases.atlas_part import AtlasPart
from cloudreg_register.images.extent import ExtentCheck, check_extent
from cloudreg_register.images.frame import Frame
from cloudreg_register.images.image import Image, load_image
from cloudreg_register.images.places import grid_of, is_file
from cloudreg_register.images.plausible import as_label_ids, require_larger_than, require_same_extent
from cloudreg_register.lddmm.levels import default_resolution, unit_length
from cloudreg_register.stage.choice import Choice
from cloudreg_register.stage.possible import require_possible
from cloudreg_register.start.initial import initial_affine
from cloudreg_register.transforms.fingerprints import digest_of_array

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class AtlasInputs:
    """An atlas, ready.

    Attributes
    ----------
    atlas : Atlas
    part : AtlasPart
    image : Image
        Its template at about `resolution`, dark outside of the part.
    resolution : float
        µm.
    """

    atlas: Atlas
    part: AtlasPart
    image: Image
    resolution: float


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """A target and an atlas, ready.

    Attributes
    ----------
    place : str
        Of the target.
    target : Image
        At about the resolution.
    of_atlas : AtlasInputs
    extent : ExtentCheck
    """

    place: str
    target: Image
    of_atlas: AtlasInputs
    extent: ExtentCheck

    @property
    def atlas(self) -> Image:
        """The template."""
        return self.of_atlas.image

    @property
    def frames(self) -> tuple[Frame, Frame]:
        """Of atlas and target."""
        return self.atlas.frame, self.target.frame

    def identity(self) -> dict[str, str]:
        """Fingerprints of what is registered."""
        return {"target": fingerprint(self.target), "atlas": fingerprint(self.atlas)}


def load_atlas(choice: Choice, memory: int | None) -> AtlasInputs:
    """Find and read the atlas.

    Raises
    ------
    NotFoundError, InputError, ToolError
        What is wrong with it: no such volume, an impossible orientation, labels of another extent, …
    """
    atlas = choice.found_atlas()
    with atlas.reached():
        return _loaded_atlas(atlas, choice, memory)


def _loaded_atlas(atlas: Atlas, choice: Choice, memory: int | None) -> AtlasInputs:
    own = Orientation(choice.orientation)
    # refuses impossible numbers before anything is read
    initial_affine(atlas.orientation, own, rotation=choice.rotation, scale=choice.scale)
    part = choice.part(atlas)
    grid = grid_of(atlas.template, atlas.voxel_size, "--atlas-voxel-size")
    if atlas.labels is not None:
        labels = grid_of(atlas.labels, atlas.voxel_size, "--atlas-voxel-size")
        require_same_extent(grid, labels, atlas.name, _name_of(atlas.labels))
        _require_ids(atlas.labels)
    elif part.ids is not None:
        raise InputError("--region cuts the atlas by its labels", fix="--labels PLACE")
    _warn_of_ids(atlas.template)
    resolution = choice.resolution or default_resolution(grid)
    image = atlas.load_template(resolution, memory)
    if not part.is_all:
        labels_image = None if part.ids is None else atlas.load_labels(resolution, image, memory)
        image = replace(image, array=_darkened(image.array, part.weights(image, labels_image)))
    return AtlasInputs(atlas, part, image, resolution)


def load_inputs(place: str, choice: Choice, of_atlas: AtlasInputs, memory: int | None) -> Inputs:
    """Read the target, and check that it can be registered to the atlas.

    Raises
    ------
    NotFoundError, InputError, ToolError
    """
    grid = grid_of(place, None if choice.voxel_size is None else VoxelSize.of(choice.voxel_size))
    require_possible(place, grid, choice, of_atlas)
    target = load_image(
        place,
        resolution_um=of_atlas.resolution,
        orientation=Orientation(choice.orientation),
        voxel_size=choice.voxel_size,
        memory=memory,
    )
    extent = check_extent(target, of_atlas.image, choice.scale)
    if not of_atlas.part.is_all:
        extent = replace(extent, fix=f"is the sample only {_part_of(choice)} of the atlas? If so: {extent.fix}")
    # a search finds out which axes were exchanged
    if not (choice.any_extent or (choice.search and extent.verdict == "axes exchanged")):
        extent.require()
    require_larger_than(target.grid, unit_length(of_atlas.image.mip0), target.name)
    return Inputs(place, target, of_atlas, extent)


def _part_of(choice: Choice) -> str:
    """What the atlas was cut to, as it is typed."""
    half = [f"--hemisphere {choice.hemisphere}"] if choice.hemisphere else []
    return " and ".join([*half, *(f"--region {acronym}" for acronym in choice.regions)])


def _require_ids(labels: str | NDArray[Any]) -> None:
    """Refuse a file whose voxels are no labels; its header does where they are unsigned whole numbers."""
    if not isinstance(labels, str) or not is_file(labels):
        return
    header = read_image_header(Location.parse(labels).path)
    if np.dtype(header.dtype).kind != "u":
        as_label_ids(read_voxels(header), labels)


def _warn_of_ids(template: str | NDArray[Any]) -> None:
    """Say that an atlas's image may be its labels: images have 16 bits at most, or are of floats."""
    if not isinstance(template, str):
        return
    if is_file(template):
        dtype = np.dtype(read_image_header(Location.parse(template).path).dtype)
        ids = dtype.kind in "iu" and dtype.itemsize >= 4
    else:
        ids = open_volume(template).spec.layer == "segmentation"
    if ids:
        _logger.warning(
            "%s looks like labels, and is taken as the atlas's image; if it is not, give the image as --atlas and "
            "this as --labels",
            template,
        )


def fingerprint(image: Image) -> str:
    """Of an image's voxels and where they lie."""
    return digest([digest_of_array(image.array), image.grid.to_json(), image.frame.to_json()])


def _name_of(place: str | NDArray[Any]) -> str:
    return place if isinstance(place, str) else "of the atlas"


def _darkened(array: NDArray[Any], weights: NDArray[np.float32]) -> NDArray[Any]:
    """An image with its darkest value where the weight is 0."""
    return np.where(weights > 0, array, array.min())
