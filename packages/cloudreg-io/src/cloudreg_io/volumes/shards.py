"""Shards: many chunks in one file, with an index that a viewer reads first.

A shard is a cube of chunks, a slab only one chunk deep. So the task of a slab leaves its compressed chunks as
*pieces* in scratch, one file per shard that it touches, and when all slabs are done, one task per shard puts the
pieces together. Neither holds more than a chunk in memory.
Format: https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/sharded.md
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from cloudreg_io.errors import InputError, ToolError
from cloudreg_io.files import store
from cloudreg_io.files.atomic import atomic_path, naming_full_disk, sync_files, temporary_beside, write_json
from cloudreg_io.files.checksums import wrote
from cloudreg_io.files.location import Location
from cloudreg_io.run.counters import count
from cloudreg_io.space import Bounds
from cloudreg_io.volumes.chunks import ChunkSink, sink_for
from cloudreg_io.volumes.morton import morton_codes
from cloudreg_io.volumes.spec import Scale, Sharding
from cloudreg_io.volumes.volume import Volume

_RECORD = struct.Struct("<QQ")  # number and length of a chunk in a piece


def level_sink(volume: Volume, mip: int, scratch: Path, z: tuple[int, int], x: tuple[int, int]) -> ChunkSink:
    """Where a slab's task puts the chunks of a level."""
    scale = volume.scale(mip)
    if scale.sharding is None:
        return sink_for(volume.location / scale.key, volume.spec.compression)
    return PieceSink(scale, scale.sharding, scratch, mip, f"z{z[0]}_x{x[0]}.pieces")


def shard_of(sharding: Sharding, code: int) -> int:
    """Number of the shard that holds a chunk."""
    return code >> (sharding.preshift_bits + sharding.minishard_bits)


def shard_name(sharding: Sharding, shard: int) -> str:
    """Name of a shard's file."""
    return f"{shard:0{-(-sharding.shard_bits // 4)}x}.shard"


def shard_sizes(scale: Scale) -> dict[int, int]:
    """Every shard of a level, and how many chunks it holds."""
    sharding = _sharding(scale)
    x, y, z = (np.arange(n, dtype=np.uint64) for n in scale.chunks)
    sizes: dict[int, int] = {}
    for k in z:  # plane by plane: a large level has millions of chunks
        plane = np.stack(np.broadcast_arrays(x[None, :], y[:, None], k), axis=-1)
        shift = np.uint64(sharding.preshift_bits + sharding.minishard_bits)
        shards, counts = np.unique(morton_codes(plane, scale.chunks) >> shift, return_counts=True)
        for shard, chunks in zip(shards.tolist(), counts.tolist(), strict=True):
            sizes[shard] = sizes.get(shard, 0) + chunks
    return dict(sorted(sizes.items()))


class PieceSink:
    """Takes the chunks of one slab and strip; appends each to the file of its shard."""

    def __init__(self, scale: Scale, sharding: Sharding, scratch: Path, mip: int, name: str) -> None:
        self._scale, self._sharding = scale, sharding
        self._scratch, self._mip, self._name = scratch, mip, name
        self._temporary: dict[int, Path] = {}

    def put(self, bounds: Bounds, data: bytes) -> None:
        """Append the chunk to its shard's piece."""
        position = [low // c for low, c in zip(bounds.lower, self._scale.chunk, strict=True)]
        code = int(morton_codes(np.array(position), self._scale.chunks))
        shard = shard_of(self._sharding, code)
        mode = "ab"
        if shard not in self._temporary:
            folder = _pieces(self._scratch, self._mip, shard)
            folder.mkdir(parents=True, exist_ok=True)
            self._temporary[shard] = temporary_beside(folder / self._name)
            mode = "wb"
        temporary = self._temporary[shard]
        with naming_full_disk(temporary.with_name(self._name), temporary), temporary.open(mode) as file:
            file.write(_RECORD.pack(code, len(data)))
            file.write(data)
        count(bytes_written=_RECORD.size + len(data))

    def flush(self) -> None:
        """Put the pieces in their place. What an earlier run knew of these shards no longer holds."""
        if self._temporary:
            sync_files(list(self._temporary.values()))
        for shard, temporary in self._temporary.items():
            _marker(self._scratch, self._mip, shard).unlink(missing_ok=True)
            temporary.replace(temporary.with_name(self._name))
        self._temporary.clear()

    def close(self) -> None:
        """Remove what was not flushed."""
        for temporary in self._temporary.values():
            temporary.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class ShardTask:
    """One shard to put together.

    Attributes
    ----------
    volume : Volume
    scratch : Path
    mip, shard : int
    chunks : int
        How many it must hold.
    """

    volume: Volume
    scratch: Path
    mip: int
    shard: int
    chunks: int


def assemble_shard(task: ShardTask) -> dict[str, int]:
    """Write one shard from its pieces, then remove the pieces.

    Returns
    -------
    dict
        {"bytes", "chunks"}. Interrupted between the two and done again, it only removes.

    Raises
    ------
    ToolError
        When scratch does not hold every chunk exactly once.
    """
    marker = _marker(task.scratch, task.mip, task.shard)
    folder = _pieces(task.scratch, task.mip, task.shard)
    if not marker.exists():
        chunks = _contents(folder, task)
        size = _write(task, chunks)
        marker.parent.mkdir(parents=True, exist_ok=True)
        write_json(marker, {"bytes": size, "chunks": len(chunks)})
    else:
        target = _target(task)
        wrote(store.place(target), store.get(target))  # by a unit that did not live to say so
    shutil.rmtree(folder, ignore_errors=True)
    result: dict[str, int] = json.loads(marker.read_text(encoding="utf-8"))
    return result


@dataclass(frozen=True, slots=True, order=True)
class _Chunk:
    code: int
    path: Path
    offset: int
    length: int


def _contents(folder: Path, task: ShardTask) -> list[_Chunk]:
    chunks = sorted(chunk for path in sorted(folder.glob("z*.pieces")) for chunk in _records(path))
    if len({chunk.code for chunk in chunks}) != len(chunks) or len(chunks) != task.chunks:
        raise ToolError(
            f"{folder} holds {len(chunks)} chunks of a shard of {task.chunks}",
            why="slabs are missing, or scratch holds those of another run too",
            fix="give the command that wrote the volume again, with --overwrite",
        )
    return chunks


def _records(path: Path) -> Iterator[_Chunk]:
    size = path.stat().st_size
    with path.open("rb") as file:
        while (offset := file.tell()) < size:
            code, length = _RECORD.unpack(file.read(_RECORD.size))
            yield _Chunk(code, path, offset + _RECORD.size, length)
            file.seek(length, 1)


def _target(task: ShardTask) -> Location:
    scale = task.volume.scale(task.mip)
    return task.volume.location / scale.key / shard_name(_sharding(scale), task.shard)


def _write(task: ShardTask, chunks: list[_Chunk]) -> int:
    scale = task.volume.scale(task.mip)
    sharding = _sharding(scale)
    target = _target(task)
    local = target.path if target.is_file else _marker(task.scratch, task.mip, task.shard).with_suffix(".shard")
    local.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(local, durable=target.is_file) as temporary, temporary.open("wb") as file:
        _write_shard(file, sharding, chunks)
    size = local.stat().st_size
    if not target.is_file:
        store.put_file(target, local)
        local.unlink()
    count(bytes_written=size)
    return size


def _write_shard(file: BinaryIO, sharding: Sharding, chunks: list[_Chunk]) -> None:
    """Data, then the index of each minishard, then, in front, where those are; offsets count from there on."""
    minishards = 1 << sharding.minishard_bits
    front = np.zeros((minishards, 2), "<u8")
    file.write(front.tobytes())
    indices: list[bytes] = []
    position = 0
    for minishard in range(minishards):
        mine = [c for c in chunks if (c.code >> sharding.preshift_bits) % minishards == minishard]
        index = np.zeros((3, len(mine)), "<u8")
        end = 0
        for i, chunk in enumerate(mine):
            file.write(_payload(chunk))
            previous = mine[i - 1].code if i else 0
            index[:, i] = chunk.code - previous, position - end, chunk.length
            position = end = position + chunk.length
        indices.append(_encode(index.tobytes(), sharding.minishard_index_encoding) if mine else b"")
    for minishard, index_bytes in enumerate(indices):
        file.write(index_bytes)
        front[minishard] = position, position + len(index_bytes)
        position += len(index_bytes)
    file.seek(0)
    file.write(front.tobytes())


def _payload(chunk: _Chunk) -> bytes:
    with chunk.path.open("rb") as file:
        file.seek(chunk.offset)
        data = file.read(chunk.length)
    count(bytes_read=len(data))
    return data


def _encode(data: bytes, encoding: str) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.gzip_encode(data, level=6)) if encoding == "gzip" else data


def _sharding(scale: Scale) -> Sharding:
    if scale.sharding is None or scale.sharding.hash != "identity":
        raise InputError(f"the level {scale.key} is not sharded in a way that we write")
    return scale.sharding


def _pieces(scratch: Path, mip: int, shard: int) -> Path:
    return scratch / "pieces" / str(mip) / f"{shard:x}"


def _marker(scratch: Path, mip: int, shard: int) -> Path:
    return scratch / "shards" / str(mip) / f"{shard:x}.json"
