"""Tiles that hold their own index, to see whether every part of every plane arrives in the fused volume.

Every voxel of tile t, plane z, block b (of a few blocks a plane) holds the one value

    1 + b + blocks · (z + planes · t)

where t counts the scanned tiles in row-major order. Tiles lie at whole voxels and are neither noisy nor
shaded, so after fusion at the true positions (`truth.save_placement`) a voxel that one tile covers holds that
tile's index exactly, and a voxel in an overlap holds a blend, which lies between the lowest and the highest
index of the tiles that cover it. `check_coverage` reads the fused volume slab by slab, without any code of
the fusion, and sorts the indices into found, blended (all their voxels lie in overlaps) and lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.space import Bounds
from cloudreg_io.synthetic.acquisition import make_cameras, write_acquisition
from cloudreg_io.synthetic.make_truth import make_truth
from cloudreg_io.synthetic.spec import PERFECT_OPTICS, AcquisitionSpec
from cloudreg_io.synthetic.truth import Truth
from cloudreg_io.tiles import Tile

_LARGEST = 65535


@dataclass(frozen=True, slots=True)
class IndexCode:
    """How indices are made.

    Attributes
    ----------
    tiles : tuple of str
        Names of the scanned tiles in row-major order.
    tile_size : (x, y, z) int
    blocks : (x, y) int
        Blocks along x and y that a plane is divided into.
    """

    tiles: tuple[str, ...]
    tile_size: tuple[int, int, int]
    blocks: tuple[int, int]

    def __post_init__(self) -> None:
        if self.count > _LARGEST:
            raise InputError(
                f"{len(self.tiles)} tiles of {self.tile_size[2]} planes of {self.blocks} blocks are "
                f"{self.count} indices, more than uint16 holds",
                fix="fewer blocks, planes or tiles",
            )

    @classmethod
    def of(cls, truth: Truth, blocks: tuple[int, int]) -> IndexCode:
        """The code of an acquisition that `make_index_acquisition` made with these blocks."""
        return cls(tuple(tile.name for tile in truth.scanned), truth.tile_size, blocks)

    @property
    def count(self) -> int:
        """Number of indices: they are 1 to count."""
        return len(self.tiles) * self.tile_size[2] * self.blocks[0] * self.blocks[1]

    def plane(self, name: str, z: int) -> NDArray[np.uint16]:
        """The plane [y, x] that a tile holds at z."""
        nx, ny, planes = self.tile_size
        block_x = np.arange(nx) * self.blocks[0] // nx
        block_y = np.arange(ny) * self.blocks[1] // ny
        first = 1 + self.blocks[0] * self.blocks[1] * (z + planes * self.tiles.index(name))
        return np.asarray(first + block_x + self.blocks[0] * block_y[:, None], np.uint16)

    def describe(self, index: int) -> str:
        """The tile, plane and block of an index, in words."""
        rest, block = divmod(index - 1, self.blocks[0] * self.blocks[1])
        tile, z = divmod(rest, self.tile_size[2])
        block_y, block_x = divmod(block, self.blocks[0])
        return f"tile {self.tiles[tile]} plane {z} block x {block_x} y {block_y}"


@dataclass(frozen=True, slots=True)
class IndexPainter:
    """Paints indices."""

    code: IndexCode

    def planes(self, channel: int, tile: Tile) -> Iterator[NDArray[np.uint16]]:
        """The planes of a tile, the same in every channel."""
        for z in range(self.code.tile_size[2]):
            yield self.code.plane(tile.name, z)


def make_index_acquisition(
    folder: Path | str, spec: AcquisitionSpec, blocks: tuple[int, int] = (4, 4), *, jobs: int = 1
) -> tuple[Truth, IndexCode]:
    """Write an acquisition whose voxels hold their index.

    Parameters
    ----------
    folder : Path
        New folder.
    spec : AcquisitionSpec
        Grid, jitter and unscanned cells count; positions must be whole; optics, noise and faults are not
        applied and the true shading is flat.
    blocks : (x, y) int
        Blocks a plane.
    jobs : int

    Raises
    ------
    InputError
        When positions are not whole voxels, there are more indices than uint16 holds, or the folder exists.
    """
    if not spec.whole_voxels:
        raise InputError("indices cannot be interpolated", fix="whole_voxels=True")
    truth = make_truth(Path(folder), spec, spec.scene_positions(), lambda *_: 1.0)
    code = IndexCode.of(truth, blocks)
    write_acquisition(truth, spec, IndexPainter(code), make_cameras(replace(spec, **PERFECT_OPTICS)), jobs)
    return truth, code


def expected(truth: Truth, code: IndexCode, bounds: Bounds) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Lowest and highest index [z, y, x] among the tiles that cover each voxel of `bounds`; 0, 0 where none."""
    low = np.full(bounds.shape, _LARGEST, np.uint16)
    high = np.zeros(bounds.shape, np.uint16)
    for name in code.tiles:
        whole = truth.tile_bounds(name)
        part = whole.intersection(bounds)
        if part.is_empty:
            continue
        inside, (zs, ys, xs) = part.slices(bounds.lower), part.slices(whole.lower)
        values = np.stack([code.plane(name, z)[ys, xs] for z in range(zs.start, zs.stop)])
        np.minimum(low[inside], values, out=low[inside])
        np.maximum(high[inside], values, out=high[inside])
    low[high == 0] = 0
    return low, high


@dataclass(frozen=True, slots=True)
class Coverage:
    """What became of the indices.

    Attributes
    ----------
    found : int
        Indices whose voxels outside overlaps all hold them.
    blended : tuple of int
        Indices all of whose voxels lie in overlaps.
    lost : tuple of int
        Indices of which some voxel outside overlaps holds something else.
    wrong_blends : int
        Voxels in overlaps whose value is no blend of the tiles that cover them.
    invented : int
        Voxels that no tile covers and that are not 0.
    """

    found: int
    blended: tuple[int, ...]
    lost: tuple[int, ...]
    wrong_blends: int
    invented: int

    @property
    def complete(self) -> bool:
        """Whether everything arrived and nothing else."""
        return not (self.lost or self.wrong_blends or self.invented)


def check_coverage(
    read: Callable[[Bounds], NDArray[Any]], truth: Truth, code: IndexCode, slab: int = 16
) -> Coverage:
    """Look for every index in a fused volume.

    Parameters
    ----------
    read : callable
        Bounds -> [z, y, x] of the fused volume: `Volume.read`, or `lambda b: array[b.slices()]`.
    truth, code
        What `make_index_acquisition` gave.
    slab : int
        Planes read at a time.
    """
    kept = np.zeros(code.count + 1, np.int64)  # voxels of each index outside overlaps
    wrong = np.zeros(code.count + 1, np.int64)
    wrong_blends = invented = 0
    nx, ny, nz = truth.size
    for z in range(0, nz, slab):
        bounds = Bounds((0, 0, z), (nx, ny, min(z + slab, nz)))
        values = read(bounds)
        low, high = expected(truth, code, bounds)
        single = truth.covering(bounds) == 1
        kept += np.bincount(low[single], minlength=code.count + 1)
        wrong += np.bincount(low[single & (values != low)], minlength=code.count + 1)
        outside = (values < low) | (values > high)
        invented += int(np.count_nonzero(outside & (high == 0)))
        wrong_blends += int(np.count_nonzero(outside & ~single & (high > 0)))
    indices = np.arange(1, code.count + 1)
    lost = indices[wrong[1:] > 0]
    blended = indices[kept[1:] == 0]
    return Coverage(
        code.count - len(lost) - len(blended),
        tuple(blended.tolist()),
        tuple(lost.tolist()),
        wrong_blends,
        invented,
    )
