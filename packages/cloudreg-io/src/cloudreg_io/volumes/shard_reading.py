"""Shards read back, to see whether they are whole: every chunk that must be there, by the index in front.

Format: https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/sharded.md
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.space import Bounds, Vector3i
from cloudreg_io.volumes.morton import morton_codes
from cloudreg_io.volumes.spec import Scale, Sharding


def shard_contents(file: BinaryIO, scale: Scale, shard: int) -> Iterator[tuple[bytes, Vector3i]]:
    """The stored bytes of each chunk of a shard, and the shape [z, y, x] of its voxels.

    Raises
    ------
    InputError
        The index is damaged, or does not name exactly the chunks that belong into this shard.
    """
    sharding = scale.sharding
    if sharding is None or sharding.hash != "identity":
        raise InputError(f"the level {scale.key} is not sharded in a way that is known")
    wanted = _chunks_of(scale, sharding, shard)
    index = dict(_index(file, sharding))
    if index.keys() != wanted.keys():
        raise InputError(f"its index names {len(index)} chunks that are not the {len(wanted)} it must hold")
    for code, (begin, length) in index.items():
        file.seek(begin)
        yield file.read(length), wanted[code].shape


def _index(file: BinaryIO, sharding: Sharding) -> Iterator[tuple[int, tuple[int, int]]]:
    """Code of each chunk, where its bytes begin in the file and how many there are."""
    minishards = 1 << sharding.minishard_bits
    front = file.read(16 * minishards)
    if len(front) != 16 * minishards:
        raise InputError("it ends inside its index")
    for begin, end in np.frombuffer(front, "<u8").reshape(-1, 2).tolist():
        if begin == end:
            continue
        if end < begin:
            raise InputError("its index leads nowhere")
        file.seek(len(front) + begin)
        codes, offsets, lengths = _table(file.read(end - begin), sharding)
        position = len(front)
        for code, offset, length in zip(
            np.cumsum(codes).tolist(), offsets.tolist(), lengths.tolist(), strict=True
        ):
            position += offset
            yield code, (position, length)
            position += length


def _table(data: bytes, sharding: Sharding) -> NDArray[np.uint64]:
    import imagecodecs

    try:
        raw = imagecodecs.gzip_decode(data) if sharding.minishard_index_encoding == "gzip" else data
        return np.frombuffer(raw, "<u8").reshape(3, -1)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"its index does not decode: {error}") from error


def _chunks_of(scale: Scale, sharding: Sharding, shard: int) -> dict[int, Bounds]:
    found: dict[int, Bounds] = {}
    x, y, z = (np.arange(n, dtype=np.uint64) for n in scale.chunks)
    for k in z:  # plane by plane, as when it was written
        plane: NDArray[Any] = np.stack(np.broadcast_arrays(x[None, :], y[:, None], k), axis=-1).reshape(-1, 3)
        codes = morton_codes(plane, scale.chunks)
        mine = (codes >> np.uint64(sharding.preshift_bits + sharding.minishard_bits)) == np.uint64(shard)
        for code, position in zip(codes[mine].tolist(), plane[mine].tolist(), strict=True):
            lower = [p * c for p, c in zip(position, scale.chunk, strict=True)]
            found[code] = Bounds.of_size(scale.chunk, lower).intersection(Bounds.of_size(scale.size))
    return found
