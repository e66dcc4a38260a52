"""What is wrong with planes: lost, cut off, of another kind."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import tifffile

from bad_input.acquisitions import INSPECT, RUN
from bad_input.case import Case
from bad_input.place import Place
from support.colm_folders import write_image

TILE = "ACQ/VW0/LOC001"
NAME = "VW0_LOC001_CM0_CHN00_PLN0002.tif"


def plane(spoil, words=RUN):
    """A COLM acquisition of which plane 2 of LOC001, CHN00, is spoiled."""

    def make(place: Place):
        colm = place.colm()
        spoil(colm.plane(1, 0, 2))
        return words

    return make


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def oversized(path):
    """The directory of an honest plane with other numbers in it: 60,000 rows of 60,000."""
    data = bytearray(path.read_bytes())
    for tag in (256, 257, 278):
        at = _entry(data, tag)
        data[at + 2 : at + 12] = struct.pack("<HII", 4, 1, 60000)
    path.write_bytes(data)


def _entry(data, tag):
    first = struct.unpack_from("<I", data, 4)[0]
    number = struct.unpack_from("<H", data, first)[0]
    return next(
        at for at in range(first + 2, first + 2 + 12 * number, 12) if struct.unpack_from("<H", data, at)[0] == tag
    )


def bomb(path):
    """A strip that inflates to a thousand times what its rows hold."""
    tifffile.imwrite(path, np.zeros((16, 20), np.uint16), metadata=None, compression="zlib", rowsperstrip=16)
    data = bytearray(path.read_bytes())
    strip = zlib.compress(bytes(640_000), 9)
    entries = {tag: _entry(data, tag) for tag in (273, 279)}
    struct.pack_into("<HII", data, entries[273] + 2, 4, 1, len(data))
    struct.pack_into("<HII", data, entries[279] + 2, 4, 1, len(strip))
    path.write_bytes(bytes(data) + strip)


def duplicate(path):
    path.with_suffix(".tiff").write_bytes(path.read_bytes())


def floats(value, words=RUN):
    """An acquisition of floats, one of which is not finite."""

    def make(place: Place):
        colm = place.colm(channels=(0,))
        for path in colm.tiles.glob("*/*.tif"):
            write_image(path, 5, dtype="float32")
        pixels = np.full((16, 20), 5, np.float32)
        pixels[3, 4] = value
        tifffile.imwrite(colm.plane(1, 0, 2), pixels, metadata=None)
        return words

    return make


def all_planes(dtype):
    def make(place: Place):
        colm = place.colm()
        for path in colm.tiles.glob("*/*.tif"):
            write_image(path, 5, dtype=dtype)
        return RUN

    return make


def gone(path):
    path.unlink()


FAULT = "LOC001 plane 2"
AGAIN = "copy the files named above again"
CASES = [
    Case(
        "15",
        "Plane missing in a stack",
        plane(gone),
        ("ACQ", "CHN00 LOC001 plane 2", "missing: 1"),
        "--missing fill",
    ),
    Case(
        "15a",
        "Plane missing, to be filled",
        plane(gone, (*RUN, "--missing", "fill", "--no-shading", "--no-bias", "--search", 2, 2, 1)),
        ("left out", "CHN00 LOC001 plane 2"),
        status=0,
        leaves=("OUT", "OUT/*"),
    ),
    Case(
        "16",
        "Two files for one plane (.tif and .tiff)",
        plane(duplicate),
        ("CHN00 LOC001 plane 2", NAME, NAME + "f"),
        "move those that do not belong here",
    ),
    Case("18", "TIFF of 0 bytes", plane(lambda path: path.write_bytes(b"")), (FAULT, "empty"), AGAIN),
    Case("19", "TIFF cut off", plane(cut), (FAULT, "cut off", NAME, "strip 0"), AGAIN),
    Case(
        "19a",
        "TIFF cut off in its directory",
        plane(lambda path: path.write_bytes(path.read_bytes()[:60])),
        (FAULT, "cut off", NAME),
        AGAIN,
    ),
    Case(
        "F3",
        "Plane missing and another cut off",
        plane(lambda path: (cut(path), gone(path.with_name(path.name.replace("0002", "0001"))))),
        ("CHN00 LOC001 plane 1: missing", "CHN00 LOC001 plane 2: cut off"),
        "copy the files named above again; --missing fill",
    ),
    Case(
        "20",
        "Error page of a web server under a TIFF's name",
        plane(lambda path: path.write_bytes(b"<html><body>502 Bad Gateway")),
        (FAULT, "not a TIFF", "<html><body>502 Bad Gateway"),
        AGAIN,
    ),
    Case(
        "21",
        "Plane of another size",
        plane(lambda path: write_image(path, 5, (16, 24))),
        (FAULT, "another size", "24 × 16", "20 × 16"),
        "move those that do not belong here",
    ),
    Case(
        "22",
        "Plane of another data type",
        plane(lambda path: write_image(path, 5, dtype="uint8")),
        (FAULT, "uint8", "uint16"),
        "move those that do not belong here",
    ),
    Case(
        "22a",
        "All planes of a type that no camera writes",
        all_planes("int16"),
        ("ACQ/VW0", "int16", "uint8, uint16, float32"),
        "convert them without loss",
    ),
    Case(
        "22b",
        "Colour image",
        plane(lambda path: tifffile.imwrite(path, np.zeros((16, 20, 3), np.uint8), photometric="rgb")),
        (FAULT, "samples per pixel"),
        "move those that do not belong here",
    ),
    Case(
        "23",
        "Several pages in one plane",
        plane(lambda path: tifffile.imwrite(path, np.zeros((3, 16, 20), np.uint16), photometric="minisblack")),
        (FAULT, "3 pages"),
        "move those that do not belong here",
    ),
    Case(
        "24",
        "Header that claims 60,000 × 60,000 pixels",
        plane(oversized),
        (FAULT, "60000 × 60000 pixels", "7.2 GB", "refused"),
        AGAIN,
    ),
    Case(
        "25",
        "Strip that inflates without end",
        plane(bomb, (*INSPECT, "--full")),
        ("PROBLEMS", FAULT, "does not decode"),
        on_stdout=True,
    ),
    Case(
        "26",
        "NaN in planes of floats",
        floats(np.nan, (*INSPECT, "--full")),
        ("PROBLEMS", FAULT, "NaN", "x = 4, y = 3"),
        on_stdout=True,
    ),
    Case(
        "26a",
        "Infinity in a plane that is fused",
        floats(np.inf, (*RUN, "--no-shading", "--no-bias")),
        (NAME, "1 NaN or infinite values", "x = 4, y = 3"),
        "write the planes again",
    ),
]
