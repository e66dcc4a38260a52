"""Warped volumes: labels and atlas on the target's own grid, or the target on the atlas, as precomputed volumes.

The work is cut into parts one chunk deep and some chunks wide, which are made and written one after the other, so
that the memory needed does not depend on the size of the volume. Every part is a unit of a resumable stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from cloudreg_io.errors import InputError
from cloudreg_io.files.location import Location
from cloudreg_io.run import Run, Shared, Unit, digest
from cloudreg_io.run.kept import kept
from cloudreg_io.space import Bounds, Grid, Vector3i, VoxelSize
from cloudreg_io.volumes import (
    SlabWriter,
    Volume,
    VolumeSpec,
    create_volume,
    finish_volume,
    strip_alignment,
)
from cloudreg_io.volumes.info import to_info
from cloudreg_io.volumes.spec import Compression, Layer
from cloudreg_register.images.frame import Frame
from cloudreg_register.layout import ATLAS_ON_TARGET, LABELS
from cloudreg_register.transforms.fingerprints import digest_of_volume, identity_of
from cloudreg_register.transforms.sources import Source, VolumeSource
from cloudreg_register.transforms.transform import Space, Transform, other
from cloudreg_register.transforms.warp import LARGEST_READ, Warp

_IMAGE_BITS = 9  # an error of a 1024th at most: the atlas is there to be looked at
_FINER = 20  # times than the finest of atlas and target: what lies in between is interpolated all the same
_STRIP = 2048  # voxels along x of one part, about
# Of a part: its row of chunks and what it leaves for coarser levels; its source, which cloud-volume holds up to
# three times while it reads; positions and means of what is worked on at a time (measured: 107 MB for labels, 190
# for an image that is averaged)
_WRITTEN, _READ, _PLACES = 6, 4, 200_000_000


@dataclass(frozen=True, slots=True)
class Warped:
    """A volume to be made.

    Attributes
    ----------
    source : Source
        What is warped; it must be small when pickled (a file or a volume, not an array).
    identity : str
        Fingerprint of what the source holds: another one makes the volume anew.
    url : str
        Folder of the new volume.
    to : "target" or "atlas"
        Where it lives.
    labels : bool
    voxel_size : VoxelSize, optional
        Of the new volume; by default that of the frame it lives in.
    mips : sequence of (x, y, z) int, optional
        Factors of its levels; the target's, so that a viewer shows both at one level.
    compression : str
    bits : int, optional
        Significant bits of floating-point samples. More would be noise of the interpolation that no codec can
        compress; by default all.
    """

    source: Source
    identity: str
    url: str
    to: Space
    labels: bool
    voxel_size: VoxelSize | None = None
    mips: Sequence[Vector3i] | None = None
    compression: Compression = "gzip"
    bits: int | None = None

    def grid(self, transform: Transform) -> Grid:
        """The voxels of the new volume, in the physical frame of what it lives in."""
        grid = transform.frame(self.to).grid()
        return grid if self.voxel_size is None else grid.with_spacing(self.voxel_size)

    def plan(self, transform: Transform) -> VolumeSpec:
        """The new volume; every check comes here, before anything is written.

        Raises
        ------
        InputError
            `to` is unknown, or the source is of a type that no volume holds.
        """
        grid = self.grid(transform)
        require_not_too_fine(grid.voxel_size, transform.atlas, transform.target, "--voxel-size")
        layer: Layer = "segmentation" if self.labels else "image"
        dtype = self.source.dtype
        mips = None if self.voxel_size is not None else _divisible(self.mips)
        return VolumeSpec.plan(
            grid.size, grid.voxel_size, dtype, layer=layer, mips=mips, compression=self.compression
        )

    def warp(self, transform: Transform) -> Warp:
        """What makes its blocks."""
        grid = self.grid(transform)
        return Warp(transform, self.source, grid, to=self.to, labels=self.labels, bits=self.bits)


def labels_on_target(source: Source, identity: str, out: Path, target: Volume | None = None) -> Warped:
    """Labels of the atlas on the target's own grid, at OUT/registration/labels, with the target's mips."""
    mips = None if target is None else target.spec.mips
    return Warped(source, identity, str(out / LABELS), "target", labels=True, mips=mips)


def atlas_on_target(source: Source, identity: str, out: Path, target: Volume | None = None) -> Warped:
    """The atlas's image on the target's own grid, at OUT/registration/atlas_on_target."""
    mips = None if target is None else target.spec.mips
    url = str(out / ATLAS_ON_TARGET)
    return Warped(source, identity, url, "target", labels=False, mips=mips, bits=_IMAGE_BITS)


def target_on_atlas(
    transform: Transform,
    volume: Volume,
    url: str,
    voxel_size: VoxelSize,
    *,
    labels: bool = False,
    channel: int = 0,
    out: Path | None = None,
) -> Warped:
    """A channel of the target (which may lie in OUT) on the atlas's grid, read from the level that suits."""
    source = suited_source(transform, volume, voxel_size, to="atlas", labels=labels, channel=channel)
    identity = digest_of_volume(volume, out, channel=channel)
    return Warped(source, identity, url, "atlas", labels=labels, voxel_size=voxel_size)


def suited_source(
    transform: Transform, volume: Volume, voxel_size: VoxelSize, *, to: Space, labels: bool, channel: int = 0
) -> VolumeSource:
    """A precomputed volume at the level that suits what is made of it.

    Parameters
    ----------
    transform : Transform
    volume : Volume
        Of the volume that is not named by `to`, at whatever voxel size.
    voxel_size : VoxelSize
        Of what is made.
    to : "target" or "atlas"
    labels : bool
        Labels are always taken from mip 0.
    channel : int
        Of an image.

    Raises
    ------
    InputError
        The extent of the volume is not that of its frame.
    """
    mapper = transform.mapper(other(to))
    grid = mapper.destination.aligned(volume.size(), volume.voxel_size(), "labels" if labels else "image")
    if labels:
        return VolumeSource.of_labels(volume, grid)
    steps = np.abs(mapper.linear * np.asarray(tuple(voxel_size))).max(axis=1)
    return VolumeSource.of_image(volume, steps.tolist(), grid, channel)


def warp_volume(run: Run, transform: Transform, warped: Warped, *, name: str) -> dict[str, Any]:
    """Make a warped volume.

    Parameters
    ----------
    run : Run
    transform : Transform
    warped : Warped
    name : str
        What journal and progress call it: "labels", "atlas", a channel.

    Returns
    -------
    dict
        {"volume", "size", "voxel_size_um", "chunks", "bytes"}.

    Raises
    ------
    InputError
        Another volume is there, or the source cannot be stored.
    """
    spec = warped.plan(transform)
    made = Volume(str(Location.parse(warped.url)), spec)
    keyed = {"source": warped.identity, "transform": identity_of(transform), "volume": digest(to_info(spec))}
    keyed |= {} if warped.bits is None else {"bits": str(warped.bits)}
    run.stage(
        "create", _create, [Unit("info", made)], channel=name, options=keyed, outputs=_outputs(run.out, made)
    )
    scratch = run.scratch / f"warp-{digest({**keyed, 'name': name})}"
    shared = run.share(f"transform-{keyed['transform']}", transform)
    units = [
        Unit(f"z{z[0]}-{z[1]} x{x[0]}-{x[1]}", _Part(shared, warped, made, scratch, z, x))
        for z in made.slabs()
        for x in strips(spec)
    ]
    done = run.stage("warp", _warp_part, units, channel=name, options=keyed).values()
    finished = finish_volume(run, made, scratch, channel=name, options=keyed)
    written = {
        key: finished[key] + (0 if spec.sharded else sum(result[key] for result in done))
        for key in ("bytes", "chunks")
    }
    return {"volume": made.url, "size": list(spec.size), "voxel_size_um": list(spec.voxel_size), **written}


def require_not_too_fine(edges: VoxelSize, atlas: Frame, target: Frame, option: str) -> None:
    """Refuse voxels much finer than those of both volumes: nothing would be in them, and no disk holds them.

    Raises
    ------
    InputError
        Naming the `option` that they were given by.
    """
    finest = min(*atlas.voxel_size, *target.voxel_size)
    if min(edges) < finest / _FINER:
        raise InputError(
            f"voxels of {min(edges):g} µm are more than {_FINER} times finer than any of atlas and target, "
            f"{finest:g} µm",
            fix=f"{option} of {finest / _FINER:.3g} µm or more",
        )


def strips(spec: VolumeSpec) -> list[tuple[int, int]]:
    """The ranges of x of the parts of a slab."""
    step = strip_alignment(spec)
    width = step * max(1, round(_STRIP / step))
    return [(x, min(x + width, spec.size[0])) for x in range(0, spec.size[0], width)]


def memory_needed(spec: VolumeSpec) -> int:
    """Bytes that one worker needs, at most, to make a part; independent of the size of the volume."""
    width = max(b - a for a, b in strips(spec))
    row = width * spec.chunk[1] * spec.chunk[2]
    item: int = np.dtype(spec.dtype).itemsize
    return item * (_WRITTEN * row + _READ * LARGEST_READ) + _PLACES


@dataclass(frozen=True, slots=True)
class _Part:
    transform: Shared[Transform]
    warped: Warped
    made: Volume
    scratch: Path
    z: tuple[int, int]
    x: tuple[int, int]


def _create(volume: Volume) -> None:
    create_volume(volume.location, volume.spec)


def _warp_part(part: _Part) -> dict[str, int]:
    warp = kept((part.transform, part.warped.url), lambda: part.warped.warp(part.transform.get()))
    height, rows = part.made.size()[1], part.made.spec.chunk[1]
    with SlabWriter(part.made, part.scratch, part.z, part.x) as writer:
        for y in range(0, height, rows):
            lower = (part.x[0], y, part.z[0])
            writer.write(warp.block(Bounds(lower, (part.x[1], min(y + rows, height), part.z[1]))))
    return writer.result()


def _divisible(mips: Sequence[Vector3i] | None) -> Sequence[Vector3i] | None:
    """The factors of a volume's levels, when volumes that we write can have them."""
    if mips is None or mips[0] != (1, 1, 1):
        return None
    for finer, coarser in pairwise(mips):
        if finer == coarser or any(c not in (f, 2 * f) for f, c in zip(finer, coarser, strict=True)):
            return None
    return mips


def _outputs(out: Path, made: Volume) -> list[str]:
    location = made.location
    if not location.is_file or not location.path.is_relative_to(out.absolute()):
        return []
    folder = location.path.relative_to(out.absolute())
    return [str(folder / name) for name in ("info", *(scale.key for scale in made.spec.scales))]
