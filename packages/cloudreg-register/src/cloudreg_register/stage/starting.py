"""Starting: the map from which a registration begins, found once and kept in the journal of its OUT folder.

What the user says of it, or a search of all ways round, or landmarks; where that is wanted, it is shown to the
person at the terminal, who may turn and shift it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cloudreg_io.files.atomic import write_json
from cloudreg_io.run import NO_PROGRESS, Progress, Run, Unit, digest
from cloudreg_io.space import Affine
from cloudreg_register.images.tissue import Tissue
from cloudreg_register.layout import START, START_PICTURE
from cloudreg_register.lddmm.affine import AffineMode
from cloudreg_register.lddmm.landmark_term import LandmarkTerm
from cloudreg_register.stage.choice import Choice
from cloudreg_register.stage.inputs import Inputs
from cloudreg_register.stage.possible import landmark_pairs
from cloudreg_register.stage.start_picture import in_text, start_planes, write_start_picture
from cloudreg_register.start.confirm import Pose, UnconfirmedError, confirm
from cloudreg_register.start.initial import centred_on_tissue, initial_affine
from cloudreg_register.start.landmark_fit import fitted_affine
from cloudreg_register.start.search import better_start, mirror_note, search_start

_SHOWN = 5  # candidates of a search that are recorded


@dataclass(frozen=True, slots=True)
class Person:
    """Who confirms a start.

    Attributes
    ----------
    ask : callable
        Given a question, gives the answer; raises EOFError where nobody can answer.
    show : callable
        Given the file of the planes (`start_picture.start_planes`), and the same in characters.
    """

    ask: Callable[[str], str]
    show: Callable[[Path, str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A start, and what is recorded about how it was found."""

    affine: Affine
    found: dict[str, Any]


def start_stage(run: Run, inputs: Inputs, choice: Choice, person: Person | None = None) -> Affine:
    """The start, in OUT/registration/start.json as `accuracy --start` reads it, and in pictures."""
    options = (
        {"resolution": inputs.of_atlas.resolution}
        | inputs.identity()
        | {
            "rotation": choice.rotation,
            "translation": choice.translation,
            "scale": choice.scale,
            "search": choice.search,
            "mode": choice.affine_mode,
            "landmarks": _landmark_identity(inputs, choice),
        }
    )

    def find(_: None) -> list[list[float]]:
        (run.out / START).parent.mkdir(parents=True, exist_ok=True)
        start = found_start(inputs, choice, run.progress)
        for note in filter(None, (start.found.get("mirror_image"), start.found.get("doubt"))):
            run.warn(note)
        _show(run, inputs, start.affine)
        if person is not None:
            start = _confirmed(run, inputs, choice, start, person)
        write_json(run.out / START, {"matrix": start.affine.matrix.tolist(), "unit": "µm", **start.found})
        matrix: list[list[float]] = start.affine.matrix.tolist()
        return matrix

    units = [Unit("start", None)]
    try:
        (matrix,) = run.stage(
            "start", find, units, options=options, outputs=[START, START_PICTURE], here=True
        ).values()
    except UnconfirmedError:
        run.withdraw("start")  # nothing was made of it: another may be tried
        raise
    return Affine(matrix)


def found_start(inputs: Inputs, choice: Choice, progress: Progress = NO_PROGRESS) -> Start:
    """By landmarks, by search, or as the user says; in this order.

    Raises
    ------
    InputError
        Too few landmarks; no tissue to be found.
    """
    stated = stated_start(inputs, choice)
    if choice.landmarks is not None and choice.landmarks_for != "cost":
        pairs = landmark_pairs(inputs.frames, choice.landmarks)
        mode = AffineMode(choice.affine_mode)
        fitted = fitted_affine(pairs, inputs.atlas.frame, inputs.target.frame, stated, mode)
        return Start(fitted, {"by": "landmarks", "landmarks": list(pairs.names)} | _doubt(inputs, choice, fitted))
    if not choice.search:
        return Start(stated, {"by": "what was stated"} | _doubt(inputs, choice, stated))
    options = choice.options(inputs.of_atlas.resolution)
    ranked = search_start(inputs.target, inputs.atlas, stated, options, progress)
    first = ranked[0]
    listed = [{"orientation": c.orientation.code, "score": c.score} for c in ranked[:_SHOWN]]
    return Start(first.affine, {"by": "search", "candidates": listed, "mirror_image": mirror_note(ranked)})


def _doubt(inputs: Inputs, choice: Choice, start: Affine) -> dict[str, str]:
    """What speaks against a start: that the sample fits better another way round."""
    better = better_start(inputs.target, inputs.atlas, start, choice.options(inputs.of_atlas.resolution))
    if better is None:
        return {}
    code, told = better.orientation.code, inputs.target.orientation.code
    return {
        "doubt": f"the sample fits the atlas better another way round, as {code} rather than {told}: look at the "
        f"orientation codes and at the start ({START_PICTURE}); --search-rotations tries all ways round"
    }


def stated_start(inputs: Inputs, choice: Choice) -> Affine:
    """What the user says; where he says no translation, the centres of mass of the tissue meet.

    Not where the target is a part of a brain: the centres of the volumes are as good a guess then.
    """
    atlas, target = inputs.atlas, inputs.target
    start = initial_affine(
        atlas.orientation,
        target.orientation,
        translation=choice.translation or (0.0, 0.0, 0.0),
        rotation=choice.rotation,
        scale=choice.scale,
    )
    if choice.translation is not None or inputs.extent.verdict == "partial":
        return start
    return centred_on_tissue(start, Tissue.of(atlas), Tissue.of(target))


def landmark_term(inputs: Inputs, choice: Choice) -> LandmarkTerm | None:
    """The landmarks that pull at the map, if any shall."""
    if choice.landmarks is None or choice.landmarks_for == "start":
        return None
    pairs = landmark_pairs(inputs.frames, choice.landmarks)
    return LandmarkTerm.of(pairs, inputs.atlas.frame, inputs.target.frame, choice.landmark_sigma)


def _landmark_identity(inputs: Inputs, choice: Choice) -> str | None:
    if choice.landmarks is None or choice.landmarks_for == "cost":
        return None
    pairs = landmark_pairs(inputs.frames, choice.landmarks)
    return digest([pairs.names, pairs.atlas.tolist(), pairs.target.tolist()])


def _confirmed(run: Run, inputs: Inputs, choice: Choice, start: Start, person: Person) -> Start:
    first = Pose(choice.rotation, choice.translation)

    def make(pose: Pose) -> Affine:
        if pose == first:
            return start.affine
        return stated_start(inputs, replace(choice, rotation=pose.rotation, translation=pose.translation))

    agreed = confirm(first, make, person.ask, lambda affine: person.show(*_show(run, inputs, affine)))
    if agreed.pose == first:
        return start
    stated = {"rotation": list(agreed.pose.rotation), "translation": agreed.pose.translation}
    return Start(agreed.start, {"by": "what was answered", **stated})


def _show(run: Run, inputs: Inputs, start: Affine) -> tuple[Path, str]:
    """Write the planes of a start; where they are, and the same in characters."""
    planes = start_planes(inputs.target, inputs.atlas, start)
    return write_start_picture(run.out, planes), in_text(planes)
