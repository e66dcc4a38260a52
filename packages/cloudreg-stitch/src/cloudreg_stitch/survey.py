"""The survey: every plane of the alignment channel is read once, and what alignment needs of it is kept.

Per tile that is: its overlap strips, binned, over all planes; the same strips at full resolution over a few
slabs of planes; a small copy of the whole tile; and the statistics that tell blank, duplicate and saturated
tiles. Other channels are read at every n-th plane only, for their small copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.run import Run, Shared, Unit
from cloudreg_io.tiles import Tile, TileSource
from cloudreg_stitch.binning import bin_plane
from cloudreg_stitch.options import AlignOptions
from cloudreg_stitch.scratch_arrays import PlaneWriter, whole_folder
from cloudreg_stitch.strips import Strip, SurveyPlan, plan_survey
from cloudreg_stitch.tile_statistics import StatisticsGatherer, TileStatistics

STRIPS, SMALL = "strips", "small"
BATCH_BYTES = 16e6


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of the tiles of one channel; the arrays themselves are in scratch.

    Attributes
    ----------
    scratch : Path
    channel : str
    plan : SurveyPlan
    tiles : tuple of TileStatistics or None
        One for each cell of `plan.grid.tiles`; None for unscanned cells.
    small_z0 : float
        z of the centre of a small copy's first plane, in voxels of the tile.
    """

    scratch: Path
    channel: str
    plan: SurveyPlan
    tiles: tuple[TileStatistics | None, ...]
    small_z0: float

    def small(self, index: int) -> NDArray[np.float32]:
        """The small copy of a tile, [z, y, x]; planes in `absent` of its statistics hold no data."""
        array: NDArray[np.float32] = np.load(small_path(self.scratch, self.channel, index))
        return array


def strips_folder(scratch: Path, channel: str, index: int) -> Path:
    """Where the strips of a tile are, until the placement is done."""
    return scratch / STRIPS / channel / f"{index:05d}"


def small_path(scratch: Path, channel: str, index: int) -> Path:
    """Where the small copy of a tile is."""
    return scratch / SMALL / channel / f"{index:05d}" / "small.npy"


@dataclass(frozen=True, slots=True)
class _Context:
    source: TileSource
    plan: SurveyPlan
    scratch: Path


@dataclass(frozen=True, slots=True)
class _Task:
    context: Shared[_Context]
    index: int


def survey(run: Run, source: TileSource, options: AlignOptions | None = None) -> Survey:
    """Read every plane of the alignment channel once and keep what alignment needs.

    Parameters
    ----------
    run : Run
    source : TileSource
        Of the alignment channel; best with its shading corrected.
    options : AlignOptions
    """
    options = options or AlignOptions()
    plan = plan_survey(source.grid, options.search_of(source.grid), source.dtype.itemsize)
    tiles = _survey(run, source, plan, _survey_tile, "survey", options.to_json())
    return Survey(run.scratch, source.channel, plan, tiles, (plan.small_z - 1) / 2)


def overview_survey(run: Run, source: TileSource, options: AlignOptions | None = None) -> Survey:
    """Read every n-th plane of a channel, about one each 22.5 µm, for the small copies only."""
    options = options or AlignOptions()
    plan = plan_survey(source.grid, options.search_of(source.grid), source.dtype.itemsize)
    tiles = _survey(run, source, plan, _overview_tile, "overview survey", dict(options.identity))
    return Survey(run.scratch, source.channel, plan, tiles, float(plan.small_z // 2))


def _survey(
    run: Run,
    source: TileSource,
    plan: SurveyPlan,
    function: Callable[[_Task], dict[str, Any]],
    name: str,
    options: dict[str, Any],
) -> tuple[TileStatistics | None, ...]:
    context = run.share(f"{name} {source.channel}", _Context(source, plan, run.scratch))
    indices = {tile.name: i for i, tile in enumerate(source.grid.tiles) if tile.scanned}
    units = [Unit(tile, _Task(context, index)) for tile, index in indices.items()]
    results = run.stage(name, function, units, channel=source.channel, options=options)
    return tuple(
        TileStatistics.from_json(results[tile.name]) if tile.name in results else None
        for tile in source.grid.tiles
    )


def _survey_tile(task: _Task) -> dict[str, Any]:
    context = task.context.get()
    plan, source = context.plan, context.source
    tile = plan.grid.tiles[task.index]
    folder = strips_folder(context.scratch, source.channel, task.index)
    small = SmallCopy(plan)
    gatherer = StatisticsGatherer(source.dtype, plan.bin)
    with whole_folder(folder) as (temporary, files):
        strips = [
            StripFiles(files, temporary, side, strip, plan, source.dtype)
            for side, strip in plan.strips_of(task.index).items()
        ]
        slab_planes = set(plan.slab_planes)
        for z, plane, binned, present in _planes(source, tile, plan.bin):
            if present:
                gatherer.add(z, plane, binned)
            small.add(z, plane, binned, present)
            for strip in strips:
                strip.add(z, plane, binned, z in slab_planes)
    absent = np.flatnonzero(~source.present(tile))
    return _finish(context, task.index, small, gatherer, [int(z) for z in absent])


def _overview_tile(task: _Task) -> dict[str, Any]:
    context = task.context.get()
    plan, source = context.plan, context.source
    tile = plan.grid.tiles[task.index]
    small = SmallCopy(plan)
    gatherer = StatisticsGatherer(source.dtype, plan.bin)
    here = source.present(tile)
    for z in range(plan.small_z // 2, plan.grid.planes, plan.small_z):
        small.take(source.read(tile, slice(z, z + 1))[0], bool(here[z]))
    return _finish(context, task.index, small, gatherer, [])


def _finish(
    context: _Context, index: int, small: SmallCopy, gatherer: StatisticsGatherer, absent: list[int]
) -> dict[str, Any]:
    path = small_path(context.scratch, context.source.channel, index)
    with whole_folder(path.parent) as (folder, _):
        np.save(folder / path.name, small.planes())
    return gatherer.result(small.mean, absent, small.absent).to_json()


def _planes(
    source: TileSource, tile: Tile, edge: int
) -> Iterator[tuple[int, NDArray[Any], NDArray[np.float32], bool]]:
    """Every plane of a tile with its binned copy; the arrays are reused from one batch to the next."""
    width, height, planes = source.grid.tile_size
    # at least two, because noise is estimated from successive planes
    batch = max(2, int(BATCH_BYTES / (width * height * source.dtype.itemsize)))
    buffer = np.empty((min(batch, planes), height, width), source.dtype)
    binned = np.empty((height // edge, width // edge), np.float32)
    here = source.present(tile)
    for start in range(0, planes, batch):
        stop = min(planes, start + batch)
        data = source.read(tile, slice(start, stop), out=buffer[: stop - start])
        for z in range(start, stop):
            bin_plane(data[z - start], edge, binned)
            yield z, data[z - start], binned, bool(here[z])


class StripFiles:
    """The two files of one strip of a tile: binned, and at full resolution in the slabs."""

    def __init__(
        self, files: ExitStack, folder: Path, side: str, strip: Strip, plan: SurveyPlan, dtype: np.dtype[Any]
    ) -> None:
        (y0, y1), (x0, x1), edge = strip.y, strip.x, plan.bin
        self._voxels = (slice(y0, y1), slice(x0, x1))
        self._bins = (slice(y0 // edge, y1 // edge), slice(x0 // edge, x1 // edge))
        self._plan = plan
        self._sum = np.zeros((y1 // edge - y0 // edge, x1 // edge - x0 // edge), np.float32)
        shape = (plan.bins_z, *self._sum.shape)
        self._binned = files.enter_context(PlaneWriter(folder / f"{side}_binned.npy", shape, np.float32))
        shape = (len(plan.slab_planes), *strip.shape)
        self._slabs = files.enter_context(PlaneWriter(folder / f"{side}_slabs.npy", shape, dtype))

    def add(self, z: int, plane: NDArray[Any], binned: NDArray[np.float32], in_slab: bool) -> None:
        """Take the next plane."""
        if in_slab:
            self._slabs.append(plane[self._voxels])
        bin_z = self._plan.bin_z
        if z < self._plan.bins_z * bin_z:
            self._sum += binned[self._bins]
            if z % bin_z == bin_z - 1:
                self._binned.append(self._sum / np.float32(bin_z))
                self._sum.fill(0)


class SmallCopy:
    """A tile at about 22.5 µm a voxel: means over the planes that are there."""

    def __init__(self, plan: SurveyPlan) -> None:
        width, height, planes = plan.grid.tile_size
        self._plan = plan
        self._shape = (height // plan.small, width // plan.small)
        self._plane = np.empty(self._shape, np.float32)
        self._sum = np.zeros(self._shape, np.float64)
        self._count = 0
        self._groups = planes // plan.small_z
        self._done: list[NDArray[np.float32]] = []
        self.absent: list[int] = []

    @property
    def mean(self) -> float:
        """Mean of the tile."""
        there = [float(p.mean(dtype=np.float64)) for i, p in enumerate(self._done) if i not in self.absent]
        return float(np.mean(there)) if there else 0.0

    def add(self, z: int, plane: NDArray[Any], binned: NDArray[np.float32], present: bool) -> None:
        """Take the next plane of all."""
        if z >= self._groups * self._plan.small_z:
            return
        if present:
            if self._plan.small % self._plan.bin == 0:
                bin_plane(binned, self._plan.small // self._plan.bin, self._plane)
            else:
                bin_plane(plane, self._plan.small, self._plane)
            self._sum += self._plane
            self._count += 1
        if z % self._plan.small_z == self._plan.small_z - 1:
            self._close()

    def take(self, plane: NDArray[Any], present: bool) -> None:
        """Take a single plane that stands for its group."""
        if present:
            bin_plane(plane, self._plan.small, self._plane)
            self._sum += self._plane
            self._count = 1
        self._close()

    def planes(self) -> NDArray[np.float32]:
        """The small copy, [z, y, x]."""
        return np.stack(self._done) if self._done else np.zeros((0, *self._shape), np.float32)

    def _close(self) -> None:
        if not self._count:
            self.absent.append(len(self._done))
        self._done.append((self._sum / max(1, self._count)).astype(np.float32))
        self._sum.fill(0)
        self._count = 0
