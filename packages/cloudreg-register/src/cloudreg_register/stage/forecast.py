"""Forecast: what a registration will read, write and take, worked out before there is a volume to register.

How far labels and template compress on the target's grid, and how fast this machine makes them, is measured on
chunks spread over it, pulled through the map from which the registration starts. The rest is counted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from cloudreg_io.run.expense import Expense
from cloudreg_io.space import Bounds, Orientation, VoxelSize, vector3i
from cloudreg_io.volumes import Volume, VolumeSpec
from cloudreg_io.volumes.cascade import mip_groups
from cloudreg_io.volumes.chunks import encode_chunk
from cloudreg_register.analysis.regions import VOXEL_SIZE
from cloudreg_register.classic.images import MARGIN
from cloudreg_register.images.frame import Frame
from cloudreg_register.lddmm.levels import default_levels, unit_length, velocity_grid
from cloudreg_register.stage.atlas_sources import labels_source, template_source
from cloudreg_register.stage.choice import Choice
from cloudreg_register.stage.inputs import AtlasInputs
from cloudreg_register.stage.memory import registered_voxels
from cloudreg_register.start.initial import initial_affine
from cloudreg_register.transforms.sources import ArraySource, VolumeSource
from cloudreg_register.transforms.transform import Transform
from cloudreg_register.transforms.warped_volumes import Warped, atlas_on_target, labels_on_target, target_on_atlas

_PLACES = (1 / 6, 1 / 2, 5 / 6)  # along each axis: where chunks are tried
# Seconds of one core: of a registration as benchmarks/registration.py prints them (40 to 58 s at 100 µm); the rest
# measured beside other work, 26 November 2026
_BEGIN, _STEP = 3.0, 2.5e-6  # at least; a voxel and iteration at the finest level
_CLASSIC_STEP = 1e-5  # a voxel, those of the margin too, and iteration
_SEARCH = 10.0  # all ways in which a brain may lie
_POOL = 8e-9  # a voxel: levels from level to level
_READ = 1e-8  # a byte of voxels: read and unpacked
_COUNT = 1e-8  # a voxel and channel: counted by region


@dataclass(frozen=True, slots=True)
class RegistrationForecast:
    """A registration, foretold.

    Attributes
    ----------
    expenses : tuple of Expense
    scratch_bytes : int
        Of what lies in `.cloudreg` meanwhile, at most.
    """

    expenses: tuple[Expense, ...]
    scratch_bytes: int


def foretell_registration(
    of_atlas: AtlasInputs, choice: Choice, channel: str, volumes: Mapping[str, VolumeSpec], ratio: float
) -> RegistrationForecast:
    """Work out what a registration will cost.

    Parameters
    ----------
    of_atlas : AtlasInputs
    choice : Choice
    channel : str
        The one that is registered.
    volumes : mapping of str to VolumeSpec
        Of all channels, as they will be.
    ratio : float
        Bytes of their chunks for a byte of their voxels.
    """
    transform = _like(of_atlas, choice, volumes[channel])
    target = Volume("file:///" + channel, volumes[channel])
    template = template_source(None, of_atlas, transform)
    labels = labels_source(None, of_atlas)
    sources = [("atlas on target", atlas_on_target(template.source, "", Path()))]
    if labels is not None:
        sources.insert(0, ("labels on target", labels_on_target(labels.source, "", Path())))
    wanted = [(name, replace(warped, mips=target.spec.mips)) for name, warped in sources]
    tried = [_warping(name, warped, transform) for name, warped in wanted]
    expenses = [_mapping(of_atlas, choice, channel, target, transform, ratio), *tried]
    if choice.to_atlas is not None:
        each = tried[-1].seconds / math.prod(target.size())
        edges = VoxelSize.of((choice.to_atlas,) * 3)
        expenses += [_on_atlas(transform, name, spec, edges, ratio, each) for name, spec in volumes.items()]
    if labels is not None:
        expenses.append(_measuring(volumes, ratio))
    unpacked = sum(w.source.array.nbytes for _, w in wanted if isinstance(w.source, ArraySource))
    return RegistrationForecast(tuple(expenses), unpacked + max(_sums(w.plan(transform)) for _, w in wanted))


def _like(of_atlas: AtlasInputs, choice: Choice, target: VolumeSpec) -> Transform:
    """A transform that costs what the one that is found will cost: as many numbers, at the start."""
    frame = Frame(target.size, target.voxel_size, Orientation(choice.orientation), "target")
    image = of_atlas.image
    start = initial_affine(image.orientation, frame.orientation, rotation=choice.rotation, scale=choice.scale)
    levels = default_levels(image.grid, of_atlas.resolution, choice.options(of_atlas.resolution).iterations)
    grid = velocity_grid(image.grid, levels[-1].velocity_spacing)
    return Transform(start, np.zeros((1, 3, *grid.shape), np.float32), grid, image.frame, frame)


def _mapping(
    of_atlas: AtlasInputs, choice: Choice, channel: str, target: Volume, transform: Transform, ratio: float
) -> Expense:
    resolution = of_atlas.resolution
    if choice.classic is not None:
        margin = MARGIN * unit_length(of_atlas.image.mip0)
        seconds = choice.classic * registered_voxels(of_atlas.image.mip0, resolution, margin) * _CLASSIC_STEP
    else:
        voxels = max(registered_voxels(grid, resolution) for grid in (target.grid(), of_atlas.image.mip0))
        seconds = _BEGIN + choice.options(resolution).iterations[2] * voxels * _STEP
    read = _level_bytes(target, resolution) * ratio
    seconds += read / ratio * _READ + (_SEARCH if choice.search else 0)
    return Expense("register", channel, int(read), transform.velocity.nbytes, seconds, alone=True)


def _warping(name: str, warped: Warped, transform: Transform) -> Expense:
    """Labels or template on the target: tried on some chunks."""
    spec = warped.plan(transform)
    warp = warped.warp(transform)
    boxes = [*_spread(spec)]
    warp.block(boxes[len(boxes) // 2])  # what is loaded for the first is not counted
    raw, packed, began = 0, 0, time.perf_counter()
    for box in boxes:
        block = warp.block(box)
        raw, packed = raw + block.nbytes, packed + len(encode_chunk(block, spec.compression))
    item = np.dtype(spec.dtype).itemsize
    whole = math.prod(spec.size)
    seconds = (time.perf_counter() - began) / raw * whole * item + whole * _POOL
    return Expense(name, "", 0, int(_voxels(spec) * item * packed / raw), seconds)


def _spread(spec: VolumeSpec) -> Iterator[Bounds]:
    """Chunks of mip 0 here and there."""
    chunk, size = spec.chunk, spec.size
    numbers = [sorted({int(place * -(-n // c)) for place in _PLACES}) for n, c in zip(size, chunk, strict=True)]
    for z, y, x in product(*reversed(numbers)):
        lower = vector3i([k * c for k, c in zip((x, y, z), chunk, strict=True)])
        upper = vector3i([min(low + c, n) for low, c, n in zip(lower, chunk, size, strict=True)])
        yield Bounds(lower, upper)


def _on_atlas(
    transform: Transform, name: str, spec: VolumeSpec, edges: VoxelSize, ratio: float, each: float
) -> Expense:
    warped = target_on_atlas(transform, Volume("file:///" + name, spec), "file:///on_atlas", edges)
    assert isinstance(warped.source, VolumeSource)
    made, item = warped.plan(transform), np.dtype(spec.dtype).itemsize
    read = math.prod(warped.source.volume.size(warped.source.mip)) * item
    seconds = read * _READ + 8 * math.prod(made.size) * each  # at most two places along each axis
    return Expense("on atlas", name, int(read * ratio), int(_voxels(made) * item * ratio), seconds)


def _measuring(volumes: Mapping[str, VolumeSpec], ratio: float) -> Expense:
    seconds = read = 0.0
    for name, spec in volumes.items():
        size = _level_bytes(Volume("file:///" + name, spec), VOXEL_SIZE)
        read += size
        seconds += size * _READ + size / np.dtype(spec.dtype).itemsize * _COUNT
    return Expense("regions", "", int(read * ratio), 0, seconds)


def _level_bytes(volume: Volume, um: float) -> float:
    """Of the voxels of the level that is read for voxels of `um`."""
    mip, _ = volume.mip_at([max(um, edge) for edge in volume.voxel_size()])
    return math.prod(volume.size(mip)) * volume.dtype.itemsize


def _voxels(spec: VolumeSpec) -> int:
    return sum(math.prod(scale.size) for scale in spec.scales)


def _sums(spec: VolumeSpec) -> int:
    """What the first level that is not made on the way leaves in scratch."""
    later = spec.scales[len(mip_groups(spec)[0]) :]
    return 4 * math.prod(later[0].size) if later else 0
