"""The folder of a transform: affine.json, velocity.npy, confidence.npy (where there is one) and meta.json.

meta.json says everything that the arrays need: grids, both volumes with their centres and orientations, and the
digests of the other files, so that a folder that is half of one transform and half of another is found out.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files import foreign_json
from cloudreg_io.files.atomic import canonical_json, naming_full_disk, sync_file, temporary_beside
from cloudreg_io.files.checksums import wrote
from cloudreg_io.run import digest
from cloudreg_io.space import Affine, Grid
from cloudreg_register.images.frame import Frame
from cloudreg_register.transforms.transform import Transform

FORMAT, VERSION = "cloudreg-transform", 1
AFFINE, VELOCITY, CONFIDENCE, META = "affine.json", "velocity.npy", "confidence.npy", "meta.json"
_NAMES = {AFFINE, VELOCITY, CONFIDENCE, META}
_MEANING = "y = A φ(x): x in the atlas, y in the target, both in µm from the volume's centre, ordered x, y, z"
_FASTEST = 100.0  # times through the atlas; more is damage, and would take hours of tiny steps
_AGAIN = "copy the folder again, or give the command that made it"


def save(transform: Transform, folder: Path) -> None:
    """Write a transform to a folder that is whole or absent; equal transforms give equal bytes.

    Raises
    ------
    InputError
        The folder holds something else than a transform.
    ToolError
        The disk is full.
    """
    _require_ours(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = temporary_beside(folder)
    new.mkdir()
    try:
        with naming_full_disk(folder, None):
            _write(transform, new)
        if folder.exists():
            old = temporary_beside(folder)
            folder.rename(old)
            new.rename(folder)
            shutil.rmtree(old)
        else:
            new.rename(folder)
        sync_file(folder.parent)
        for path in folder.iterdir():
            wrote(path, path)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def load(folder: Path) -> Transform:
    """Read the transform in a folder.

    Raises
    ------
    NotFoundError
        There is no such folder, or a file of it is missing.
    InputError
        The folder is of something else, of a newer version, or damaged.
    """
    meta = _meta(folder)
    files = _entry(folder, meta, "files", dict)
    for name, expected in files.items():
        _require_unchanged(folder, str(name), expected)
    if missing := {AFFINE, VELOCITY} - files.keys():
        raise InputError(f"{folder / META} does not list {', '.join(sorted(missing))}", fix=_AGAIN)
    try:
        affine = Affine(_json(folder / AFFINE)["matrix"])
        frames = [Frame.from_json(_entry(folder, meta, key, dict)) for key in ("atlas", "target")]
        grid = Grid.from_json(_entry(folder, meta, "velocity", dict)["grid"])
        confidence, confidence_grid = None, None
        if CONFIDENCE in files:
            confidence_grid = Grid.from_json(_entry(folder, meta, "confidence", dict)["grid"])
            confidence = _array(folder / CONFIDENCE)
        velocity = _array(folder / VELOCITY)
        _require_slow(velocity, frames[0])
        return Transform(affine, velocity, grid, frames[0], frames[1], confidence, confidence_grid)
    except KeyError as error:
        raise InputError(f"{folder} is damaged: it has no {error}", fix=_AGAIN) from error
    except (InputError, TypeError, ValueError, OverflowError) as error:
        what = error.what if isinstance(error, InputError) else str(error)
        raise InputError(f"{folder} is not a whole transform: {what}", fix=_AGAIN) from error


def _write(transform: Transform, folder: Path) -> None:
    affine = {"matrix": transform.affine.matrix.tolist(), "unit": "µm", "meaning": _MEANING}
    (folder / AFFINE).write_bytes(canonical_json(affine))
    np.save(folder / VELOCITY, transform.velocity)
    confidence = None
    if transform.confidence is not None and transform.confidence_grid is not None:
        np.save(folder / CONFIDENCE, transform.confidence)
        confidence = {"grid": transform.confidence_grid.to_json(), "frame": "centred target"}
    written = sorted(path.name for path in folder.iterdir())
    for name in written:
        sync_file(folder / name)
    meta = {
        "format": FORMAT,
        "version": VERSION,
        "meaning": _MEANING,
        "atlas": transform.atlas.to_json(),
        "target": transform.target.to_json(),
        "velocity": {
            "grid": transform.velocity_grid.to_json(),
            "frame": "centred atlas",
            "parts": len(transform.velocity),
            "unit": "µm per unit time",
            "axes": ["time", "component x y z", "z", "y", "x"],
        },
        "confidence": confidence,
        "files": {name: digest(folder / name) for name in written},
    }
    (folder / META).write_bytes(canonical_json(meta))
    sync_file(folder / META)


def _require_ours(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file; a transform is a folder", fix="choose another folder")
    if foreign := sorted(path.name for path in folder.iterdir() if path.name not in _NAMES):
        raise InputError(
            f"{folder} holds {foreign[0]}, which is no part of a transform",
            fix="choose another folder: this one would be replaced",
        )


def _meta(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise NotFoundError(f"no transform at {folder}", fix="--transform OUT/registration/transform")
    if not (folder / META).is_file():
        inner = next((path.parent for path in sorted(folder.glob(f"**/transform/{META}"))), None)
        raise NotFoundError(
            f"{folder} is not a transform: it has no {META}",
            fix=f"did you mean {inner}?" if inner else "--transform OUT/registration/transform",
        )
    meta = _json(folder / META)
    if meta.get("format") != FORMAT:
        raise InputError(
            f"{folder / META} does not describe a transform: its format is {meta.get('format')!r}, not {FORMAT!r}",
            fix="--transform OUT/registration/transform",
        )
    if meta.get("version") != VERSION:
        raise InputError(
            f"{folder} is a transform of format version {meta.get('version')}; this program reads {VERSION}",
            fix="pip install --upgrade cloudreg-register",
        )
    return meta


def _json(path: Path) -> dict[str, Any]:
    try:
        value = foreign_json.parsed(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}", fix=_AGAIN) from error
    if not isinstance(value, dict):
        raise InputError(f"{path} is damaged: it holds no JSON object", fix=_AGAIN)
    return value


def _entry(folder: Path, meta: Mapping[str, Any], key: str, kind: type) -> Any:
    value = meta.get(key)
    if not isinstance(value, kind):
        raise InputError(f"{folder / META} is damaged: {key!r} is {value!r}", fix=_AGAIN)
    return value


def _require_unchanged(folder: Path, name: str, expected: object) -> None:
    path = folder / name
    if name not in _NAMES - {META}:
        raise InputError(f"{folder / META} lists {name!r}, which is no part of a transform", fix=_AGAIN)
    if not path.is_file():
        raise NotFoundError(f"{path} is missing", why="the folder was copied in part", fix=_AGAIN)
    if digest(path) != expected:
        raise InputError(
            f"{path} is not the file that {META} was written with",
            why="it was damaged, edited, or comes from another transform",
            fix=_AGAIN,
        )


def _require_slow(velocity: NDArray[np.float32], atlas: Frame) -> None:
    fastest = float(np.abs(velocity).max(initial=0.0))
    if fastest > _FASTEST * max(atlas.extent):
        raise InputError(f"a velocity of {fastest:.3g} µm would carry points far through the atlas and out of it")


def _array(path: Path) -> NDArray[np.float32]:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:  # whose words recommend to unpickle it
        raise InputError(f"{path.name} is no array of numbers, or cut off") from error
    if array.dtype != np.float32:
        raise InputError(f"{path.name} holds {array.dtype}, not float32")
    return array  # type: ignore[no-any-return]
