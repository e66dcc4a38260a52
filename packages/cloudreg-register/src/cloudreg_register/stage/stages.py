"""Stages of a registration: the start, the map, labels and atlas on the target, the table of regions.

`register_stages` is what `cloudreg register` and `cloudreg run` both do in their OUT folder. Start and map are
found in the process of the command; the rest is cut into units for all workers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files.atomic import write_bytes
from cloudreg_io.files.structures import StructureTree, structures_csv
from cloudreg_io.run import Run, Unit, digest
from cloudreg_io.space import VoxelSize
from cloudreg_io.volumes import Volume, open_volume
from cloudreg_register.analysis.regions import RegionInputs, measure_regions
from cloudreg_register.atlases.midplane import Midplane
from cloudreg_register.layout import LABELS, ON_ATLAS, START, STRUCTURES, TABLE, TRANSFORM
from cloudreg_register.stage.atlas_sources import labels_source, template_source
from cloudreg_register.stage.choice import Choice
from cloudreg_register.stage.inputs import Inputs
from cloudreg_register.stage.mapping import map_stage
from cloudreg_register.stage.starting import Person
from cloudreg_register.transforms.transform import Transform
from cloudreg_register.transforms.warped_volumes import (
    Warped,
    atlas_on_target,
    labels_on_target,
    target_on_atlas,
    warp_volume,
)


@dataclass(frozen=True, slots=True)
class Registered:
    """What a registration left in OUT.

    Attributes
    ----------
    out : Path
    record : mapping
        What is in `qc/register.json`.
    start : mapping
        What is in `registration/start.json`.
    volumes : tuple of dict
        Reports of `warp_volume`.
    table : Path or None
        Of the regions; None without labels.
    """

    out: Path
    record: Mapping[str, Any]
    start: Mapping[str, Any]
    volumes: tuple[dict[str, Any], ...]
    table: Path | None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "out": str(self.out),
            "transform": str(self.out / TRANSFORM),
            "start": {key: value for key, value in self.start.items() if key not in {"matrix", "unit"}},
            "energy": self.record["steps"][-1]["energy"] if self.record["steps"] else None,
            "steps": len(self.record["steps"]),
            "resolution_um": self.record["resolution_um"],
            "map": self.record["map"],
            "tissue_overlap": self.record["tissue_overlap"],
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
    transform = _loaded(run.out / TRANSFORM)
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
    start = json.loads((run.out / START).read_bytes())
    return Registered(run.out, record, start, volumes, table)


def _on_atlas(
    out: Path, transform: Transform, voxel_size: VoxelSize, channels: Mapping[str, Volume]
) -> Iterator[tuple[Warped, str]]:
    for name, volume in channels.items():
        for channel in range(volume.spec.channels):
            which = name if volume.spec.channels == 1 else f"{name}-{channel}"
            url = str(out / ON_ATLAS / which)
            warped = target_on_atlas(transform, volume, url, voxel_size, channel=channel, out=out)
            yield warped, f"{which} on atlas"


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
    rows = measure_regions(run, inputs)
    if not any(row.own.voxels for row in rows if row.structure.id):
        run.warn("no voxel of the target lies in a structure: the labels hold none, or the map is wrong")
    return run.out / TABLE


def _loaded(folder: Path) -> Transform:
    try:
        return Transform.load(folder)
    except (InputError, NotFoundError) as error:  # of one who edited it: the stage that made it is over
        raise type(error)(
            error.what,
            why=error.why,
            fix=f"remove {folder} and give the same command with --overwrite: it is made anew",
        ) from error


def _write(task: tuple[Path, str]) -> None:
    path, text = task
    write_bytes(path, text.encode())
