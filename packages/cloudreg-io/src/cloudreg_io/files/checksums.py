"""Checksums of the files that are made, taken of the bytes as they are written.

All files of CloudReg come to their place through `cloudreg_io.files.atomic` or `cloudreg_io.files.store`; both
tell this module. What they tell is kept while a `recording` is open: the engine opens one around each unit of work
and one around each command, and puts what it holds beside the journal (`cloudreg_io.run.ledger`).

CRC-32, because it finds every flipped byte and burst, tells the chunks of two runs apart in all but one of 4·10⁹
cases, is what gzip and every archive tool compute, and costs next to nothing: libdeflate does more than 10 GB/s,
where a hash such as BLAKE2 does 0.3 GB/s. It does not protect against a forger.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_BLOCK = 1 << 22


@dataclass(frozen=True, slots=True)
class Checksum:
    """What identifies the bytes of a file.

    Attributes
    ----------
    size : int
        In bytes.
    crc32 : int
    """

    size: int
    crc32: int

    @classmethod
    def of(cls, data: bytes) -> Checksum:
        """Of bytes in memory."""
        return cls(len(data), _crc32(data))

    @classmethod
    def of_file(cls, path: Path) -> Checksum:
        """Of a local file."""
        with path.open("rb") as file:
            return cls.of_stream(file)

    @classmethod
    def of_stream(cls, file: BinaryIO) -> Checksum:
        """Of what is left of an open file, read block by block."""
        size = crc = 0
        while block := file.read(_BLOCK):
            size, crc = size + len(block), _crc32(block, crc)
        return cls(size, crc)


def dump(files: Mapping[str, Checksum]) -> bytes:
    """The content of a file of checksums, JSON: name to size and eight hexadecimal digits."""
    content = {name: [sum_.size, f"{sum_.crc32:08x}"] for name, sum_ in sorted(files.items())}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def parse(data: bytes) -> dict[str, Checksum]:
    """What `dump` wrote; ValueError, TypeError or AttributeError for anything else."""
    return {name: Checksum(int(size), int(crc, 16)) for name, (size, crc) in json.loads(data).items()}


class Recorder:
    """The files written below a folder, but for its hidden one, and elsewhere.

    Parameters
    ----------
    out : Path
        Names of files in it are kept relative to it, so that it may be moved.
    hidden : str
        The folder in it whose files are not results.

    Attributes
    ----------
    files : dict of str to Checksum
        By path relative to `out`, or by absolute path or URL of what lies elsewhere. The last writing counts.
    """

    def __init__(self, out: Path, hidden: str) -> None:
        self._out = f"{out}/"
        self._hidden = f"{out}/{hidden}/"
        self.files: dict[str, Checksum] = {}

    def name(self, place: str) -> str:
        """The key of a place in `files`; empty for one that is not kept."""
        return "" if place.startswith(self._hidden) else place.removeprefix(self._out)


_open: list[Recorder] = []


@contextmanager
def recording(out: Path, hidden: str) -> Iterator[Recorder]:
    """Keep the checksums of all files that this process writes inside the block, unless an inner block does."""
    recorder = Recorder(out, hidden)
    _open.append(recorder)
    try:
        yield recorder
    finally:
        _open.remove(recorder)


def wrote(place: Path | str, content: bytes | Path) -> None:
    """Say that a file is in its place.

    Parameters
    ----------
    place : Path or str
        A local path or the URL of an object.
    content : bytes or Path
        What it holds, or a local file that holds the same.
    """
    if not _open:
        return
    recorder = _open[-1]
    if name := recorder.name(os.path.abspath(place) if isinstance(place, Path) else place):  # noqa: PTH100
        recorder.files[name] = Checksum.of_file(content) if isinstance(content, Path) else Checksum.of(content)


def _crc32(data: bytes, before: int = 0) -> int:
    import imagecodecs  # 0.1 s: not for a `--help`

    return int(imagecodecs.deflate_crc32(data, before))
