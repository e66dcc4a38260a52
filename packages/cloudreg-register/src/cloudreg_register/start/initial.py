"""Initial: the affine map from which registration starts, and what codes, angles and shifts mean in it.

It maps the atlas to the target, both centred (0 is the centre of the volume), in µm::

    y = S · T · R · A0 · x

A0 exchanges and reverses axes as the two orientation codes say. R = Rz Ry Rx turns about the target's x, then y,
then z axis (fixed axes, through the centre), in degrees, counter-clockwise when looking against the axis. T shifts
along the target's axes, before the scale: S multiplies the shift too. These are the meanings that the parameters
have always had in CloudReg (`get_affine_matrix`), so that values found with it can be used as they are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.space import Affine, Orientation
from cloudreg_register.images.tissue import Tissue


def initial_affine(
    atlas: Orientation,
    target: Orientation,
    *,
    translation: Sequence[float] = (0, 0, 0),
    rotation: Sequence[float] = (0, 0, 0),
    scale: float | Sequence[float] = 1.0,
) -> Affine:
    """The map from the centred atlas to the centred target that a user describes.

    Parameters
    ----------
    atlas, target : Orientation
    translation : (x, y, z) float
        µm along the target's axes, before the scale.
    rotation : (x, y, z) float
        Degrees about the target's axes: first x, then y, then z.
    scale : float or (x, y, z) float
        Of the target's axes.

    Raises
    ------
    InputError
        A scale that is not positive, numbers that are not finite or not three.
    """
    scales = _three([scale] * 3 if isinstance(scale, int | float) else scale, "scale")
    if min(scales) <= 0:
        raise InputError(
            f"--scale {' '.join(f'{s:g}' for s in scales)}: a scale is positive",
            why="a negative scale would mirror the brain",
            fix="handedness comes from the orientation codes: exchange L and R in one of them",
        )
    turned = Affine.from_parameters(
        translation=_three(translation, "translation"), rotation=_three(rotation, "rotation")
    )
    return Affine.from_parameters(scale=scales) @ turned @ atlas.centred_affine_to(target)


def centred_on_tissue(affine: Affine, atlas: Tissue, target: Tissue) -> Affine:
    """The same map, shifted so that the centre of mass of the atlas's tissue falls on that of the target's."""
    shift = np.asarray(target.centre) - affine.apply(atlas.centre)
    return Affine.from_parameters(translation=shift.tolist()) @ affine


def read_start(path: Path) -> Affine:
    """A start from JSON with a 4×4 `matrix`, centred atlas to centred target, in µm, as registrations leave it.

    Raises
    ------
    NotFoundError, InputError
        There is no such file, or no matrix in it.
    """
    try:
        return Affine(json.loads(path.read_bytes())["matrix"])
    except FileNotFoundError as error:
        raise NotFoundError(f"no start at {path}", fix="check the path") from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} holds no start: {error}", fix='JSON with the key "matrix", 4 rows of 4 numbers'
        ) from error


def _three(values: Sequence[float], what: str) -> list[float]:
    numbers = [float(value) for value in values]
    if len(numbers) != 3 or not np.isfinite(numbers).all():
        raise InputError(f"a {what} is three finite numbers x, y, z, not {numbers}", fix=f"--{what} X Y Z")
    return numbers
