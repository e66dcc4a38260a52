"""What a run will read, write, need and take, worked out beforehand: `cloudreg plan`.

How far the voxels compress and how fast this machine decodes and encodes is measured on a few planes; the rest is
counted. Nothing is written.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cloudreg_cli.forecast import Forecast
from cloudreg_correct.sampling import choose_sample
from cloudreg_io.run.counters import Meter
from cloudreg_io.run.expense import Expense
from cloudreg_io.space import Vector3i
from cloudreg_io.tiles import Acquisition, Tile, TileSource
from cloudreg_io.volumes.cascade import mip_groups
from cloudreg_io.volumes.chunks import encode_chunk
from cloudreg_io.volumes.spec import VolumeSpec
from cloudreg_stitch.crop import Crop, CroppedTiles
from cloudreg_stitch.fusion import FuseOptions, lay_out
from cloudreg_stitch.placement import Placement
from cloudreg_stitch.plan import decodes, strip_edges
from cloudreg_stitch.strips import SurveyPlan, plan_survey

_PROBES = 6  # planes that are measured
# Seconds a voxel beside decoding and encoding: correction and binning; correction, blending and the pyramid
# (benchmarks/correct.py, align.py and fuse.py on the machine of docs/benchmarks.md)
_SURVEY, _FUSE = 6e-9, 12e-9


@dataclass(frozen=True, slots=True)
class Probe:
    """What a few planes tell.

    Attributes
    ----------
    file_bytes : float
        Of a plane on disk.
    decode : float
        Seconds a plane.
    encode : float
        Seconds a byte of voxels.
    ratio : float
        Bytes of chunks for a byte of voxels.
    """

    file_bytes: float
    decode: float
    encode: float
    ratio: float

    @classmethod
    def of(cls, source: TileSource, spec: VolumeSpec) -> Probe:
        """Measure planes from the middle of tiles spread over the grid."""
        places = _places(source)
        if not places:
            return cls(0.0, 0.0, 0.0, 1.0)
        width, height, _ = source.grid.tile_size
        buffer = np.empty((1, height, width), source.dtype)
        source.read(places[0][0], slice(places[0][1], places[0][1] + 1), out=buffer)  # loads the codecs
        meter, seconds, encoded = Meter(), 0.0, 0
        for tile, z in places:
            source.read(tile, slice(z, z + 1), out=buffer)
            began = time.perf_counter()
            encoded += sum(len(encode_chunk(block, spec.compression)) for block in _blocks(buffer, spec.chunk[:2]))
            seconds += time.perf_counter() - began
        cost, count = meter.cost(), len(places)
        raw = buffer.nbytes * count
        return cls(
            cost.bytes_read / count, (cost.seconds - seconds) / count, seconds / raw, min(1.0, encoded / raw)
        )


def fusion_step(source: TileSource, options: FuseOptions, probe: Probe) -> tuple[Expense, int]:
    """The fusion of one channel, and the bytes that its sums leave in scratch meanwhile."""
    layout, spec = lay_out(source, Placement.by_stage(source.grid), options)
    edges = strip_edges(layout.size[0], layout.size[0], 1)
    planes = round(decodes(layout, spec, edges) * layout.input_planes())
    item = np.dtype(spec.dtype).itemsize
    levels = [math.prod(scale.size) * item for scale in spec.scales]
    width, height, _ = source.grid.tile_size
    seconds = planes * (probe.decode + width * height * _FUSE) + sum(levels) * probe.encode
    written = int(sum(levels) * probe.ratio)
    # sums are wider than voxels, and are those of the first level that is not made on the way
    later = spec.scales[len(mip_groups(spec)[0]) :]
    sums = 4 * math.prod(later[0].size) if later else 0
    return Expense("fuse", source.channel, int(planes * probe.file_bytes), written, seconds, planes), sums


def survey_step(name: str, source: TileSource, planes: int, written: int, probe: Probe) -> Expense:
    """A reading of planes that leaves small results."""
    width, height, _ = source.grid.tile_size
    seconds = planes * (probe.decode + width * height * _SURVEY)
    return Expense(name, source.channel, int(planes * probe.file_bytes), written, seconds, planes)


def strip_bytes(plan: SurveyPlan, itemsize: int) -> tuple[int, int]:
    """Bytes of the strips of all tiles, which placement removes, and of the small copies, which stay."""
    width, height, planes = plan.grid.tile_size
    strips = small = 0
    for index, tile in enumerate(plan.grid.tiles):
        if tile.scanned:
            voxels = sum(math.prod(strip.shape) for strip in plan.strips_of(index).values())
            strips += voxels * plan.bins_z * 4 // plan.bin**2 + voxels * len(plan.slab_planes) * itemsize
            small += 4 * (width // plan.small) * (height // plan.small) * (planes // plan.small_z)
    return strips, small


def present_planes(source: TileSource) -> int:
    """Number of planes of a source."""
    return sum(int(source.present(tile).sum()) for tile in source.grid.scanned)


def _places(source: TileSource) -> list[tuple[Tile, int]]:
    found = [(tile, np.flatnonzero(source.present(tile))) for tile in source.grid.scanned]
    found = [(tile, planes) for tile, planes in found if planes.size]
    spread = np.linspace(0, max(0, len(found) - 1), min(_PROBES, len(found))).round().astype(int)
    return [(found[i][0], int(found[i][1][found[i][1].size // 2])) for i in spread]


def _blocks(plane: np.ndarray, chunk: Sequence[int]) -> Iterator[np.ndarray]:
    _, height, width = plane.shape
    for y in range(0, height, chunk[1]):
        for x in range(0, width, chunk[0]):
            yield plane[:, y : y + chunk[1], x : x + chunk[0]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a run will do, as far as its cost depends on it.

    Attributes
    ----------
    data, part : Acquisition
        All of it, and what a crop needs of it.
    crop : Crop or None
    channels : sequence of str
    aligned : str
        The alignment channel; "" when a placement is given.
    shading : bool
    sample : int or None
        Planes that shading asks for.
    bias : bool
    search : (x, y, z) int
    fuse : FuseOptions
    fill : bool
        Whether missing planes are left out.
    """

    data: Acquisition
    part: Acquisition
    crop: Crop | None
    channels: Sequence[str]
    aligned: str
    shading: bool
    sample: int | None
    bias: bool
    search: Vector3i
    fuse: FuseOptions
    fill: bool

    def surveyed(self, channel: str) -> TileSource:
        """The planes that alignment sees."""
        source = self.part.source(channel, fill_missing=self.fill)
        return CroppedTiles(source, self.crop) if self.crop else source


def foretell(scope: Scope, memory: int, jobs: int) -> Forecast:
    """Work out what a run will cost.

    Parameters
    ----------
    scope : Scope
    memory : int
        Bytes that it needs at least.
    jobs : int
    """
    first = scope.part.source(scope.channels[0], fill_missing=scope.fill)
    probe = Probe.of(first, lay_out(first, Placement.by_stage(first.grid), scope.fuse)[1])
    strips = small = 0
    steps: list[Expense] = []
    if scope.aligned:
        source = scope.surveyed(scope.aligned)
        strips, small = strip_bytes(plan_survey(source.grid, scope.search), source.dtype.itemsize)
        steps += _shading_steps(scope, scope.aligned, probe, "sample before placing")
        steps.append(survey_step("survey", source, present_planes(source), strips + small, probe))
    volumes = sums = 0
    for channel in scope.channels:
        steps += _shading_steps(scope, channel, probe, "sample")
        if scope.bias and channel != scope.aligned:
            steps.append(_overview_step(scope.surveyed(channel), scope.search, probe))
            small += steps[-1].bytes_written
        step, left = fusion_step(scope.part.source(channel, fill_missing=scope.fill), scope.fuse, probe)
        steps.append(step)
        volumes, sums = volumes + step.bytes_written, max(sums, left)
    return Forecast(tuple(steps), volumes, small + max(strips, sums), memory, jobs)


def _shading_steps(scope: Scope, channel: str, probe: Probe, name: str) -> list[Expense]:
    if not scope.shading:
        return []
    source = scope.data.source(channel, fill_missing=True)
    return [survey_step(name, source, len(choose_sample(source, scope.sample)), 0, probe)]


def _overview_step(source: TileSource, search: Vector3i, probe: Probe) -> Expense:
    plan = plan_survey(source.grid, search)
    planes = -(-present_planes(source) // plan.small_z)
    return survey_step("overview", source, planes, strip_bytes(plan, source.dtype.itemsize)[1], probe)
