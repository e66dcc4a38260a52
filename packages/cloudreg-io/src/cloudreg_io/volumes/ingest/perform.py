"""Doing an ingest: slab by slab, resumable.

Units are slabs one chunk deep. Each plane is decoded once, its voxels go to mip 0 and are pooled into the coarser
mips on the way; no more than a slab is held, in memory or, where `memory` is too small for that, in scratch.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cloudreg_io.files.location import Location
from cloudreg_io.run import Run, Shared, Unit, digest
from cloudreg_io.run.memory import VOLUMES, Budget, Need
from cloudreg_io.volumes.build import build_bytes, finish_volume
from cloudreg_io.volumes.ingest.bands import bands_of
from cloudreg_io.volumes.ingest.conversion import Conversion
from cloudreg_io.volumes.ingest.plan import IngestOptions, IngestPlan, plan_ingest
from cloudreg_io.volumes.ingest.stack import FileStack, PlaneStack, Stack
from cloudreg_io.volumes.slabs import SlabWriter
from cloudreg_io.volumes.spec import VolumeSpec
from cloudreg_io.volumes.volume import Volume, create_volume

_logger = logging.getLogger(__name__)

_WRITER_ROWS = 6  # of chunks, in the making, of all mips of a slab and their sums
_UNPACKED = 2.5  # times the voxels of a file that is compressed as one (measured)


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What was made.

    Attributes
    ----------
    volume : Volume
    order : str
        How the planes were put in order; empty for a file.
    filled : tuple of int
        Numbers of the planes that were missing and are zeros now.
    bytes, chunks : int
        Written, over all mips.
    """

    volume: Volume
    order: str
    filled: tuple[int, ...]
    bytes: int
    chunks: int

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        spec = self.volume.spec
        return {
            "volume": self.volume.url,
            "size": list(spec.size),
            "voxel_size_um": list(spec.voxel_size),
            "dtype": spec.dtype,
            "layer": spec.layer,
            "mips": [list(factor) for factor in spec.mips],
            "order": self.order,
            "filled": list(self.filled),
            "bytes": self.bytes,
            "chunks": self.chunks,
        }


@dataclass(frozen=True, slots=True)
class SlabTask:
    """A slab to be ingested. `memory` is what one worker may hold."""

    volume: Volume
    stack: Shared[Stack]
    conversion: Conversion
    scratch: Path
    z: tuple[int, int]
    memory: int


def ingest(
    run: Run,
    stack: Path | str,
    url: str | Path | Location,
    options: IngestOptions | None = None,
    *,
    memory: int | None = None,
    channel: str = "",
) -> IngestReport:
    """Make a precomputed volume from a folder of planes or a 3-D file.

    Parameters
    ----------
    run : Run
    stack : Path
        A folder of numbered 2-D TIFFs, or a 3-D TIFF, NRRD or NIfTI file. It is only read.
    url : str, Path or Location
        Folder of the volume, local or in S3.
    options : IngestOptions
    memory : int, optional
        Bytes that all workers together (under MPI: each) may hold; larger slabs go through files in scratch.
    channel : str
        Name for the journal, where a run makes several volumes.

    Raises
    ------
    NotFoundError, InputError
        As `plan_ingest`; also for planes that do not decode or whose values do not fit.
    """
    return perform_ingest(run, plan_ingest(stack, url, options), memory=memory, channel=channel)


def perform_ingest(run: Run, plan: IngestPlan, *, memory: int | None = None, channel: str = "") -> IngestReport:
    """Do what `plan_ingest` planned. Parameters as `ingest`."""
    order, filled = _announce(run, plan.source)
    identity, volume = plan.identity, Volume(str(plan.location), plan.spec)
    run.stage(
        "create",
        _create,
        [Unit("info", volume)],
        channel=channel,
        options=identity,
        outputs=_outputs(run.out, plan),
    )
    scratch = run.scratch / f"ingest-{digest(identity)}"
    shared = run.share(f"stack-{digest(identity)}", _readable(run, plan.source, scratch, identity, channel))
    budget = Budget.of(memory, run.jobs, VOLUMES)
    share = int(min(budget.share(), 2**62))
    units = [
        Unit(f"z{z[0]}-{z[1]}", SlabTask(volume, shared, plan.conversion, scratch, z, share))
        for z in volume.slabs()
    ]
    results = list(run.stage("ingest", ingest_slab, units, channel=channel, options=identity).values())
    finished = finish_volume(run, volume, scratch, channel=channel, options=identity)
    results = [finished] if plan.spec.sharded else [*results, finished]  # shards hold all chunks, mip 0 too
    written, chunks = (sum(result[name] for result in results) for name in ("bytes", "chunks"))
    return IngestReport(volume, order, filled, written, chunks)


def ingest_slab(task: SlabTask) -> dict[str, int]:
    """Write one slab of mip 0 and what it completes of the coarser mips."""
    stack, (begin, end) = task.stack.get(), task.z
    planes = (
        task.conversion.apply(plane, stack.name(z))
        for z, plane in zip(range(begin, end), stack.planes(begin, end), strict=True)
    )
    width, height, _ = task.volume.size()
    shape, dtype = (end - begin, height, width), task.volume.dtype
    fits = slab_bytes(task.volume.spec, task.stack.get(), spilled=False) <= task.memory
    spill = None if fits else task.scratch / f"slab-{begin}"
    with SlabWriter(task.volume, task.scratch, task.z) as writer:
        for band in bands_of(planes, shape, dtype, task.volume.spec.chunk[1], spill):
            writer.write(band)
    return writer.result()


def slab_bytes(spec: VolumeSpec, stack: Stack, *, spilled: bool) -> int:
    """Memory of a worker that ingests a slab, which it holds, or leaves in scratch but for a row of chunks."""
    width, height, _ = spec.size
    depth, item = spec.chunk[2], np.dtype(spec.dtype).itemsize
    row = width * min(spec.chunk[1], height) * depth * item
    # a plane as it is stored, decoded, as floats and converted
    plane = width * height * (2 * stack.dtype.itemsize + 8 + item)
    rows = _WRITER_ROWS * row + (row if spilled else width * height * depth * item)
    return max(rows + plane, build_bytes(spec))


def require_memory_to_ingest(plan: IngestPlan, budget: Budget) -> None:
    """Refuse too little memory before any work.

    Raises
    ------
    ToolError
    """
    needs = [Need("ingesting through scratch", slab_bytes(plan.spec, plan.source, spilled=True))]
    if isinstance(plan.source, FileStack) and not plan.source.paged:
        voxels = math.prod(plan.source.size) * plan.source.dtype.itemsize
        doing = f"unpacking {plan.source.header.path}, which cannot be read in parts,"
        needs.append(Need(doing, math.ceil(_UNPACKED * voxels), other=("a folder of TIFF planes instead",)))
    budget.require(*needs)


def _announce(run: Run, source: Stack) -> tuple[str, tuple[int, ...]]:
    """Say in which order planes are taken and which are missing."""
    if isinstance(source, FileStack):
        return "", ()
    series = source.series
    _logger.info("%s: %s", series.folder, series)
    if series.filled:
        numbers = ", ".join(map(str, series.filled))
        run.warn(f"{series.folder}: {len(series.filled)} missing planes filled with zeros: numbers {numbers}")
    return str(series), series.filled


def _create(volume: Volume) -> None:
    create_volume(volume.location, volume.spec)


def _unpack(task: tuple[FileStack, Path]) -> None:
    stack, path = task
    stack.unpack(path)


def _readable(run: Run, source: Stack, scratch: Path, identity: dict[str, Any], channel: str) -> Stack:
    """The stack in a form whose planes can be read one by one."""
    if isinstance(source, PlaneStack) or source.paged:
        return source
    path = scratch / "unpacked.npy"
    run.stage("unpack", _unpack, [Unit("file", (source, path))], channel=channel, options=identity)
    return source.unpacked_at(path)


def _outputs(out: Path, plan: IngestPlan) -> list[str]:
    """What of the volume lies in OUT, relative to it."""
    if not plan.location.is_file or not plan.location.path.is_relative_to(out.absolute()):
        return []
    folder = plan.location.path.relative_to(out.absolute())
    return [str(folder / name) for name in ("info", *(scale.key for scale in plan.spec.scales))]
