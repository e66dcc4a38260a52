"""Stages of a registration: the start, the map, labels and atlas on the target, the table of regions.

`register_stages` is what `cloudreg register` and `cloudreg run` both do in their OUT folder. The map itself is
found in the process of the command, which shows energy and steps; its state is kept in scratch after every step:
it goes on to the same bits after a crash. The rest is cut into units for all workers.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cloudreg_io.files.atomic import is_temporary, write_bytes, write_json
from cloudreg_io.files.structures import StructureTree, structures_csv
from cloudreg_io.run import Run, Unit, digest
from cloudreg_io.space import Affine, VoxelSize
from cloudreg_io.volumes import Volume, open_volume
from cloudreg_register.analysis.measurement import LABELS, STRUCTURES, TRANSFORM
from cloudreg_register.analysis.regions import TABLE, RegionInputs, measure_regions
from cloudreg_register.atlases.midplane import Midplane
from cloudreg_register.classic.registration import register_classic
from cloudreg_register.lddmm.descent import Step
from cloudreg_register.lddmm.landmark_term import LandmarkTerm
from cloudreg_register.lddmm.options import RegisterOptions
from cloudreg_register.lddmm.registration import Registration, register
from cloudreg_register.stage.atlas_sources import AtlasSource, labels_source, template_source
from cloudreg_register.stage.choice import Choice
from cloudreg_register.stage.inputs import Inputs
from cloudreg_register.stage.pictures import as_npz, picture_planes
from cloudreg_register.stage.starting import Person, landmark_term, start_stage
from cloudreg_register.transforms.jacobian import Regularity
from cloudreg_register.transforms.native import (
    Warped,
    atlas_on_target,
    labels_on_target,
    target_on_atlas,
    warp_volume,
)
from cloudreg_register.transforms.transform import Transform

RECORD, PICTURES = "qc/register.json", "qc/register.npz"
ON_ATLAS = "registration/on_atlas"


@dataclass(frozen=True, slots=True)
class Registered:
    """What a registration left in OUT.

    Attributes
    ----------
    out : Path
    record : mapping
        What is in `qc/register.json`.
    volumes : tuple of dict
        Reports of `warp_volume`.
    table : Path or None
        Of the regions; None without labels.
    """

    out: Path
    record: Mapping[str, Any]
    volumes: tuple[dict[str, Any], ...]
    table: Path | None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "out": str(self.out),
            "transform": str(self.out / TRANSFORM),
            "energy": self.record["steps"][-1]["energy"] if self.record["steps"] else None,
            "steps": len(self.record["steps"]),
            "resolution_um": self.record["resolution_um"],
            "map": self.record["map"],
            "extent": self.record["extent"],
            "volumes": list(self.volumes),
            "regions": None if self.table is None else str(self.table),
        }


def register_stages(
    run: Run,
    inputs: Inputs,
    choice: Choice,
    target: Volume,
    channels: Mapping[str, Volume],
    person: Person | None = None,
) -> Registered:
    """Register, and bring the atlas to the target.

    Parameters
    ----------
    run : Run
    inputs : Inputs
    choice : Choice
    target : Volume
        On whose grid labels and atlas are wanted.
    channels : mapping of str to Volume
        What is measured in each region, and put on the atlas where that is wanted; in the frame of `target`.
    person : Person, optional
        Who is shown the start, and asked.
    """
    labels = labels_source(run, inputs.of_atlas)
    record = map_stage(run, inputs, choice, labels, person)
    transform = Transform.load(run.out / TRANSFORM)
    template = template_source(run, inputs.of_atlas, transform)
    wanted: list[tuple[Warped, str]] = [
        (atlas_on_target(template.source, template.identity, run.out, target), "atlas on target")
    ]
    if labels is not None:
        wanted.insert(0, (labels_on_target(labels.source, labels.identity, run.out, target), "labels on target"))
    if choice.to_atlas is not None:
        wanted += _on_atlas(run.out, transform, VoxelSize.of((choice.to_atlas,) * 3), channels)
    volumes = tuple(warp_volume(run, transform, warped, name=name) for warped, name in wanted)
    table = None
    if labels is None:
        run.warn(
            f"the atlas {inputs.of_atlas.atlas.name} has no labels: no regions were measured (--labels PLACE)"
        )
    else:
        table = _regions(run, transform, inputs.of_atlas.atlas.structures, channels)
    run.discard("atlas", "register")
    return Registered(run.out, record, volumes, table)


def _on_atlas(
    out: Path, transform: Transform, voxel_size: VoxelSize, channels: Mapping[str, Volume]
) -> Iterator[tuple[Warped, str]]:
    for name, volume in channels.items():
        for channel in range(volume.spec.channels):
            which = name if volume.spec.channels == 1 else f"{name}-{channel}"
            url = str(out / ON_ATLAS / which)
            yield target_on_atlas(transform, volume, url, voxel_size, channel=channel), f"{which} on atlas"


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
    record = recorded(found, inputs, start)
    (run.out / RECORD).parent.mkdir(exist_ok=True)
    write_json(run.out / RECORD, record)
    before = Transform.of_affine(start, found.transform.atlas, found.transform.target)
    maps = {"before": before, "after": found.transform}
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


def recorded(found: Registration, inputs: Inputs, start: Affine) -> dict[str, Any]:
    """What there is to say about a registration, without times: equal work gives equal bytes."""
    # every other voxel: the map is smoother than that
    grid = inputs.atlas.grid.with_spacing([2 * spacing for spacing in inputs.atlas.grid.spacing])
    return {
        "steps": [_line(step) for step in found.history],
        "resolution_um": inputs.of_atlas.resolution,
        "extent": inputs.extent.to_json(),
        "start": start.matrix.tolist(),
        "affine": found.transform.affine.matrix.tolist(),
        "map": Regularity.of(found.transform, grid).to_json(),
    }


def _line(step: Step) -> dict[str, float]:
    line = asdict(step)
    del line["seconds"]
    return line


def _regions(
    run: Run, transform: Transform, structures: StructureTree | None, channels: Mapping[str, Volume]
) -> Path:
    if structures is None:
        run.warn("no table of structures was given (--structures FILE): regions.csv knows them by their ids alone")
        structures = StructureTree(())
    else:
        text = structures_csv(structures)
        unit = Unit("table", (run.out / STRUCTURES, text))
        run.stage("structures", _write, [unit], options={"table": digest(text)}, outputs=[STRUCTURES], here=True)
    inputs = RegionInputs(
        open_volume(run.out / LABELS),
        structures,
        {name: volume for name, volume in channels.items() if volume.spec.channels == 1},
        Midplane.through(transform.mapper("atlas").mapped, transform.atlas, transform.target),
        upstream=digest(run.out / TRANSFORM / "meta.json"),
    )
    measure_regions(run, inputs)
    return run.out / TABLE


def _write(task: tuple[Path, str]) -> None:
    path, text = task
    write_bytes(path, text.encode())
