"""The plan of a fusion: into which slabs and strips it is cut, what memory that takes, how often planes are read.

A whole slab needs a canvas of 4 bytes times the width of the mosaic, the height of a tile and a chunk, and the
depth of a chunk. When a worker has less memory than that, slabs are cut into strips of x, as few as will do; a
tile on the border of two strips is then read for both. The plan says how often a plane is read on average.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cloudreg_io.run.memory import Budget, Need
from cloudreg_io.space import Bounds
from cloudreg_io.volumes.build import build_bytes
from cloudreg_io.volumes.cascade import strip_alignment
from cloudreg_io.volumes.spec import VolumeSpec
from cloudreg_stitch.layout import Layout
from cloudreg_stitch.memory import STITCH, reading_bytes

_NO_LIMIT = Budget(None, 1, True, STITCH)
# The writer holds a row of chunks, and in the making those of the coarser mips and their sums.
_WRITER_BLOCKS = 6
# Own weights and their sum, a temporary, the number of contributors; twice where planes are missing nearby.
_SHARE_BYTES = 2 * 14


@dataclass(frozen=True, slots=True)
class FusionPlan:
    """How a channel is fused.

    Attributes
    ----------
    windows : tuple of Bounds
        The units: all rows, one slab of z, one strip of x.
    strips : int
        Strips of a slab.
    decodes : float
        How often a plane is read, on average.
    worker_bytes : int
        Memory that one worker takes for its data.
    """

    windows: tuple[Bounds, ...]
    strips: int
    decodes: float
    worker_bytes: int


def plan_fusion(
    layout: Layout,
    spec: VolumeSpec,
    *,
    budget: Budget = _NO_LIMIT,
    command: int = 0,
    at_least: int = 1,
) -> FusionPlan:
    """Cut a fusion into units.

    Parameters
    ----------
    layout : Layout
    spec : VolumeSpec
        Of the volume that is written.
    budget : Budget
    command : int
        Bytes that the command itself holds meanwhile.
    at_least : int
        Strips.

    Raises
    ------
    ToolError
        The memory is below the smallest workable value, which the message states.
    """
    step = strip_alignment(spec)
    width = layout.size[0]
    most = math.ceil(width / step)
    allowed = budget.share(command)
    budget.require(*fusion_needs(layout, spec, command))
    for count in range(min(at_least, most), most + 1):
        edges = strip_edges(width, step, count)
        needed = worker_bytes(layout, spec, int(np.diff(edges).max()))
        if needed <= allowed:
            return FusionPlan(_windows(layout, spec, edges), count, decodes(layout, spec, edges), needed)
    raise AssertionError("the narrowest strips were asked for above")


def fusion_needs(layout: Layout, spec: VolumeSpec, command: int = 0) -> tuple[Need, ...]:
    """What fusion takes in the narrowest strips; `command` as for `plan_fusion`."""
    step = strip_alignment(spec)
    narrowest = max(high - low for low, high in pairwise(strip_edges(layout.size[0], step, math.inf)))
    return (
        Need(f"fusion in strips of {step} voxels, the narrowest,", worker_bytes(layout, spec, narrowest), command),
        Need("building the coarser mips", build_bytes(spec), command),
    )


def strip_edges(width: int, step: int, count: float) -> list[int]:
    """Edges of `count` strips, or of as many as there can be, as equal as multiples of `step` allow."""
    steps = math.ceil(width / step)
    count = int(min(count, steps))
    return [min(width, steps * i // count * step) for i in range(count)] + [width]


def worker_bytes(layout: Layout, spec: VolumeSpec, width: int) -> int:
    """Memory that a worker takes to fuse strips of this width."""
    depth = min(spec.chunk[2], layout.size[2])
    item = np.dtype(spec.dtype).itemsize
    columns, rows = (max((t.bounds.size[axis] for t in layout.footprints), default=0) for axis in (0, 1))
    canvas = 4 * depth * (rows + spec.chunk[1]) * width
    blocks = (1 + _WRITER_BLOCKS) * item * depth * spec.chunk[1] * width
    tile = columns * rows * item + reading_bytes((columns, rows), item) + min(columns, width) * rows * _SHARE_BYTES
    return canvas + blocks + tile


def decodes(layout: Layout, spec: VolumeSpec, edges: list[int]) -> float:
    """How often a plane is read, on average, with strips that have these edges."""
    reads = 0
    for tile in layout.footprints:
        box = tile.bounds
        strips = sum(low < box.upper[0] and box.lower[0] < high for low, high in pairwise(edges))
        if strips:
            reads += strips * sum(
                len({k for z in range(*slab) for k, _ in tile.planes(z)}) for slab in _slabs(layout, spec)
            )
    return reads / max(1, layout.input_planes())


def _windows(layout: Layout, spec: VolumeSpec, edges: list[int]) -> tuple[Bounds, ...]:
    return tuple(
        Bounds((x0, 0, z0), (x1, layout.size[1], z1))
        for z0, z1 in _slabs(layout, spec)
        for x0, x1 in pairwise(edges)
    )


def _slabs(layout: Layout, spec: VolumeSpec) -> list[tuple[int, int]]:
    depth, end = spec.chunk[2], layout.size[2]
    return [(z, min(z + depth, end)) for z in range(0, end, depth)]
