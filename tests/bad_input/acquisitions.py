"""What is wrong with an acquisition: its folder, its metadata, its layout."""

from __future__ import annotations

import os
import shutil

from bad_input.case import Case
from bad_input.place import Place
from support.colm_folders import write_image

RUN = ("run", "ACQ", "OUT")
INSPECT = ("inspect", "ACQ")
INI, CELLS = "ACQ/Experiment.ini", "ACQ/Scanned Cells.txt"


def colm_with(key=None, value=None, *, words=RUN, **changes):
    """A COLM acquisition, one key of its ini other than it should be or (None) absent."""

    def make(place: Place):
        colm = place.colm(**changes)
        if key:
            colm.set(key, value)
        return words

    return make


def without(name):
    def make(place: Place):
        place.colm()
        (place.acq / name).unlink()
        return RUN

    return make


def cells(text: bytes, words=RUN):
    def make(place: Place):
        place.colm()
        (place.acq / "Scanned Cells.txt").write_bytes(text)
        return words

    return make


def empty(place: Place):
    place.acq.mkdir()
    return RUN


def half_a_format(place: Place):
    place.colm()
    (place.acq / "VW0").rename(place.acq / "tiles")
    return RUN


def sibling(place: Place):
    colm = place.colm()
    shutil.copytree(colm.tiles, place.acq / "VW01")
    return INSPECT


def two_folders(place: Place):
    colm = place.colm()
    (colm.tiles / "LOC0000").mkdir()
    return RUN


def many_locations(place: Place):
    colm = place.colm(rows=1, columns=1, planes=1, channels=(0,))
    colm.rows, colm.columns = 41, 25
    colm.sections["North Scan Region"] |= {"Num Horizontal": "25", "Num Vertical": "41"}
    colm.cells = [["1"] * 25 for _ in range(41)]
    colm.write_metadata()
    for location in range(1, 1025):
        path = colm.plane(location, 0, 0)
        path.parent.mkdir()
        os.link(colm.plane(0, 0, 0), path)
    return INSPECT


def dead_link(place: Place):
    place.acq.symlink_to("gone")
    return RUN


def link_loop(place: Place):
    colm = place.colm()
    (colm.tiles / "LOC006").symlink_to(colm.tiles / "LOC006")
    return INSPECT


def link_outside(place: Place):
    colm = place.colm()
    (colm.tiles / "LOC002").rename(place.folder / "elsewhere")
    (colm.tiles / "LOC002").symlink_to(place.folder / "elsewhere")
    return INSPECT


def no_tile_folder(place: Place):
    colm = place.colm()
    shutil.rmtree(colm.tiles / "LOC004")
    return RUN


def unmarked(place: Place):
    colm = place.colm()
    colm.cells[1][1] = "0"
    colm.write_metadata()
    return INSPECT


def grid_list(text, name="tiles.toml", words=RUN):
    """A grid list of two tiles beside their folders."""

    def make(place: Place):
        for tile in ("a", "b"):
            (place.acq / tile).mkdir(parents=True)
            for plane in range(3):
                write_image(place.acq / tile / f"p_{plane}.tif", 5)
        place.text(f"ACQ/{name}", text)
        return words

    return make


_HEAD = "voxel_size = [1, 1, 2]\noverlap_percent = [20, 20]\n"
_TILES = '[[tiles]]\nfolder = "a"\nrow = 0\ncolumn = 0\n[[tiles]]\nfolder = "b"\nrow = 0\ncolumn = 1\n'


def xml(change=lambda text: text):
    def make(place: Place):
        for tile in ("a", "b"):
            (place.acq / tile).mkdir(parents=True)
            for plane in range(3):
                write_image(place.acq / tile / f"p_{plane}.tif", 5)
        place.text("ACQ/xml_import.xml", change(_XML))
        return RUN

    return make


_XML = """<?xml version="1.0" encoding="UTF-8" ?>
<TeraStitcher volume_format="TiledXY|2Dseries">
  <stacks_dir value="ACQ" />
  <voxel_dims V="1" H="1" D="2" /><origin V="0" H="0" D="0" /><mechanical_displacements V="12" H="15" />
  <dimensions stack_rows="1" stack_columns="2" stack_slices="3" />
  <STACKS>
    <Stack ROW="0" COL="0" ABS_V="0" ABS_H="0" ABS_D="0" DIR_NAME="a" Z_RANGES="[0,3)" IMG_REGEX=".*" />
    <Stack ROW="0" COL="1" ABS_V="0" ABS_H="15" ABS_D="0" DIR_NAME="b" Z_RANGES="[0,3)" IMG_REGEX=".*" />
  </STACKS>
</TeraStitcher>
"""
_BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>\n'


def alien(_: Place):
    return ("inspect", "ключ")


def voxel_size_of(z):
    def check(place: Place):
        from cloudreg_io.tiles import open_acquisition

        assert open_acquisition(place.acq).grid.voxel_size.z == z

    return check


CASES = [
    Case("1", "Empty input folder", empty, ("no tiles found", "ACQ", "empty"), "give the folder that holds VW0"),
    Case("2", "Path that does not exist", lambda _: RUN, ("ACQ not found",), "check the path"),
    Case(
        "2a",
        "Tiles in a bucket, which are not read directly",
        lambda _: ("run", "s3://bucket/raw", "OUT"),
        ("s3://bucket/raw",),
        "copy the tiles to this machine",
    ),
    Case("2b", "Link that leads nowhere", dead_link, ("ACQ", "leads nowhere"), "make the link anew"),
    Case("3", "Sibling of the tile folder (VW0, VW01)", sibling, ("6 scanned of 2 rows",), status=0),
    Case("4", "More than 1,000 locations", many_locations, ("1025 scanned",), status=0),
    Case(
        "5",
        "Experiment.ini missing",
        without("Experiment.ini"),
        ("no tiles found", "lacks Experiment.ini (looked in ACQ"),
        "give the folder",
    ),
    Case(
        "F1",
        "Format not recognised",
        half_a_format,
        ("COLM: found", "lacks the folder VW0", "grid list: lacks", "TeraStitcher import: lacks"),
        "tiles.toml",
    ),
    Case(
        "6",
        "Key of Experiment.ini missing",
        colm_with("Num Horizontal", None),
        (INI, "'Num Horizontal'", "[North Scan Region]"),
        "add the line",
    ),
    Case(
        "7",
        "Value of Experiment.ini is not a number",
        colm_with("Num Vertical", "two"),
        (INI, "line", "Num Vertical", "'two'"),
        "correct the value",
    ),
    Case(
        "7a",
        "Value of Experiment.ini is empty",
        colm_with("Num Vertical", ""),
        (INI, "Num Vertical", "empty"),
        "add the value",
    ),
    Case(
        "F2",
        "Decimal comma in Experiment.ini",
        colm_with("Stack Step (mm)", "0,0035"),
        (INI, "Stack Step (mm)", "decimal comma"),
        "write 0.0035",
    ),
    Case(
        "8",
        "Fractional z step (0.0035 mm)",
        colm_with(words=INSPECT),
        ("3.5",),
        status=0,
        check=voxel_size_of(3.5),
    ),
    Case(
        "8a",
        "z step given in µm instead of mm",
        colm_with("Stack Step (mm)", "3.5"),
        (INI, "Stack Step (mm)", "between 0 and 1 mm"),
        "--voxel-size X Y Z",
    ),
    Case(
        "9",
        "Unknown objective",
        colm_with("North", "7x/0.2"),
        (INI, "[Objectives] North", "known are 4x"),
        "--voxel-size X Y Z",
    ),
    Case(
        "10",
        "Overlap of 0 %",
        colm_with("Actual Horizontal Overlap (%)", "0"),
        (INI, "Actual Horizontal Overlap (%)", "not between 0 and 100"),
        "correct the value",
    ),
    Case(
        "10a",
        "Overlap negative",
        colm_with("Actual Vertical Overlap (%)", "-5"),
        (INI, "Actual Vertical Overlap (%)", "-5"),
        "correct the value",
    ),
    Case(
        "10b",
        "Overlap of 100 %",
        colm_with("Actual Vertical Overlap (%)", "100"),
        (INI, "Actual Vertical Overlap (%)"),
        "correct the value",
    ),
    Case(
        "F6",
        "Overlap of more than half a tile",
        colm_with("Actual Horizontal Overlap (%)", "60", words=INSPECT),
        ("overlap along x: 12 of 20 voxels (60 %)", "check the voxel size and the axes"),
        status=0,
    ),
    Case(
        "F6a",
        "Positions in another unit, so that tiles do not overlap",
        grid_list(
            _HEAD.replace("overlap_percent = [20, 20]\n", "")
            + '[[tiles]]\nfolder = "a"\nposition = [0, 0]\n[[tiles]]\nfolder = "b"\nposition = [16000, 0]\n'
        ),
        ("tiles.toml", "overlap along x", "%"),
        "tile size = step + overlap",
    ),
    Case(
        "11",
        "Scanned Cells.txt with too few columns",
        cells(b"1,1,1\r\n1,1\r\n"),
        (CELLS, "2 columns on line 2", "2 rows × 3 columns"),
        "copy both files again",
    ),
    Case(
        "11a",
        "Scanned Cells.txt with too many rows",
        cells(b"1,1,1\r\n1,1,1\r\n1,1,1\r\n"),
        (CELLS, "3 rows", "2 rows × 3 columns"),
        "copy both files again",
    ),
    Case(
        "12",
        "Scanned Cells.txt with another word than 0 and 1",
        cells(b"1,1,1\r\n1,x,1\r\n"),
        (CELLS, "line 2, column 2", "'x'"),
        "write 1 for a scanned cell",
    ),
    Case(
        "12a",
        "Scanned Cells.txt with byte order mark, CRLF and commas at the ends",
        cells(b"\xef\xbb\xbf1,1,1,\r\n1,1,1,\r\n", INSPECT),
        ("6 scanned",),
        status=0,
    ),
    Case(
        "12b",
        "Scanned Cells.txt that marks nothing",
        cells(b"0,0,0\r\n0,0,0\r\n"),
        (CELLS, "marks no cell"),
        "write 1 for",
    ),
    Case(
        "13",
        "Marked cell without a folder",
        no_tile_folder,
        ("ACQ", "LOC004", "whole tile missing"),
        "--missing fill",
    ),
    Case(
        "14", "Folder whose cell is not marked", unmarked, ("warning", "LOC004", "not marked as scanned"), status=0
    ),
    Case(
        "17",
        "Channel that is not there",
        colm_with(words=(*RUN, "--channels", "3")),
        ("channel 3 not found", "CHN00, CHN01"),
        "--channels",
    ),
    Case("47", "Folder that is a link to outside", link_outside, ("LOC002", "link"), status=0),
    Case("47a", "Folder that is a link to itself", link_loop, ("6 scanned",), status=0),
    Case(
        "C1",
        "Grid list that is not TOML",
        grid_list("voxel_size = [1, 1\n[[tiles]]\n"),
        ("ACQ/tiles.toml", "line"),
        "correct",
    ),
    Case(
        "C2",
        "Grid list with an unknown key",
        grid_list("voxelsize = [1, 1, 2]\n" + _TILES),
        ("ACQ/tiles.toml", "'voxelsize'", "known are voxel_size"),
        "correct the key",
    ),
    Case(
        "C3",
        "Grid list with a word for a number",
        grid_list(_HEAD.replace("[1, 1, 2]", "[1, 'one', 2]") + _TILES),
        ("ACQ/tiles.toml", "voxel_size", "a list of 3 numbers"),
        "correct the value",
    ),
    Case(
        "C4",
        "Grid list without the voxel size",
        grid_list("overlap_percent = [20, 20]\n" + _TILES),
        ("ACQ/tiles.toml", "voxel size"),
        "--voxel-size X Y Z",
    ),
    Case(
        "C5",
        "Grid list that names a tile twice",
        grid_list(_HEAD + _TILES.replace('"b"', '"a"')),
        ("ACQ/tiles.toml", "'a' twice"),
        "give each tile",
    ),
    Case(
        "C12",
        "Two folders of one location",
        two_folders,
        ("ACQ/VW0", "LOC000 and LOC0000 are the same location"),
        "move one of them",
    ),
    Case(
        "C6",
        "CSV grid list with a comma for the decimal point",
        grid_list('# voxel_size = [1, 1, 2]\nfolder,x,y\na,0,0\nb,"14,5",0\n', "tiles.csv"),
        ("ACQ/tiles.csv, line 4", "x = '14,5'", "decimal comma"),
        "14.5",
    ),
    Case(
        "C7",
        "TeraStitcher file that was cut off",
        xml(lambda text: text[:400]),
        ("ACQ/xml_import.xml", "not well-formed"),
        "copy the file again",
    ),
    Case(
        "C8",
        "TeraStitcher file that declares entities",
        xml(lambda text: text.replace("?>\n", f"?>\n{_BOMB}")),
        ("ACQ/xml_import.xml", "entities"),
        "remove the <!ENTITY",
    ),
    Case(
        "C9",
        "TeraStitcher file of another volume format",
        xml(lambda text: text.replace("2Dseries", "3Dseries")),
        ("ACQ/xml_import.xml", "volume_format", "3Dseries"),
        "one TIFF file per plane",
    ),
    Case(
        "C10",
        "TeraStitcher file whose tiles are not there",
        xml(lambda text: text.replace('"a"', '"x"').replace('"b"', '"y"')),
        ("ACQ/xml_import.xml", "folders of its tiles are not found"),
        "stacks_dir",
    ),
    Case(
        "C11",
        "TeraStitcher file without an attribute",
        xml(lambda text: text.replace('H="1" ', "")),
        ("ACQ/xml_import.xml", "<voxel_dims>", "lacks the attribute H"),
        "copy the file again",
    ),
    Case(
        "46",
        "Folder name with ..",
        grid_list(_HEAD + _TILES.replace('"b"', '"../b"')),
        ("ACQ/tiles.toml, tile 2", "'../b'", "not a safe folder name"),
        "relative",
    ),
    Case(
        "46a",
        "Folder name that is absolute",
        grid_list(_HEAD + _TILES.replace('"b"', '"/etc"')),
        ("ACQ/tiles.toml, tile 2", "'/etc'"),
        "relative",
    ),
    Case(
        "46b",
        "Folder name with a drive letter",
        grid_list(_HEAD + _TILES.replace('"b"', '"C:b"')),
        ("ACQ/tiles.toml, tile 2", "'C:b'"),
        "relative",
    ),
    Case(
        "46c",
        "Folder name with NUL",
        grid_list(_HEAD + _TILES.replace('"b"', '"b\\u0000"')),
        ("ACQ/tiles.toml, tile 2",),
        "relative",
    ),
    Case(
        "46d",
        "Folder name with a line break in a TeraStitcher file",
        xml(lambda text: text.replace('"b"', '"b&#10;c"')),
        ("ACQ/xml_import.xml", "DIR_NAME"),
        "relative",
    ),
    Case(
        "63",
        "No HOME, LC_ALL=C, no terminal, names of another script",
        alien,
        ("ключ",),
        status=1,
        alone=True,
        fix="check the path",
    ),
]
