"""Apply to volumes: whole volumes and image files through a transform, as precomputed volumes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.files.image import read_image, read_image_header
from cloudreg_io.files.location import Location
from cloudreg_io.run import NO_PROGRESS, Progress, Run, digest, executor, open_run
from cloudreg_io.run.memory import Budget, Need
from cloudreg_io.space import VoxelSize, vector3
from cloudreg_io.volumes import Volume, VolumeSpec, open_volume
from cloudreg_io.volumes.spec import Layer
from cloudreg_register.images.frame import Frame
from cloudreg_register.images.places import is_file
from cloudreg_register.images.plausible import as_label_ids
from cloudreg_register.memory import PROGRAMS, reading_bytes
from cloudreg_register.transforms.fingerprints import digest_of_volume
from cloudreg_register.transforms.sources import FileSource, Source
from cloudreg_register.transforms.transform import Space, Transform, other
from cloudreg_register.transforms.warped_volumes import Warped, memory_needed, suited_source, warp_volume


def transform_volume(  # noqa: PLR0913 -- the options of a command, each with a default
    source: str,
    target: str,
    folder: Path,
    *,
    to: Space,
    voxel_size: Sequence[float] | None = None,
    source_voxel_size: Sequence[float] | None = None,
    labels: bool = False,
    channel: int | None = None,
    work: Path | None = None,
    jobs: int = 1,
    memory: int | None = None,
    overwrite: bool = False,
    progress: Progress = NO_PROGRESS,
) -> list[dict[str, Any]] | None:
    """Warp a precomputed volume or an image file through a transform, as precomputed volumes.

    Parameters
    ----------
    source : str
        Of the volume that is not named by `to`.
    target : str
        Folder of the new volume; of several channels, the folder of their folders 0, 1, ….
    folder : Path
        Of the transform.
    to : "atlas" or "target"
    voxel_size : (x, y, z) float, optional
        Of the new volume in µm; by default mip 0 of the volume it lies on.
    source_voxel_size : (x, y, z) float, optional
        Of an image file, in place of its header's.
    labels : bool
    channel : int, optional
        By default all.
    work, jobs, memory, overwrite, progress
        As for the other commands.

    Returns
    -------
    list of dict or None
        One report a channel; None on the worker ranks of an MPI job.
    """
    with executor(jobs) as pool:
        if pool is None:
            return None
        if is_file(target):
            raise InputError(
                f"{target} would be a folder: warped volumes are precomputed, chunk by chunk",
                fix="name a folder, then `cloudreg download FOLDER FILE --voxel-size UM` makes a file of it",
            )
        transform = Transform.load(folder)
        _require_apart(target, source, folder)
        out = work or _local(target)
        options = {"to": to, "voxel_size": voxel_size, "labels": labels, "channel": channel}
        made = _Made(transform, source, target, to, _edges(transform, to, voxel_size), labels)
        channels = made.channels(channel)
        made.require_extent(source_voxel_size)
        Budget.of(memory, jobs, PROGRAMS).require(*made.needs())
        with open_run(
            out,
            command="transform volume",
            options=options,
            inputs={"source": source, "transform": str(folder)},
            pool=pool,
            jobs=jobs,
            progress=progress,
            overwrite=overwrite,
        ) as run:
            if made.may_be_labels:
                run.warn(f"{source} is interpolated as an image; if its voxels are ids, give --labels")
            several = len(channels) > 1
            reports = [_warp_channel(run, made, one, source_voxel_size, several) for one in channels]
            run.discard("sources")
            return reports


def _require_apart(target: str, source: str, folder: Path) -> None:
    made = Location.parse(target)
    for name, place in (("SRC", Location.parse(source)), ("the transform", Location.parse(folder))):
        if made.is_file and place.is_file and made.path.resolve().is_relative_to(place.path.resolve()):
            raise InputError(
                f"DST {target} is {name}, or lies in it", why="it is only read", fix="name another DST"
            )


@dataclass(frozen=True, slots=True)
class _Made:
    """What is made of which source."""

    transform: Transform
    source: str
    target: str
    to: Space
    voxel_size: VoxelSize | None
    labels: bool

    @property
    def is_volume(self) -> bool:
        """Whether the source is a precomputed volume rather than a file."""
        return not is_file(self.source)

    @property
    def frame(self) -> Frame:
        """Of the source."""
        return self.transform.frame(other(self.to))

    @property
    def onto(self) -> Frame:
        """Of what is made."""
        return self.transform.frame(self.to)

    def volume(self) -> Volume:
        """The source."""
        return open_volume(self.source)

    def channels(self, wanted: int | None) -> list[int]:
        """Those to be made."""
        count = self.volume().spec.channels if self.is_volume else 1
        if wanted is not None and wanted >= count:
            raise InputError(f"{self.source} has {count} channel(s), none is number {wanted}")
        return list(range(count)) if wanted is None else [wanted]

    def require_extent(self, voxel_size: Sequence[float] | None) -> None:
        """Check the extent of volume or file before any work."""
        if self.is_volume:
            size, edges = self.volume().size(), self.volume().voxel_size()
        else:
            header = read_image_header(self.source)
            size, edges = header.size, self.edges(voxel_size, header.voxel_size)
        try:
            self.frame.aligned(size, edges, "labels" if self.labels else "image")
        except InputError as error:
            if not self.onto.holds(size, edges):
                raise
            there = other(self.to)
            raise InputError(
                f"--to {self.to} takes volumes of the {there}; {self.source} has the extent of the {self.to}",
                why=error.what,
                fix=f"--to {there}, if it lies on the {self.to}",
            ) from error

    @property
    def may_be_labels(self) -> bool:
        """Whether what shall be interpolated looks like ids: images have 16 bits at most, or are of floats."""
        if self.labels:
            return False
        if self.is_volume:
            return self.volume().spec.layer == "segmentation"
        dtype = np.dtype(read_image_header(self.source).dtype)
        return dtype.kind in "iu" and dtype.itemsize >= 4

    def needs(self) -> tuple[Need, ...]:
        """What it takes of the memory."""
        if self.is_volume:
            return (Need("warping the volume", memory_needed(self._spec(self.volume().dtype))),)
        header = read_image_header(self.source)
        warping = memory_needed(self._spec(header.dtype))
        mapped = math.prod(header.size) * np.dtype(header.dtype).itemsize  # once, for all workers
        return (
            Need(f"reading {self.source}", 0, reading_bytes(header.size, header.dtype)),
            Need("warping the volume", warping, mapped),
        )

    def _spec(self, dtype: DTypeLike) -> VolumeSpec:
        """About what is made of voxels of a type."""
        edges = self.voxel_size or self.onto.voxel_size
        size = self.onto.grid().with_spacing(vector3(edges)).size
        item = np.dtype(dtype).itemsize
        layer: Layer = "segmentation" if self.labels else "image"
        return VolumeSpec.plan(size, edges, f"uint{8 * item}" if self.labels else "float32", layer=layer)

    def edges(self, given: Sequence[float] | None, found: VoxelSize | None) -> VoxelSize:
        """Voxel size of a file: the one given, or its header's."""
        if given is not None:
            return VoxelSize.of(given)
        if found is None:
            raise InputError(
                f"{self.source} does not say how large its voxels are", fix="--source-voxel-size X Y Z"
            )
        return found


def _warp_channel(
    run: Run, made: _Made, channel: int, voxel_size: Sequence[float] | None, several: bool
) -> dict[str, Any]:
    url = str(Location.parse(made.target) / str(channel)) if several else made.target
    if made.is_volume:
        volume = made.volume()
        edges = made.voxel_size or made.onto.voxel_size
        source: Source = suited_source(
            made.transform, volume, edges, to=made.to, labels=made.labels, channel=channel
        )
        identity = digest_of_volume(volume, channel=channel)
    else:
        source, identity = _unpacked(run, made, voxel_size)
    warped = Warped(source, identity, url, made.to, made.labels, made.voxel_size)
    return warp_volume(run, made.transform, warped, name=f"channel {channel}" if several else "volume")


def _unpacked(run: Run, made: _Made, voxel_size: Sequence[float] | None) -> tuple[FileSource, str]:
    """A file's voxels where all workers can map them."""
    array, found = read_image(made.source)
    if made.labels:
        array = as_label_ids(array, made.source)
    elif array.dtype == np.float64:
        array = _single(array, made.source)
    z, y, x = array.shape
    grid = made.frame.aligned((x, y, z), made.edges(voxel_size, found), "labels" if made.labels else "image")
    identity = digest({"file": digest(Path(made.source)), "grid": grid.to_json()})
    return FileSource.write(run.scratch / "sources" / f"{identity}.npy", array, grid), identity


def _single(array: NDArray[np.float64], name: str) -> NDArray[np.float32]:
    try:
        with np.errstate(over="raise"):
            return array.astype(np.float32)
    except FloatingPointError as error:
        raise InputError(
            f"{name} holds values beyond 3.4e38: volumes of floats have 32 bits", fix="scale them down first"
        ) from error


def _edges(transform: Transform, to: Space, voxel_size: Sequence[float] | None) -> VoxelSize | None:
    """The voxel size asked for; None for that of the frame itself."""
    if voxel_size is None:
        return None
    edges = VoxelSize.of(voxel_size)
    return None if edges == transform.frame(to).voxel_size else edges


def _local(target: str) -> Path:
    location = Location.parse(target)
    if not location.is_file:
        raise InputError(f"{location} cannot hold the journal", fix="--work DIR names a local folder for it")
    return location.path
