"""What cannot be moved or measured: transforms that are damaged, tables that hold no points or landmarks."""

from __future__ import annotations

import json
from pathlib import Path

from bad_input.case import Case
from bad_input.place import Place
from bad_input.registrations import CUBE
from cloudreg_io.space import Orientation
from cloudreg_register.images.frame import Frame
from cloudreg_register.start.initial import initial_affine
from cloudreg_register.transforms.transform import Transform

POINTS = ("transform", "points", "IN.csv", "OUT.csv", "--transform", "TRANSFORM", "--to", "atlas")
LANDMARKS = ("accuracy", "--transform", "TRANSFORM", "--atlas-landmarks", "IN.csv", "--target-landmarks", "IN.csv")
REGIONS = ("regions", "OUT")


def whole(place: Place) -> Path:
    """TRANSFORM, with nothing wrong."""
    frame = Frame((20, 26, 16), CUBE, Orientation("LPS"), "BRAIN")
    affine = initial_affine(frame.orientation, frame.orientation)
    Transform.of_affine(affine, frame, frame).save(place.folder / "TRANSFORM")
    return place.folder / "TRANSFORM"


def damaged(damage):
    def make(place: Place):
        damage(whole(place))
        place.text("IN.csv", "x,y,z\n1,2,3\n")
        return POINTS

    return make


def truncate(folder: Path):
    path = folder / "velocity.npy"
    path.write_bytes(path.read_bytes()[:-8])


def edit(name: str, change):
    def apply(folder: Path):
        value = json.loads((folder / name).read_text())
        change(value)
        (folder / name).write_text(json.dumps(value))

    return apply


def table(text: str, words=POINTS):
    def make(place: Place):
        whole(place)
        place.text("IN.csv", text)
        return words

    return make


def no_registration(place: Place):
    (place.folder / "OUT").mkdir()
    return REGIONS


AGAIN = "copy the folder again"
VOXELS = "".join(f"{x},{x},{x % 16}\n" for x in range(20))
CASES = [
    Case(
        "C90",
        "Transform that does not exist",
        lambda place: place.text("IN.csv", "x,y,z\n1,2,3\n") and POINTS,
        ("no transform at TRANSFORM",),
        "OUT/registration/transform",
    ),
    Case("C91", "Transform cut off", damaged(truncate), ("TRANSFORM/velocity.npy is not the file",), AGAIN),
    Case(
        "C92",
        "Transform without its velocity",
        damaged(lambda folder: (folder / "velocity.npy").unlink()),
        ("TRANSFORM/velocity.npy is missing",),
        AGAIN,
    ),
    Case(
        "C93",
        "Transform without its description",
        damaged(lambda folder: (folder / "meta.json").unlink()),
        ("TRANSFORM is not a transform", "no meta.json"),
        "OUT/registration/transform",
    ),
    Case(
        "C94",
        "Transform with half a description",
        damaged(lambda folder: (folder / "meta.json").write_text("{")),
        ("TRANSFORM/meta.json is damaged",),
        AGAIN,
    ),
    Case(
        "C95",
        "Transform that was edited",
        damaged(edit("affine.json", lambda value: value["matrix"][0].__setitem__(0, 7))),
        ("TRANSFORM/affine.json is not the file", "edited"),
        AGAIN,
    ),
    Case(
        "C96",
        "Transform of a later version",
        damaged(edit("meta.json", lambda value: value.update(version=99))),
        ("TRANSFORM is a transform of format version 99",),
        "pip install --upgrade cloudreg-register",
    ),
    Case(
        "C97",
        "Transform whose description lacks the atlas",
        damaged(edit("meta.json", lambda value: value.pop("atlas"))),
        ("TRANSFORM/meta.json is damaged", "'atlas'"),
        AGAIN,
    ),
    Case(
        "C98",
        "Points whose header is none",
        table("a,b,c\n1,2,3\n"),
        ("IN.csv, line 1", "no column x nor y nor z"),
        "x,y,z",
    ),
    Case(
        "C98a",
        "Points without a header",
        table("1,2,3\n4,5,6\n"),
        ("IN.csv, line 1", "begins with numbers: it has no header"),
        "x,y,z",
    ),
    Case(
        "C98b",
        "Points between semicolons",
        table("x;y;z\n1;2;3\n"),
        ("IN.csv, line 1", "semicolons or tabs"),
        "x,y,z",
    ),
    Case("C98c", "Points without z", table("x,y\n1,2\n"), ("IN.csv, line 1", "no column z"), "x,y,z"),
    Case(
        "C98d",
        "Points with a word for a number",
        table("x,y,z\n1,2,3\n1,2,here\n"),
        ("IN.csv, line 3, column z: 'here'",),
        "decimal point",
    ),
    Case(
        "C98e",
        "Points with a row too short",
        table("x,y,z\n1,2\n"),
        ("IN.csv, line 2: 2 fields, where the header has 3",),
        "one field a column",
    ),
    Case("C98f", "Points in an empty file", table(""), ("IN.csv", "the file is empty"), "x,y,z"),
    Case(
        "F13",
        "Points outside of volume and atlas",
        table("x,y,z\n90000,0,0\n0,90000,0\n"),
        ("IN.csv: not one of the 2 points lies in both volumes", "2 of them outside", "10000, 13000, 8000"),
        status=0,
        leaves=("OUT.csv",),
    ),
    Case(
        "F13a",
        "Points in voxels, taken as µm",
        table(f"x,y,z\n{VOXELS}"),
        ("IN.csv: all of x,y,z are whole numbers", "add --voxels"),
        status=0,
        leaves=("OUT.csv",),
    ),
    Case(
        "C99",
        "Landmarks without names",
        table("x,y,z\n1,2,3\n", LANDMARKS),
        ("IN.csv has no column name",),
        "x,y,z,name",
    ),
    Case(
        "C99a",
        "Regions of what was not registered",
        no_registration,
        ("OUT holds no registration/labels",),
        "cloudreg register",
    ),
]
