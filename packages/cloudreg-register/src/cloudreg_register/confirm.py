"""Confirm: a person looks at the start before hours are spent on it, and may turn or shift it.

The answers are y, n, or a new `--rotation X Y Z` and `--translation X Y Z`, as on the command line; after new
numbers the start is shown again. Asking and showing are given by the caller.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.space import Affine, Vector3, vector3
from cloudreg_register.tissue import otsu

QUESTION = "Start from here? y, n, or --rotation X Y Z, --translation X Y Z: "
_COLUMNS = 36  # characters of a plane's longer side
_OPTIONS = {"--rotation": "rotation", "--translation": "translation"}
_NOTHING, _TARGET, _ATLAS, _BOTH = " ", ".", "+", "#"


@dataclass(frozen=True, slots=True)
class Pose:
    """What a user says of a start: degrees about the target's x, y and z axis, and µm along them (or None)."""

    rotation: Vector3 = (0.0, 0.0, 0.0)
    translation: Vector3 | None = None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The pose that was agreed to, and the start that it is."""

    pose: Pose
    start: Affine


def confirm(
    pose: Pose,
    make: Callable[[Pose], Affine],
    ask: Callable[[str], str],
    show: Callable[[Affine], None],
) -> Confirmed:
    """Show a start until it is agreed to.

    Parameters
    ----------
    pose : Pose
        The first that is shown.
    make : callable
        The start of a pose.
    ask : callable
        Given a question, gives the answer; raises EOFError where nobody can answer.
    show : callable

    Raises
    ------
    InputError
        The answer was n; nobody can be asked.
    """
    start = make(pose)
    show(start)
    question = QUESTION
    while True:
        answer = _answered(ask, question)
        if answer.lower() in {"y", "yes"}:
            return Confirmed(pose, start)
        if answer.lower() in {"n", "no"}:
            raise InputError(
                "the start was not confirmed; nothing was registered",
                fix="try other --orientation, --rotation, --translation, or --search",
            )
        try:
            pose = parsed_answer(answer, pose)
            start = make(pose)
        except InputError as error:
            question = f"{error}\n{QUESTION}"
        else:
            show(start)
            question = QUESTION


def parsed_answer(answer: str, pose: Pose) -> Pose:
    """A pose with the numbers of an answer such as `--rotation 0 0 90 --translation 100 0 -200`.

    Raises
    ------
    InputError
        For anything else.
    """
    try:
        words = shlex.split(answer)
    except ValueError:
        words = []
    if not words or len(words) % 4:
        raise InputError(f"{answer!r} is no answer", fix="y, n, or --rotation X Y Z and --translation X Y Z")
    for option, *values in zip(*[iter(words)] * 4, strict=True):
        if option not in _OPTIONS:
            raise InputError(f"{option!r} cannot be changed here", fix="--rotation X Y Z or --translation X Y Z")
        pose = replace(pose, **{_OPTIONS[option]: _three(option, values)})
    return pose


def in_text(planes: Mapping[str, NDArray[Any]], when: str = "start") -> str:
    """Three planes as characters, for a terminal without pictures.

    Parameters
    ----------
    planes : mapping
        As `pictures.picture_planes` makes them.
    when : str
        Which map's atlas.
    """
    x, y, z = (float(edge) for edge in planes["spacing_um"])
    sections = (
        ("z", "x right, y down", (y, x)),
        ("y", "x right, z down", (z, x)),
        ("x", "y right, z down", (z, y)),
    )
    parts = [f"'{_TARGET}' target, '{_ATLAS}' atlas, '{_BOTH}' both"]
    for letter, title, edges in sections:
        target, atlas = planes[f"target_{letter}"], planes[f"atlas_{when}_{letter}"]
        parts.append(f"across {letter} ({title})\n{_characters(target, atlas, edges)}")
    return "\n\n".join(parts)


def _answered(ask: Callable[[str], str], question: str) -> str:
    try:
        return ask(question).strip()
    except EOFError as error:
        raise InputError(
            "nobody can be asked to confirm the start: the input is not a terminal",
            fix="leave --confirm out, or run in a terminal",
        ) from error


def _three(option: str, values: Sequence[str]) -> Vector3:
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise InputError(f"{option} takes three numbers x, y, z, not {' '.join(values)}")
    return vector3(numbers)


def _characters(target: NDArray[Any], atlas: NDArray[Any], edges: tuple[float, float]) -> str:
    """Which of two planes shows tissue where; characters are twice as high as wide."""
    height, width = (n * edge for n, edge in zip(target.shape, edges, strict=True))
    column = max(width, height) / _COLUMNS
    columns, rows = max(1, round(width / column)), max(1, round(height / (2 * column)))
    masks = [_reduced(_tissue(plane), (rows, columns)) for plane in (target, atlas)]
    letters = np.array([[_NOTHING, _ATLAS], [_TARGET, _BOTH]])[masks[0].astype(int), masks[1].astype(int)]
    return "\n".join("".join(row).rstrip() for row in letters)


def _tissue(plane: NDArray[Any]) -> NDArray[np.bool_]:
    values = np.nan_to_num(plane.astype(np.float64))
    clipped = np.minimum(values, np.quantile(values, 0.98))
    return np.asarray(clipped > otsu(clipped))


def _reduced(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    rows, columns = ((np.arange(n) + 0.5) * m // n for n, m in zip(shape, mask.shape, strict=True))
    return mask[np.ix_(rows.astype(int), columns.astype(int))]
