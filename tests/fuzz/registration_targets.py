"""The targets that registration adds: points, structures, annotations, transforms, NRRD and NIfTI files."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
from tests.fuzz.target import Target

from cloudreg_io.files.annotations import read_annotations
from cloudreg_io.files.image import read_image_header, read_voxels, write_image
from cloudreg_io.files.structures import read_structures, structures_csv
from cloudreg_io.space import Orientation, VoxelSize
from cloudreg_register.images.frame import Frame
from cloudreg_register.start.initial import initial_affine
from cloudreg_register.transforms.points import read_points, write_points
from cloudreg_register.transforms.transform import Transform

_CUBE = VoxelSize(10, 10, 10)
_MOST_VOXELS = 1 << 20


def _points(path: Path) -> None:
    points = read_points(path)
    write_points(path.with_name("again.csv"), points)
    assert len(read_points(path.with_name("again.csv"))) == len(points)


POINTS = Target(
    "points",
    "points.csv",
    _points,
    (b"x,y,z,name\n1,2,3,a\n4.5,-6,7e3,b\n", '\ufeffz,name,y,x\r\n1,"a, b",2,3\r\n'.encode(), b"x,y,z\n"),
    ("x,y,z", "name", "nan", "1e400", "inf", '"', "\0", "1_0", "\ufeff"),
)


def _structures(path: Path) -> None:
    tree = read_structures(path)
    again = path.with_name("again.csv")
    again.write_text(structures_csv(tree))
    assert len(read_structures(again)) == len(tree)
    for structure in tree:
        tree.descendants(structure.id)


_ROWS = [
    {"id": 997, "acronym": "root", "name": "root", "structure_id_path": "/997/"},
    {"id": 8, "acronym": "grey", "name": "Basic cells", "structure_id_path": [997, 8], "rgb_triplet": [1, 2, 3]},
]
_NESTED = {"id": 1, "acronym": "a", "name": "a", "children": [{"id": 2, "acronym": "b", "children": []}]}
STRUCTURES = Target(
    "structures",
    "structures.json",
    _structures,
    (
        json.dumps(_ROWS).encode(),
        json.dumps({"msg": [_NESTED]}).encode(),
        b'id,acronym,name,parent\n997,root,root,\n8,grey,"Basic, cells",997.0\n',
    ),
    ("children", "structure_id_path", "parent_structure_id", "msg", "1e400", "null", "-1", "[[[[", "\\ud800", "²"),
)


def _annotations(path: Path) -> None:
    points = read_annotations(path, voxel_size=_CUBE)
    assert points.positions.shape == (len(points), 3)
    assert np.isfinite(points.positions).all()


_STATE = {
    "dimensions": {"x": [1e-6, "m"], "y": [1e-6, "m"], "z": [2e-6, "m"], "t": [0.1, "s"]},
    "layers": [
        {"type": "image", "source": "precomputed://a", "name": "a"},
        {
            "type": "annotation",
            "name": "points",
            "source": {"url": "local://annotations", "transform": {"matrix": np.eye(4, 5).tolist()}},
            "annotations": [{"point": [1, 2, 3, 0], "type": "point", "id": "0", "description": "nose"}],
        },
    ],
}
_STATE["layers"][1]["source"]["transform"]["outputDimensions"] = _STATE["dimensions"]  # type: ignore[index]
ANNOTATIONS = Target(
    "annotations",
    "state.json",
    _annotations,
    (json.dumps(_STATE).encode(), f"https://viewer.org/#!{json.dumps(_STATE)}".encode()),
    ("outputDimensions", "inputDimensions", "matrix", "nm", "1e400", "1e308", "NaN", "null", "[[[[", "%7B", "#!"),
)


def _whole(folder: Path) -> None:
    """A transform whose description is not there yet."""
    frame = Frame((4, 6, 5), _CUBE, Orientation("LPS"), "a")
    Transform.of_affine(initial_affine(frame.orientation, frame.orientation), frame, frame).save(folder / "made")
    (folder / "made" / "meta.json").unlink()


def _meta() -> bytes:
    frame = Frame((4, 6, 5), _CUBE, Orientation("LPS"), "a")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made"
        Transform.of_affine(initial_affine(frame.orientation, frame.orientation), frame, frame).save(made)
        return (made / "meta.json").read_bytes()


def _transform(path: Path) -> None:
    transform = Transform.load(path.parent)
    moved, _ = transform.to_target([[10.0, 20.0, 30.0]])
    assert np.isfinite(moved).all()


TRANSFORM = Target(
    "transform",
    "made/meta.json",
    _transform,
    (_meta(),),
    (
        "voxel_size_um",
        "centre_um",
        "orientation",
        "grid",
        "origin",
        "files",
        "../",
        "1e400",
        "NaN",
        "null",
        "[[[[",
    ),
    _whole,
)


def _image(path: Path) -> None:
    header = read_image_header(path)
    if np.prod([float(n) for n in header.shape]) <= _MOST_VOXELS:
        assert read_voxels(header).shape == header.shape


def _written(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write_image(path, np.arange(60, dtype=np.uint16).reshape(3, 4, 5), _CUBE)
        return path.read_bytes()


_RAW = (
    b"NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\nspacings: 1 2 3\nendian: big\nencoding: raw\n\n"
    + bytes(16)
)
_DETACHED = _RAW[:-17].replace(b"raw", b"raw\ndata file: voxels.raw")


def _voxels(folder: Path) -> None:
    (folder / "voxels.raw").write_bytes(bytes(16))


NRRD = Target(
    "nrrd",
    "image.nrrd",
    _image,
    (_written("a.nrrd"), _RAW, _DETACHED),
    (
        "sizes:",
        "space directions:",
        "spacings:",
        "units:",
        "kinds:",
        "data file:",
        "encoding:",
        "byte skip:",
        "line skip:",
        "voxels.raw",
        "LIST",
        "%d",
        "nan",
    ),
    _voxels,
)
NIFTI = Target("nifti", "image.nii", _image, (_written("a.nii"),), ("n+1\0", "\xff\xff\xff\x7f"))

REGISTRATION = (POINTS, STRUCTURES, ANNOTATIONS, TRANSFORM, NRRD, NIFTI)
