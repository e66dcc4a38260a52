"""Starting: the map from which a registration begins, found once and kept in the journal of its OUT folder."""

from __future__ import annotations

from typing import Any

from cloudreg_io.files.atomic import write_json
from cloudreg_io.run import Run, Unit
from cloudreg_io.space import Affine, Orientation
from cloudreg_register.choice import Choice
from cloudreg_register.initial import centred_on_tissue, initial_affine
from cloudreg_register.inputs import Inputs
from cloudreg_register.tissue import Tissue

START = "registration/start.json"


def start_stage(run: Run, inputs: Inputs, choice: Choice) -> Affine:
    """The start, written to OUT/registration/start.json as `accuracy --start` reads it."""
    options = inputs.identity() | {
        "rotation": choice.rotation,
        "translation": choice.translation,
        "scale": choice.scale,
        "orientations": [inputs.atlas.orientation.code, inputs.target.orientation.code],
    }

    def find(_: None) -> list[list[float]]:
        found = start_of(inputs, choice)
        path = run.out / START
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, described(found, inputs.atlas.orientation, inputs.target.orientation))
        matrix: list[list[float]] = found.matrix.tolist()
        return matrix

    (matrix,) = run.stage(
        "start", find, [Unit("start", None)], options=options, outputs=[START], here=True
    ).values()
    return Affine(matrix)


def start_of(inputs: Inputs, choice: Choice) -> Affine:
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


def described(start: Affine, atlas: Orientation, target: Orientation) -> dict[str, Any]:
    """A start as JSON."""
    return {
        "matrix": start.matrix.tolist(),
        "unit": "µm",
        "meaning": "from the centre of the atlas to the centre of the target, x, y, z",
        "orientations": {"atlas": atlas.code, "target": target.code},
    }
