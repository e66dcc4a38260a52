"""TIFF planes: round trips over dtypes, codecs and byte orders, and every kind of damage."""

from __future__ import annotations

import os
import pickle
import struct
import tracemalloc
from contextlib import contextmanager, suppress
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files.tiff import TiffHeader, read_header, read_plane, write_plane, write_stack
from cloudreg_io.files.tiff_error import TiffError
from cloudreg_io.run.counters import Meter
from cloudreg_io.space import VoxelSize

DTYPES = ["uint8", "uint16", "int16", "uint32", "float32", "float64"]
SLOW_OK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def plane():
    return np.random.default_rng(1).poisson(200, (300, 200)).astype(np.uint16)


def planes():
    shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)
    return st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, shapes))


def forge(path: Path, plane: np.ndarray, **options) -> Path:
    """Somebody else's TIFF."""
    tifffile.imwrite(path, plane, **{"metadata": None, "photometric": "minisblack"} | options)
    return path


@SLOW_OK
@given(plane=planes(), compression=st.sampled_from(["zstd", "deflate", "lzw", "none"]))
def test_written_planes_are_read_back(tmp_path, plane, compression):
    path = tmp_path / "plane.tif"
    write_plane(path, plane, compression=compression, durable=False)
    header = read_header(path)
    assert header == TiffHeader(plane.shape, plane.dtype.name, 1, compression)
    for got in (read_plane(path), tifffile.imread(path)):
        np.testing.assert_array_equal(got, plane)
    out = np.zeros(plane.shape, plane.dtype)
    assert read_plane(path, out) is out
    np.testing.assert_array_equal(out, plane)


@SLOW_OK
@given(
    plane=planes(),
    order=st.sampled_from("<>"),
    compression=st.sampled_from([None, "zstd", "deflate", "lzw", "packbits"]),
    predictor=st.booleans(),
    rows=st.integers(1, 50),
    tiled=st.booleans(),
    big=st.booleans(),
)
def test_other_programs_planes_are_read(tmp_path, plane, order, compression, predictor, rows, tiled, big):
    layout = {"tile": (16, 32)} if tiled else {"rowsperstrip": rows}
    predictor = predictor and plane.itemsize < 8 and compression is not None
    path = forge(
        tmp_path / "plane.tif",
        plane,
        byteorder=order,
        compression=compression,
        predictor=predictor,
        bigtiff=big,
        **layout,
    )
    header = read_header(path)
    assert header.shape == plane.shape
    assert header.dtype == plane.dtype.name
    got = read_plane(path)
    assert got.dtype.isnative
    np.testing.assert_array_equal(got, plane)


def test_plain_strips_need_not_follow_each_other(tmp_path, plane):
    strips = [plane[:100], plane[100:200], plane[200:]]
    body, offsets = b"", []
    for strip in (strips[2], strips[0], strips[1]):
        offsets.append(8 + len(body))
        body += strip.tobytes() + b"\0\0"
    offsets = [offsets[1], offsets[2], offsets[0]]
    path = tmp_path / "shuffled.tif"
    path.write_bytes(handmade(body, offsets, [40000] * 3, rows=100))
    np.testing.assert_array_equal(read_plane(path), plane)


def handmade(body: bytes, offsets, counts, *, rows, shape=(300, 200), compression=1, following=0) -> bytes:
    """A little-endian TIFF whose directory follows the body."""
    lists = len(body) + 8
    tail = struct.pack(f"<{len(offsets)}I", *offsets) + struct.pack(f"<{len(counts)}I", *counts)
    place = [lists, lists + 4 * len(offsets)] if len(offsets) > 1 else [offsets[0], counts[0]]
    entries = [(256, 4, 1, shape[1]), (257, 4, 1, shape[0]), (258, 3, 1, 16), (259, 3, 1, compression)]
    entries += [(273, 4, len(offsets), place[0]), (278, 4, 1, rows), (279, 4, len(counts), place[1])]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", lists + len(tail)) + body + tail + directory + struct.pack("<I", following)


def test_out_may_be_a_view_or_a_wider_type(tmp_path, plane):
    path = tmp_path / "plane.tif"
    write_plane(path, plane)
    wide = np.zeros((300, 400), np.float32)
    read_plane(path, wide[:, ::2])
    np.testing.assert_array_equal(wide[:, ::2], plane)
    assert not wide[:, 1::2].any()
    with pytest.raises(TiffError, match="cannot hold"):
        read_plane(path, np.zeros((300, 200), np.uint8))
    with pytest.raises(TiffError, match="200 × 300"):
        read_plane(path, np.zeros((200, 300), np.uint16))


def test_counts_what_it_reads_and_writes(tmp_path, plane):
    path = tmp_path / "plane.tif"
    meter = Meter()
    write_plane(path, plane)
    read_plane(path)
    read_header(path)
    cost, size = meter.cost(), path.stat().st_size
    assert (cost.bytes_written, cost.bytes_read, cost.planes_decoded) == (size, size, 1)


def test_the_same_pixels_give_the_same_bytes_and_a_link_is_replaced(tmp_path, plane):
    target = tmp_path / "raw.tif"
    target.write_bytes(b"precious")
    (tmp_path / "b.tif").symlink_to(target)
    write_plane(tmp_path / "a.tif", plane)
    write_plane(tmp_path / "b.tif", plane)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    assert target.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "b.tif", "raw.tif"]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "float32"])
def test_stacks_carry_their_spacing(tmp_path, dtype):
    stack = np.arange(3 * 5 * 7).reshape(3, 5, 7).astype(dtype)
    path = tmp_path / "stack.tif"
    write_stack(path, stack, VoxelSize(0.585, 1.17, 3.5))
    assert read_header(path, pages=None).pages == 3
    with tifffile.TiffFile(path) as tiff:
        np.testing.assert_array_equal(tiff.asarray(), stack)
        assert tiff.imagej_metadata["spacing"] == 3.5
        assert tiff.imagej_metadata["unit"] == "um"
        x, y = (tiff.pages[0].tags[name].value for name in ("XResolution", "YResolution"))
        assert x[1] / x[0] == pytest.approx(0.585, abs=1e-6)
        assert y[1] / y[0] == pytest.approx(1.17, abs=1e-6)
    with pytest.raises(TiffError, match=r"3 pages; 1 expected"):
        read_plane(path)


@contextmanager
def little_memory(limit):
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


def fault(path: Path) -> str:
    with pytest.raises(TiffError) as caught:
        read_plane(path)
    assert str(path) in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).fault == caught.value.fault
    return caught.value.fault


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(NotFoundError, match=r"none\.tif not found"):
        read_plane(tmp_path / "none.tif")
    with pytest.raises(InputError, match="cannot be opened"):
        read_plane(tmp_path)
    (tmp_path / "loop.tif").symlink_to("loop.tif")
    with pytest.raises(InputError, match="cannot be opened"):
        read_plane(tmp_path / "loop.tif")


def test_empty_and_foreign_files(tmp_path):
    path = tmp_path / "plane.tif"
    path.write_bytes(b"")
    assert fault(path) == "empty"
    path.write_bytes(b"<!DOCTYPE html>\n<title>Proxy error</title>")
    assert fault(path) == "not_tiff"
    with pytest.raises(TiffError, match=r"<!DOCTYPE html>\.<title>Proxy"):
        read_plane(path)


def test_colour_odd_bits_and_stacks(tmp_path, plane):
    colour = forge(tmp_path / "rgb.tif", np.zeros((20, 30, 3), np.uint8), photometric="rgb")
    assert fault(colour) == "dtype"
    bits = forge(tmp_path / "bits.tif", np.zeros((20, 30), bool))
    assert fault(bits) == "dtype"
    stack = forge(tmp_path / "stack.tif", np.stack([plane, plane]))
    assert fault(stack) == "multi_page"
    assert read_header(stack, pages=None).pages == 2


def test_expectations(tmp_path, plane):
    path = tmp_path / "plane.tif"
    write_plane(path, plane)
    read_plane(path, expect=TiffHeader((300, 200), "uint16"))
    with pytest.raises(TiffError, match=r"200 × 300 pixels; expected 300 × 200"):
        read_plane(path, expect=TiffHeader((200, 300), "uint16"))
    with pytest.raises(TiffError, match=r"holds uint16; expected uint8"):
        read_plane(path, expect=TiffHeader((300, 200), "uint8"))


@pytest.mark.parametrize("compression", [None, "zstd", "deflate", "lzw", "packbits"])
@pytest.mark.parametrize("keep", [0.2, 0.5, 0.95])
def test_a_cut_file_names_the_strip(tmp_path, plane, compression, keep):
    path = forge(tmp_path / "plane.tif", plane, compression=compression, rowsperstrip=30)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(TiffError, match=r"plane\.tif is cut off: strip [0-9] of 10") as caught:
        read_header(path)
    assert caught.value.fault == "truncated"


@SLOW_OK
@given(keep=st.floats(0, 0.999), compression=st.sampled_from([None, "zstd", "deflate"]), late=st.booleans())
def test_no_cut_goes_unnoticed(tmp_path, keep, compression, late):
    plane = np.random.default_rng(1).poisson(200, (60, 50)).astype(np.uint16)
    path = tmp_path / "plane.tif"
    if late:
        path.write_bytes(handmade(plane.tobytes(), [8], [6000], rows=60, shape=(60, 50)))
    else:
        forge(path, plane, compression=compression, rowsperstrip=7)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    assert fault(path) in {"empty", "not_tiff", "truncated", "damaged"}


@settings(SLOW_OK, max_examples=200)
@given(
    place=st.integers(0, 400), value=st.integers(0, 255), compression=st.sampled_from([None, "deflate", "zstd"])
)
def test_a_changed_byte_gives_an_error_or_an_image(tmp_path, place, value, compression):
    """Whatever a damaged directory claims, the outcome is our error or a plane; never another exception."""
    plane = np.random.default_rng(1).poisson(200, (30, 20)).astype(np.uint16)
    path = forge(tmp_path / "plane.tif", plane, compression=compression, rowsperstrip=7)
    data = bytearray(path.read_bytes())
    data[place] = value
    path.write_bytes(data)
    with suppress(InputError):
        assert read_plane(path).ndim == 2


def test_a_flipped_byte_in_a_deflate_strip_is_named(tmp_path, plane):
    path = forge(tmp_path / "plane.tif", plane, compression="deflate", rowsperstrip=100)
    with tifffile.TiffFile(path) as tiff:
        middle = tiff.pages[0].dataoffsets[1] + tiff.pages[0].databytecounts[1] // 2
    data = bytearray(path.read_bytes())
    data[middle] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(TiffError, match="strip 1 of 3 does not decode"):
        read_plane(path)


def test_a_huge_claim_is_refused_without_allocating(tmp_path):
    small = np.zeros((64, 64), np.uint16)
    for compression, code in ((None, 1), ("deflate", 8)):
        body = small.tobytes() if compression is None else imagecodecs.zlib_encode(small.tobytes())
        path = tmp_path / "bomb.tif"
        path.write_bytes(handmade(body, [8], [len(body)], rows=60000, shape=(60000, 60000), compression=code))
        wanted = r"declares 60000 × 60000 pixels, 7\.2 GB, in a file of .* k?B; refused"
        with little_memory(1e6), pytest.raises(TiffError, match=wanted):
            read_plane(path)


def test_a_huge_tile_is_refused_without_allocating(tmp_path):
    path = forge(tmp_path / "tile.tif", np.zeros((32, 32), np.uint16), tile=(32, 32), compression="deflate")
    data = bytearray(path.read_bytes())
    for tag in (322, 323):  # width and length of a tile
        place = data.index(struct.pack("<HH", tag, 4)) + 8
        data[place : place + 4] = struct.pack("<I", 65520)
    path.write_bytes(data)
    with little_memory(1e6), pytest.raises(TiffError, match="refused"):
        read_plane(path)


def test_strips_that_share_their_bytes_are_refused(tmp_path):
    path = tmp_path / "shared.tif"
    path.write_bytes(handmade(bytes(4000), [8] * 300, [4000] * 300, rows=10, shape=(3000, 200)))
    with pytest.raises(TiffError, match=r"1\.2 MB, in a file of 6\..* kB; refused"):
        read_plane(path)


def test_tags_that_claim_too_many_values_are_refused(tmp_path):
    data = bytearray(handmade(b"\0" * 64, [8], [64], rows=1, shape=(1, 32)))
    place = data.index(struct.pack("<HH", 273, 4)) + 4
    data[place : place + 4] = struct.pack("<I", 2**31)
    path = tmp_path / "tags.tif"
    path.write_bytes(data)
    assert fault(path) == "damaged"


@pytest.mark.parametrize(("codec", "code"), [("zlib", 8), ("zstd", 50000), ("lzw", 5)])
def test_a_strip_that_holds_more_than_it_declares_does_not_grow(tmp_path, codec, code):
    body = getattr(imagecodecs, f"{codec}_encode")(bytes(40_000_000))
    path = tmp_path / "bomb.tif"
    path.write_bytes(handmade(body, [8], [len(body)], rows=64, shape=(64, 64), compression=code))
    with little_memory(2e6):
        if codec == "lzw":  # has no end that could be checked
            assert not read_plane(path).any()
        else:
            with pytest.raises(TiffError, match="strip 0 of 1 does not decode"):
                read_plane(path)


@pytest.mark.parametrize("layout", [{"rowsperstrip": 100}, {"tile": (112, 112)}], ids=["strips", "tiles"])
@pytest.mark.parametrize(
    "head", [b"\x80\x4b\x08\x20", b"\x80\x80\x80\x80", bytes(4)], ids=["no letter", "end", "no clear"]
)
def test_lzw_codes_that_cannot_be_are_refused(tmp_path, plane, layout, head):
    path = forge(tmp_path / "plane.tif", plane, compression="lzw", **layout)
    with tifffile.TiffFile(path) as file:
        start = file.pages[0].dataoffsets[1]
    data = path.read_bytes()
    path.write_bytes(data[:start] + head + data[start + len(head) :])
    with pytest.raises(TiffError, match="LZW data of page 0 do not decode"):
        read_plane(path)


def test_a_short_strip_is_refused(tmp_path):
    body = imagecodecs.zlib_encode(bytes(100))
    path = tmp_path / "short.tif"
    path.write_bytes(handmade(body, [8], [len(body)], rows=64, shape=(64, 64), compression=8))
    with pytest.raises(TiffError, match="decodes to 100 of 8192 bytes"):
        read_plane(path)


def test_directories_in_a_loop(tmp_path):
    data = handmade(b"\0" * 64, [8], [64], rows=1, shape=(1, 32))
    start = struct.unpack("<I", data[4:8])[0]
    path = tmp_path / "loop.tif"
    path.write_bytes(data[:-4] + struct.pack("<I", start))
    with pytest.raises(TiffError, match="form a loop"):
        read_header(path, pages=None)


def test_a_named_pipe_in_place_of_a_plane_is_refused_and_not_waited_for(tmp_path):
    pipe = tmp_path / "plane.tif"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match=r"plane\.tif cannot be opened: it is not"):
        read_plane(pipe)
