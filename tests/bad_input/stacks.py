"""What is wrong with a stack, and with where its volume shall go."""

from __future__ import annotations

import json

import numpy as np
import tifffile

from bad_input.case import Case
from bad_input.place import Place
from cloudreg_io.volumes import open_volume
from support.colm_folders import write_image

INGEST = ("ingest", "STACK", "OUT", "--voxel-size", 1, 1, 2)
MADE = ("OUT", "OUT/*")


def stack(spoil=lambda folder: None, words=INGEST, **changes):
    def make(place: Place):
        spoil(place.stack(**changes))
        return words

    return make


def one_plane(change):
    """A stack of which the third plane is changed."""
    return stack(lambda folder: change(folder / "img_002.tif"))


def unpadded(place: Place):
    place.stack(planes=12, name="img_{}.tif")
    return INGEST


def ordered(place: Place):
    array = open_volume(place.folder / "OUT").read()
    assert array[:, 0, 0].tolist() == list(range(1, 13))


def negative(place: Place):
    folder = place.stack()
    (folder / "img_000.tif").rename(folder / "img_-01.tif")
    return INGEST


def nan_stack(place: Place):
    folder = place.stack(dtype="float32")
    pixels = np.full((16, 20), 5, np.float32)
    pixels[3, 4] = np.nan
    tifffile.imwrite(folder / "img_002.tif", pixels, metadata=None)
    return INGEST


def with_voxel_size(*size):
    return stack(words=("ingest", "STACK", "OUT", "--voxel-size", *size))


def edges(place: Place):
    rng = np.random.default_rng(2)
    folder = place.stack(planes=5, shape=(33, 41))
    for path in folder.iterdir():
        tifffile.imwrite(path, rng.integers(0, 999, (33, 41), np.uint16), metadata=None)
    return (*INGEST, "--chunk", 16, 16, 4)


def same_as_stack(place: Place):
    planes = [tifffile.imread(path) for path in sorted((place.folder / "STACK").iterdir())]
    assert np.array_equal(open_volume(place.folder / "OUT").read(), np.stack(planes))


def other_volume(place: Place):
    place.stack()
    place.volume("OUT")
    return INGEST


def other_options(place: Place):
    from bad_input.typing_in import silently

    place.stack()
    silently(place.folder, *INGEST)
    return (*INGEST, "--chunk", 64, 64, 64)


def into_itself(place: Place):
    place.stack()
    return ("ingest", "STACK", "STACK/OUT", "--voxel-size", 1, 1, 2)


def no_place(place: Place):
    place.stack()
    return ("ingest", "STACK", "/proc/OUT", "--voxel-size", 1, 1, 2)


def out_is_file(place: Place):
    place.stack()
    place.text("OUT", "mine")
    return INGEST


def lock_held(place: Place):
    import fcntl

    place.stack()
    (place.folder / "OUT" / ".cloudreg").mkdir(parents=True)
    file = (place.folder / "OUT" / ".cloudreg" / "lock").open("w")
    json.dump({"pid": 4711, "host": "other"}, file)
    file.flush()
    fcntl.flock(file, fcntl.LOCK_EX)
    _HELD.append(file)  # until the process ends, or the next case
    return INGEST


_HELD: list = []


def released(place: Place):
    while _HELD:
        _HELD.pop().close()


ODD = "a b 'ü' \"q\" ; $(touch x) & #?%41"


def odd_names(place: Place):
    place.stack().rename(place.folder / ODD)
    return ("ingest", ODD, f"OUT {ODD}", "--voxel-size", 1, 1, 2)


def no_shell(place: Place):
    assert {path.name for path in place.folder.iterdir()} == {ODD, f"OUT {ODD}"}
    assert open_volume(place.folder / f"OUT {ODD}").size() == (20, 16, 4)


def nrrd(place: Place):
    from cloudreg_io.files.image import write_image as write
    from cloudreg_io.space import VoxelSize

    path = place.folder / "STACK.nrrd"
    noise = np.random.default_rng(0).integers(0, 60000, (20, 40, 40), np.uint16)
    write(path, noise, VoxelSize(1, 1, 2))
    text = path.read_bytes()
    path.write_bytes(text[:200] + text[200:400])
    return ("ingest", "STACK.nrrd", "OUT")


CASES = [
    Case(
        "38",
        "Names without leading zeros (img_10 before img_2)",
        unpadded,
        ("in the order of their numbers", "img_0.tif to img_11.tif"),
        status=0,
        leaves=MADE,
        check=ordered,
    ),
    Case(
        "39",
        "Gap in the numbers of planes",
        one_plane(lambda path: path.unlink()),
        ("STACK", "1 of 4 planes are missing: numbers 2"),
        "--missing fill",
    ),
    Case(
        "39a",
        "Negative number of a plane",
        negative,
        ("STACK", "img_-01.tif", "not named alike"),
        "a folder of their own",
    ),
    Case(
        "39b",
        "Irregular numbers",
        stack(
            lambda folder: (
                [
                    (folder / f"img_00{i}.tif").rename(folder / f"img_{n:03d}.tif")
                    for i, n in ((3, 7), (2, 4), (1, 2))
                ]
                and write_image(folder / "img_009.tif", 3)
            )
        ),
        ("STACK", "numbers of the planes are irregular"),
        "a folder of their own",
    ),
    Case(
        "1a",
        "Stack without planes",
        lambda place: (place.folder / "STACK").mkdir() or INGEST,
        ("no planes found in STACK", "*.tif"),
        "check the path",
    ),
    Case("2c", "Stack that does not exist", lambda _: INGEST, ("STACK not found",), "give a folder of planes"),
    Case(
        "18a",
        "Stack with a TIFF of 0 bytes",
        one_plane(lambda path: path.write_bytes(b"")),
        ("STACK/img_002.tif", "empty"),
        "copy the file again",
    ),
    Case(
        "26b",
        "Stack with NaN",
        nan_stack,
        ("STACK/img_002.tif", "1 values are not finite", "[3, 4]"),
        "--nan-to 0",
        leaves=("OUT", "OUT/.cloudreg*", "OUT/provenance.json", "OUT/info", "OUT/*_*"),
    ),
    Case("41", "Voxel size of 0", with_voxel_size(1, 0, 1), ("voxel size", "0"), "--voxel-size"),
    Case("41a", "Voxel size negative", with_voxel_size(1, 1, -2), ("voxel size", "-2"), "--voxel-size"),
    Case("41b", "Voxel size NaN", with_voxel_size(1, 1, "nan"), ("voxel size", "nan"), "--voxel-size"),
    Case(
        "41c", "Voxel size in nm instead of µm", with_voxel_size(1460, 1460, 5000), ("1460", "nanometres"), "1.46"
    ),
    Case(
        "41d",
        "No voxel size",
        stack(words=("ingest", "STACK", "OUT")),
        ("STACK", "how large its voxels are"),
        "--voxel-size X Y Z",
    ),
    Case(
        "40",
        "Volume that is no multiple of the chunk",
        edges,
        ("41 × 33 × 5",),
        status=0,
        leaves=MADE,
        check=same_as_stack,
    ),
    Case(
        "35",
        "OUT holds a volume that another program made",
        other_volume,
        ("OUT holds a volume already", "scales[0].size: [60, 50, 20] there, [20, 16, 4] wanted"),
        "choose another",
    ),
    Case(
        "35a",
        "OUT holds a volume of other options",
        other_options,
        ("OUT holds the stage", "other options"),
        "--overwrite",
        leaves=("OUT/.cloudreg/*", "OUT/provenance.json"),
    ),
    Case(
        "36",
        "OUT lies in the input",
        into_itself,
        ("STACK/OUT would lie in the stack", "never written to"),
        "choose",
    ),
    Case("37", "OUT where nothing can be written", no_place, ("/proc/OUT cannot be made",), "choose another OUT"),
    Case("37a", "OUT is a file", out_is_file, ("OUT is a file",), "choose another OUT"),
    Case(
        "49",
        "Names with blanks, quotes, Unicode and what a shell would run",
        odd_names,
        ("20 × 16 × 4",),
        status=0,
        leaves=("OUT *",),
        check=no_shell,
    ),
    Case(
        "50",
        "Two commands on one OUT",
        lock_held,
        ("OUT is in use by process N on HOST",),
        "wait for it to end",
        check=released,
    ),
    Case(
        "C20",
        "Stack of colours",
        one_plane(lambda path: tifffile.imwrite(path, np.zeros((16, 20, 3), np.uint8), photometric="rgb")),
        ("STACK/img_002.tif", "samples per pixel"),
        "grey values",
    ),
    Case(
        "C21",
        "Stack with a plane of another size",
        one_plane(lambda path: write_image(path, 5, (16, 24))),
        ("STACK/img_002.tif", "24 × 16", "20 × 16"),
        "replace",
    ),
    Case(
        "C22",
        "Values that do not fit the data type asked for",
        stack(words=(*INGEST, "--dtype", "uint8"), planes=300, shape=(2, 2)),
        ("STACK/img_255.tif", "do not fit uint8"),
        "--dtype",
        leaves=("OUT", "OUT/.cloudreg*", "OUT/provenance.json", "OUT/info", "OUT/*_*", "OUT/*_*/*"),
    ),
    Case(
        "C23",
        "3-D file that is cut off",
        nrrd,
        ("STACK.nrrd", "damaged"),
        "copy the file again",
        leaves=("OUT", "OUT/.cloudreg*", "OUT/provenance.json", "OUT/info"),
    ),
]
