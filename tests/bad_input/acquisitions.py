"""What is wrong with an acquisition: its folder, its metadata, its layout."""

from __future__ import annotations

import os
import shutil

from bad_input.case import Case
from bad_input.place import Place

RUN = ("run", "ACQ", "OUT")
INSPECT = ("inspect", "ACQ")
INI = "ACQ/Experiment.ini"
CELLS = "ACQ/Scanned Cells.txt"


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
        "C12",
        "Two folders of one location",
        two_folders,
        ("ACQ/VW0", "LOC000 and LOC0000 are the same location"),
        "move one of them",
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
