"""Regions: the stage that measures each structure of a registered volume, chunk by chunk.

Voxels and intensities are counted on one level of the channels, in slabs one chunk deep; the labels are looked up
there by the nearest voxel, whatever levels they have. Points are looked up in the finest labels. The table is
written last (`region_table`); one with points holds all that one without has, so it takes its place and keeps it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.files.atomic import write_bytes
from cloudreg_io.files.structures import StructureTree, structures_csv
from cloudreg_io.run import Run, Shared, Unit, digest
from cloudreg_io.space import Bounds, Grid, resample, vector3i
from cloudreg_io.volumes.info import to_info
from cloudreg_io.volumes.volume import Volume
from cloudreg_register.analysis.region_table import Region, region_table, table_csv
from cloudreg_register.analysis.tally import Tally
from cloudreg_register.atlases.midplane import Midplane
from cloudreg_register.layout import TABLE
from cloudreg_register.transforms.fingerprints import place_of

VOXEL_SIZE = 25.0  # µm: voxels are counted on the coarsest level that has none larger
BLOCK = 512  # voxels x and y that are counted at a time
_SORTED = "region points.npy"
VOXELS, _POINTS, _TABLE = "regions", "region points", "region table"  # the stages


@dataclass(frozen=True, slots=True, eq=False)
class RegionInputs:
    """What a region table is made of.

    Attributes
    ----------
    labels : Volume
        Ids of structures, in the frame of the channels.
    structures : StructureTree
    channels : mapping of name to Volume
        All of one size and voxel size; may be empty.
    midplane : Midplane, optional
        In the frame of the labels; without it hemispheres are not told apart.
    points : [n, 3], optional
        µm in that frame.
    voxel_size : float
        µm: voxels are counted on the coarsest level that has none larger.
    upstream : str
        A digest of what the labels came from, so that other labels give another table.
    """

    labels: Volume
    structures: StructureTree
    channels: Mapping[str, Volume] = field(default_factory=dict)
    midplane: Midplane | None = None
    points: NDArray[np.float64] | None = None
    voxel_size: float = VOXEL_SIZE
    upstream: str = ""

    def __post_init__(self) -> None:
        if self.labels.dtype.kind != "u":
            raise InputError(
                f"{self.labels.url} holds {self.labels.dtype}, labels are of an unsigned type",
                why="it is an image, or labels of a signed type",
                fix="give the volume of labels: OUT/registration/labels, uint32 or uint64",
            )
        for name, volume in self.channels.items():
            _require_one_frame(self.labels, volume, name)
        sizes = {(volume.size(), volume.voxel_size()) for volume in self.channels.values()}
        if len(sizes) > 1:
            raise InputError(
                f"channels of different sizes or voxel sizes: {', '.join(self.channels)}",
                fix="measure them one by one: --channel NAME",
            )

    @property
    def counted(self) -> tuple[Volume, int]:
        """The volume whose voxels are counted, and its level."""
        volume = next(iter(self.channels.values()), self.labels)
        # a volume that has no voxels so small is measured as it is, which is nothing to warn of
        coarse = max(volume.voxel_size()) > self.voxel_size
        return volume, 0 if coarse else volume.mip_at(self.voxel_size)[0]

    def to_json(self, out: Path) -> dict[str, Any]:
        """What determines the result, as JSON."""

        def told(volume: Volume) -> dict[str, str]:
            return {"url": place_of(volume, out), "info": digest(to_info(volume.spec))}

        return {
            "labels": told(self.labels),
            "channels": {name: told(volume) for name, volume in self.channels.items()},
            "structures": digest(structures_csv(self.structures)),
            "midplane": None if self.midplane is None else _fingerprint(self.midplane.distance),
            "points": None if self.points is None else f"{len(self.points):,} ({_fingerprint(self.points)})",
            "voxel_size": self.voxel_size,
            "upstream": self.upstream,
        }


@dataclass(frozen=True, slots=True)
class _Part:
    """A slab of voxels to count, or some of the sorted points."""

    shared: Shared[_Work]
    begin: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    inputs: RegionInputs
    points: Path


def measure_regions(run: Run, inputs: RegionInputs, table: str = TABLE) -> tuple[Region, ...]:
    """Count, and write the table.

    Parameters
    ----------
    run : Run
    inputs : RegionInputs
    table : str
        Where, relative to OUT.

    Returns
    -------
    tuple of Region
        Its rows; the last ones are what lies outside.
    """
    small = RegionInputs(
        inputs.labels, inputs.structures, inputs.channels, inputs.midplane, voxel_size=inputs.voxel_size
    )
    work = run.share("regions", _Work(small, run.scratch / _SORTED))
    volume, mip = inputs.counted
    slabs = [Unit(f"z {low}-{up}", _Part(work, low, up)) for low, up in volume.slabs(mip)]
    options = inputs.to_json(run.out)
    pieces = [*run.stage(VOXELS, _count_slab, slabs, options=options | {"points": None}).values()]
    options["points"] = _points_to_tell(run, options)
    if inputs.points is not None:
        pieces += _count_points(run, inputs, work, options)
    elif options["points"] is not None:
        pieces += run.results_of(_POINTS).values()
    tally = Tally.of_json(pieces)
    rows = region_table(tally, inputs.structures, volume.voxel_size(mip).volume_mm3)
    text = run.share("region table", (run.out / table, table_csv(rows, tuple(inputs.channels))))
    keyed = options | {"counts": digest(tally.to_json())}
    run.stage(_TABLE, _write, [Unit("table", text)], options=keyed, outputs=[table])
    return rows


def _points_to_tell(run: Run, options: Mapping[str, Any]) -> str | None:
    """Which points the table shall have: those that are given; where none are, those that it has already.

    Where it has none yet, its stage and an earlier count may begin anew: nothing is lost by that.
    """
    there = run.options_of(_TABLE)
    told = None if there is None else there["points"]
    given: str | None = options["points"]
    if given is None:
        alike = there is not None and {**there, "points": None, "counts": ""} == {**options, "counts": ""}
        return told if alike else None
    if told is None:
        for stage in (_POINTS, _TABLE):
            if run.options_of(stage) not in (None, options):
                run.withdraw(stage)
    return given


def _count_points(
    run: Run, inputs: RegionInputs, work: Shared[_Work], options: dict[str, Any]
) -> list[list[list[Any]]]:
    """Counts of the points, slab by slab; those outside of the volume have a unit of their own."""
    points = np.asarray(inputs.points, np.float64)
    index = _nearest(inputs.labels, points)
    depth = inputs.labels.spec.chunk[2]
    slab = np.where(_inside(inputs.labels, index), index[:, 2] // depth, -1).astype(np.int64)
    order = np.argsort(slab, kind="stable")
    np.save(run.scratch / _SORTED, points[order])
    slabs, starts = np.unique(slab[order], return_index=True)
    ends = [*starts[1:].tolist(), len(slab)]
    units = [
        Unit("outside" if number < 0 else f"z {number * depth}", _Part(work, begin, end))
        for number, begin, end in zip(slabs.tolist(), starts.tolist(), ends, strict=True)
    ]
    return list(run.stage(_POINTS, _look_up, units, options=options).values())


def _nearest(labels: Volume, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The voxels [n, 3] in which points lie, of the finest labels."""
    return np.floor(labels.grid().index_of(points) + 0.5)


def _inside(labels: Volume, index: NDArray[np.float64]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = np.all((index >= 0) & (index < labels.size()), axis=1)
    return inside


def _count_slab(part: _Part) -> list[list[Any]]:
    inputs = part.shared.get().inputs
    volume, mip = inputs.counted
    whole = volume.bounds(mip)
    slab = Bounds((whole.lower[0], whole.lower[1], part.begin), (whole.upper[0], whole.upper[1], part.end))
    tally = Tally()
    for box in slab.chunks((BLOCK, BLOCK, part.end - part.begin)):
        grid = volume.grid(mip, box)
        labels = _labels_on(inputs.labels, grid)
        images = [channel.read(box, mip) for channel in inputs.channels.values()]
        tally.add_block(labels, images, None if inputs.midplane is None else inputs.midplane.right_of(grid))
    return tally.to_json()


def _labels_on(labels: Volume, grid: Grid) -> NDArray[Any]:
    """The labels at the samples of a grid; 0 beyond the label volume."""
    mip = labels.mip_at(grid.voxel_size)[0] if min(grid.spacing) >= min(labels.voxel_size()) else 0
    level = labels.grid(mip)
    low, high = level.index_of(grid.origin), level.index_of(grid.point_at([n - 1 for n in grid.size]))
    box = Bounds(
        vector3i([math.floor(v) - 1 for v in low]), vector3i([math.ceil(v) + 2 for v in high])
    ).intersection(Bounds.of_size(level.size))
    if box.is_empty:
        return np.zeros(grid.shape, labels.dtype)
    first = labels.bounds(mip).lower
    return resample(labels.read(box.translate(first), mip), level.crop(box), grid, order=0, outside=0)


def _look_up(part: _Part) -> list[list[Any]]:
    work = part.shared.get()
    points = np.load(work.points, mmap_mode="r")[part.begin : part.end]
    labels, midplane = work.inputs.labels, work.inputs.midplane
    index = _nearest(labels, points)
    inside = np.flatnonzero(_inside(labels, index))
    ids = np.zeros(len(points), labels.dtype)
    for rows, box in _boxes(index[inside].astype(np.int64), labels):
        x, y, z = (index[inside[rows]].astype(np.int64) - np.array(box.lower)).T
        ids[inside[rows]] = labels.read(box.translate(labels.bounds().lower))[z, y, x]
    tally = Tally()
    tally.add_points(ids, None if midplane is None else midplane.right_at(points))
    return tally.to_json()


def _boxes(index: NDArray[np.int64], labels: Volume) -> Iterator[tuple[NDArray[np.intp], Bounds]]:
    """The chunks that hold points, and which points."""
    if not len(index):
        return
    along_x, along_y, _ = labels.scale().chunks
    x, y, z = (index // np.array(labels.spec.chunk)).T
    group = (z * along_y + y) * along_x + x
    order = np.argsort(group, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        lower, upper = index[rows].min(axis=0), index[rows].max(axis=0) + 1
        yield rows, Bounds(vector3i(lower), vector3i(upper))


def _fingerprint(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()[:16]


def _write(shared: Shared[tuple[Path, str]]) -> None:
    path, text = shared.get()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, text.encode())


def _require_one_frame(labels: Volume, volume: Volume, name: str) -> None:
    extents = zip(labels.grid().extent, volume.grid().extent, strict=True)
    edges = zip(labels.voxel_size(), volume.voxel_size(), strict=True)
    if any(abs(a - b) > max(e) * (1 + 1e-6) for (a, b), e in zip(extents, edges, strict=True)):
        raise InputError(
            f"{labels.url} and the channel {name} are not of one extent: "
            f"{labels.size()} voxels of {labels.voxel_size()}, {volume.size()} of {volume.voxel_size()}",
            why="every image right below OUT is measured where no --channel is named, and one of them may lie on "
            "the atlas; or the labels belong to another volume, or are those of the atlas itself",
            fix="--channel NAME, of the image to measure, or the labels that `cloudreg register` made for this "
            "volume: --labels OUT/registration/labels",
        )
