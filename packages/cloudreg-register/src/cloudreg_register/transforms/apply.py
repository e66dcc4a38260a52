"""The commands that apply a transform to files: points, volumes, export."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError, ToolError
from cloudreg_io.files.image import SUFFIXES, read_image, read_image_header
from cloudreg_io.files.location import Location
from cloudreg_io.run import NO_PROGRESS, Progress, Run, digest, executor, open_run
from cloudreg_io.space import VoxelSize
from cloudreg_io.volumes import Volume, open_volume
from cloudreg_io.volumes.info import to_info
from cloudreg_register.images.frame import Frame
from cloudreg_register.images.plausible import as_label_ids
from cloudreg_register.transforms.itk import FieldReport, export_field
from cloudreg_register.transforms.native import Warped, memory_needed, suited_source, warp_volume
from cloudreg_register.transforms.points import Points, read_blocks, write_points
from cloudreg_register.transforms.sources import FileSource
from cloudreg_register.transforms.transform import Mapper, Transform

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PointsReport:
    """What became of a file of points.

    Attributes
    ----------
    points : int
    outside : int
        Of them, those that lie in neither or only one of the volumes.
    """

    points: int
    outside: int

    def to_json(self) -> dict[str, int]:
        """As JSON."""
        return asdict(self)


def transform_points(
    source: Path, target: Path, folder: Path, *, to: str, voxels: bool = False, overwrite: bool = False
) -> PointsReport:
    """Move the points of a CSV file, block by block, in order.

    Parameters
    ----------
    source, target : Path
        CSV files, see `points`.
    folder : Path
        Of the transform.
    to : "atlas" or "target"
        Where the result lives.
    voxels : bool
        The points are given in voxels of mip 0, not in µm.
    overwrite : bool
        Replace `target`.

    Raises
    ------
    InputError
        `target` exists or is `source`, or what `read_blocks` and `Transform.load` raise.
    """
    if source.resolve() == target.resolve():
        raise InputError(f"{target} would replace the points it is made from", fix="choose another OUT.csv")
    refuse_existing(target, overwrite=overwrite)
    mapper = Transform.load(folder).mapper(to)
    outside = 0

    def moved() -> Iterator[Points]:
        nonlocal outside
        for number, block in enumerate(read_blocks(source)):
            positions = block.positions
            if voxels:
                positions = positions * np.array(tuple(mapper.source.voxel_size))
            elif not number and looks_like_voxels(positions, mapper.source):
                _warn_of_voxels(source, mapper)
            places, inside = mapper.located(positions)
            outside += int((~inside).sum())
            yield block.moved(places).with_column("inside", ["1" if one else "0" for one in inside.tolist()])

    count = write_points(target, moved())
    if count and outside == count:
        _logger.warning(
            "%s: not one of the %d points lies in both volumes; --to %s takes points of %s, in µm: of x, y, z "
            "from 0 to %s",
            source,
            count,
            to,
            "the target" if to == "atlas" else "the atlas",
            ", ".join(f"{edge:.0f}" for edge in mapper.source.extent),
        )
    return PointsReport(count, outside)


def looks_like_voxels(positions: NDArray[np.float64], frame: Frame) -> bool:
    """Whether points that should be in µm are probably voxel indices of a volume.

    They are when all are whole numbers that fit the volume's voxels, and in µm would fill a small corner only.
    """
    if len(positions) < 3 or not (positions == np.rint(positions)).all():
        return False
    high = positions.max(axis=0)
    as_voxels = bool((positions >= 0).all() and (high < frame.size).all())
    share_of_voxels = (high / frame.size).max()
    share_of_um = (high / frame.extent).max()
    return as_voxels and bool(share_of_voxels > 0.4 and share_of_um < 0.75 * share_of_voxels)


def transform_volume(  # noqa: PLR0913 -- the options of a command, each with a default
    source: str,
    target: str,
    folder: Path,
    *,
    to: str,
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
        transform = Transform.load(folder)
        out = work or _local(target)
        options = {"to": to, "voxel_size": voxel_size, "labels": labels, "channel": channel}
        made = _Made(transform, source, target, to, _edges(transform, to, voxel_size), labels)
        channels = made.channels(channel)
        if not made.is_volume:
            made.require_extent(source_voxel_size)
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
            several = len(channels) > 1
            reports = [_warp_channel(run, made, one, source_voxel_size, several, memory) for one in channels]
            run.discard("sources")
            return reports


def export_transform(
    folder: Path, file: Path, *, to: str = "target", voxel_size: float | None = None, overwrite: bool = False
) -> FieldReport:
    """Write a transform as displacement field for ITK."""
    refuse_existing(file, overwrite=overwrite)
    edges = None if voxel_size is None else VoxelSize(voxel_size, voxel_size, voxel_size)
    return export_field(Transform.load(folder), file, to=to, voxel_size=edges)


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise when something is there that was not to be replaced."""
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists", fix="add --overwrite to replace it")


@dataclass(frozen=True, slots=True)
class _Made:
    """What is made of which source."""

    transform: Transform
    source: str
    target: str
    to: str
    voxel_size: VoxelSize | None
    labels: bool

    @property
    def is_volume(self) -> bool:
        """Whether the source is a precomputed volume rather than a file."""
        return not self.source.lower().endswith(SUFFIXES)

    @property
    def frame(self) -> Frame:
        """Of the source."""
        return self.transform.target if self.to == "atlas" else self.transform.atlas

    @property
    def onto(self) -> Frame:
        """Of what is made."""
        return self.transform.atlas if self.to == "atlas" else self.transform.target

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
        """Check a file's header before any work."""
        header = read_image_header(self.source)
        z, y, x = header.shape
        self.frame.aligned((x, y, z), self.edges(voxel_size, header.voxel_size), "image")

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
    run: Run, made: _Made, channel: int, voxel_size: Sequence[float] | None, several: bool, memory: int | None
) -> dict[str, Any]:
    url = str(Location.parse(made.target) / str(channel)) if several else made.target
    if made.is_volume:
        volume = made.volume()
        edges = made.voxel_size or made.onto.voxel_size
        source: Any = suited_source(made.transform, volume, edges, to=made.to, labels=made.labels, channel=channel)
        identity = digest({"url": volume.url, "info": to_info(volume.spec), "channel": channel})
    else:
        source, identity = _unpacked(run, made, voxel_size)
    warped = Warped(source, identity, url, made.to, made.labels, made.voxel_size)
    spec = warped.plan(made.transform)
    needed = run.jobs * memory_needed(spec)
    if memory is not None and needed > memory:
        raise ToolError(
            f"{run.jobs} worker(s) need about {needed / 1e9:.2g} GB of memory; {memory / 1e9:.2g} GB may be used",
            fix="fewer --jobs, or allow more by --memory",
        )
    return warp_volume(run, made.transform, warped, name=f"channel {channel}" if several else "volume")


def _unpacked(run: Run, made: _Made, voxel_size: Sequence[float] | None) -> tuple[FileSource, str]:
    """A file's voxels where all workers can map them."""
    array, found = read_image(made.source)
    if made.labels:
        array = as_label_ids(array, made.source)
    elif array.dtype == np.float64:
        array = array.astype(np.float32)
    z, y, x = array.shape
    grid = made.frame.aligned((x, y, z), made.edges(voxel_size, found), "labels" if made.labels else "image")
    identity = digest({"file": digest(Path(made.source)), "grid": grid.to_json()})
    return FileSource.write(run.scratch / "sources" / f"{identity}.npy", array, grid), identity


def _edges(transform: Transform, to: str, voxel_size: Sequence[float] | None) -> VoxelSize | None:
    """The voxel size asked for; None for that of the frame itself."""
    if voxel_size is None:
        return None
    edges = VoxelSize.of(voxel_size)
    frame = transform.atlas if to == "atlas" else transform.target
    return None if edges == frame.voxel_size else edges


def _local(target: str) -> Path:
    location = Location.parse(target)
    if not location.is_file:
        raise InputError(f"{location} cannot hold the journal", fix="--work DIR names a local folder for it")
    return location.path


def _warn_of_voxels(source: Path, mapper: Mapper) -> None:
    _logger.warning(
        "%s: all of x,y,z are whole numbers that fill the %s voxels of %s: they look like voxels, and are taken "
        "as µm. If they are voxels, add --voxels",
        source,
        " × ".join(map(str, mapper.source.size)),
        mapper.source.name or "the volume",
    )
