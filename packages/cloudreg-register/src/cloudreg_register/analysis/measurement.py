"""Measurement: the command `regions` in an OUT folder, which finds there what it measures.

Labels, transform, table of structures and channels are where `register` and `run` leave them, unless others are
named.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files.location import Location
from cloudreg_io.files.structures import StructureTree, read_structures
from cloudreg_io.run import NO_PROGRESS, Progress, digest, executor, open_run
from cloudreg_io.run.journal import Journal, StageRecord
from cloudreg_io.run.memory import Budget, Need, Programs
from cloudreg_io.run.session import HIDDEN
from cloudreg_io.volumes.volume import Volume, open_volume
from cloudreg_register.analysis.region_table import Region
from cloudreg_register.analysis.regions import BLOCK, VOXEL_SIZE, VOXELS, RegionInputs, measure_regions
from cloudreg_register.atlases.midplane import Midplane
from cloudreg_register.layout import LABELS, STRUCTURES, TABLE, TRANSFORM
from cloudreg_register.transforms.points import read_blocks

# Python, cloud-volume, and torch where a transform is read (measured)
_PROGRAMS = Programs(220_000_000, 85_000_000)
_READ = 4  # cloud-volume holds a box up to three times
_COPIES = 4  # of all points: as read, as indices, sorted
_RUN_BYTES = 24  # a voxel: hemisphere, and the runs of a block where every voxel is one


@dataclass(frozen=True, slots=True)
class MeasurementOptions:
    """What to measure; what is None or empty is looked for in OUT.

    Attributes
    ----------
    labels, transform, structures : str or Path, optional
    channels : tuple of str
        Names of folders in OUT, or places.
    points : Path, optional
        CSV, µm in the frame of the labels.
    voxel_size : float
        µm; on the coarsest level with none larger the voxels are counted.
    hemispheres : bool
        Tell left from right, which needs a transform.
    """

    labels: str | None = None
    transform: Path | None = None
    structures: str | None = None
    channels: tuple[str, ...] = ()
    points: Path | None = None
    voxel_size: float = VOXEL_SIZE
    hemispheres: bool = True

    def to_json(self) -> dict[str, Any]:
        """As JSON, for the provenance."""
        return {
            "labels": self.labels,
            "transform": None if self.transform is None else str(self.transform),
            "structures": self.structures,
            "channels": list(self.channels),
            "points": None if self.points is None else str(self.points),
            "voxel_size": self.voxel_size,
            "hemispheres": self.hemispheres,
        }


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured, in short.

    Attributes
    ----------
    table : Path
    rows : tuple of Region
    """

    table: Path
    rows: tuple[Region, ...]

    @property
    def volume_mm3(self) -> float:
        """Of all labelled voxels."""
        return math.fsum(row.volume_mm3 for row in self.rows if row.structure.id)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        outside = [row for row in self.rows if not row.structure.id]
        filled = {row.structure.id for row in self.rows if row.structure.id and row.own.voxels}
        return {
            "table": str(self.table),
            "structures": len(filled),
            "volume_mm3": self.volume_mm3,
            "outside_mm3": math.fsum(row.volume_mm3 for row in outside),
            "points": sum(row.own.points for row in self.rows),
            "points_outside": sum(row.own.points for row in outside),
        }


def measure(
    out: Path,
    options: MeasurementOptions,
    *,
    jobs: int = 1,
    memory: int | None = None,
    overwrite: bool = False,
    progress: Progress = NO_PROGRESS,
) -> Measurement | None:
    """Measure the regions of a registered volume; None on the worker ranks of an MPI job.

    Raises
    ------
    NotFoundError, InputError
        Something that is needed is not in OUT and was not named, or does not fit.
    ToolError
        Too little memory.
    """
    with executor(jobs) as pool:
        if pool is None:
            return None
        inputs = gathered(out, options)
        points = 0 if inputs.points is None else _COPIES * inputs.points.nbytes
        Budget.of(memory, jobs, _PROGRAMS).require(Need("counting", block_bytes(inputs), points))
        with open_run(
            out,
            command="regions",
            options=options.to_json(),
            inputs={"labels": inputs.labels.url, "channels": {n: v.url for n, v in inputs.channels.items()}},
            pool=pool,
            jobs=jobs,
            overwrite=overwrite,
            progress=progress,
        ) as run:
            done = Measurement(run.out / TABLE, measure_regions(run, inputs))
            if options.points is not None and all(not row.own.points for row in done.rows if row.structure.id):
                x, y, z = inputs.labels.grid().extent
                run.warn(
                    f"{options.points}: not one point lies in a structure; x, y, z are taken as µm, which here go "
                    f"from 0 to {x:.0f}, {y:.0f}, {z:.0f}"
                )
            return done


def gathered(out: Path, options: MeasurementOptions) -> RegionInputs:
    """What the options name, and for the rest what is in OUT."""
    labels = _labels(out, options)
    channels = {name: open_volume(place) for name, place in _channels(out, options.channels).items()}
    midplane, upstream = _midplane(out, options, labels)
    return RegionInputs(
        labels,
        _structures(out, options),
        channels,
        midplane,
        None if options.points is None else _positions(options.points),
        options.voxel_size,
        upstream,
    )


def _positions(points: Path) -> NDArray[np.float64]:
    return np.concatenate([block.positions for block in read_blocks(points)])


def block_bytes(inputs: RegionInputs) -> int:
    """Memory of a worker that counts."""
    volume, mip = inputs.counted
    x, y, _ = volume.size(mip)
    voxels = min(x, BLOCK) * min(y, BLOCK) * volume.scale(mip).chunk[2]
    items = inputs.labels.dtype.itemsize + sum(channel.dtype.itemsize for channel in inputs.channels.values())
    return voxels * (_READ * items + _RUN_BYTES)


def _labels(out: Path, options: MeasurementOptions) -> Volume:
    if options.labels is None and not (out / LABELS).is_dir():
        raise NotFoundError(
            f"{out} holds no {LABELS}",
            why="it is not the OUT folder of a registration, or that was done without labels",
            fix="give `cloudreg register` an atlas with labels first, or name a volume of labels: --labels PLACE",
        )
    return open_volume(options.labels or out / LABELS)


def _structures(out: Path, options: MeasurementOptions) -> StructureTree:
    if options.structures is None and not (out / STRUCTURES).is_file():
        raise NotFoundError(
            f"{out} holds no {STRUCTURES}",
            fix="name the table of the labels' structures: --structures FILE (JSON of the Allen Institute or of "
            "BrainGlobe, or CSV with id,acronym,name,parent)",
        )
    return read_structures(options.structures or out / STRUCTURES)


def _channels(out: Path, wanted: Sequence[str]) -> Mapping[str, str | Path]:
    """Places by name: those that were named, or every image right below OUT, or what was registered elsewhere."""
    if not wanted:
        return images_in(out) or _measured_before(out)
    places = dict(_channel(out, name) for name in wanted)
    if len(places) < len(wanted):
        raise InputError(f"two channels have one name: {', '.join(wanted)}", fix="measure them one by one")
    return places


def _channel(out: Path, name: str) -> tuple[str, str | Path]:
    """Name and place of a channel: a folder of OUT, or an address."""
    if "/" in name:
        return Location.parse(name).name, name
    if (out / name).is_dir():
        return name, out / name
    if Path(name).is_dir():
        return name, name
    raise NotFoundError(
        f"{out} has no channel {name}",
        why=f"its channels: {', '.join(images_in(out)) or 'none'}",
        fix="name one of these, or give the address of another: --channel /path/to/volume",
    )


def images_in(out: Path) -> dict[str, str | Path]:
    """The precomputed images right below OUT, by name."""
    return {path.parent.name: path.parent for path in sorted(out.glob("*/info")) if _is_image(path)}


def _measured_before(out: Path) -> dict[str, str | Path]:
    """What the table that is there tells of."""
    journal = out / HIDDEN / "journal.jsonl"
    stages = Journal.read(journal) if journal.is_file() else {}
    options = stages.get((VOXELS, ""), StageRecord()).options or {}
    return {
        name: channel["url"] if "://" in channel["url"] else out / channel["url"]
        for name, channel in options.get("channels", {}).items()
    }


def _is_image(info: Path) -> bool:
    try:
        return bool(json.loads(info.read_bytes()).get("type") == "image")
    except (ValueError, AttributeError):
        return False


def _midplane(out: Path, options: MeasurementOptions, labels: Volume) -> tuple[Midplane | None, str]:
    """The midplane in the labels' frame, and a digest of the transform."""
    folder = options.transform or out / TRANSFORM
    if options.transform is None and not folder.is_dir():
        if options.hemispheres:
            raise NotFoundError(
                f"{out} holds no {TRANSFORM}, which tells the hemispheres apart",
                fix="--transform DIR, or --no-hemispheres",
            )
        return None, ""
    from cloudreg_register.transforms.transform import Transform

    transform = Transform.load(folder)
    transform.target.aligned(labels.size(), labels.voxel_size(), "volume of labels")
    upstream = digest(folder / "meta.json")
    if not options.hemispheres:
        return None, upstream
    to_atlas = transform.mapper("atlas").mapped
    return Midplane.through(to_atlas, transform.atlas, transform.target), upstream
