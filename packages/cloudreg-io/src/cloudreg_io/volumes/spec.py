"""What a precomputed volume is: its levels, data type and layout; how a new one is planned.

The format is Neuroglancer's "precomputed": every level (*mip*, or scale) is a box of voxels cut into chunks. A
`VolumeSpec` says everything that the file `info` says, and how chunks are compressed.
Format: https://github.com/google/neuroglancer/tree/master/src/datasource/precomputed
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cloudreg_io.errors import InputError
from cloudreg_io.space import Bounds, Vector3i, VoxelSize, vector3i
from cloudreg_io.volumes.mips import mip_factors, scaled_size

Layer = Literal["image", "segmentation"]
Compression = Literal["gzip", "zstd", "br", "none"]

CHUNK: Vector3i = (128, 128, 32)
LAYERS = ("image", "segmentation")
COMPRESSIONS = ("gzip", "zstd", "br", "none")
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32")
SMALLEST = 128
_SHARD_ABOVE_CHUNKS = 100_000
# 2**9 chunks of 1 MB make a shard; 2**6 of them share one index, which a viewer fetches with one request
_SHARD_BITS, _PRESHIFT_BITS = 9, 6


@dataclass(frozen=True, slots=True)
class Sharding:
    """How chunks are packed into shards ("neuroglancer_uint64_sharded_v1")."""

    preshift_bits: int
    minishard_bits: int
    shard_bits: int
    hash: str = "identity"
    minishard_index_encoding: str = "gzip"
    data_encoding: str = "gzip"

    @classmethod
    def plan(cls, chunks: Sequence[int]) -> Sharding:
        """Shards of at most 512 chunks, for a level of so many chunks along x, y, z."""
        bits = sum((int(n) - 1).bit_length() for n in chunks)
        preshift = min(bits, _PRESHIFT_BITS)
        minishard = min(bits, _SHARD_BITS) - preshift
        return cls(preshift, minishard, bits - preshift - minishard)


@dataclass(frozen=True, slots=True)
class Scale:
    """One level of a volume.

    Attributes
    ----------
    key : str
        Folder of its chunks, relative to the volume.
    size : (x, y, z) int
        In voxels.
    resolution : (x, y, z) float
        Voxel size in nm.
    chunk : (x, y, z) int
    offset : (x, y, z) int
        Index of the first voxel; 0 in the volumes we write.
    encoding : str
        How the voxels of a chunk are coded, apart from compression.
    sharding : Sharding, optional
        Absent: one file a chunk.
    """

    key: str
    size: Vector3i
    resolution: tuple[float, float, float]
    chunk: Vector3i
    offset: Vector3i = (0, 0, 0)
    encoding: str = "raw"
    sharding: Sharding | None = None

    @property
    def bounds(self) -> Bounds:
        """The voxels of the level."""
        return Bounds.of_size(self.size, self.offset)

    @property
    def voxel_size(self) -> VoxelSize:
        """In µm."""
        return VoxelSize.from_nanometers(self.resolution)

    @property
    def chunks(self) -> Vector3i:
        """Number of chunks along x, y, z."""
        return scaled_size(self.size, self.chunk)


@dataclass(frozen=True, slots=True)
class VolumeSpec:
    """A volume's levels, data type, layer and compression.

    Attributes
    ----------
    scales : tuple of Scale
        From the finest (mip 0) on.
    dtype : str
        numpy name of the data type.
    layer : "image" or "segmentation"
        Labels are pooled by their mode, images are averaged.
    compression : "gzip", "zstd", "br" or "none"
        Of chunks that we write; "none" has no checksum and is not advised.
    channels : int
        1 in the volumes we write.

    Raises
    ------
    InputError
        When the parts contradict each other or the format has no place for them.
    """

    scales: tuple[Scale, ...]
    dtype: str
    layer: Layer = "image"
    compression: Compression = "gzip"
    channels: int = 1

    def __post_init__(self) -> None:
        if not self.scales:
            raise InputError("a volume needs at least one mip")
        if self.dtype not in DTYPES:
            raise InputError(
                f"data type {self.dtype} has no place in a precomputed volume",
                fix=f"convert to one of {', '.join(DTYPES)}",
            )
        if self.layer not in LAYERS:
            raise InputError(f"a volume is an image or a segmentation, not {self.layer!r}")
        if self.compression not in COMPRESSIONS:
            raise InputError(f"unknown compression {self.compression!r}", fix=f"one of {', '.join(COMPRESSIONS)}")
        if self.sharded and self.compression not in ("gzip", "none"):
            raise InputError(
                f"shards hold gzip, not {self.compression}", fix="choose gzip, or a volume without shards"
            )

    @classmethod
    def plan(  # noqa: PLR0913 -- each is a choice of the user, and all but three have a default
        cls,
        size: Sequence[int],
        voxel_size: VoxelSize | Sequence[float],
        dtype: Any,
        *,
        layer: Layer = "image",
        mips: int | Sequence[Sequence[int]] | None = None,
        smallest: int = SMALLEST,
        chunk: Sequence[int] = CHUNK,
        compression: Compression = "gzip",
        sharded: bool | None = None,
    ) -> VolumeSpec:
        """Plan a new volume.

        Parameters
        ----------
        size : (x, y, z) int
            Voxels of mip 0.
        voxel_size : VoxelSize
            Of mip 0, in µm.
        dtype : numpy dtype or its name
        layer : "image" or "segmentation"
        mips : int or sequence of (x, y, z) int, optional
            Number of levels, mip 0 included, or the factors of each level from mip 0 (the first is 1, 1, 1). By
            default as many as make the largest axis at most `smallest` voxels; see `mip_factors`.
        chunk : (x, y, z) int
        compression : str
        sharded : bool, optional
            By default volumes of more than 100,000 chunks are, unless their compression forbids it.

        Raises
        ------
        InputError
            For an empty size, a data type that cannot be stored or averaged, or impossible levels.
        """
        dtype = np.dtype(dtype).name
        if dtype == "uint64" and layer == "image":
            raise InputError(
                "an image of uint64 cannot be averaged exactly, nor displayed",
                fix="labels are a segmentation; convert images to uint16, uint32 or float32",
            )
        if dtype == "float32" and layer == "segmentation":
            raise InputError("labels are integers, not float32", fix="convert them, or store an image")
        size, chunk, voxel_size = vector3i(size), vector3i(chunk), VoxelSize.of(voxel_size)
        if min(size) < 1 or min(chunk) < 1:
            raise InputError(f"a volume of {size} voxels in chunks of {chunk} holds nothing")
        if mips is None or isinstance(mips, int):
            factors = mip_factors(size, voxel_size, levels=mips, smallest=smallest)
        else:
            factors = _checked([vector3i(factor) for factor in mips])
        files = sum(math.prod(scaled_size(scaled_size(size, f), chunk)) for f in factors)
        if sharded is None:
            sharded = files > _SHARD_ABOVE_CHUNKS and compression == "gzip"
        scales = tuple(_scale(size, voxel_size, factor, chunk, sharded) for factor in factors)
        return cls(scales, dtype, layer, compression)

    @property
    def size(self) -> Vector3i:
        """Voxels of mip 0, x, y, z."""
        return self.scales[0].size

    @property
    def voxel_size(self) -> VoxelSize:
        """Of mip 0, in µm."""
        return self.scales[0].voxel_size

    @property
    def chunk(self) -> Vector3i:
        """Chunk size of mip 0."""
        return self.scales[0].chunk

    @property
    def mips(self) -> tuple[Vector3i, ...]:
        """Factor of each level from mip 0, x, y, z, to the nearest whole number."""
        first = self.scales[0].resolution
        return tuple(
            vector3i([max(1, round(r / r0)) for r, r0 in zip(scale.resolution, first, strict=True)])
            for scale in self.scales
        )

    @property
    def sharded(self) -> bool:
        """Whether any level is."""
        return any(scale.sharding for scale in self.scales)


def _scale(size: Vector3i, voxel_size: VoxelSize, factor: Vector3i, chunk: Vector3i, sharded: bool) -> Scale:
    x, y, z = (round(nm * f, 6) for nm, f in zip(voxel_size.nanometers, factor, strict=True))
    level = scaled_size(size, factor)
    sharding = Sharding.plan(scaled_size(level, chunk)) if sharded else None
    return Scale("_".join(_number(nm) for nm in (x, y, z)), level, (x, y, z), chunk, sharding=sharding)


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _checked(factors: Sequence[Vector3i]) -> tuple[Vector3i, ...]:
    for finer, coarser in zip([(1, 1, 1), *factors], factors, strict=False):
        if any(c % f or c < 1 for f, c in zip(finer, coarser, strict=True)):
            raise InputError(f"the mip factor {coarser} is not a multiple of the one before, {finer}")
    if not factors or factors[0] != (1, 1, 1) or len(set(factors)) < len(factors):
        raise InputError(f"mip factors begin with (1, 1, 1) and differ; got {list(factors)}")
    return tuple(factors)
