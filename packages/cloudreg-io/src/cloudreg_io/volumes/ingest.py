"""Ingest: a stack that is already stitched becomes a precomputed volume with its pyramid.

Units are slabs one chunk deep. Each plane is decoded once, its voxels go to mip 0 and are pooled into the coarser
mips on the way; no more than a slab is held, in memory or, where `memory` is too small for that, in scratch.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError, ToolError
from cloudreg_io.files.atomic import temporary_beside
from cloudreg_io.files.location import Location
from cloudreg_io.run import Run, Shared, Unit, digest
from cloudreg_io.space import VoxelSize
from cloudreg_io.volumes.build import finish_volume
from cloudreg_io.volumes.conversion import Conversion, conversion_for
from cloudreg_io.volumes.info import to_info
from cloudreg_io.volumes.series import Missing
from cloudreg_io.volumes.slabs import SlabWriter
from cloudreg_io.volumes.spec import CHUNK, SMALLEST, Compression, Layer, VolumeSpec
from cloudreg_io.volumes.stack import FileStack, PlaneStack, Stack, open_stack
from cloudreg_io.volumes.volume import Volume, create_volume

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How a volume is made from a stack.

    Attributes
    ----------
    voxel_size : VoxelSize, optional
        In µm; by default what the file's header says.
    layer : "image" or "segmentation", optional
        By default uint64 is a segmentation and everything else an image.
    dtype : str, optional
        Of the volume; by default that of the stack. Values that do not fit are an error.
    missing : "error" or "fill"
        What to do about planes that the numbering promises.
    nan_to : float, optional
        Replaces values that are not finite, which are an error otherwise.
    smallest, mips, chunk, compression, sharded
        See `VolumeSpec.plan`.
    """

    voxel_size: VoxelSize | None = None
    layer: Layer | None = None
    dtype: str | None = None
    missing: Missing = "error"
    nan_to: float | None = None
    smallest: int = SMALLEST
    mips: int | None = None
    chunk: Sequence[int] = CHUNK
    compression: Compression = "gzip"
    sharded: bool | None = None


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
    stack: Shared[PlaneStack | FileStack]
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
        Bytes that all workers together may hold; slabs that are larger go through files in scratch.
    channel : str
        Name for the journal, where a run makes several volumes.

    Raises
    ------
    NotFoundError, InputError
        The stack cannot be used (every problem names the file), has no voxel size, or the volume lies in it.
    """
    options = options or IngestOptions()
    source, location = open_stack(Path(stack), missing=options.missing), Location.parse(url)
    _require_apart(Path(stack), location)
    conversion = conversion_for(source.dtype, options.dtype, options.nan_to)
    spec = _plan(source, options, conversion.dtype, Path(stack))
    identity = {
        "stack": source.fingerprint,
        "info": digest(to_info(spec)),
        "compression": spec.compression,
        "missing": options.missing,
        "nan_to": options.nan_to,
    }
    order, filled = _announce(run, source)
    volume = Volume(str(location), spec)
    run.stage(
        "create",
        _create,
        [Unit("info", volume)],
        channel=channel,
        options=identity,
        outputs=_outputs(run.out, location, spec),
    )
    scratch = run.scratch / f"ingest-{digest(identity)}"
    shared = run.share(f"stack-{digest(identity)}", _readable(run, source, scratch, identity, channel))
    share = (memory or 2**62) // max(1, run.jobs)
    units = [
        Unit(f"z{z[0]}-{z[1]}", SlabTask(volume, shared, conversion, scratch, z, share)) for z in volume.slabs()
    ]
    results = list(run.stage("ingest", ingest_slab, units, channel=channel, options=identity).values())
    results.append(finish_volume(run, volume, scratch, channel=channel, options=identity))
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
    rows = task.volume.spec.chunk[1]
    needed = (end - begin) * height * width * task.volume.dtype.itemsize
    with SlabWriter(task.volume, task.scratch, task.z) as writer:
        for band in _bands(planes, (end - begin, height, width), task, rows, in_memory=needed <= task.memory // 2):
            writer.write(band)
    return writer.result()


def _bands(
    planes: Iterator[NDArray[Any]], shape: tuple[int, int, int], task: SlabTask, rows: int, *, in_memory: bool
) -> Iterator[NDArray[Any]]:
    """Turn planes, z after z, into bands of rows of all of them."""
    if in_memory:
        slab = np.empty(shape, task.volume.dtype)
        for z, plane in enumerate(planes):
            slab[z] = plane
        for y in range(0, shape[1], rows):
            yield slab[:, y : y + rows]
        return
    # plain reads and writes, not a memory map: its pages would count as this process's memory
    path = temporary_beside(task.scratch / f"slab-{task.z[0]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("w+b") as file:
            for plane in planes:
                file.write(np.ascontiguousarray(plane).data)
            yield from _bands_of_file(file, shape, task.volume.dtype, rows)
    finally:
        path.unlink(missing_ok=True)


def _bands_of_file(
    file: Any, shape: tuple[int, int, int], dtype: np.dtype[Any], rows: int
) -> Iterator[NDArray[Any]]:
    depth, height, width = shape
    for y in range(0, height, rows):
        band = np.empty((depth, min(rows, height - y), width), dtype)
        for z, part in enumerate(band):
            file.seek((z * height + y) * width * dtype.itemsize)
            if file.readinto(part.reshape(-1).view(np.uint8).data) != part.nbytes:
                raise ToolError("a slab in scratch was cut off", why="the disk is full, or somebody removed it")
        yield band


def _announce(run: Run, source: PlaneStack | FileStack) -> tuple[str, tuple[int, ...]]:
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


def _readable(
    run: Run, source: PlaneStack | FileStack, scratch: Path, identity: dict[str, Any], channel: str
) -> PlaneStack | FileStack:
    """The stack in a form whose planes can be read one by one."""
    if isinstance(source, PlaneStack) or source.paged:
        return source
    path = scratch / "unpacked.npy"
    run.stage("unpack", _unpack, [Unit("file", (source, path))], channel=channel, options=identity)
    return source.unpacked_at(path)


def _plan(source: Stack, options: IngestOptions, dtype: str, path: Path) -> VolumeSpec:
    voxel_size = options.voxel_size or source.voxel_size
    if voxel_size is None:
        raise InputError(f"{path} does not say how large its voxels are", fix="--voxel-size X Y Z, in µm")
    return VolumeSpec.plan(
        source.size,
        voxel_size,
        dtype,
        layer=options.layer or ("segmentation" if dtype == "uint64" else "image"),
        mips=options.mips,
        smallest=options.smallest,
        chunk=options.chunk,
        compression=options.compression,
        sharded=options.sharded,
    )


def _outputs(out: Path, location: Location, spec: VolumeSpec) -> list[str]:
    """What of the volume lies in OUT, relative to it."""
    if not location.is_file or not location.path.is_relative_to(out.absolute()):
        return []
    folder = location.path.relative_to(out.absolute())
    return [str(folder / name) for name in ("info", *(scale.key for scale in spec.scales))]


def _require_apart(stack: Path, location: Location) -> None:
    if not location.is_file:
        return
    source, target = stack.resolve(), location.path.resolve()
    if target == source or (source.is_dir() and target.is_relative_to(source)):
        raise InputError(
            f"the volume {target} would lie in the stack {source}", why="raw data is never written to"
        )


def options_json(options: IngestOptions) -> dict[str, Any]:
    """The options as JSON, for the provenance."""
    values = asdict(options)
    values["voxel_size"] = list(options.voxel_size) if options.voxel_size else None
    return values
