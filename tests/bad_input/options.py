"""What is typed wrongly: options, files given as options, command lines."""

from __future__ import annotations

import json

from bad_input.acquisitions import RUN
from bad_input.case import Case
from bad_input.place import Place
from cloudreg_io.tiles import open_acquisition
from cloudreg_stitch.placement import Placement

PLAIN = ("--no-shading", "--no-bias")


def run(*words):
    def make(place: Place):
        place.colm()
        return (*RUN, *words)

    return make


def placement(change):
    """A placement.json of ACQ, changed as JSON or as text, given to a run."""

    def make(place: Place):
        place.colm()
        document = Placement.by_stage(open_acquisition(place.acq).grid).to_json()
        changed = change(document)
        place.text("PLACED.json", changed if isinstance(changed, str) else json.dumps(document))
        return (*RUN, *PLAIN, "--placement", "PLACED.json")

    return make


def tile(**keys):
    return placement(lambda document: document["tiles"][1].update(keys))


def in_raw(place: Place):
    place.colm()
    return ("run", "ACQ", "ACQ/OUT")


def edited_journal(place: Place):
    place.colm()
    begin = {"event": "begin", "stage": "x", "channel": "", "options": {}, "outputs": ["../ACQ"]}
    place.text("OUT/.cloudreg/journal.jsonl", json.dumps(begin) + "\n")
    return (*RUN, *PLAIN, "--overwrite")


def viewer_of(*words):
    def make(place: Place):
        place.volume()
        return ("viz", "link", "VOLUME", *words)

    return make


ALIGN = "--align-only"
CASES = [
    Case(
        "F10",
        "Memory below what the work needs",
        run("--memory", "1MB"),
        ("--memory 1MB is too little",),
        "--memory",
    ),
    Case(
        "C30", "Memory that is no size", run("--memory", "lots"), ("--memory lots is not a size",), "--memory 4GB"
    ),
    Case("C31", "Search that is negative", run("--search", "-1", 5, 5), ("search", "-1"), "--search"),
    Case(
        "C32",
        "Background that is no number",
        run("--background", "some"),
        ("--background some",),
        "auto|none|VALUE",
    ),
    Case(
        "C33",
        "Bounds that end before they begin",
        run("--bounds", 5, 0, 0, 4, 9, 9),
        ("bounds (5, 0, 0)..(4, 9, 9) end before they begin",),
        "first the lower corner",
    ),
    Case(
        "C34",
        "Bounds beside the mosaic",
        run("--bounds", 9000, 0, 0, 9100, 9, 9),
        ("bounds", "mosaic"),
        "--bounds",
    ),
    Case(
        "C35",
        "Placement that does not exist",
        run(*PLAIN, "--placement", "PLACED.json"),
        ("PLACED.json", "no such file"),
        "check the path",
    ),
    Case(
        "C36",
        "Placement that is not JSON",
        placement(lambda document: json.dumps(document)[:-9]),
        ("PLACED.json", "not valid JSON"),
        "correct that line",
    ),
    Case(
        "C37",
        "Placement without a key",
        placement(lambda document: document["tiles"][1].pop("position")),
        ("PLACED.json: tiles[1].position is missing",),
        "put the key back",
    ),
    Case(
        "C38",
        "Placement with a word for a number",
        tile(position=[0, "1", 2]),
        ("PLACED.json: tiles[1].position", "three finite numbers"),
        "correct",
    ),
    Case(
        "C39",
        "Placement with a number too large for any computer",
        tile(row=0, position=[10**400, 0, 0]),
        ("PLACED.json: tiles[1].position",),
        "correct",
    ),
    Case(
        "C40",
        "Placement with an unknown flag",
        tile(flags=["pined"]),
        ("PLACED.json: tiles[1].flags has 'pined'", "pinned"),
        "correct",
    ),
    Case(
        "C41",
        "Placement of another acquisition",
        tile(name="LOC099"),
        ("PLACED.json does not place LOC001",),
        "--placement FILE",
    ),
    Case(
        "C42",
        "Placement nested without end",
        placement(lambda _: "[" * 100_000),
        ("PLACED.json", "not valid JSON"),
        "correct",
    ),
    Case(
        "C43",
        "OUT in the raw data",
        in_raw,
        ("OUT ACQ/OUT lies in the acquisition ACQ",),
        "choose a folder elsewhere",
    ),
    Case(
        "C44",
        "Journal that leads out of OUT",
        edited_journal,
        ("OUT/.cloudreg/journal.jsonl",),
        "another OUT",
        leaves=("OUT/.cloudreg/*",),
    ),
    Case(
        "C45",
        "Scheme that is not known",
        lambda place: place.stack() and ("ingest", "STACK", "ftp://a/b", "--voxel-size", 1, 1, 1),
        ("ftp://a/b", "unknown scheme"),
        "s3://",
    ),
    Case(
        "C46",
        "Volume in a bucket without a folder for the journal",
        lambda place: place.stack() and ("ingest", "STACK", "s3://a/b", "--voxel-size", 1, 1, 1),
        ("s3://a/b cannot hold the journal",),
        "--work DIR",
    ),
    Case(
        "C47",
        "Link for a browser to a local folder",
        viewer_of("--viewer", "https://viewer.org"),
        ("a browser cannot read", "VOLUME"),
        "--data",
    ),
    Case(
        "C48",
        "Viewer that is no address",
        viewer_of("--viewer", "viewer", "--data", "https://data.org/v"),
        ("'viewer' is not the address of a viewer",),
        "--viewer https://",
    ),
    Case("C50", "No argument", lambda _: ("run",), ("Missing argument", "ACQ"), status=2, alone=True),
    Case(
        "C51",
        "Unknown option",
        lambda _: (*RUN, "--chanels", "0"),
        ("No such option", "--chanels", "--channels"),
        status=2,
        alone=True,
    ),
    Case(
        "C52",
        "Unknown command",
        lambda _: ("stich", "ACQ", "OUT"),
        ("No such command", "stich"),
        status=2,
        alone=True,
    ),
    Case(
        "C53",
        "Word for a number",
        lambda _: (*RUN, "--mips", "many"),
        ("--mips", "valid integer"),
        status=2,
        alone=True,
    ),
    Case(
        "C54",
        "Options that exclude each other",
        lambda _: ("stitch", "ACQ", "OUT", ALIGN, "--fuse-only"),
        ("exclude each other",),
        status=2,
        alone=True,
    ),
    Case(
        "C55",
        "Fusion before alignment",
        lambda place: place.colm() and ("stitch", "ACQ", "OUT", "--fuse-only"),
        ("OUT/placement.json does not exist",),
        "leave --fuse-only out",
    ),
]
