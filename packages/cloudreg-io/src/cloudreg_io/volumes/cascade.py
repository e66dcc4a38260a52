"""The cascade: rows of one slab go in at its finest mip; chunks of all its mips come out, and sums for the next.

A *slab* is one chunk deep in z. Mips that share their z factor share their slabs, so one sweep over y makes them
all: rows are collected until they fill a row of chunks, those are written, and the rows go on, pooled, to the next
mip. What leaves the last mip of the group is pooled once more and kept in scratch (`cloudreg_io.volumes.sums`):
the next group, whose slabs are deeper, begins with that. Only rows in the making are held in memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.space import Bounds, Vector3i, vector3i
from cloudreg_io.volumes.chunks import ChunkSink, encode_chunk
from cloudreg_io.volumes.mips import scaled_size
from cloudreg_io.volumes.pyramid import downsample_mode, downsample_sums, mean_from_sums, sums_dtype
from cloudreg_io.volumes.rows import Rows
from cloudreg_io.volumes.shards import level_sink
from cloudreg_io.volumes.spec import VolumeSpec
from cloudreg_io.volumes.sums import SumsWriter, sums_path
from cloudreg_io.volumes.volume import Volume


def mip_groups(spec: VolumeSpec) -> tuple[tuple[int, ...], ...]:
    """Consecutive mips that have the same z factor, and so the same slabs."""
    factors = spec.mips
    return tuple(tuple(group) for _, group in groupby(range(len(factors)), key=lambda mip: factors[mip][2]))


def strip_alignment(spec: VolumeSpec) -> int:
    """What the x at which one strip of a slab ends and the next begins must be a multiple of, in mip-0 voxels."""
    factors, group = spec.mips, mip_groups(spec)[0]
    whole_chunks = [spec.scales[mip].chunk[0] * factors[mip][0] for mip in group]
    whole_blocks = [factors[mip][0] for mip in range(min(len(group) + 1, len(factors)))]
    return math.lcm(*whole_chunks, *whole_blocks)


def require_writable(spec: VolumeSpec) -> None:
    """Refuse volumes that other programs may have but that we do not write."""
    for finer, coarser, scale in zip(spec.mips, spec.mips[1:], spec.scales, strict=False):
        if scale.chunk[2] % (coarser[2] // finer[2]):
            raise InputError(
                f"chunks {scale.chunk[2]} deep are not written: mip factor {coarser} needs parts of two slabs",
                fix="choose an even chunk depth",
            )
    for mip, (factor, scale) in enumerate(zip(spec.mips, spec.scales, strict=True)):
        if scale.size != scaled_size(spec.size, factor) or scale.encoding != "raw" or any(scale.offset):
            raise InputError(
                f"mip {mip} ({scale.key}) has a size, offset or encoding ({scale.encoding}) that is not written",
                why="the volume was made by another program",
                fix="write to a new volume",
            )
    if spec.channels != 1:
        raise InputError(f"volumes of {spec.channels} channels are not written", fix="one volume a channel")


@dataclass(frozen=True, slots=True)
class Pooling:
    """How the voxels of a level are made: what is carried from mip to mip, and what of it is stored.

    Images carry exact sums of mip 0. Labels carry themselves, so a mip holds the mode of the mip before it, not of
    mip 0: the mode over all of mip 0 would need all of mip 0.
    """

    spec: VolumeSpec

    def pool(self, carried: NDArray[Any], mip: int) -> NDArray[Any]:
        """What is carried at `mip`, from what is carried at the mip before."""
        finer, coarser = self.spec.mips[mip - 1], self.spec.mips[mip]
        factor = vector3i([c // f for f, c in zip(finer, coarser, strict=True)])
        if self.spec.layer == "segmentation":
            return downsample_mode(carried, factor)
        return downsample_sums(carried, factor, self.dtype(mip))

    def voxels(self, carried: NDArray[Any], mip: int, lower: Vector3i) -> NDArray[Any]:
        """The voxels of a part of a level that begins at `lower`."""
        if mip == 0 or self.spec.layer == "segmentation":
            return carried
        return mean_from_sums(
            carried, self.spec.dtype, factor=self.spec.mips[mip], size=self.spec.size, lower=lower
        )

    def dtype(self, mip: int) -> np.dtype[Any]:
        """Of what is carried at a mip."""
        if mip == 0 or self.spec.layer == "segmentation":
            return np.dtype(self.spec.dtype)
        return sums_dtype(self.spec.dtype, math.prod(self.spec.mips[mip]))


class Cascade:
    """All mips of one group, for one slab and one strip of x. When the context ends, all of it is on the disk.

    Parameters
    ----------
    volume : Volume
    scratch : Path
        Where sums and pieces of shards are left.
    group : tuple of int
        From `mip_groups`.
    z, x : (int, int)
        The slab and the strip, in voxels of the first mip of the group.
    """

    def __init__(
        self, volume: Volume, scratch: Path, group: tuple[int, ...], z: tuple[int, int], x: tuple[int, int]
    ) -> None:
        spec = volume.spec
        self.bytes = self.chunks = 0
        self._pooling = Pooling(spec)
        self._compression = spec.compression
        first = spec.mips[group[0]]
        self._levels: list[_Level] = []
        for mip in group:
            step = vector3i([f // f0 for f, f0 in zip(spec.mips[mip], first, strict=True)])
            strip = (x[0] // step[0], -(-x[1] // step[0]))
            sink = level_sink(volume, mip, scratch, z, strip)
            self._levels.append(_Level(volume, mip, z, strip, sink))
        self._rows = self._levels[0].rows_of_chunks()
        self._sums = _sums_writer(spec, self._pooling, scratch, self._levels[-1])

    def write(self, carried: NDArray[Any]) -> None:
        """Take the next rows [z, y, x] of the group's first mip: voxels of mip 0, sums or labels of a later."""
        for block in self._rows.add(carried):
            self._pass_down(0, block)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for level in self._levels:
                stack.callback(level.sink.close)
            if self._sums is not None:
                stack.enter_context(self._sums)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        with self._stack:
            if error is not None:
                raise error
            self._finish()

    def _finish(self) -> None:
        for block in self._rows.rest():
            self._pass_down(0, block)
        for index, level in enumerate(self._levels):
            for block in level.pairs.rest():
                self._pool(index, block)
            self._store(level, level.complete.rest())
        for level in self._levels:
            level.sink.flush()

    def _pass_down(self, index: int, carried: NDArray[Any]) -> None:
        level = self._levels[index]
        lower = (level.x[0], level.y, level.z[0])
        level.y += carried.shape[1]
        self._store(level, level.complete.add(self._pooling.voxels(carried, level.mip, lower)))
        if index + 1 < len(self._levels) or self._sums is not None:
            for block in level.pairs.add(carried):
                self._pool(index, block)

    def _pool(self, index: int, carried: NDArray[Any]) -> None:
        pooled = self._pooling.pool(carried, self._levels[index].mip + 1)
        if index + 1 < len(self._levels):
            self._pass_down(index + 1, pooled)
        elif self._sums is not None:
            self._sums.append(pooled)

    def _store(self, level: _Level, rows: Iterator[NDArray[Any]]) -> None:
        for row in rows:
            for bounds in level.next_chunks(row.shape[1]):
                begin = bounds.lower[0] - level.x[0]
                voxels = row[:, :, begin : begin + bounds.size[0]]
                data = encode_chunk(voxels, self._compression)
                level.sink.put(bounds, data)
                self.bytes += len(data)
                self.chunks += 1


class _Level:
    """One mip of the cascade: its place, its rows in the making, and where its chunks go."""

    def __init__(self, volume: Volume, mip: int, z: tuple[int, int], x: tuple[int, int], sink: ChunkSink) -> None:
        scale = volume.scale(mip)
        self.mip, self.z, self.x, self.sink = mip, z, x, sink
        self.chunk = scale.chunk
        self.y = 0  # row of this mip that comes next
        self._written = 0  # rows of this mip that are in chunks
        self.complete = self.rows_of_chunks()
        factors = volume.spec.mips
        step = factors[mip + 1][1] // factors[mip][1] if mip + 1 < len(factors) else 1
        self.pairs = Rows(step, exact=False)

    def rows_of_chunks(self) -> Rows:
        return Rows(self.chunk[1], exact=True)

    def next_chunks(self, rows: int) -> Iterator[Bounds]:
        y, self._written = self._written, self._written + rows
        for x in range(*self.x, self.chunk[0]):
            yield Bounds((x, y, self.z[0]), (min(x + self.chunk[0], self.x[1]), y + rows, self.z[1]))


def _sums_writer(spec: VolumeSpec, pooling: Pooling, scratch: Path, last: _Level) -> SumsWriter | None:
    mip = last.mip + 1
    if mip == len(spec.scales):
        return None
    step = vector3i([c // f for f, c in zip(spec.mips[last.mip], spec.mips[mip], strict=True)])
    z = (last.z[0] // step[2], -(-last.z[1] // step[2]))
    x = (last.x[0] // step[0], -(-last.x[1] // step[0]))
    return SumsWriter(
        sums_path(scratch, mip, z, x), pooling.dtype(mip), (z[1] - z[0], spec.scales[mip].size[1], x[1] - x[0])
    )
