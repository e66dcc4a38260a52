"""Annotations: points that a person set in Neuroglancer, as named positions in µm of a volume's frame.

They come from a saved state (JSON), from a link whose fragment holds the state, or from a file that holds such a
link. A layer has its own unit and may have a matrix; the linear part of a matrix maps physical lengths, its last
column counts in the output's units (google/neuroglancer, src/coordinate_transform.ts). Neuroglancer's 0 is the
outer corner of voxel 0, CloudReg's its centre: half a voxel of the volume apart.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files import foreign_json, store
from cloudreg_io.files.location import Location
from cloudreg_io.space import VoxelSize

_logger = logging.getLogger(__name__)

_PREFIXES_UM = {"": 1e6, "k": 1e9, "c": 1e4, "m": 1e3, "u": 1.0, "µ": 1.0, "μ": 1.0, "n": 1e-3, "p": 1e-6}
_LINK = re.compile(r"https?://\S*?#!(\S+)")
_AXES = ("x", "y", "z")


@dataclass(frozen=True, slots=True, eq=False)
class NamedPoints:
    """Points of an annotation layer.

    Attributes
    ----------
    layer : str
    names : tuple of str
        The description of each, or its id where it has none.
    positions : [n, 3] float64
        x, y, z in µm; 0 is the centre of the volume's mip-0 voxel 0.
    ignored : int
        Annotations of the layer that are no points.
    """

    layer: str
    names: tuple[str, ...]
    positions: NDArray[np.float64]
    ignored: int = 0

    def __len__(self) -> int:
        return len(self.names)


def read_annotations(
    place: str | Path | Location, *, voxel_size: Sequence[float] | VoxelSize, layer: str = ""
) -> NamedPoints:
    """Read the points of an annotation layer.

    Parameters
    ----------
    place : str, Path or Location
        A file (or S3 object) with a state or a link, or the link itself.
    voxel_size : VoxelSize
        Of mip 0 of the volume that was annotated, in µm: half of it lies between the two zeros.
    layer : str
        Its name; may be left out where only one has points.

    Raises
    ------
    NotFoundError
        There is no such file.
    InputError
        There is no state in it, no such layer, or a layer without points or with units that are no lengths.
    """
    state, shown = _state_of(place)
    try:
        return points_of(state, voxel_size=voxel_size, layer=layer)
    except InputError as error:
        raise InputError(f"{shown}: {error.what}", why=error.why, fix=error.fix) from error


def points_of(
    state: Mapping[str, Any], *, voxel_size: Sequence[float] | VoxelSize, layer: str = ""
) -> NamedPoints:
    """The points of an annotation layer of a viewer's state; see `read_annotations`."""
    chosen = _layer(state, layer)
    name = str(chosen.get("name", layer))
    entries = chosen["annotations"]
    points = [entry for entry in entries if isinstance(entry, Mapping) and entry.get("type", "point") == "point"]
    if not points:
        raise InputError(
            f"the layer {name!r} has no points, only {len(entries)} annotations of other kinds"
            if entries
            else f"the layer {name!r} is empty"
        )
    if ignored := len(entries) - len(points):
        _logger.warning("layer %s: %d annotations are no points and are left out", name, ignored)
    transform = _transform_of(chosen)
    dimensions = transform.get("outputDimensions") or state.get("dimensions")
    if not isinstance(dimensions, Mapping):
        raise InputError(
            "the state has no dimensions",
            why="it was made by a Neuroglancer from before 2019",
            fix="open it in a recent one and save its state anew",
        )
    with np.errstate(over="ignore", invalid="ignore"):  # told of below
        matrix = _to_micrometres(transform, dimensions)
        coordinates = [_coordinates(entry, matrix.shape[1] - 1, name) for entry in points]
        corner = np.column_stack([np.array(coordinates), np.ones(len(points))]) @ matrix.T
    if len(lost := np.flatnonzero(~np.isfinite(corner).all(axis=1))):
        raise InputError(
            f"a point of the layer {name!r} lies at no place that can be counted: {coordinates[lost[0]]}",
            why="its coordinates, or the dimensions and the matrix they are multiplied by, are too large",
        )
    half = np.array(list(VoxelSize.of(voxel_size))) / 2
    return NamedPoints(name, tuple(map(_name, points)), corner - half, ignored)


def _state_of(place: str | Path | Location) -> tuple[Mapping[str, Any], str]:
    """The state, and what to call the place in messages."""
    if isinstance(place, str) and _LINK.match(place):
        return _parsed(place, "the link"), "the link"
    location = Location.parse(place)
    shown = str(location.path if location.is_file else location)
    try:
        text = store.get(location).decode("utf-8-sig")
    except NotFoundError as error:
        raise NotFoundError(f"no annotations at {shown}", fix="check the path") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{shown} is not text in UTF-8: {error.reason}", fix="save it in UTF-8") from error
    return _parsed(text, shown), shown


def _parsed(text: str, shown: str) -> Mapping[str, Any]:
    text = text.strip()
    # a state may hold links of its own: only what is no state is searched for one
    if not text.startswith(("{", "!")) and (found := _LINK.search(text)):
        text = unquote(found[1])
        if "://" in text and not text.startswith("{"):
            raise InputError(
                f"{shown} only names where its state is kept: {text[:100]}",
                fix="save that state as a file (the {} button of Neuroglancer) and give the file",
            )
    try:
        state = foreign_json.parsed(unquote(text[1:]) if text.startswith("!") else text)
    except ValueError as error:
        raise InputError(
            f"{shown} holds no viewer state: {error}",
            fix="save the state as JSON (the {} button of Neuroglancer) or give the whole link",
        ) from error
    if not isinstance(state, dict):
        raise InputError(f"{shown} holds no viewer state, but a {type(state).__name__}")
    return state


def _layer(state: Mapping[str, Any], wanted: str) -> Mapping[str, Any]:
    layers = state.get("layers", ())
    if isinstance(layers, Mapping):  # an older form: by name
        layers = [{**layer, "name": name} for name, layer in layers.items() if isinstance(layer, Mapping)]
    entries = layers if isinstance(layers, list) else []
    annotated = [e for e in entries if isinstance(e, Mapping) and isinstance(e.get("annotations"), list)]
    names = ", ".join(repr(layer.get("name", "")) for layer in annotated) or "none"
    if wanted:
        named = [layer for layer in annotated if layer.get("name") == wanted]
        if not named:
            raise InputError(f"no layer {wanted!r} with annotations", fix=f"layers with annotations: {names}")
        return named[0]
    filled = [layer for layer in annotated if layer["annotations"]]
    if len(filled) == 1:
        return filled[0]
    if not filled:
        raise InputError(
            "no layer holds annotations",
            why="annotations kept by a server are not part of the state" if layers else "",
            fix="give a state with points set by hand",
        )
    raise InputError(f"{len(filled)} layers hold annotations: {names}", fix="name one: --layer NAME")


def _transform_of(layer: Mapping[str, Any]) -> Mapping[str, Any]:
    source = layer.get("source")
    if isinstance(source, list):
        source = source[0] if source else None
    transform = source.get("transform") if isinstance(source, Mapping) else None
    return transform if isinstance(transform, Mapping) else {}


def _to_micrometres(transform: Mapping[str, Any], output: Mapping[str, Any]) -> NDArray[np.float64]:
    """The matrix [3, n + 1] that takes an annotation's n coordinates to x, y, z in µm from the corner."""
    if missing := [axis for axis in _AXES if axis not in output]:
        raise InputError(f"its dimensions are {', '.join(output)}: {', '.join(missing)} is missing")
    given = transform.get("inputDimensions")
    names = list(output)
    into = np.array([_micrometres(output, name) for name in names])
    source = into if not isinstance(given, Mapping) else np.array([_micrometres(given, name) for name in given])
    rank, inner = len(names), len(source)
    matrix = np.eye(rank, inner + 1)
    if (stated := transform.get("matrix")) is not None:
        try:
            matrix = np.asarray(stated, np.float64)
        except (ValueError, TypeError, OverflowError) as error:
            raise InputError(f"its matrix is not one of numbers: {error}") from error
    if matrix.shape != (rank, inner + 1) or not np.isfinite(matrix).all():
        raise InputError(
            f"its matrix is {list(matrix.shape)} where {rank} × {inner + 1} finite numbers are needed"
        )
    scaled = np.column_stack([matrix[:, :-1] * source, matrix[:, -1] * into])
    return scaled[[names.index(axis) for axis in _AXES]]


def _micrometres(dimensions: Mapping[str, Any], name: str) -> float:
    """Length of one unit of a dimension; axes other than x, y, z need none."""
    value = dimensions[name]
    number, unit = value if isinstance(value, list) and len(value) == 2 else (None, "")
    prefix = str(unit).removesuffix("m") if str(unit).endswith("m") else None
    length = _number(number)
    if prefix in _PREFIXES_UM and length is not None and length > 0:
        return length * _PREFIXES_UM[prefix]
    if name in _AXES:
        raise InputError(f"the unit of {name} is {value!r}, not a length", fix='such as [5e-6, "m"]')
    return 1.0


def _coordinates(entry: Mapping[str, Any], rank: int, layer: str) -> list[float]:
    point = entry.get("point")
    numbers = [_number(value) for value in point] if isinstance(point, list) else []
    found = [number for number in numbers if number is not None]
    if len(found) != len(numbers) or len(found) != rank:
        raise InputError(f"layer {layer!r}: annotation {_name(entry)!r} has no point of {rank} numbers: {point!r}")
    return found


def _number(value: Any) -> float | None:
    """A finite number, or None."""
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("description") or entry.get("id") or "").strip()
