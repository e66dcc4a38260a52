"""Warp: an image or labels pulled through a transform onto a grid.

Every voxel of the grid takes the value at the place where it comes from: labels that of the nearest sample, and no
arithmetic touches them; images the trilinear value. Where a voxel is larger than the samples it comes from, it is
averaged over as many places as it takes to use every sample. A sample stands for its whole voxel, as in
`cloudreg_io.space.resample`; what comes from outside is 0.

Blocks are halved until they are small cells. A part whose places all lie in samples of one value is filled with
it: most of what surrounds a brain, and most of what lies within a region, costs no more than that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cloudreg_io.space import Bounds, Grid, Vector3i, vector3, vector3i
from cloudreg_register.transforms.lattice import Lattice, lattice_step
from cloudreg_register.transforms.sources import ArraySource, Source
from cloudreg_register.transforms.transform import Mapper, Space, Transform, other

_CELL = 24  # voxels along an axis, about: smaller cells cost more calls, larger ones hold more borders
LARGEST_READ = 1 << 24  # voxels of a source in memory at a time
_LARGEST_FINE = 1 << 23  # places that are evaluated before they are averaged
_BLOCK: Vector3i = (512, 128, 32)
# Of a sample: places that should fall between two samples exactly must not be decided by rounding errors.
_TIE = 1e-4


def warp(
    transform: Transform, image: NDArray[Any], image_grid: Grid, grid: Grid, *, to: Space, labels: bool = False
) -> NDArray[Any]:
    """Pull an image or labels in memory through a transform.

    Parameters
    ----------
    transform : Transform
    image : [z, y, x]
        Any integers or floats.
    image_grid : Grid
        Where its samples lie, in the physical frame of its volume.
    grid : Grid
        Where values are wanted, in the physical frame of the other volume.
    to : "target" or "atlas"
        Where the result lives: "target" takes an image of the atlas.
    labels : bool

    Returns
    -------
    [z, y, x] of the image's dtype
    """
    return Warp(transform, ArraySource(image, image_grid), grid, to=to, labels=labels).whole()


class Warp:
    """One source pulled onto one grid, block by block.

    Parameters
    ----------
    transform : Transform
    source : Source
    grid : Grid
        In the physical frame of the volume named by `to`.
    to : "target" or "atlas"
    labels : bool
    bits : int, optional
        Significant bits of float32 samples (`with_bits`); by default all.
    """

    def __init__(
        self,
        transform: Transform,
        source: Source,
        grid: Grid,
        *,
        to: Space,
        labels: bool,
        bits: int | None = None,
    ) -> None:
        self.grid, self._source, self._labels, self._bits = grid, source, labels, bits
        # the value at a place of the target is sought in the atlas: values go one way, points the other
        self._mapper = transform.mapper(other(to))
        self._samples = (1, 1, 1) if labels else samples_per_voxel(self._mapper, grid, source.grid)
        edges = [edge / k for edge, k in zip(grid.spacing, self._samples, strict=True)]
        size = [n * k for n, k in zip(grid.size, self._samples, strict=True)]
        self._fine = grid.with_spacing(vector3(edges), size)
        self._step = lattice_step(transform, self._fine)
        self._cell = vector3i([s * max(1, round(_CELL / s)) for s in self._step])

    def whole(self) -> NDArray[Any]:
        """All of the grid."""
        result = np.zeros(self.grid.shape, self._source.dtype)
        for bounds in Bounds.of_size(self.grid.size).chunks(_BLOCK):
            result[bounds.slices()] = self.block(bounds)
        return result

    def block(self, bounds: Bounds) -> NDArray[Any]:
        """A box of the grid, [z, y, x] of the source's dtype."""
        block = self._averaged(bounds)
        return block if self._bits is None else with_bits(block, self._bits)

    def _averaged(self, bounds: Bounds) -> NDArray[Any]:
        if self._samples == (1, 1, 1):
            return self._pulled(bounds, self._source.dtype)
        if bounds.voxels * math.prod(self._samples) > _LARGEST_FINE and (halves := _halves(bounds, (1, 1, 1))):
            result = np.empty(bounds.shape, self._source.dtype)
            for half in halves:
                result[half.slices(bounds.lower)] = self._averaged(half)
            return result
        lower, upper = (
            vector3i([n * k for n, k in zip(corner, self._samples, strict=True)])
            for corner in (bounds.lower, bounds.upper)
        )
        fine = self._pulled(Bounds(lower, upper), _work_dtype(self._source.dtype))
        kx, ky, kz = self._samples
        z, y, x = bounds.shape
        means = fine.reshape(z, kz, y, ky, x, kx).mean(axis=(1, 3, 5), dtype=np.float64)
        return _rounded(means, self._source.dtype)

    def _pulled(self, bounds: Bounds, dtype: np.dtype[Any]) -> NDArray[Any]:
        result = np.zeros(bounds.shape, dtype)
        lattice = Lattice.of(self._mapper, self._fine, bounds, self._source.grid, self._step)
        self._fill(result, bounds, lattice)
        return result

    def _fill(self, result: NDArray[Any], bounds: Bounds, lattice: Lattice) -> None:
        """Fill a box, or its halves when they come from more than fits into memory."""
        box = self._reach(lattice).intersection(Bounds.of_size(self._source.grid.size))
        if box.is_empty:
            return
        if self._source.voxels_read(box) > LARGEST_READ and (halves := _halves(bounds, self._cell)):
            for half in halves:
                self._fill(result[half.slices(bounds.lower)], half, lattice.part(half))
            return
        self._fill_part(result, bounds, lattice, self._source.read(box), box)

    def _fill_part(
        self, result: NDArray[Any], bounds: Bounds, lattice: Lattice, image: NDArray[Any], box: Bounds
    ) -> None:
        """Fill a part whose samples are in memory: at once where they are all the same, else cell by cell."""
        reach = self._reach(lattice)
        inside = reach.intersection(box)
        if inside.is_empty:
            return
        values = image[inside.slices(box.lower)]
        first = values.flat[0]
        if (first == 0 or inside == reach) and values.flat[-1] == first and (values == first).all():
            result[...] = first
        elif halves := _halves(bounds, self._cell):
            for half in halves:
                self._fill_part(result[half.slices(bounds.lower)], half, lattice.part(half), image, box)
        else:
            positions = lattice.positions(bounds, np.array(inside.lower))
            evaluate = _nearest if self._labels else _linear
            evaluate(np.ascontiguousarray(values), positions, result)
            if inside != reach:
                _clear_outside(result, positions, np.array(inside.lower), self._source.grid.size)

    def _reach(self, lattice: Lattice) -> Bounds:
        """The samples that the places of a lattice's box take their values from."""
        low, high = lattice.reach()
        if self._labels:
            low, high = low + 0.5 + _TIE, high + 0.5 + _TIE
        else:
            # half a voxel beyond the last sample is inside still: its value is that of the last
            high = high + 1
        lower = np.floor(low).astype(int)
        return Bounds(vector3i(lower), vector3i(np.maximum(np.floor(high).astype(int), lower) + 1))


def samples_per_voxel(mapper: Mapper, grid: Grid, image: Grid) -> Vector3i:
    """In how many places along x, y, z a voxel is evaluated, for every sample of an image to count."""
    steps = (
        mapper.linear * np.asarray(grid.spacing) / np.asarray(image.spacing)[:, None]
    )  # in samples, [sample, voxel]
    longest = np.abs(steps).max(axis=0)
    return vector3i([max(1, math.ceil(step - 0.25)) for step in longest])


def _halves(bounds: Bounds, cell: Vector3i) -> list[Bounds]:
    """A box cut in two between cells along its longest axis; nothing when it is one cell."""
    counts = [-(-up // c) - low // c for low, up, c in zip(bounds.lower, bounds.upper, cell, strict=True)]
    axis = int(np.argmax([n * c if n > 1 else 0 for n, c in zip(counts, cell, strict=True)]))
    if counts[axis] < 2:
        return []
    at = (bounds.lower[axis] // cell[axis] + counts[axis] // 2) * cell[axis]
    upper, lower = list(bounds.upper), list(bounds.lower)
    upper[axis] = lower[axis] = at
    return [Bounds(bounds.lower, vector3i(upper)), Bounds(vector3i(lower), bounds.upper)]


def _nearest(values: NDArray[Any], positions: NDArray[np.float32], result: NDArray[Any]) -> None:
    """Take the samples nearest to positions [3, z, y, x]; beyond the ends the last."""
    x, y, z = (
        np.clip(along + np.float32(0.5 + _TIE), 0, n - 1).astype(np.intp)
        for along, n in zip(positions, reversed(values.shape), strict=True)
    )
    z *= values.shape[1]
    z += y
    z *= values.shape[2]
    z += x
    result[...] = values.reshape(-1).take(z)


def _linear(values: NDArray[Any], positions: NDArray[np.float32], result: NDArray[Any]) -> None:
    """Trilinear values at positions [3, z, y, x]; beyond the ends the last."""
    work = _work_dtype(values.dtype)
    image = torch.from_numpy(values.astype(work))
    scale = [2 / max(n - 1, 1) for n in reversed(values.shape)]
    index = positions.astype(work) * np.reshape(np.array(scale, work), (3, 1, 1, 1)) - 1
    places = torch.from_numpy(index).permute(1, 2, 3, 0)[None]
    sampled = torch.grid_sampler_3d(image[None, None], places, 0, 1, True)[0, 0].numpy()
    result[...] = _rounded(sampled, result.dtype)


def _clear_outside(
    result: NDArray[Any], positions: NDArray[np.float32], origin: NDArray[np.int_], size: Sequence[int]
) -> None:
    """Set 0 where positions, counted from sample `origin`, lie in no voxel of a grid of `size`."""
    for along, start, n in zip(positions, origin, size, strict=True):
        result[(along < -0.5 - start - _TIE) | (along >= n - 0.5 - start - _TIE)] = 0


def _work_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(np.float32 if dtype.itemsize <= 2 or dtype == np.float32 else np.float64)


def _rounded(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind == "f":
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    clipped: NDArray[Any] = np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
    return clipped


def with_bits(array: NDArray[Any], bits: int) -> NDArray[Any]:
    """float32 samples rounded to so many significant bits, ties to even; others as they are.

    Bits that are 0 compress away (Klöwer et al., Nat. Comput. Sci. 1:713, 2021).
    """
    if array.dtype != np.float32:
        return array
    spare = 24 - bits
    raw = np.ascontiguousarray(array).view(np.uint32)
    half = np.uint32((1 << (spare - 1)) - 1)
    rounded = raw + half + ((raw >> np.uint32(spare)) & np.uint32(1))
    kept: NDArray[Any] = (rounded & ~np.uint32((1 << spare) - 1)).view(np.float32)
    return np.where(np.isfinite(array), kept, array)
