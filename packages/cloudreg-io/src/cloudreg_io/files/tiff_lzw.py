"""LZW images of a TIFF, decoded by libtiff.

imagecodecs' own LZW decoder, which tifffile uses too, follows an uninitialised pointer when the code after a clear
code is no letter (2026.3.6; found by fuzzing): one damaged strip ends the process with a segmentation fault.
libtiff refuses such a strip, and is faster (benchmarks/tiff.py).
"""

from __future__ import annotations

import io
import struct
from itertools import accumulate
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cloudreg_io.files.tiff_error import damaged
from cloudreg_io.files.tiff_layout import Layout

_LZW, _MIN_IS_BLACK, _LONG8 = 5, 1, 16
_HEAD = 16  # bytes before the first segment


def read_lzw(file: io.FileIO, layout: Layout, place: NDArray[Any], path: Path, page: int = 0) -> None:
    """Decode strips or tiles of any byte order, predictor and bit order into `place` [y, x]; errors name `page`.

    Raises
    ------
    TiffError
        Data that do not decode.
    """
    import imagecodecs

    segments = [_read(file, *where) for where in zip(layout.offsets, layout.counts, strict=True)]
    try:
        imagecodecs.tiff_decode(_alone(layout, segments), out=place)
    except (ValueError, RuntimeError) as error:
        raise damaged(path, f"the LZW data of page {page} do not decode ({str(error) or 'cut off'})") from error


def _read(file: io.FileIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)


def _alone(layout: Layout, segments: list[bytes]) -> bytes:
    """A BigTIFF of this one image: libtiff takes files, and a stack's would be read whole for every page."""
    counts = [len(segment) for segment in segments]
    offsets = list(accumulate(counts[:-1], initial=_HEAD))
    rows, columns = layout.segment
    where = {322: [columns], 323: [rows], 324: offsets, 325: counts}
    if not layout.tiled:
        where = {273: offsets, 278: [rows], 279: counts}
    tags = {256: [layout.width], 257: [layout.height], 258: [layout.bits], 259: [_LZW], 262: [_MIN_IS_BLACK]}
    tags |= {266: [layout.fill_order], 277: [1], 317: [layout.predictor], 339: [layout.sample_format], **where}

    def pack(form: str, *values: bytes | int) -> bytes:
        return struct.pack(layout.byteorder + form, *values)

    directory = _HEAD + sum(counts)
    elsewhere = directory + 8 + 20 * len(tags) + 8  # what does not fit into its tag
    entries, lists = [], b""
    for tag, values in sorted(tags.items()):
        one = len(values) == 1
        entries.append(pack("HHQQ", tag, _LONG8, len(values), values[0] if one else elsewhere + len(lists)))
        lists += b"" if one else pack(f"{len(values)}Q", *values)
    head = pack("2sHHHQ", b"II" if layout.byteorder == "<" else b"MM", 43, 8, 0, directory)
    return b"".join([head, *segments, pack("Q", len(entries)), *entries, pack("Q", 0), lists])
