"""What cannot be registered: orientations, voxel sizes, labels, images without content, options without sense."""

from __future__ import annotations

import numpy as np
import tifffile

from bad_input.case import Case
from bad_input.place import Place
from cloudreg_io.files.image import write_image
from cloudreg_io.space import VoxelSize
from cloudreg_io.synthetic import make_phantom
from support.small_volumes import write_volume

EDGE = 500.0
CUBE = VoxelSize.of((EDGE,) * 3)
PHANTOM = make_phantom((20, 26, 16), CUBE, seed=4)
BRAIN, LABELS = PHANTOM.atlas(), PHANTOM.labels()
WITH_ATLAS = ("--atlas", "ATLAS.nrrd", "--atlas-orientation", "LPS")
WITH_LABELS = (*WITH_ATLAS, "--labels", "LABELS.nrrd")
UNKNOWN = ("--atlas", "ATLAS.nrrd")  # which way it lies


def registering(
    *words, brain=BRAIN, edge=CUBE, atlas=BRAIN, labels=(LABELS, CUBE), orientation="LPS", file="nrrd"
):
    """BRAIN, its ATLAS and LABELS, of which something is bad, or the words that follow."""

    def make(place: Place):
        voxel_size = VoxelSize.of((edge,) * 3) if isinstance(edge, float) else edge
        for name, array, size in (("BRAIN", brain, voxel_size), ("ATLAS", atlas, CUBE), ("LABELS", *labels)):
            if array is not None:
                write_image(place.folder / f"{name}.nrrd", array, size)
        place.text("HEADLESS.csv", "a,b\n1,2\n")
        place.text("TWO.csv", "x,y,z,name\n1000,1000,1000,a\n2000,2500,1500,b\n")
        place.text("OTHERS.csv", "x,y,z,name\n1000,1000,1000,left eye\n")
        return ("register", f"BRAIN.{file}", "OUT", "--orientation", orientation, *words)

    return make


def tiff_alone(place: Place):
    tifffile.imwrite(place.folder / "BRAIN.tif", BRAIN)
    return registering(*WITH_ATLAS, brain=None, file="tif")(place)


def into_itself(place: Place):
    with place.making() as scratch:
        write_volume(scratch, BRAIN, CUBE, url=place.folder / "BRAIN")
    write_image(place.folder / "ATLAS.nrrd", BRAIN, CUBE)
    return ("register", "BRAIN", "BRAIN/OUT", "--orientation", "LPS", *WITH_ATLAS)


def no_network(place: Place):
    """No atlas is named, and the bucket of the default one cannot be reached."""
    write_image(place.folder / "BRAIN.nrrd", BRAIN, CUBE)
    place.s3.change((), 1, {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    return ("register", "BRAIN.nrrd", "OUT", "--orientation", "LPS")


def nan(array):
    spoilt = array.copy()
    spoilt[3, 4, 5] = np.nan
    return spoilt


LETTERS = "one of L or R, one of P or A, one of S or I"
CASES = [
    Case(
        "F7",
        "Voxel size of another brain",
        registering(*WITH_ATLAS, edge=1500.0),
        ("BRAIN.nrrd", "your brain would be", "long; the atlas is"),
        "--voxel-size 500 500 500",
    ),
    Case(
        "F7a",
        "Voxel size in mm",
        registering(*WITH_ATLAS, edge=0.5),
        ("BRAIN.nrrd", "your brain would be"),
        "millimetres given as µm",
    ),
    Case(
        "F7b",
        "Voxel size in nm",
        registering(*WITH_ATLAS, "--voxel-size", 5e5, 5e5, 5e5),
        ("larger than 4 mm", "nanometres"),
        "did you mean 500 × 500 × 500 µm",
    ),
    Case(
        "F7c",
        "Voxel size of 0",
        registering(*WITH_ATLAS, "--voxel-size", 0, 1, 1),
        ("x = 0", "not a positive number"),
        "--voxel-size X Y Z",
    ),
    Case("F7d", "TIFF without voxel size", tiff_alone, ("BRAIN.tif", "how large"), "--voxel-size X Y Z"),
    Case(
        "F8",
        "Axes exchanged",
        registering(*WITH_ATLAS, orientation="PLS"),
        ("BRAIN.nrrd", "your brain would be"),
        "the lengths would fit LPS",
    ),
    Case("F8a", "Orientation of two letters", registering(*WITH_ATLAS, orientation="LP"), ("'LP'",), LETTERS),
    Case(
        "F8b", "Orientation with one axis twice", registering(*WITH_ATLAS, orientation="LRS"), ("'LRS'",), LETTERS
    ),
    Case(
        "F8c",
        "Orientation with an unknown letter",
        registering(*UNKNOWN, "--atlas-orientation", "LPX"),
        ("'LPX'",),
        LETTERS,
    ),
    Case(
        "F8d",
        "Orientation of the atlas not given",
        registering(*UNKNOWN),
        ("which way", "ATLAS.nrrd"),
        "--atlas-orientation CODE",
    ),
    Case(
        "F8e",
        "Orientation in BrainGlobe's lower case",
        registering(*UNKNOWN, "--atlas-orientation", "asr"),
        ("'asr'", "lower case"),
        "write LIP if that was meant",
    ),
    Case(
        "F14",
        "Atlas that cannot be downloaded",
        no_network,
        ("s3://open-neurodata/ara_2016", "Could not connect"),
        "--atlas FILE --labels FILE",
        bucket=True,
    ),
    Case(
        "C60",
        "Target that does not exist",
        registering(*WITH_ATLAS, brain=None),
        ("BRAIN.nrrd not found",),
        "check the path",
    ),
    Case(
        "C61",
        "Atlas that does not exist",
        registering(*WITH_ATLAS, atlas=None),
        ("ATLAS.nrrd not found",),
        "check the path",
    ),
    Case(
        "C62",
        "Labels that do not exist",
        registering(*WITH_LABELS, labels=(None, CUBE)),
        ("LABELS.nrrd not found",),
        "check the path",
    ),
    Case(
        "C63",
        "Table of structures that does not exist",
        registering(*WITH_LABELS, "--structures", "TABLE.json"),
        ("no table of structures at TABLE.json",),
        "check the path",
    ),
    Case(
        "C64",
        "Labels of another extent",
        registering(*WITH_LABELS, labels=(LABELS[:, :-4], CUBE)),
        ("LABELS.nrrd are 10 × 11 × 8 mm", "ATLAS.nrrd is 10 × 13 × 8 mm"),
        "one release",
    ),
    Case(
        "C65",
        "Labels of another voxel size",
        registering(*WITH_LABELS, labels=(LABELS, VoxelSize(250, 250, 250))),
        ("LABELS.nrrd are 5 × 6.5 × 4 mm",),
        "--atlas-voxel-size",
    ),
    Case(
        "C66",
        "Labels with fractions",
        registering(*WITH_LABELS, labels=(LABELS + 0.5, CUBE)),
        ("LABELS.nrrd holds fractions",),
        "uint32",
    ),
    Case(
        "C67",
        "Labels below 0",
        registering(*WITH_LABELS, labels=(-LABELS.astype(np.int64), CUBE)),
        ("LABELS.nrrd", "not negative"),
        "uint32",
    ),
    Case(
        "C68",
        "NaN in the target",
        registering(*WITH_ATLAS, brain=nan(BRAIN)),
        ("BRAIN.nrrd: 1 of 8320 voxels", "(5, 4, 3)"),
        "by 0",
    ),
    Case(
        "C69", "NaN in the atlas", registering(*WITH_ATLAS, atlas=nan(BRAIN)), ("ATLAS.nrrd: 1 of 8320",), "by 0"
    ),
    Case(
        "C70",
        "Empty target",
        registering(*WITH_ATLAS, brain=np.zeros_like(BRAIN)),
        ("BRAIN.nrrd is empty", "another channel"),
        "check the path",
    ),
    Case(
        "C71",
        "Constant target",
        registering(*WITH_ATLAS, brain=np.full_like(BRAIN, 7)),
        ("BRAIN.nrrd is constant",),
        "check the path",
    ),
    Case(
        "C72",
        "Constant atlas",
        registering(*WITH_ATLAS, atlas=np.full_like(BRAIN, 7)),
        ("ATLAS.nrrd is constant",),
        "check the path",
    ),
    Case(
        "C73",
        "Target of a few planes",
        registering(*WITH_ATLAS, brain=BRAIN[:2]),
        ("20 × 26 × 2", "too few"),
        "--voxel-size",
    ),
    Case(
        "C74",
        "Target smaller than the smoothing kernel",
        registering(
            *WITH_ATLAS,
            "--any-extent",
            "--resolution",
            100,
            brain=BRAIN[:, :, 8:12],
            edge=VoxelSize(100, 500, 500),
        ),
        ("BRAIN.nrrd is 0.4 × 13 × 8 mm", "smaller than the smoothing kernel"),
        "--voxel-size",
    ),
    Case(
        "C75",
        "Memory below what registration needs",
        registering(*WITH_LABELS, "--memory", "150MB"),
        ("--memory", "too little: putting the labels on the target's grid takes"),
        "--memory",
    ),
    Case(
        "C76",
        "Resolution of 0",
        registering(*WITH_ATLAS, "--resolution", 0),
        ("--resolution 0 is not positive",),
        "100",
    ),
    Case(
        "C77",
        "No iteration",
        registering(*WITH_ATLAS, "--iterations", 0, 1, 1),
        ("--iterations 0 1 1",),
        "1 or more",
    ),
    Case(
        "C78",
        "Regularization below 0",
        registering(*WITH_ATLAS, "--regularization", -1),
        ("--regularization -1 is not positive",),
        "less regularisation",
    ),
    Case(
        "C79",
        "Scale below 0",
        registering(*WITH_ATLAS, "--scale", -1, 1, 1),
        ("--scale -1 1 1", "mirror"),
        "orientation codes",
    ),
    Case(
        "C80",
        "Scale given twice",
        registering(*WITH_ATLAS, "--fixed-scale", 1, 1, 1, "--scale", 2, 2, 2),
        ("--fixed-scale stands for",),
        status=2,
    ),
    Case(
        "C81",
        "Region without a table of structures",
        registering(*WITH_LABELS, "--region", "TH"),
        ("TH", "table of structures"),
        "--structures FILE",
    ),
    Case(
        "C82",
        "Landmarks whose header lacks x, y, z",
        registering(*WITH_ATLAS, "--landmarks", "HEADLESS.csv", "HEADLESS.csv"),
        ("HEADLESS.csv, line 1", "'a,b' has no column x nor y nor z"),
        "x,y,z",
    ),
    Case(
        "C83",
        "Two landmarks",
        registering(*WITH_ATLAS, "--landmarks", "TWO.csv", "TWO.csv"),
        ("2 landmarks do not determine",),
        "--mode similarity",
    ),
    Case(
        "C84",
        "Landmarks without a name in common",
        registering(*WITH_ATLAS, "--landmarks", "TWO.csv", "OTHERS.csv"),
        ("TWO.csv", "OTHERS.csv", "'left eye'"),
        "the same name in both",
    ),
    Case("C85", "OUT in the target", into_itself, ("BRAIN/OUT", "is the target"), "choose another OUT"),
]
