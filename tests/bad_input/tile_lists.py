"""What is wrong with a file that describes tiles: a grid list, a TeraStitcher project."""

from __future__ import annotations

from bad_input.acquisitions import RUN
from bad_input.case import Case
from bad_input.place import Place
from support.colm_folders import write_image


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
CASES = [
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
]
