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

from cloudreg_io.errors import ToolError
from cloudreg_io.files.tiff_error import size as byte_size
from cloudreg_io.space import Bounds
from cloudreg_io.volumes.cascade import strip_alignment
from cloudreg_io.volumes.spec import VolumeSpec
from cloudreg_stitch.layout import Layout

# What a worker takes before it has begun: Python, NumPy, compiled kernels, codecs (measured).
PROCESS_BYTES = 180_000_000
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
        Memory that one worker takes.
    """

    windows: tuple[Bounds, ...]
    strips: int
    decodes: float
    worker_bytes: int


def plan_fusion(
    layout: Layout,
    spec: VolumeSpec,
    *,
    memory: int | None = None,
    workers: int = 1,
    inline: bool = True,
    at_least: int = 1,
) -> FusionPlan:
    """Cut a fusion into units.

    Parameters
    ----------
    layout : Layout
    spec : VolumeSpec
        Of the volume that is written.
    memory : int, optional
        Bytes for all processes of the command on this machine together; None for no limit.
    workers : int
        Processes that fuse at the same time and share `memory`.
    inline : bool
        Whether the work is done by the process of the command itself; otherwise that one takes memory, too.
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
    allowed = math.inf if memory is None else _share(memory, workers, inline)
    for count in range(min(at_least, most), most + 1):
        edges = strip_edges(width, step, count)
        needed = worker_bytes(layout, spec, int(np.diff(edges).max()))
        if needed <= allowed:
            return FusionPlan(_windows(layout, spec, edges), count, decodes(layout, spec, edges), needed)
    total = needed * workers + (0 if inline else PROCESS_BYTES)
    raise ToolError(
        f"--memory {byte_size(memory or 0)} is too little to fuse this with {workers} worker(s)",
        why=f"the narrowest strips, {step} voxels wide, take {allowed_text(total)}",
        fix=f"--memory {allowed_text(total)}" + (" or fewer --jobs" if workers > 1 else ""),
    )


def allowed_text(size: float | None) -> str:
    """A number of bytes as --memory takes it, rounded up."""
    return f"{math.ceil((size or 0) / 1e8) / 10:g}GB"


def strip_edges(width: int, step: int, count: int) -> list[int]:
    """Edges of `count` strips, as equal as multiples of `step` allow."""
    steps = math.ceil(width / step)
    return [min(width, steps * i // count * step) for i in range(count)] + [width]


def worker_bytes(layout: Layout, spec: VolumeSpec, width: int) -> int:
    """Memory of a worker that fuses strips of this width."""
    depth = min(spec.chunk[2], layout.size[2])
    item = np.dtype(spec.dtype).itemsize
    columns, rows = (max((t.bounds.size[axis] for t in layout.footprints), default=0) for axis in (0, 1))
    canvas = 4 * depth * (rows + spec.chunk[1]) * width
    blocks = (1 + _WRITER_BLOCKS) * item * depth * spec.chunk[1] * width
    tile = columns * rows * 2 * item + min(columns, width) * rows * _SHARE_BYTES
    return PROCESS_BYTES + canvas + blocks + tile


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


def _share(memory: int, workers: int, inline: bool) -> float:
    return (memory - (0 if inline else PROCESS_BYTES)) / workers
