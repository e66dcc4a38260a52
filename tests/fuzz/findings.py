"""What fuzzing and reading found, kept: each input made a parser raise something else than a `CloudRegError`."""

from __future__ import annotations

import json
import struct

from tests.fuzz.registration_targets import ANNOTATIONS, NIFTI, NRRD, STRUCTURES, TRANSFORM
from tests.fuzz.targets import GRID, INFO, PLACEMENT, TARGETS, TIFF, XML

LONG_NAME = "n" * 300  # longer than a file system takes


def _changed(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new, 1)


def _flipped(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes([value]) + data[at + 1 :]


def _info(**keys: object) -> bytes:
    document = json.loads(INFO.seeds[0])
    document["scales"][0] |= keys
    return json.dumps(document).encode()


_META = json.loads(TRANSFORM.seeds[0])

# by name: the target, the input, and what was raised
FINDINGS: dict[str, tuple[str, bytes, str]] = {
    "second page of another width": (
        "tiff",
        _flipped(TIFF.seeds[5], 1338, 40),
        "RuntimeError: incompatible keyframe",
    ),
    "LZW whose first code is no letter": (
        "tiff",
        # clear, 300, 65: nine bits each
        _changed(TIFF.seeds[3], b"\x80\x00\x00\x00\x10", b"\x80\x4b\x08\x20\x10"),
        "a segmentation fault of imagecodecs, at times",
    ),
    "number that no float holds": (
        "placement",
        _changed(PLACEMENT.seeds[1], b"80.5", b"1" + b"0" * 400),
        "OverflowError: int too large to convert to float",
    ),
    "brackets without end in JSON": ("placement", b"[" * 100_000, "RecursionError"),
    "size that no float holds": ("info", _info(size=[10**400, 1, 1]), "OverflowError"),
    "voxel sizes whose ratio overflows": ("info", _info(resolution=[1e-300, 1, 1]), "OverflowError"),
    "number of 5,000 digits in TOML": (
        "grid",
        _changed(GRID.seeds[0], b"planes = 2", b"planes = " + b"9" * 5000),
        "ValueError: Exceeds the limit",
    ),
    "brackets without end in TOML": ("grid", b"a = " + b"[" * 10_000, "RecursionError"),
    "folder name too long in a grid list": (
        "grid",
        _changed(GRID.seeds[0], b'"tile_1"', f'"{LONG_NAME}"'.encode()),
        "OSError: File name too long",
    ),
    "folder name too long in a TeraStitcher file": (
        "xml",
        _changed(XML.seeds[0], b'"tile_1"', f'"{LONG_NAME}"'.encode()),
        "OSError: File name too long",
    ),
    "half a character in a placement": (
        "placement",
        _changed(PLACEMENT.seeds[0], b'"alignment_channel"', b'"alignment_channel": "\\ud800", "half"'),
        "UnicodeEncodeError",
    ),
    "no slices said, and none found": (
        "xml",
        _changed(XML.seeds[0], b'stack_slices="2"', b'stack_slices="0"')
        .replace(b'"tile_0"', b'"gone_0"')
        .replace(b'"tile_1"', b'"gone_1"'),
        "ValueError: max() arg is an empty sequence",
    ),
    "repetition without end in IMG_REGEX": (
        "xml",
        _changed(XML.seeds[0], b'"img.*"', b'"img.{99999999999}"'),
        "OverflowError: the repetition number is too large",
    ),
    "twenty stars in a pattern": (
        "grid",
        _changed(GRID.seeds[0], b"x_*PLN{z}", b"x_" + 21 * b"*" + b"PLN{z}"),
        "more than 5 s",
    ),
    "repetitions of repetitions in IMG_REGEX": (
        "xml",
        _changed(XML.seeds[0], b'"img.*"', b'"' + 9 * b"(.*)*" + b'$x"'),
        "more than 5 s",
    ),
    "carriage return in the header of a table": (
        "structures",
        _changed(STRUCTURES.seeds[2], b"acronym,name", b"acronym\r,name"),
        "_csv.Error: new-line character seen in unquoted field",
    ),
    "number of 5,000 digits in a table": (
        "structures",
        _changed(STRUCTURES.seeds[0], b"997", b"9" * 5000),
        "ValueError: Exceeds the limit",
    ),
    "half a character in a table": (
        "structures",
        _changed(STRUCTURES.seeds[0], b'"grey"', b'"\\ud800"'),
        "UnicodeEncodeError",
    ),
    "number of 5,000 digits in a state": (
        "annotations",
        _changed(ANNOTATIONS.seeds[0], b"[1, 2, 3, 0]", b"[1, 2, 3, " + b"9" * 5000 + b"]"),
        "ValueError: Exceeds the limit",
    ),
    "point so far away that its place is not finite": (
        "annotations",
        _changed(ANNOTATIONS.seeds[0], b"[1, 2, 3, 0]", b"[1, 2, 1e308, 0]"),
        "a position of inf",
    ),
    "size without end of a transform": (
        "transform",
        json.dumps({**_META, "atlas": {**_META["atlas"], "size": [float("inf"), 1, 1]}}).encode(),
        "OverflowError: cannot convert float infinity to integer",
    ),
    "brackets without end in a transform": ("transform", b"[" * 100_000, "RecursionError"),
    "NIfTI file with a unit that does not exist": ("nifti", _flipped(NIFTI.seeds[0], 123, 7), "KeyError"),
    "NIfTI file whose voxels begin beyond every disk": (
        "nifti",
        NIFTI.seeds[0][:108] + struct.pack("<f", 1e25) + NIFTI.seeds[0][112:],
        "OverflowError: Python int too large to convert to C long",
    ),
    "NRRD whose voxels are in a file without a name": (
        "nrrd",
        b"NRRD0\ntype:int\ndatafile:\x89\nsizes: 4",
        "IndexError: list index out of range",
    ),
    "NRRD whose voxels are in a file of too long a name": (
        "nrrd",
        NRRD.seeds[1].replace(b"\n\n", b"\ndata file: " + 300 * b"v" + b"\n\n"),
        "OSError: File name too long",
    ),
}
assert {target for target, _, _ in FINDINGS.values()} <= set(TARGETS)
