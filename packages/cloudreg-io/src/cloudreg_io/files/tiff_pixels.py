"""The pixels of a TIFF's first image, decoded into an array.

Strips that are plain or coded with Zstandard or Deflate (nearly every microscope's) are decoded straight into
the array, which saves tifffile's copies (benchmarks/tiff.py). LZW goes through libtiff, any other layout through
tifffile.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.files.tiff_error import damaged
from cloudreg_io.files.tiff_layout import Layout, contiguous
from cloudreg_io.files.tiff_lzw import read_lzw


def read_pixels(file: io.FileIO, layout: Layout, place: NDArray[Any], path: Path) -> None:
    """Decode the image that `layout` describes into `place`, C-ordered and of its shape and dtype.

    Raises
    ------
    TiffError
        Naming the strip that ends early or does not decode.
    """
    direct = not layout.tiled and layout.fill_order == 1 and layout.predictor in (1, 2)
    if layout.compression == "lzw":
        read_lzw(file, layout, place, path)
    elif direct and layout.compression in _DIRECT:
        _DIRECT[layout.compression](file, layout, place, path)
    else:
        _read_other(file, layout, place, path)


_Reader = Callable[[io.FileIO, Layout, NDArray[Any], Path], None]


def _read_plain(file: io.FileIO, layout: Layout, place: NDArray[Any], path: Path) -> None:
    """Uncompressed strips, from the disk into place."""
    if layout.predictor != 1:
        raise damaged(path, "it has a predictor without compression")
    flat = place.reshape(-1).view(np.uint8)
    step = layout.segment[0] * layout.row_bytes
    whole = contiguous(layout) and all(number == step for number in layout.counts[:-1])
    pieces = [(layout.offsets[0], 0)] if whole else [(o, i * step) for i, o in enumerate(layout.offsets)]
    for index, (offset, start) in enumerate(pieces):
        rest = flat[start : None if whole else start + step].data
        if not whole and layout.counts[index] < len(rest):
            raise damaged(path, f"strip {index} is shorter than its rows")
        file.seek(offset)
        while rest:
            got = file.readinto(rest)
            if not got:
                raise damaged(path, f"strip {index} ends early", "truncated")
            rest = rest[got:]
    _to_native(place, layout)


def _coded(decoder: str) -> _Reader:
    """A reader of strips coded with one of imagecodecs' codecs.

    The output of a strip is bounded by the rows it declares: a decompression bomb fails, it does not grow.
    """

    def read(file: io.FileIO, layout: Layout, place: NDArray[Any], path: Path) -> None:
        import imagecodecs

        decode = getattr(imagecodecs, decoder)
        file.seek(0)
        data = memoryview(file.read())
        rows = layout.segment[0]
        for index, (offset, number) in enumerate(zip(layout.offsets, layout.counts, strict=True)):
            strip = place[index * rows : (index + 1) * rows]
            try:
                decoded = decode(data[offset : offset + number], out=strip.reshape(-1).view(np.uint8))
            except (ValueError, RuntimeError) as error:
                raise damaged(path, f"strip {index} of {len(layout.offsets)} does not decode") from error
            if len(decoded) != strip.nbytes:
                raise damaged(path, f"strip {index} decodes to {len(decoded)} of {strip.nbytes} bytes")
            _to_native(strip, layout)
            if layout.predictor == 2:
                imagecodecs.delta_decode(strip, axis=-1, out=strip)

    return read


def _to_native(values: NDArray[Any], layout: Layout) -> None:
    if (layout.byteorder == "<") != np.little_endian:
        values.byteswap(inplace=True)


def _read_other(file: io.FileIO, layout: Layout, place: NDArray[Any], path: Path) -> None:
    """Tiles, the predictor of floats and rare codecs, by tifffile."""
    import tifffile

    file.seek(0)
    try:
        with tifffile.TiffFile(file, name=path.name) as tiff:
            tiff.pages[0].asarray(out=place, maxworkers=1)
    except MemoryError:
        raise
    except Exception as error:  # a damaged directory makes tifffile raise nearly anything, TypeError included
        raise damaged(path, f"{layout.compression} data do not decode ({error})") from error


_DIRECT: dict[str, _Reader] = {
    "none": _read_plain,
    "zstd": _coded("zstd_decode"),
    "deflate": _coded("deflate_decode"),
}
