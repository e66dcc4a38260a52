"""A volume on disk or in S3: made, opened, read box by box. Reading goes through cloud-volume.

What is missing or damaged is an error that names the chunk; it is never read as zeros.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import CloudRegError, InputError, NotFoundError
from cloudreg_io.files import store
from cloudreg_io.files.atomic import canonical_json
from cloudreg_io.files.checksums import wrote
from cloudreg_io.files.location import Location
from cloudreg_io.run.counters import count
from cloudreg_io.space import Bounds, Grid, Vector3i, VoxelSize, vector3
from cloudreg_io.volumes.info import differences, parse_info, to_info
from cloudreg_io.volumes.spec import Scale, VolumeSpec

_logger = logging.getLogger(__name__)


def create_volume(url: str | Path | Location, spec: VolumeSpec) -> Volume:
    """Make a volume: write its `info`. Where one of the same `info` exists, it is opened.

    Parameters
    ----------
    url : str, Path or Location
        Folder of the volume, local or in S3.
    spec : VolumeSpec
        With `VolumeSpec.plan(size, voxel_size, dtype)`.

    Raises
    ------
    InputError
        Another volume is there; the message says how it differs.
    """
    location = Location.parse(url)
    info, content = location / "info", canonical_json(to_info(spec))
    try:
        there = parse_info(store.get(info), str(info))
    except NotFoundError:
        store.put(info, content, content_type="application/json")
        return Volume(str(location), spec)
    if there != spec:
        raise InputError(
            f"{location} holds another volume: {'; '.join(differences(there, spec))}",
            fix="add --overwrite to replace it, or choose another folder",
        )
    wrote(store.place(info), content)  # by a unit that did not live to say so
    return Volume(str(location), spec)


def open_volume(url: str | Path | Location) -> Volume:
    """Open a volume that exists, made by whatever program.

    Raises
    ------
    NotFoundError
        There is no `info`.
    InputError
        `info` is damaged.
    """
    location = Location.parse(url)
    info = location / "info"
    try:
        data = store.get(info)
    except NotFoundError as error:
        raise NotFoundError(
            f"{location} is not a precomputed volume: it has no info",
            why=error.what,
            fix=error.fix or "check the address",
        ) from error
    return Volume(str(location), parse_info(data, str(info)))


@dataclass(frozen=True, slots=True)
class Volume:
    """Descriptor of a volume: small, picklable, opened anew by each process that reads.

    Attributes
    ----------
    url : str
    spec : VolumeSpec
    """

    url: str
    spec: VolumeSpec

    @property
    def location(self) -> Location:
        """Where it is."""
        return Location.parse(self.url)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its voxels."""
        return np.dtype(self.spec.dtype)

    def scale(self, mip: int = 0) -> Scale:
        """A level.

        Raises
        ------
        InputError
            There is no such mip; the message lists those that are.
        """
        if not 0 <= mip < len(self.spec.scales):
            levels = "; ".join(f"{i}: {s.size} at {_um(s)}" for i, s in enumerate(self.spec.scales))
            raise InputError(f"{self.url} has no mip {mip}", fix=f"its mips are {levels}")
        return self.spec.scales[mip]

    def size(self, mip: int = 0) -> Vector3i:
        """Voxels x, y, z of a level."""
        return self.scale(mip).size

    def bounds(self, mip: int = 0) -> Bounds:
        """Voxels of a level; they begin at 0 unless another program gave the volume an offset."""
        return self.scale(mip).bounds

    def voxel_size(self, mip: int = 0) -> VoxelSize:
        """Voxel size of a level in µm."""
        return self.scale(mip).voxel_size

    def grid(self, mip: int = 0, bounds: Bounds | None = None) -> Grid:
        """Where the samples of a level, or of a box of its voxels, lie; 0 is the centre of mip-0 voxel 0."""
        box, spacing = self.bounds(mip) if bounds is None else bounds, self.voxel_size(mip)
        finest = self.voxel_size(0)
        origin = [(low + 0.5) * s - 0.5 * v for low, s, v in zip(box.lower, spacing, finest, strict=True)]
        return Grid(box.size, vector3(spacing), vector3(origin))

    def mip_at(self, um: float | Sequence[float] | VoxelSize) -> tuple[int, VoxelSize]:
        """The coarsest mip whose voxels are no larger than `um` on any axis, and its voxel size.

        Parameters
        ----------
        um : float or (x, y, z) float
            Wanted voxel size in µm. When it is finer than mip 0 the answer is mip 0, and a warning is logged.
        """
        wanted = VoxelSize.of((um, um, um) if isinstance(um, int | float) else um)
        fitting = [
            mip
            for mip, scale in enumerate(self.spec.scales)
            if all(r <= 1000 * w * (1 + 1e-9) for r, w in zip(scale.resolution, wanted, strict=True))
        ]
        if not fitting:
            _logger.warning("%s: %s is finer than mip 0, which has %s", self.url, wanted, self.voxel_size(0))
            return 0, self.voxel_size(0)
        mip = max(fitting, key=lambda m: (np.prod(self.spec.scales[m].resolution), m))
        return mip, self.voxel_size(mip)

    def slabs(self, mip: int = 0) -> tuple[tuple[int, int], ...]:
        """The ranges of z, one chunk deep, that a level is written in."""
        scale = self.scale(mip)
        begin, end, depth = scale.bounds.lower[2], scale.bounds.upper[2], scale.chunk[2]
        return tuple((z, min(z + depth, end)) for z in range(begin, end, depth))

    def read(self, bounds: Bounds | None = None, mip: int = 0, channel: int = 0) -> NDArray[Any]:
        """Read a box of voxels.

        Parameters
        ----------
        bounds : Bounds, optional
            In voxels of that mip; by default all of it.
        mip, channel : int

        Returns
        -------
        array [z, y, x]
            C-ordered, of the volume's data type.

        Raises
        ------
        InputError
            The box reaches outside, or a chunk is damaged (named).
        NotFoundError
            A chunk is missing (named). It is never read as zeros.
        RemoteError
            S3 refuses.
        """
        scale = self.scale(mip)
        bounds = scale.bounds if bounds is None else bounds
        if not scale.bounds.contains(bounds):
            raise InputError(
                f"{bounds.lower}..{bounds.upper} reaches outside {self.url}, "
                f"whose mip {mip} is {scale.bounds.lower}..{scale.bounds.upper}"
            )
        if not 0 <= channel < self.spec.channels:
            raise InputError(f"{self.url} has {self.spec.channels} channels, none is number {channel}")
        if bounds.is_empty:
            return np.empty(bounds.shape, self.dtype)
        array = self._read_or_explain(bounds, mip, channel)
        count(bytes_read=array.nbytes)
        return array

    def _read_or_explain(self, bounds: Bounds, mip: int, channel: int) -> NDArray[Any]:
        try:
            return _read(self, bounds, mip, channel)
        except Exception as error:  # cloud-volume and its codecs raise whatever they like
            if (remote := _remote(error, self.location)) is not None:
                raise remote from error
            raise self._damage(bounds, mip, channel, error) from error

    def _damage(self, bounds: Bounds, mip: int, channel: int, error: Exception) -> CloudRegError:
        """Find the chunk that cannot be read by reading one after the other."""
        scale = self.scale(mip)
        for chunk in _chunks(scale, bounds):
            try:
                _read(self, chunk, mip, channel)
            except Exception as cause:  # as above: the kind is what we are to find out
                return self._bad_chunk(scale, mip, chunk, cause)
        return InputError(f"{self.url}: mip {mip} ({scale.key}) could not be read: {error}")

    def _bad_chunk(self, scale: Scale, mip: int, chunk: Bounds, cause: Exception) -> CloudRegError:
        from cloudvolume.exceptions import EmptyFileException, EmptyVolumeException

        name = f"{self.url}: chunk {chunk_name(chunk)} of mip {mip} ({scale.key})"
        if isinstance(cause, EmptyVolumeException | EmptyFileException):
            return NotFoundError(
                f"{name} is missing or empty",
                why="the volume was not finished, or a file was removed",
                fix="give the command that made it again: it goes on where it stopped",
            )
        return InputError(
            f"{name} is damaged: {type(cause).__name__}: {cause}", fix="make the volume again from its source"
        )


def chunk_name(bounds: Bounds) -> str:
    """The name of the file that holds a chunk: x0-x1_y0-y1_z0-z1."""
    return "_".join(f"{low}-{up}" for low, up in zip(bounds.lower, bounds.upper, strict=True))


def _chunks(scale: Scale, bounds: Bounds) -> list[Bounds]:
    """The whole chunks of a level that meet a box."""
    local = bounds.translate([-o for o in scale.offset])
    size = Bounds.of_size(scale.size)
    whole = (
        Bounds.of_size(scale.chunk, [low // c * c for low, c in zip(part.lower, scale.chunk, strict=True)])
        for part in local.chunks(scale.chunk)
    )
    return [chunk.intersection(size).translate(scale.offset) for chunk in whole]


def _read(volume: Volume, bounds: Bounds, mip: int, channel: int) -> NDArray[Any]:
    reader = _reader(_address(volume.location), volume.spec, mip, os.getpid())
    x, y, z = (slice(low, up) for low, up in zip(bounds.lower, bounds.upper, strict=True))
    # cloud-volume gives [x, y, z, channel] in Fortran order: its transpose is C-ordered [z, y, x]
    cutout = np.asarray(reader[x, y, z])[..., channel].T
    return np.ascontiguousarray(cutout)


def _address(location: Location) -> str:
    """Where cloud-volume reads: without credentials it can only fetch what is public, as any browser does."""
    return location.cloudpath if location.is_file or store.has_credentials() else store.public_address(location)


@lru_cache(maxsize=16)  # the spec is part of the key: a volume made anew with another info is opened anew
def _reader(cloudpath: str, _spec: VolumeSpec, mip: int, _process: int) -> Any:
    from cloudvolume import CloudVolume

    if "AWS_ACCESS_KEY_ID" in os.environ:
        # cloud-files 6 raises KeyError without it, although only temporary credentials have one
        os.environ.setdefault("AWS_SESSION_TOKEN", "")
    return CloudVolume(
        f"precomputed://{cloudpath}", mip=mip, bounded=True, fill_missing=False, progress=False, cache=False
    )


def _remote(error: Exception, location: Location) -> CloudRegError | None:
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, BotoCoreError | ClientError):
        return store.explained(error, location, "s3:GetObject")
    return None


def _um(scale: Scale) -> str:
    return " × ".join(f"{r / 1000:g}" for r in scale.resolution) + " µm"
