"""The layout of a TIFF's first image: what its first directory (IFD) says, checked against the file's size.

The directory is parsed here, not by tifffile, for two reasons. An acquisition has 10⁵ planes whose headers
are all checked before work starts, and tifffile takes ten times as long for each. And nothing may be
allocated because a damaged or hostile file claims a size: every count is compared with the bytes the
file really has before it is used.

Reference: TIFF 6.0 (Adobe, 1992) and the BigTIFF extension.
"""

from __future__ import annotations

import io
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

from cloudreg_io.errors import CloudRegError, InputError, NotFoundError
from cloudreg_io.files.tiff_error import TiffError, damaged, pixels, size

# Tags of the directory.
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _FILL_ORDER = 256, 257, 258, 259, 266
_STRIP_OFFSETS, _SAMPLES, _STRIP_ROWS, _STRIP_COUNTS, _PREDICTOR = 273, 277, 278, 279, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS, _SAMPLE_FORMAT = 322, 323, 324, 325, 339
_PIXELS = frozenset([_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _FILL_ORDER, _SAMPLES, _PREDICTOR, _SAMPLE_FORMAT])
_STRIPS = frozenset([_STRIP_OFFSETS, _STRIP_ROWS, _STRIP_COUNTS])
_TILES = frozenset([_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS])
_NEEDED = _PIXELS | _STRIPS | _TILES
_INTEGERS = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4), 13: ("I", 4), 16: ("Q", 8), 18: ("Q", 8)}

COMPRESSIONS = {1: "none", 5: "lzw", 7: "jpeg", 8: "deflate", 32773: "packbits", 32946: "deflate", 50000: "zstd"}
# The most that one byte of a strip can become. Deflate: a 258-byte match in 2 bits. LZW: the longest string
# of a full table in 12 bits. PackBits: 128 bytes in 2. Zstandard: a 128 KiB run block in 4 bytes, also taken for
# the codecs not named here.
_LARGEST_RATIO = {"none": 1, "deflate": 1032, "lzw": 2600, "packbits": 64}
_OTHER_RATIO = 32768

_WINDOW = 4096


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the first image of a TIFF lies in its file, and how it is coded.

    `offsets` and `counts` give the bytes of each segment: strips of `segment[0]` whole rows, or tiles of
    `segment` (rows, columns) where `tiled`. All of them lie inside the file.
    """

    height: int
    width: int
    samples: int
    bits: int
    sample_format: int
    byteorder: Literal["<", ">"]
    compression: str
    predictor: int
    fill_order: int
    tiled: bool
    segment: tuple[int, int]
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    pages: int

    @property
    def dtype(self) -> str:
        """The numpy name of the samples in native byte order; "" for what numpy has no type for."""
        kind = {1: "uint", 2: "int", 3: "float"}.get(self.sample_format, "")
        sizes = (16, 32, 64) if kind == "float" else (8, 16, 32, 64)
        return f"{kind}{self.bits}" if kind and self.bits in sizes else ""

    @property
    def row_bytes(self) -> int:
        """Bytes of one decoded row."""
        return _row_bytes(self.width, self.samples, self.bits)


def _row_bytes(width: int, samples: int, bits: int) -> int:
    return (width * samples * bits + 7) // 8


@contextmanager
def open_file(path: Path) -> Iterator[io.FileIO]:
    """Open for reading without a buffer; what the system refuses, then or later, becomes an error that says so."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a named pipe would wait for a writer for ever
            raise InputError(
                f"{path} cannot be opened: it is not a file",
                fix="put the plane in its place, or run with --missing fill",
            )
        file = io.FileIO(path)
    except OSError as error:
        if isinstance(error, CloudRegError):
            raise
        raise _not_opened(path, error) from error
    with file:
        try:
            yield file
        except OSError as error:
            if isinstance(error, CloudRegError) or error.errno is None:
                raise
            raise InputError(
                f"{path} cannot be read: {error.strerror}",
                why="the disk or the network share that holds it fails",
                fix="look at the disk (dmesg), or copy the data to another; the same command then goes on",
            ) from error


def _not_opened(path: Path, error: OSError) -> CloudRegError:
    if isinstance(error, FileNotFoundError):
        return NotFoundError(
            f"{path} not found",
            why="it was moved or deleted, or the disk or network share that holds it has gone",
            fix="bring it back, then give the same command: it goes on where it stopped",
        )
    return InputError(f"{path} cannot be opened: {error.strerror or error}")


def read_layout(file: io.FileIO, path: Path, at: int | None = None) -> Layout:
    """Parse the first directory of an open TIFF, or the one `at` a given offset: that page by itself.

    Raises
    ------
    TiffError
        An empty file, no TIFF, a directory that lies outside the file, or an image that cannot be in it.
    """
    return _Parser(file, path).layout(at)


class _Parser:
    """Reads a directory through a window of a few kilobytes."""

    def __init__(self, file: io.FileIO, path: Path) -> None:
        self._file, self._path = file, path
        self.size = file.seek(0, io.SEEK_END)
        self._start, self._window = 0, self._load(0, _WINDOW)
        self._order: Literal["<", ">"] = "<"
        self._big = False

    def layout(self, at: int | None) -> Layout:
        first = self._magic()
        values, following = self._directory(first if at is None else at)
        layout = self._describe(values)
        self._check_extent(layout)
        pages = 1 + self._count_pages(first, following) if following and at is None else 1
        return layout if pages == 1 else replace(layout, pages=pages)

    # -- bytes

    def _load(self, offset: int, count: int) -> bytes:
        self._file.seek(offset)
        return self._file.read(count)

    def _bytes(self, offset: int, count: int) -> tuple[bytes, int]:
        """A buffer that holds the wanted bytes, and where in it they begin."""
        if offset < 0 or offset + count > self.size:
            raise damaged(self._path, "its directory points beyond the end of the file", "truncated")
        if not self._start <= offset <= offset + count <= self._start + len(self._window):
            self._start, self._window = offset, self._load(offset, max(count, _WINDOW))
            if len(self._window) < count:
                raise damaged(self._path, "its directory is cut off", "truncated")
        return self._window, offset - self._start

    def _unpack(self, pattern: str, offset: int) -> tuple[int, ...]:
        pattern = self._order + pattern
        buffer, start = self._bytes(offset, struct.calcsize(pattern))
        return struct.unpack_from(pattern, buffer, start)

    # -- structure

    def _magic(self) -> int:
        """Offset of the first directory."""
        head = self._window
        if not head:
            raise TiffError(
                f"{self._path} is empty (0 bytes)",
                why="the copy or the recording was interrupted",
                fix="copy the file again",
                fault="empty",
            )
        if head[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            raise TiffError(
                f"{self._path} is not a TIFF: it begins with {_printable(head)!r}",
                why="another file carries this name, such as an error page saved by a download",
                fix="copy the file again",
                fault="not_tiff",
            )
        self._order = "<" if head[:2] == b"II" else ">"
        self._big = head[2:4] in (b"+\0", b"\0+")
        return self._pointer(8 if self._big else 4)

    def _entries(self, offset: int) -> tuple[int, int]:
        """Number of entries of a directory and the offset of the first."""
        number = self._unpack("Q" if self._big else "H", offset)[0]
        if not 0 < number <= 0xFFFF:
            raise damaged(self._path, f"its directory claims {number} entries")
        return number, offset + (8 if self._big else 2)

    def _directory(self, offset: int) -> tuple[dict[int, tuple[int, ...]], int]:
        """The integer values of the needed tags, and the offset of the next directory."""
        number, start = self._entries(offset)
        length = 20 if self._big else 12
        buffer, at = self._bytes(start, number * length)
        head = struct.Struct(self._order + ("HHQ" if self._big else "HHI"))
        values: dict[int, tuple[int, ...]] = {}
        elsewhere: list[tuple[int, str, int, int]] = []
        for entry in range(at, at + number * length, length):
            tag, kind, count = head.unpack_from(buffer, entry)
            if tag not in _NEEDED or kind not in _INTEGERS:
                continue
            letter, size = _INTEGERS[kind]
            if count * size > self.size:
                raise damaged(self._path, f"a tag claims {count} values, more than the file can hold")
            if count * size <= length - head.size:
                values[tag] = struct.unpack_from(f"{self._order}{count}{letter}", buffer, entry + head.size)
            else:
                elsewhere.append((tag, letter, count, start + entry - at + head.size))
        # only now, since looking elsewhere in the file replaces the buffer
        for tag, letter, count, place in elsewhere:
            values[tag] = self._unpack(f"{count}{letter}", self._pointer(place))
        return values, self._pointer(start + number * length)

    def _pointer(self, place: int) -> int:
        return self._unpack("Q" if self._big else "I", place)[0]

    def _count_pages(self, first: int, offset: int) -> int:
        """Directories from `offset` on; a chain that returns to itself is damage."""
        seen = {first}
        while offset:
            if offset in seen:
                raise damaged(self._path, "its directories form a loop")
            seen.add(offset)
            number, start = self._entries(offset)
            offset = self._pointer(start + number * (20 if self._big else 12))
        return len(seen) - 1

    def _describe(self, values: dict[int, tuple[int, ...]]) -> Layout:
        def one(tag: int, default: int) -> int:
            return (values.get(tag) or (default,))[0]

        height, width, tiled = one(_HEIGHT, 0), one(_WIDTH, 0), _TILE_OFFSETS in values
        if height < 1 or width < 1:
            raise damaged(self._path, f"its image is {width} × {height} pixels")
        bits = values.get(_BITS) or (1,)
        code = one(_COMPRESSION, 1)
        rows = min(one(_STRIP_ROWS, height) or height, height)
        layout = Layout(
            height=height,
            width=width,
            samples=one(_SAMPLES, 1),
            bits=bits[0],
            sample_format=one(_SAMPLE_FORMAT, 1),
            byteorder=self._order,
            compression=COMPRESSIONS.get(code, f"code {code}"),
            predictor=one(_PREDICTOR, 1),
            fill_order=one(_FILL_ORDER, 1),
            tiled=tiled,
            segment=(one(_TILE_HEIGHT, 0), one(_TILE_WIDTH, 0)) if tiled else (rows, width),
            offsets=values.get(_TILE_OFFSETS if tiled else _STRIP_OFFSETS, ()),
            counts=values.get(_TILE_COUNTS if tiled else _STRIP_COUNTS, ()),
            pages=1,
        )
        if min(layout.segment) < 1 or layout.samples < 1 or layout.bits < 1:
            raise damaged(self._path, "its directory has a size of 0")
        return layout

    # -- does the image fit into the file?

    def _check_extent(self, layout: Layout) -> None:
        ratio = _LARGEST_RATIO.get(layout.compression, _OTHER_RATIO)
        # What one page's samples may be stored as (planes apart or together) does not matter for the bounds.
        down, across = -(-layout.height // layout.segment[0]), -(-layout.width // layout.segment[1])
        needed = down * across
        declared = layout.height * layout.row_bytes
        if layout.tiled:  # tiles are whole at the right and lower edge, too
            declared = needed * layout.segment[0] * _row_bytes(layout.segment[1], layout.samples, layout.bits)
        listed = len(layout.offsets)
        if listed != len(layout.counts) or listed not in (needed, needed * layout.samples):
            if declared > ratio * self.size:
                raise self._oversized(layout, declared)
            raise damaged(self._path, f"it lists {listed} of the {needed} segments that its size needs")
        if declared > ratio * sum(layout.counts):
            raise self._oversized(layout, declared)
        name = "tile" if layout.tiled else "strip"
        for index, (offset, count) in enumerate(zip(layout.offsets, layout.counts, strict=True)):
            if offset + count > self.size or offset <= 0 or count <= 0:
                raise damaged(
                    self._path,
                    f"{name} {index} of {listed} needs bytes {offset} to {offset + count} of {self.size}",
                    "truncated",
                )
        if declared > ratio * self.size:  # segments that all point to the same bytes
            raise self._oversized(layout, declared)

    def _oversized(self, layout: Layout, declared: int) -> TiffError:
        return TiffError(
            f"{self._path} declares {pixels((layout.height, layout.width))} pixels, {size(declared)}, "
            f"in a file of {size(self.size)}; refused",
            why="the header is damaged or was forged",
            fix="copy the file again",
            fault="oversized",
        )


def contiguous(layout: Layout) -> bool:
    """Whether the segments follow each other without a gap."""
    ends = zip(layout.offsets, layout.counts, strict=True)
    return all(a[0] + a[1] == b[0] for a, b in pairwise(ends))


def _printable(data: bytes, limit: int = 40) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data[:limit])
