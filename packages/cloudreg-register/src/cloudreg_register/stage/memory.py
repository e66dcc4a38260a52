"""Memory of a registration: what `register` and `run` ask for before any work, from sizes of target and atlas."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.files.image import read_image_header
from cloudreg_io.files.location import Location
from cloudreg_io.run.memory import Need
from cloudreg_io.space import Grid
from cloudreg_io.volumes import VolumeSpec, open_volume
from cloudreg_register.classic.images import MARGIN
from cloudreg_register.images.places import is_file
from cloudreg_register.lddmm.levels import unit_length
from cloudreg_register.memory import classic_bytes, reading_bytes, register_bytes
from cloudreg_register.stage.inputs import AtlasInputs
from cloudreg_register.transforms.warped_volumes import memory_needed


def needs(target: Grid, of_atlas: AtlasInputs, *, classic: bool = False) -> tuple[Need, ...]:
    """What a registration takes of the memory.

    Parameters
    ----------
    target : Grid
        Mip 0 of what is registered.
    of_atlas : AtlasInputs
    classic : bool
        Whether the original's schedule is wanted.
    """
    grids = (target, of_atlas.image.mip0)
    margin = MARGIN * unit_length(of_atlas.image.mip0) if classic else 0.0
    voxels = max(registered_voxels(grid, of_atlas.resolution, margin) for grid in grids)
    command = classic_bytes(voxels) if classic else register_bytes(voxels)
    spec = VolumeSpec.plan(target.size, target.spacing, np.uint32, layer="segmentation")
    sources = [_mapped(place) for place in (of_atlas.atlas.template, of_atlas.atlas.labels)]
    return (
        Need(f"registering {voxels:,} voxels", 0, command, ("a larger --resolution",)),
        Need("putting the labels on the target's grid", memory_needed(spec), max(sources)),
        *_reading(of_atlas),
    )


def reading_need(place: str) -> Need | None:
    """What it takes to read a file; None for a precomputed volume, which is read part by part."""
    if not is_file(place):
        return None
    header = read_image_header(Location.parse(place).path)
    return Need(f"reading {place}", 0, reading_bytes(header.size, header.dtype), ("a coarser copy of it",))


def registered_voxels(grid: Grid, resolution: float, margin: float = 0.0) -> int:
    """Of a grid when it is registered, with a margin in µm all around."""
    return math.prod(
        math.ceil((n * s + 2 * margin) / max(s, resolution)) for n, s in zip(grid.size, grid.spacing, strict=True)
    )


def _reading(of_atlas: AtlasInputs) -> Iterator[Need]:
    """Files of the atlas, and volumes of which a part is cut out, are read whole."""
    for place in (of_atlas.atlas.template, of_atlas.atlas.labels):
        if isinstance(place, str):
            if need := reading_need(place):
                yield need
            elif not of_atlas.part.is_all:
                volume = open_volume(place)
                yield Need(f"reading {place}", 0, reading_bytes(volume.size(), volume.dtype), ("the whole atlas",))


def _mapped(place: str | NDArray[Any] | None) -> int:
    """Bytes of a source that all workers map."""
    if not isinstance(place, str):
        return 0 if place is None else int(place.nbytes)
    if not is_file(place):
        return 0
    header = read_image_header(Location.parse(place).path)
    return math.prod(header.size) * np.dtype(header.dtype).itemsize
