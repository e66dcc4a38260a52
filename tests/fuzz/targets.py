"""The targets: acquisitions, TIFF headers, placements, info files; those of registration are beside."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import tifffile
from tests.fuzz.registration_targets import REGISTRATION
from tests.fuzz.target import Target
from tests.support.colm_folders import SECTIONS

from cloudreg_io.files import image_tiff, tiff
from cloudreg_io.space import VoxelSize
from cloudreg_io.tiles.readers.colm_metadata import read_cells, read_settings
from cloudreg_io.tiles.readers.grid_list import open_grid_list
from cloudreg_io.tiles.readers.terastitcher_xml import open_terastitcher
from cloudreg_io.volumes import Volume, VolumeSpec
from cloudreg_io.volumes.info import parse_info, to_info
from cloudreg_stitch.placement import FLAGS, Displacement, PlacedTile, Placement

_CELLS = (2, 3)
_MOST_PIXELS = 1 << 20  # above this a declared size is for the header alone: pixels would only take time


def _ini(path: Path) -> None:
    read_settings(path)


_INI = "".join(
    f"[{section}]\r\n" + "".join(f'{key} = "{value}"\r\n' for key, value in keys.items())
    for section, keys in SECTIONS.items()
)
INI = Target(
    "ini",
    "Experiment.ini",
    _ini,
    (
        _INI.encode(),
        b"\xef\xbb\xbf" + _INI.replace('"', "").encode(),
        _INI.encode("utf-16"),
        _INI.replace(".", ",").encode("cp1252"),
    ),
    (*SECTIONS, *(key for keys in SECTIONS.values() for key in keys), "1e308", "0,5", "25x/1.0", "nan", "=", "["),
)


def _cells(path: Path) -> None:
    cells = read_cells(path, *_CELLS)
    assert len(cells) == _CELLS[0]
    assert {len(row) for row in cells} == {_CELLS[1]}


CELLS = Target(
    "cells",
    "Scanned Cells.txt",
    _cells,
    (b"1,1,1\r\n1,0,1\r\n", b"\xef\xbb\xbf0,1,0,\n1,1,1,\n", "1, 1, 1\n0, 1, 1\n\n".encode("utf-16")),
    ("1,1,1", "0,", "\r\n", "\ufeff"),
)


def _tile_folders(folder: Path) -> None:
    """Two tiles of two planes, named as a COLM and as a plain export name them."""
    for column, name in enumerate(("a/tile_0", "a/tile_1")):
        (folder / name).mkdir(parents=True)
        for plane in range(2):
            for file in (f"img_{plane:03d}.tif", f"x_CHN00_PLN{plane:04d}.tif"):
                tifffile.imwrite(folder / name / file, np.full((8, 10), column, np.uint16), metadata=None)


_XML = """<?xml version="1.0" encoding="UTF-8" ?>
<!DOCTYPE TeraStitcher SYSTEM "TeraStitcher.DTD">
<TeraStitcher volume_format="TiledXY|2Dseries" input_plugin="tiff2D">
    <stacks_dir value="a" />
    <ref_sys ref1="1" ref2="2" ref3="3" />
    <voxel_dims V="0.5" H="0.5" D="2" />
    <origin V="0" H="0" D="0" />
    <mechanical_displacements V="4" H="4" />
    <dimensions stack_rows="1" stack_columns="2" stack_slices="2" />
    <STACKS>
        <Stack N_BYTESxCHAN="2" ROW="0" COL="0" ABS_V="0" ABS_H="0" ABS_D="0" STITCHABLE="no" DIR_NAME="tile_0"
               Z_RANGES="[0,2)" IMG_REGEX="img.*">
            <NORTH_displacements /><EAST_displacements /><SOUTH_displacements /><WEST_displacements />
        </Stack>
        <Stack N_BYTESxCHAN="2" ROW="0" COL="1" ABS_V="0" ABS_H="8" ABS_D="0" STITCHABLE="no" DIR_NAME="tile_1"
               Z_RANGES="[0,1)" IMG_REGEX=".*CHN00_PLN0000.*" />
    </STACKS>
</TeraStitcher>
"""
XML = Target(
    "xml",
    "xml_import.xml",
    open_terastitcher,
    (_XML.encode(), _XML.replace(' Z_RANGES="[0,2)"', "").replace("img.*", "").encode("utf-16")),
    (
        "<!ENTITY",
        "&a;",
        "IMG_REGEX",
        "Z_RANGES",
        "DIR_NAME",
        "stack_slices",
        "../",
        "(.*)*$",
        "-1",
        "1e400",
        "nan",
    ),
    _tile_folders,
)

_TOML = """
voxel_size = [0.5, 0.5, 2.0]
overlap_percent = [20, 20]
root = "a"
position_unit = "um"
invert = ["x"]
planes = 2
first_plane = 0
plane_step = 1
[channels]
ch488 = "img_{z}.tif"
ch561 = "{folder}/x_*PLN{z}.tif"
[[tiles]]
folder = "tile_0"
position = [4.0, 0.0, 0.0]
row = 0
column = 0
[[tiles]]
folder = "tile_1"
position = [0.0, 0.0]
"""
_CELLS_TOML = """voxel_size = [1, 1, 1]
overlap_percent = [25, 25]
root = "a"
[[tiles]]
folder = "tile_0"
row = 0
column = 0
[[tiles]]
folder = "tile_1"
row = 0
column = 1
"""
_CSV = """# voxel_size = [0.5, 0.5, 2.0]
# root = "a"
# channels.ch488 = "img_{z}.tif"
folder,x,y,z,row,column
tile_0,0,0,,,
tile_1,4.0,0,0,0,1
"""
GRID = Target(
    "grid",
    "tiles.toml",
    open_grid_list,
    (_TOML.encode(), _CELLS_TOML.encode()),
    (
        "voxel_size",
        "plane_step",
        "first_plane",
        "{z}",
        "{folder}",
        "[[tiles]]",
        "[channels]",
        "../",
        "inf",
        "1e400",
    ),
    _tile_folders,
)
GRID_CSV = Target(
    "grid-csv",
    "tiles.csv",
    open_grid_list,
    (_CSV.encode(), b"\xef\xbb\xbf" + _CSV.replace("\n", "\r\n").encode()),
    ("folder,x,y", "row,column", "# channels.", '"', "1e308", "../"),
    _tile_folders,
)


def _tiff(path: Path) -> None:
    """A plane and a stack: headers always, pixels where they are few."""
    header = tiff.read_header(path, pages=None)
    if header.pages == 1 and header.shape[0] * header.shape[1] <= _MOST_PIXELS:
        assert tiff.read_plane(path).shape == header.shape
    stack = image_tiff.read_header(path)
    if stack.shape[0] * stack.shape[1] * stack.shape[2] <= _MOST_PIXELS:
        assert image_tiff.read(stack).shape == stack.shape


def _tiffs() -> tuple[bytes, ...]:
    plane = np.arange(12 * 20, dtype=np.uint16).reshape(12, 20)
    kinds: list[dict[str, object]] = [
        {},
        {"compression": "zlib", "predictor": True, "rowsperstrip": 5},
        {"compression": "zstd", "byteorder": ">"},
        {"compression": "lzw", "bigtiff": True},
        {"tile": (16, 16), "compression": "packbits"},
    ]
    files = [(plane, kind) for kind in kinds]
    files += [(np.stack([plane, plane]), {"imagej": True, "metadata": {"spacing": 2.0, "unit": "um"}})]
    files += [(np.stack([plane, plane]), {"ome": True}), (plane.astype(np.float32), {"predictor": False})]
    files += [(np.stack([plane, plane]), {"compression": "lzw", "predictor": True, "byteorder": ">"})]
    files += [(plane, {"compression": "lzw", "tile": (16, 16)})]
    seeds = []
    for pixels, options in files:
        file = io.BytesIO()
        tifffile.imwrite(file, pixels, **({"metadata": None} | options))
        seeds.append(file.getvalue())
    return tuple(seeds)


TIFF = Target(
    "tiff", "plane.tif", _tiff, _tiffs(), ("II*\0", "MM\0*", "II+\0", "ImageJ=", "<OME", "spacing=", "\ufffd")
)


def _placements() -> tuple[bytes, ...]:
    tiles = tuple(
        PlacedTile(f"LOC00{i}", 0, i, (80.5 * i, 0.25, 0.0), (80.0 * i, 0.0, 0.0), 0.5, FLAGS[i : i + 2])
        for i in range(2)
    )
    pairs = (Displacement("LOC000", "LOC001", "x", (80.5, 0.25, 0.0), 0.9, True),)
    placement = Placement(tiles, pairs, VoxelSize(1.0, 1.0, 3.5), "CHN00", {"CHN01": (0.5, 0.0, 0.0)})
    return (json.dumps(placement.to_json(), indent=1).encode(), json.dumps(placement.to_json()).encode())


def _placement(path: Path) -> None:
    placement = Placement.load(path)
    placement.save(path)  # what was taken can be written, and read again as the same
    assert Placement.load(path) == placement
    for channel in ("CHN00", "CHN01"):
        placement.positions_of(channel)


PLACEMENT = Target(
    "placement",
    "placement.json",
    _placement,
    _placements(),
    ("tiles", "pairs", "position", "flags", "NaN", "Infinity", "1e999", "null", "\\ud800", "[[[[", "confidence"),
)


def _info(path: Path) -> None:
    spec = parse_info(path.read_bytes(), "info")
    volume = Volume("file:///volume", spec)
    for mip in range(len(spec.scales)):
        volume.grid(mip)
        volume.bounds(mip)
        assert min(spec.scales[mip].chunks) > 0
    volume.mip_at(10.0)
    assert parse_info(json.dumps(to_info(spec)).encode(), "info") == spec


def _infos() -> tuple[bytes, ...]:
    specs = [
        VolumeSpec.plan((300, 200, 90), (1.0, 1.0, 3.5), "uint16", sharded=False),
        VolumeSpec.plan((300, 200, 90), (1.5, 1.5, 3.0), "uint32", layer="segmentation", sharded=True),
    ]
    return tuple(json.dumps(to_info(spec)).encode() for spec in specs)


INFO = Target(
    "info",
    "info",
    _info,
    _infos(),
    (
        "scales",
        "chunk_sizes",
        "resolution",
        "sharding",
        "voxel_offset",
        "NaN",
        "1e999",
        "1e400",
        "../",
        "null",
        "true",
    ),
)

_ALL = (INI, CELLS, XML, GRID, GRID_CSV, TIFF, PLACEMENT, INFO, *REGISTRATION)
TARGETS = {target.name: target for target in _ALL}


def _planted(path: Path) -> None:
    if b"bug" in path.read_bytes():
        raise KeyError("planted")


PLANTED = Target("planted", "any", _planted, (b"a seed",), ("bug",))  # proves that the fuzzer finds what there is
