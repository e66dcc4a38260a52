"""Mapping: the stage in which the map is found, and what is recorded about it.

It is found in the process of the command, which shows energy and steps; its state is kept in scratch after every
step: it goes on to the same bits after a crash.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from cloudreg_io.files.atomic import is_temporary, write_bytes, write_json
from cloudreg_io.run import Run, Unit, digest
from cloudreg_io.space import Affine
from cloudreg_register.analysis.tissue_overlap import tissue_overlaps
from cloudreg_register.classic.registration import register_classic
from cloudreg_register.layout import PICTURES, RECORD, START_PICTURE, TRANSFORM
from cloudreg_register.lddmm.descent import Step
from cloudreg_register.lddmm.landmark_term import LandmarkTerm
from cloudreg_register.lddmm.options import RegisterOptions
from cloudreg_register.lddmm.registration import Registration, register
from cloudreg_register.stage.atlas_sources import AtlasSource
from cloudreg_register.stage.choice import Choice
from cloudreg_register.stage.inputs import Inputs
from cloudreg_register.stage.pictures import as_npz, picture_planes
from cloudreg_register.stage.starting import Person, landmark_term, start_stage
from cloudreg_register.transforms.jacobian import Regularity
from cloudreg_register.transforms.transform import Transform

_POOR = 0.7  # of the tissue's overlap


def map_stage(
    run: Run,
    inputs: Inputs,
    choice: Choice,
    labels: AtlasSource | None = None,
    person: Person | None = None,
) -> Mapping[str, Any]:
    """Find the map; it is at OUT/registration/transform afterwards. The record of how is given back."""
    options = choice.options(inputs.of_atlas.resolution)
    start = start_stage(run, inputs, choice, person)
    pull = landmark_term(inputs, choice)
    keyed = {
        **inputs.identity(),
        "labels": None if labels is None else labels.identity,
        "start": start.matrix.tolist(),
        "options": asdict(options),
        **({} if choice.classic is None else {"classic": choice.classic}),
        **({} if pull is None else {"landmarks": digest(pull.to_json())}),
    }
    work = _Work(run, inputs, options, start, pull, labels, choice.classic, digest(keyed))
    outputs = [TRANSFORM, RECORD, PICTURES]
    (record,) = run.stage(
        "register", partial(_find, work), [Unit("transform", None)], options=keyed, outputs=outputs, here=True
    ).values()
    found: Mapping[str, Any] = record
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    run: Run
    inputs: Inputs
    options: RegisterOptions
    start: Affine
    landmarks: LandmarkTerm | None
    labels: AtlasSource | None
    classic: int | None
    key: str


def _find(work: _Work, _: None) -> dict[str, Any]:
    run, inputs, start = work.run, work.inputs, work.start
    found = _registered(work)
    folder = run.out / TRANSFORM
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in filter(is_temporary, folder.parent.iterdir()):  # of one who was killed while he saved
        shutil.rmtree(left, ignore_errors=True)
    found.transform.save(folder)
    before = Transform.of_affine(start, found.transform.atlas, found.transform.target)
    maps = {"before": before, "after": found.transform}
    record = recorded(found, inputs, maps)
    if (overlap := record["tissue_overlap"]["after"]) < _POOR:
        run.warn(
            f"the tissue of target and atlas overlap little (Dice {overlap:.2f}): "
            f"look at the map ({PICTURES}) and at the start ({START_PICTURE})"
        )
    (run.out / RECORD).parent.mkdir(exist_ok=True)
    write_json(run.out / RECORD, record)
    planes = picture_planes(inputs.target, inputs.atlas, None if work.labels is None else work.labels.source, maps)
    write_bytes(run.out / PICTURES, as_npz(planes))
    return record


def _registered(work: _Work) -> Registration:
    checkpoint = work.run.scratch / "register" / "checkpoint.npz"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    if work.classic is not None:
        return register_classic(
            work.inputs.target,
            work.inputs.atlas,
            work.options,
            start=work.start,
            iterations=work.classic,
            checkpoint=checkpoint,
            key=work.key,
            progress=work.run.progress,
            watch=lambda state: _tell(work.run, state.history),
        )
    return register(
        work.inputs.target,
        work.inputs.atlas,
        work.options,
        start=work.start,
        landmarks=work.landmarks,
        checkpoint=checkpoint,
        key=work.key,
        progress=work.run.progress,
        watch=lambda state, _: _tell(work.run, state.history),
    )


def _tell(run: Run, history: Sequence[Step]) -> None:
    if history:
        step = history[-1]
        run.progress.note(f"energy {step.energy:.1f}, step {step.moved:.2f} µm, voxels {step.voxel_size:.3g} µm")


def recorded(found: Registration, inputs: Inputs, maps: Mapping[str, Transform]) -> dict[str, Any]:
    """What there is to say about a registration, without times: equal work gives equal bytes."""
    # every other voxel: the map is smoother than that
    grid = inputs.atlas.grid.with_spacing([2 * spacing for spacing in inputs.atlas.grid.spacing])
    return {
        "steps": [_line(step) for step in found.history],
        # a target that is coarser than was wanted stays as it is
        "resolution_um": max(inputs.of_atlas.resolution, min(inputs.target.grid.spacing)),
        "extent": inputs.extent.to_json(),
        "start": maps["before"].affine.matrix.tolist(),
        "affine": found.transform.affine.matrix.tolist(),
        "map": Regularity.of(found.transform, grid).to_json(),
        "tissue_overlap": tissue_overlaps(inputs.target, inputs.atlas, maps),
    }


def _line(step: Step) -> dict[str, float]:
    line = asdict(step)
    del line["seconds"]
    return line
