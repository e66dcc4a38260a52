"""Atlas sources: template and labels at their finest, as they are warped onto a target.

Precomputed volumes are read where they are, block by block. Files and arrays are unpacked to scratch once, where
all workers can map them; without a run they stay in memory, and nothing is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.files.image import read_image
from cloudreg_io.files.location import Location
from cloudreg_io.run import Run, digest
from cloudreg_io.space import Grid
from cloudreg_io.volumes import open_volume
from cloudreg_register.atlases.atlas_part import AtlasPart
from cloudreg_register.images.image import Image
from cloudreg_register.images.places import grid_of, is_file
from cloudreg_register.images.plausible import as_label_ids
from cloudreg_register.stage.inputs import AtlasInputs
from cloudreg_register.transforms.fingerprints import digest_of_array, digest_of_volume
from cloudreg_register.transforms.sources import ArraySource, FileSource, Source, VolumeSource
from cloudreg_register.transforms.transform import Transform
from cloudreg_register.transforms.warped_volumes import suited_source


@dataclass(frozen=True, slots=True)
class AtlasSource:
    """What is warped, and the fingerprint of what it holds."""

    source: Source
    identity: str


def labels_source(run: Run | None, inputs: AtlasInputs) -> AtlasSource | None:
    """The labels, 0 outside of the part that was chosen; None where the atlas has none."""
    atlas, place = inputs.atlas, inputs.atlas.labels
    if place is None:
        return None
    grid = grid_of(place, atlas.voxel_size)
    aligned = inputs.image.frame.aligned(grid.size, grid.spacing, "labels")
    if inputs.part.is_all and isinstance(place, str) and not is_file(place):
        volume = open_volume(place)
        return AtlasSource(VolumeSource.of_labels(volume, aligned), digest_of_volume(volume))
    array = as_label_ids(_voxels(place), str(place) if isinstance(place, str) else atlas.name)
    if not inputs.part.is_all:
        labels = Image(array, grid, grid, atlas.orientation, "the labels")
        array = inputs.part.cropped(inputs.image, labels).array
    return _unpacked(run, array, aligned)


def template_source(run: Run | None, inputs: AtlasInputs, transform: Transform) -> AtlasSource:
    """The template, 0 outside of the part that was chosen."""
    atlas, place = inputs.atlas, inputs.atlas.template
    grid = grid_of(place, atlas.voxel_size)
    stretched = atlas.voxel_size is not None
    if inputs.part.is_all and isinstance(place, str) and not is_file(place) and not stretched:
        volume = open_volume(place)
        edges = transform.target.voxel_size
        source = suited_source(transform, volume, edges, to="target", labels=False)
        return AtlasSource(source, digest_of_volume(volume))
    array = _storable(_voxels(place))
    if not inputs.part.is_all:
        array = np.where(_mask(inputs.part, inputs, grid), array, array.dtype.type(0))
    return _unpacked(run, array, grid)


def _mask(part: AtlasPart, inputs: AtlasInputs, grid: Grid) -> NDArray[np.bool_]:
    labels = None if part.ids is None else inputs.atlas.load_labels(inputs.resolution, inputs.image)
    return part.mask(grid, inputs.image, labels)


def _voxels(place: str | NDArray[Any]) -> NDArray[Any]:
    if not isinstance(place, str):
        return place
    return read_image(Location.parse(place).path)[0] if is_file(place) else open_volume(place).read()


def _storable(array: NDArray[Any]) -> NDArray[Any]:
    """Voxels of a type that images have; the others become float32, which shows them well."""
    return array if array.dtype.name in _IMAGES else array.astype(np.float32)


_IMAGES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32")


def _unpacked(run: Run | None, array: NDArray[Any], grid: Grid) -> AtlasSource:
    if run is None:
        return AtlasSource(ArraySource(array, grid), "")
    identity = digest({"voxels": digest_of_array(array), "grid": grid.to_json()})
    path = run.scratch / "atlas" / f"{identity}.npy"
    source = FileSource(path, grid) if path.exists() else FileSource.write(path, array, grid)
    return AtlasSource(source, identity)
