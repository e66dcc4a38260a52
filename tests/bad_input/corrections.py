"""What correction and alignment cannot work on: no signal, fields of another camera, blank and copied tiles."""

from __future__ import annotations

import json
import shutil

import numpy as np
import tifffile

from bad_input.acquisitions import RUN
from bad_input.case import Case
from bad_input.place import Place, good_shading
from cloudreg_io.files.tiff import read_plane, write_plane
from support.colm_folders import write_image

CORRECT = ("correct", "tiles", "ACQ", "OUT")
WITH_FLAT = (*CORRECT, "--shading", "FLAT.tif")
PLAIN_RUN = (*RUN, "--no-shading", "--no-bias")
JOURNAL = ("OUT", "OUT/.cloudreg*", "OUT/provenance.json")


def constant(place: Place):
    colm = place.colm(planes=8, channels=(0,))
    for path in colm.tiles.glob("*/*.tif"):
        write_image(path, 100)
    return CORRECT


def few(place: Place):
    place.colm(rows=1, columns=2, planes=1, channels=(0,))
    return CORRECT


def flat(values):
    def make(place: Place):
        place.colm()
        place.shading(values)
        return WITH_FLAT

    return make


def spoiled(value):
    field = good_shading().copy()
    field[2, 3] = value
    return flat(field)


def not_a_field(place: Place):
    place.colm()
    place.text("FLAT.tif", "nothing")
    return WITH_FLAT


def no_folder(place: Place):
    place.colm()
    place.shading(good_shading()).rename(place.folder / "CHN00.tif")
    return ("stitch", "ACQ", "OUT", "--shading", ".")


def too_bright(place: Place):
    colm = place.colm(channels=(0,))
    for path in colm.tiles.glob("*/*.tif"):
        write_image(path, 60000)
    place.shading(good_shading())
    return WITH_FLAT


def twice(place: Place):
    colm = place.colm(channels=(0,))
    place.shading(good_shading())
    colm.root.rename(place.folder / "RAW")
    from bad_input.typing_in import silently

    silently(place.folder, "correct", "tiles", "RAW", "ACQ", "--shading", "FLAT.tif")
    return WITH_FLAT


def blank(place: Place):
    place.brain()
    for path in (place.acq / "VW0" / "LOC001").glob("*.tif"):
        write_plane(path, np.zeros_like(read_plane(path)))
    return PLAIN_RUN


def copied(place: Place):
    place.brain()
    first, second = (place.acq / "VW0" / name for name in ("LOC000", "LOC002"))
    for path in first.glob("*.tif"):
        shutil.copyfile(path, second / path.name.replace("LOC000", "LOC002"))
    return PLAIN_RUN


def flagged(tile, flag):
    """The tile has the flag in OUT/placement.json, and lies where the stage says."""

    def check(place: Place):
        placement = json.loads((place.folder / "OUT" / "placement.json").read_text())
        found = next(entry for entry in placement["tiles"] if entry["name"] == tile)
        assert flag in found["flags"]
        assert found["confidence"] < 0.5

    return check


def corrected_and_clipped(place: Place):
    planes = sorted((place.folder / "OUT").glob("VW0/*/*.tif"))
    assert len(planes) == 24
    assert tifffile.imread(planes[0]).max() == 65535


CASES = [
    Case(
        "27",
        "All tiles empty or constant",
        constant,
        ("CHN00", "no signal"),
        "give a shading file",
        leaves=JOURNAL,
    ),
    Case(
        "28",
        "Too few planes for an estimate",
        few,
        ("CHN00", "planes are too few", "needs"),
        "--shading",
        leaves=JOURNAL,
    ),
    Case(
        "29",
        "Flat-field of another shape",
        flat(good_shading((20, 24))),
        ("FLAT.tif", "[20, 24]", "[16, 20]"),
        "--shading",
    ),
    Case("29a", "Flat-field with a zero", spoiled(0), ("FLAT.tif", "ranges from 0 to", "[2, 3]"), "estimate it"),
    Case(
        "29b",
        "Flat-field with a negative value",
        spoiled(-0.5),
        ("FLAT.tif", "ranges from -0.5 to"),
        "estimate it",
    ),
    Case("29c", "Flat-field with NaN", spoiled(np.nan), ("FLAT.tif", "not finite", "[2, 3]"), "estimate it"),
    Case(
        "29d",
        "Flat-field that is no TIFF",
        not_a_field,
        ("FLAT.tif", "not a TIFF"),
        "give a file that cloudreg made",
    ),
    Case(
        "29e",
        "Flat-field of one channel missing",
        no_folder,
        ("CHN01.tif does not exist", "channel CHN01"),
        "cloudreg correct",
    ),
    Case(
        "30",
        "Gain outside of 0.2 to 5",
        spoiled(0.1),
        ("FLAT.tif", "gains of", "outside [0.2, 5]"),
        "estimate it from more planes",
    ),
    Case(
        "31",
        "Saturation by correction",
        too_bright,
        (
            "of the voxels clipped at the bright end",
            "CHN00: 6 tiles have more than 0.1% of their voxels above",
            "most LOC000",
        ),
        status=0,
        leaves=("OUT", "OUT/*"),
        check=corrected_and_clipped,
    ),
    Case(
        "32",
        "Corrected tiles corrected again",
        twice,
        ("ACQ holds corrected tiles already", "provenance.json"),
        "give the raw acquisition",
    ),
    Case(
        "F4",
        "Tile of zeros",
        blank,
        ("blank: LOC001",),
        status=0,
        leaves=("OUT", "OUT/*"),
        check=flagged("LOC001", "blank"),
    ),
    Case(
        "F5",
        "Tile that is a copy of another",
        copied,
        ("duplicate: LOC002",),
        status=0,
        leaves=("OUT", "OUT/*"),
        check=flagged("LOC002", "duplicate"),
    ),
]
