"""What is wrong with a volume: its info, its chunks, the file that it goes to."""

from __future__ import annotations

import gzip
import json
import os

import tifffile

from bad_input.case import Case
from bad_input.place import Place

DOWNLOAD = ("download", "VOLUME", "FILE.tif", "--voxel-size", 2)


def volume(spoil=lambda folder: None, words=DOWNLOAD, **plan):
    def make(place: Place):
        spoil(place.volume(**plan))
        return words

    return make


def chunk(change, words=DOWNLOAD, **plan):
    """A volume of which one chunk of mip 0 is damaged."""

    def make(place: Place):
        path = place.chunk(place.volume(**plan))
        change(path)
        return words

    return make


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def info(change):
    """A volume whose info is changed: as JSON, or as text."""

    def spoil(folder):
        document = json.loads((folder / "info").read_text())
        changed = change(document)
        (folder / "info").write_text(changed if isinstance(changed, str) else json.dumps(document))

    return volume(spoil)


def scale(**keys):
    return info(lambda document: document["scales"][1].update(keys))


def to_link(place: Place):
    place.volume()
    place.text("precious", "mine")
    (place.folder / "FILE.tif").symlink_to("precious")
    return (*DOWNLOAD, "--overwrite")


def link_replaced(place: Place):
    assert (place.folder / "precious").read_text() == "mine"
    assert not (place.folder / "FILE.tif").is_symlink()
    assert tifffile.imread(place.folder / "FILE.tif").shape == (20, 50, 60)


AGAIN = "make the volume again"
CASES = [
    Case(
        "48",
        "Output file is a link",
        to_link,
        ("FILE.tif", "60 × 50 × 20"),
        status=0,
        leaves=("FILE.tif",),
        check=link_replaced,
    ),
    Case(
        "48a",
        "Output file exists",
        lambda place: place.volume() and place.text("FILE.tif", "mine") and DOWNLOAD,
        ("FILE.tif exists",),
        "--overwrite",
    ),
    Case(
        "42",
        "Voxel size finer than every mip",
        volume(words=("download", "VOLUME", "FILE.tif", "--voxel-size", 0.5)),
        ("VOLUME", "finer than mip 0"),
        status=0,
        leaves=("FILE.tif",),
    ),
    Case(
        "2d",
        "Volume that does not exist",
        lambda _: DOWNLOAD,
        ("VOLUME is not a precomputed volume", "no info"),
        "check the address",
    ),
    Case(
        "43",
        "Chunk cut off",
        chunk(lambda path: path.write_bytes(path.read_bytes()[:-50])),
        ("VOLUME: chunk 32-60_32-50_8-16 of mip 0", "damaged"),
        AGAIN,
    ),
    Case(
        "43a",
        "Chunk with a flipped bit",
        chunk(flip),
        ("VOLUME: chunk 32-60_32-50_8-16 of mip 0", "damaged"),
        AGAIN,
    ),
    Case(
        "43b",
        "Chunk that inflates to something else",
        chunk(lambda path: path.write_bytes(gzip.compress(b"other"))),
        ("VOLUME: chunk 32-60_32-50_8-16 of mip 0", "damaged"),
        AGAIN,
    ),
    Case(
        "44",
        "Chunk missing",
        chunk(os.unlink),
        ("VOLUME: chunk 32-60_32-50_8-16 of mip 0", "missing"),
        "give the command that made it again",
    ),
    Case(
        "44a",
        "Chunk missing, in a volume to be corrected",
        chunk(os.unlink, ("correct", "volume", "VOLUME", "OUT", "--voxel-size", 2)),
        ("VOLUME: chunk 32-60_32-50_8-16 of mip 0", "missing"),
        "give the command that made it again",
        leaves=("OUT", "OUT/.cloudreg*", "OUT/provenance.json"),
    ),
    Case(
        "45",
        "info that is not JSON",
        info(lambda document: json.dumps(document)[:-30]),
        ("VOLUME/info", "not JSON"),
        "copy it again",
    ),
    Case(
        "45a",
        "info without a key",
        info(lambda document: document["scales"][0].pop("size")),
        ("VOLUME/info: scales[0].size", "missing"),
        "copy it again",
    ),
    Case(
        "45b",
        "info with an unknown encoding",
        scale(encoding="webp"),
        ("VOLUME/info: scales[1].encoding", "'webp'", "raw"),
        "copy it again",
    ),
    Case(
        "45c",
        "info with a chunk size of 0",
        scale(chunk_sizes=[[0, 32, 8]]),
        ("VOLUME/info: scales[1].chunk_sizes[0]",),
        "copy it again",
    ),
    Case(
        "45d",
        "info of a mesh",
        info(lambda document: document.update({"@type": "neuroglancer_legacy_mesh"})),
        ("VOLUME/info: @type", "not a volume"),
        "copy it again",
    ),
    Case(
        "64",
        "info with an unknown layer type",
        info(lambda document: document.update(type="mesh")),
        ("VOLUME/info: type", "'mesh'", "image, segmentation"),
        "copy it again",
    ),
    Case(
        "46e",
        "info whose key leads out of the volume",
        scale(key="../other"),
        ("VOLUME/info: scales[1].key", "unsafe object name"),
        "copy it again",
    ),
    Case(
        "46f",
        "info whose key is an absolute path",
        scale(key="/etc"),
        ("VOLUME/info: scales[1].key", "unsafe object name"),
        "copy it again",
    ),
    Case(
        "46g",
        "info whose key holds a line break",
        scale(key="a\nb"),
        ("VOLUME/info: scales[1].key", "control characters"),
        "copy it again",
    ),
    Case(
        "C24",
        "Output file of an unknown kind",
        volume(words=("download", "VOLUME", "FILE.xyz", "--voxel-size", 2)),
        ("FILE.xyz", ".nrrd"),
        ".tif",
    ),
    Case(
        "C25",
        "Box beside the volume",
        volume(words=(*DOWNLOAD, "--bounds", 900, 0, 0, 950, 9, 9)),
        ("bounds", "miss the volume", "(60, 50, 20)"),
        "--bounds",
    ),
]
