"""Bands: one unit of fusion, a z slab (or an x strip of one), swept from the first row to the last.

Tiles are taken in the order of their first rows. Each is added, plane by plane, to a float32 canvas as wide
as the unit and a tile and a chunk high; as soon as no later tile reaches the canvas' first rows, they are
finished, handed on, and their place in the ring is free for rows further down. Every plane of a tile is read
once for each unit that it touches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.run.kept import drop, keep, take
from cloudreg_io.space import Bounds
from cloudreg_io.tiles import TileSource
from cloudreg_stitch import coverage
from cloudreg_stitch.blend import Blend, Shares, shares
from cloudreg_stitch.coverage import COUNTS
from cloudreg_stitch.kernels import add_between, add_plane, box_sum, take_rows, take_rows_float
from cloudreg_stitch.layout import Footprint, Layout
from cloudreg_stitch.seams import Seam, add_bands, band_table, sums_shape

Emit = Callable[[NDArray[Any]], None]


@dataclass(frozen=True)
class Scene:
    """What is fused: the same for all units of a channel.

    Attributes
    ----------
    source : TileSource
    layout : Layout
    seams : tuple of Seam
    blend : "cosine" or "none"
    rows : int
        Rows that are handed on at a time: a chunk of the output.
    """

    source: TileSource
    layout: Layout
    seams: tuple[Seam, ...]
    blend: Blend
    rows: int

    @property
    def canvas_height(self) -> int:
        """Rows of the ring: a tile may begin anywhere in the first chunk of it."""
        return self.layout.tile_height + self.rows

    @cached_property
    def seams_at(self) -> dict[int, list[tuple[int, int]]]:
        """For each footprint: the seams it has a part in, and whether it is A (0) or B (1)."""
        found: dict[int, list[tuple[int, int]]] = {}
        for number, seam in enumerate(self.seams):
            found.setdefault(seam.a, []).append((number, 0))
            found.setdefault(seam.b, []).append((number, 1))
        return found


@dataclass(slots=True, eq=False)
class Counts:
    """What a unit, or a whole volume, has counted.

    Attributes
    ----------
    tiles : int64 [tiles, 3]
        Source voxels used alone, blended, dropped.
    seams : int64 or float64 [seams, 27]
        See `cloudreg_stitch.seams.sums_shape`.
    uncovered : int
        Output voxels that no tile covers.
    """

    tiles: NDArray[np.int64]
    seams: NDArray[Any]
    uncovered: int = 0

    @classmethod
    def zeros(cls, scene: Scene) -> Counts:
        """Nothing counted yet."""
        exact = np.issubdtype(scene.source.dtype, np.integer)
        return cls(
            np.zeros((len(scene.layout.footprints), len(COUNTS)), np.int64),
            np.zeros(sums_shape(scene.seams), np.int64 if exact else np.float64),
        )

    def to_json(self) -> dict[str, Any]:
        """Rows that are not all 0, by their number."""
        return {
            "tiles": {str(i): self.tiles[i].tolist() for i in np.flatnonzero(self.tiles.any(axis=1))},
            "seams": {str(i): self.seams[i].tolist() for i in np.flatnonzero(self.seams.any(axis=1))},
            "uncovered": self.uncovered,
        }

    def add_json(self, counted: dict[str, Any]) -> None:
        """Add what `to_json` of a unit gave."""
        for number, row in counted["tiles"].items():
            self.tiles[int(number)] += row
        for number, row in counted["seams"].items():
            self.seams[int(number)] += np.array(row, self.seams.dtype)
        self.uncovered += counted["uncovered"]


# One canvas is kept for the next unit of this process: the first touch of new memory costs more than the
# arithmetic done in it. A finished unit leaves its canvas at 0.
_SPARE = "canvas"
_SHARES_KEPT = 2  # where planes lack now and then, more would be needed in turn; each is as large as a tile


@contextmanager
def canvas(depth: int, height: int, width: int) -> Iterator[NDArray[np.float32]]:
    """Zeros [depth, height, width], to be left as zeros."""
    needed = depth * height * width
    flat = take(_SPARE)
    if flat is None or flat.size < needed:
        del flat
        flat = np.zeros(needed, np.float32)
    yield flat[:needed].reshape(depth, height, width)
    # not reached when the unit failed half-way: that canvas is not clean
    keep(_SPARE, flat)


def release() -> None:
    """Give back the memory that is kept for the next unit."""
    drop()


def fuse_window(scene: Scene, window: Bounds, emit: Emit) -> Counts:
    """Fuse one slab or strip.

    Parameters
    ----------
    scene : Scene
    window : Bounds
        The output voxels; all rows of the volume.
    emit : callable
        Gets the fused rows [z, rows, x], in order. The array is used again afterwards.

    Returns
    -------
    Counts
    """
    depth, _, width = window.shape
    with canvas(depth, scene.canvas_height, width) as array:
        sweep = _Sweep(scene, window, array, emit)
        for tile in scene.layout.within(window):
            sweep.finish(max(tile.bounds.lower[1], 0) // scene.rows * scene.rows)
            sweep.add(tile)
        sweep.finish(window.upper[1])
    sweep.counts.uncovered = coverage.uncovered(tuple(scene.layout.within(window)), window)
    return sweep.counts


class _Sweep:
    def __init__(self, scene: Scene, window: Bounds, array: NDArray[np.float32], emit: Emit) -> None:
        self.scene, self.window, self.emit = scene, window, emit
        self.canvas = array
        self.counts = Counts.zeros(scene)
        self.bands = band_table(scene.seams)
        self.done = window.lower[1]
        depth, _, width = window.shape
        self.block = np.empty((depth, scene.rows, width), scene.source.dtype)

    def finish(self, row: int) -> None:
        """Hand on all rows before `row`."""
        while self.done < row:
            stop = min(self.done + self.scene.rows, row)
            x0, _, z0 = self.window.lower
            x1, _, z1 = self.window.upper
            block = self.block[:, : stop - self.done]
            _take(self.canvas, self.done, block)
            add_bands(self.counts.seams, self.bands, block, Bounds((x0, self.done, z0), (x1, stop, z1)))
            self.emit(block)
            self.done = stop

    def add(self, tile: Footprint) -> None:
        """Add all planes of a tile that this window shows."""
        reader = _Planes(self.scene.source, tile)
        # neighbours seldom change from plane to plane: only where one begins, ends or lacks a plane
        known: dict[tuple[int, ...], tuple[Shares, tuple[int, int, int]]] = {}
        for z in range(self.window.lower[2], self.window.upper[2]):
            if not (needed := tile.planes(z)):
                continue
            present = self._present(tile, z)
            key = tuple(other.index for other in present)
            if key not in known:
                if len(known) == _SHARES_KEPT:
                    del known[next(iter(known))]
                made = shares(tile, present, self.window, self.scene.blend)
                known[key] = (made, made.tally(tile.home))
            share, tally = known[key]
            planes = [(reader.read(k), part) for k, part in needed]
            _add(self.canvas[z - self.window.lower[2]], self.window, tile, share, planes)
            if (home := tile.home_plane(z)) is not None:
                self.counts.tiles[tile.index] += tally
                self._sum_overlaps(tile, z, reader.read(home))

    def _present(self, tile: Footprint, z: int) -> list[Footprint]:
        tiles = self.scene.layout.footprints
        return [tiles[i] for i in self.scene.layout.neighbours[tile.index] if tiles[i].planes(z)]

    def _sum_overlaps(self, tile: Footprint, z: int, plane: NDArray[Any]) -> None:
        """Add the plane to the sums of the overlaps with those neighbours that have this z, too."""
        for number, side in self.scene.seams_at.get(tile.index, ()):
            seam = self.scene.seams[number]
            other = self.scene.layout.footprints[(seam.b, seam.a)[side]]
            part = _at(seam.overlap, z).intersection(self.window)
            if part.is_empty or other.home_plane(z) is None:
                continue
            _, rows, columns = part.slices((*tile.home.lower[:2], z))
            zero = self.counts.seams.dtype.type(0)
            total = box_sum(plane[None], (0, rows.start, columns.start), (1, rows.stop, columns.stop), zero)
            self.counts.seams[number, 1 + side] += total
            if side == 0:
                self.counts.seams[number, 0] += part.voxels


class _Planes:
    """Planes of a tile in rising order, each read once; the last two are kept."""

    def __init__(self, source: TileSource, tile: Footprint) -> None:
        self._source, self._tile = source, tile
        self._kept: dict[int, NDArray[Any]] = {}

    def read(self, k: int) -> NDArray[Any]:
        """Plane k as [y, x]."""
        if k not in self._kept:
            buffer = self._buffer()
            self._kept[k] = self._source.read(self._tile.tile, slice(k, k + 1), out=buffer)[0]
        return self._kept[k]

    def _buffer(self) -> NDArray[Any]:
        if len(self._kept) == 2:
            return self._kept.pop(min(self._kept))[None]
        columns, rows, _ = self._tile.size
        return np.empty((1, rows, columns), self._source.dtype)


def _add(
    layer: NDArray[np.float32],
    window: Bounds,
    tile: Footprint,
    share: Shares,
    planes: Sequence[tuple[NDArray[Any], float]],
) -> None:
    x, y, _ = share.window.lower
    first = (y - tile.origin[1], x - tile.origin[0])
    if len(planes) == 1 and not any(tile.fraction[:2]):
        add_plane(layer, y, x - window.lower[0], share.values, planes[0][0], first)
        return
    (low, part), (high, _) = planes[0], planes[-1]
    fraction = (tile.fraction[1], tile.fraction[0])
    add_between(layer, y, x - window.lower[0], share.values, (low, high), part, first, fraction)


def _take(array: NDArray[np.float32], row: int, block: NDArray[Any]) -> None:
    if np.issubdtype(block.dtype, np.integer):
        limits = np.iinfo(block.dtype)
        take_rows(array, row, block, (float(limits.min), float(limits.max)))
    else:
        take_rows_float(array, row, block)


def _at(box: Bounds, z: int) -> Bounds:
    inside = box.lower[2] <= z < box.upper[2]
    return Bounds((*box.lower[:2], z), (*box.upper[:2], z + inside))
