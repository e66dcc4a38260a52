"""Bias correction of a volume that is already stitched: a new volume with the same mips; the old one is only read.

1. the mip nearest to `voxel_size` is shrunken, slab by slab, so that no axis has more than 256 samples,
2. N4 estimates the bias on that (`bias`),
3. slabs of mip 0 are read, divided by the field interpolated at each voxel's own place, and written with all
   mips, so that it does not matter by which factors the source's mips were made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_correct.apply import BiasOfPlane, Clipped, correct_plane
from cloudreg_correct.bias import BiasOptions, bias_stage, coarser, shrunken
from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.fields import Bias
from cloudreg_io.files.atomic import atomic_path
from cloudreg_io.files.location import Location
from cloudreg_io.run import Run, Unit, digest
from cloudreg_io.space import Bounds
from cloudreg_io.space.grid import Grid
from cloudreg_io.volumes import SlabWriter, Volume, VolumeSpec, create_volume, finish_volume, open_volume
from cloudreg_io.volumes.info import to_info
from cloudreg_io.volumes.spec import Compression

_LARGEST_OVERVIEW = 256  # samples along an axis
_SUPPORTED = ("uint8", "uint16", "float32")


@dataclass(frozen=True, slots=True)
class VolumeOptions:
    """What decides about a corrected volume.

    Attributes
    ----------
    voxel_size : float
        In µm: the bias is estimated on the coarsest mip whose voxels are no larger.
    bias : BiasOptions
    bias_file : Path, optional
        A bias field to apply instead of an estimate (`<name>.tif` with its JSON beside).
    compression : str
        Of the chunks.
    """

    voxel_size: float = 15.0
    bias: BiasOptions = field(default_factory=BiasOptions)
    bias_file: Path | None = None
    compression: Compression = "gzip"

    def to_json(self) -> dict[str, Any]:
        """As JSON, for the provenance."""
        return {
            "voxel_size": self.voxel_size,
            "bias": str(self.bias_file) if self.bias_file else None,
            "iterations": list(self.bias.iterations),
            "compression": self.compression,
        }


@dataclass(frozen=True, slots=True)
class VolumeReport:
    """What was made.

    Attributes
    ----------
    volume : Volume
    bias : Path
        The field that was applied.
    low, high : int
        Voxels that were clipped.
    bytes : int
        Written.
    """

    volume: Volume
    bias: Path
    low: int
    high: int
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "volume": self.volume.url,
            "size": list(self.volume.size()),
            "bias": str(self.bias),
            "low": self.low,
            "high": self.high,
            "bytes": self.bytes,
        }


def correct_volume(
    run: Run, source: str | Path | Location, target: str | Path | Location, options: VolumeOptions | None = None
) -> VolumeReport:
    """Write a volume with its bias corrected.

    Parameters
    ----------
    run : Run
    source : str, Path or Location
        A precomputed image of one channel, local or in S3; only read.
    target : str, Path or Location
        Folder of the new volume.
    options : VolumeOptions

    Returns
    -------
    VolumeReport

    Raises
    ------
    InputError
        TARGET and SOURCE lie in one another, or SOURCE is no image that can be corrected.
    """
    options = options or VolumeOptions()
    volume, spec = plan_correction(source, target, options)
    name = Location.parse(source).name
    identity = {
        "source": volume.url,
        "info": digest(to_info(volume.spec)),
        "voxel_size": options.voxel_size,
        "given": digest(options.bias_file) if options.bias_file else None,
    }
    bias = options.bias_file or _bias_of(run, volume, name, options, identity)
    keyed = {**identity, "bias": digest(bias), "volume": digest(to_info(spec))}
    made = Volume(str(Location.parse(target)), spec)
    outputs = _outputs(run.out, made)
    run.stage("create", _create, [Unit("info", made)], channel=name, options=keyed, outputs=outputs)
    scratch = run.scratch / f"correct-{digest(keyed)}"
    units = [Unit(f"z{z[0]}-{z[1]}", _SlabTask(volume, made, bias, scratch, z)) for z in made.slabs()]
    done = list(run.stage("correct", _correct_slab, units, channel=name, options=keyed).values())
    finished = finish_volume(run, made, scratch, channel=name, options=keyed)
    written = finished["bytes"] + (0 if spec.sharded else sum(result["bytes"] for result in done))
    low, high = (sum(result[end] for result in done) for end in ("low", "high"))
    return VolumeReport(made, bias, low, high, written)


def plan_correction(
    source: str | Path | Location, target: str | Path | Location, options: VolumeOptions
) -> tuple[Volume, VolumeSpec]:
    """Open the source and plan the new volume; every check comes here, before anything is written."""
    old, new = Location.parse(source), Location.parse(target)
    _require_apart(old, new)
    volume = open_volume(old)
    spec = volume.spec
    if spec.layer != "image" or spec.channels != 1 or spec.dtype not in _SUPPORTED:
        raise InputError(
            f"{old} is a {spec.layer} of {spec.dtype} with {spec.channels} channel(s), which cannot be corrected",
            fix=f"give an image of one channel and one of {', '.join(_SUPPORTED)}",
        )
    if any(spec.scales[0].offset):
        raise InputError(f"{old} begins at voxel {spec.scales[0].offset}; volumes that are written begin at 0")
    if options.bias_file is not None:
        if not options.bias_file.is_file():
            raise NotFoundError(f"no bias field at {options.bias_file}")
        Bias.load(options.bias_file)
    planned = VolumeSpec.plan(
        spec.size, spec.voxel_size, spec.dtype, mips=spec.mips, compression=options.compression
    )
    return volume, planned


def _require_apart(old: Location, new: Location) -> None:
    if old.is_file and new.is_file:
        a, b = old.path.resolve(), new.path.resolve()
        together = a == b or a in b.parents or b in a.parents
    else:
        a_text, b_text = f"{str(old).rstrip('/')}/", f"{str(new).rstrip('/')}/"
        together = a_text.startswith(b_text) or b_text.startswith(a_text)
    if together:
        raise InputError(
            f"SRC {old} and DST {new} lie in one another",
            why="a volume is never corrected in place: a second run would correct it twice",
            fix="choose another folder for DST",
        )


def _outputs(out: Path, made: Volume) -> list[str]:
    location = made.location
    if not location.is_file or not location.path.is_relative_to(out.absolute()):
        return []
    folder = location.path.relative_to(out.absolute())
    return [str(folder / name) for name in ("info", *(scale.key for scale in made.spec.scales))]


def _create(volume: Volume) -> None:
    create_volume(volume.location, volume.spec)


# --- the overview that N4 sees


@dataclass(frozen=True, slots=True)
class _OverviewTask:
    volume: Volume
    mip: int
    factor: int
    z: tuple[int, int]
    path: Path


def overview_samples(volume: Volume, options: VolumeOptions) -> int:
    """How many samples N4's overview of a volume has."""
    mip, factor = _overview_of(volume, options)
    return math.prod(-(-n // factor) for n in volume.size(mip))


def _overview_of(volume: Volume, options: VolumeOptions) -> tuple[int, int]:
    """The mip that is shrunken, and by which factor."""
    mip, _ = volume.mip_at(options.voxel_size)
    return mip, max(1, -(-max(volume.size(mip)) // _LARGEST_OVERVIEW))


def _bias_of(run: Run, volume: Volume, name: str, options: VolumeOptions, identity: dict[str, Any]) -> Path:
    mip, factor = _overview_of(volume, options)
    size = volume.size(mip)
    depth = factor * max(1, 32 // factor)
    folder = run.scratch / "overview"
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [
        _OverviewTask(volume, mip, factor, (z, min(z + depth, size[2])), folder / f"{name}-{z}.npy")
        for z in range(0, size[2], depth)
    ]
    units = [Unit(f"z{task.z[0]}", task) for task in tasks]
    run.stage("overview", _shrink_slab, units, channel=name, options={**identity, "mip": mip})
    overview = np.concatenate([np.load(task.path) for task in tasks])
    grid = coarser(volume.grid(mip), factor, overview.shape)
    return bias_stage(run, overview, grid, name, options=options.bias)


def _shrink_slab(task: _OverviewTask) -> None:
    width, height, _ = task.volume.size(task.mip)
    # rows of whole chunks and of whole blocks: no chunk is read twice, and no more than a row of chunks is held
    rows = math.lcm(task.volume.scale(task.mip).chunk[1], task.factor)
    slab = np.concatenate(
        [
            shrunken(
                task.volume.read(Bounds((0, y, task.z[0]), (width, min(y + rows, height), task.z[1])), task.mip),
                task.factor,
            )
            for y in range(0, height, rows)
        ],
        axis=1,
    )
    with atomic_path(task.path) as temporary, temporary.open("wb") as file:
        np.save(file, slab)


# --- mip 0


@dataclass(frozen=True, slots=True)
class _SlabTask:
    source: Volume
    target: Volume
    bias: Path
    scratch: Path
    z: tuple[int, int]


def _correct_slab(task: _SlabTask) -> dict[str, int]:
    width, height, _ = task.source.size()
    rows = task.target.spec.chunk[1]
    bias = Bias.load(task.bias)
    clipped = Clipped()
    with SlabWriter(task.target, task.scratch, task.z) as writer:
        for y in range(0, height, rows):
            box = Bounds((0, y, task.z[0]), (width, min(y + rows, height), task.z[1]))
            band = task.source.read(box)
            clipped += correct_box(band, bias, box.lower, task.source.grid())
            writer.write(band)
    return {**writer.result(), "low": clipped.low, "high": clipped.high}


def correct_box(box: NDArray[Any], bias: Bias, corner: tuple[int, int, int], grid: Grid) -> Clipped:
    """Divide part of a volume by a bias field, in place.

    Parameters
    ----------
    box : [z, y, x] uint8, uint16 or float32
    bias : Bias
    corner : (x, y, z) int
        Which sample of `grid` voxel 0 of the box is.
    grid : Grid
        Of the whole volume; it begins at physical 0.

    Returns
    -------
    Clipped
    """
    clipped = Clipped()
    shape = (box.shape[1], box.shape[2])
    x, y, z = corner
    for index, plane in enumerate(box):
        here = BiasOfPlane.at(bias, (x, y, z + index), grid.spacing, shape)
        clipped += correct_plane(plane, None, here, out=plane)[1]
    return clipped
