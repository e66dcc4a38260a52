"""Confirm: a person looks at the start before hours are spent on it, and may turn or shift it.

The answers are y, n, or a new `--rotation X Y Z` and `--translation X Y Z`, as on the command line; after new
numbers the start is shown again. Asking and showing are given by the caller.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cloudreg_io.errors import InputError
from cloudreg_io.space import Affine, Vector3, vector3

QUESTION = "Start from here? y, n, or --rotation X Y Z, --translation X Y Z: "
_OPTIONS = {"--rotation": "rotation", "--translation": "translation"}


class UnconfirmedError(InputError):
    """A start that was not agreed to."""


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
    UnconfirmedError
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
            raise UnconfirmedError(
                "the start was not confirmed; nothing was registered",
                fix="give the command again with other --orientation, --rotation, --translation, or --search",
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


def _answered(ask: Callable[[str], str], question: str) -> str:
    try:
        return ask(question).strip()
    except EOFError as error:
        raise UnconfirmedError(
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
