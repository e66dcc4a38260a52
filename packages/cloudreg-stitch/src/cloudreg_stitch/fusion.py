"""Fusion: the tiles of a channel, blended into one volume with all its mips.

Units are slabs of z one chunk deep (or strips of them, see `cloudreg_stitch.plan`); each reads its planes,
adds them up in bands (`cloudreg_stitch.bands`) and hands finished rows to the writer of the volume. Mip 0 is
written once and never read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files.atomic import is_temporary, write_json
from cloudreg_io.files.location import Location
from cloudreg_io.run import Run, Shared, Unit, digest
from cloudreg_io.run.memory import Budget, Need, Programs
from cloudreg_io.space import Bounds, VoxelSize
from cloudreg_io.tiles import TileSource
from cloudreg_io.volumes.build import finish_volume
from cloudreg_io.volumes.info import to_info
from cloudreg_io.volumes.slabs import SlabWriter
from cloudreg_io.volumes.spec import CHUNK, SMALLEST, Compression, VolumeSpec
from cloudreg_io.volumes.volume import create_volume
from cloudreg_stitch import seams
from cloudreg_stitch.bands import Counts, Scene, fuse_window, release
from cloudreg_stitch.blend import Blend
from cloudreg_stitch.fusion_report import FusionReport, write_report
from cloudreg_stitch.layout import Interpolation, Layout
from cloudreg_stitch.memory import STITCH
from cloudreg_stitch.placement import Placement
from cloudreg_stitch.plan import FusionPlan, fusion_needs, plan_fusion

__all__ = ["FuseOptions", "FusionReport", "fuse", "fuse_unit", "lay_out"]

STAGE = "fuse"
_DTYPES = ("uint8", "int8", "uint16", "int16", "float32")


@dataclass(frozen=True, slots=True)
class FuseOptions:
    """What the user decides about fusion.

    Attributes
    ----------
    interpolation : "linear" or "nearest"
        "linear" between voxels where a tile lies at a fraction of a voxel; "nearest" leaves counts untouched.
    blend : "cosine" or "none"
    bounds : Bounds, optional
        The part of the mosaic that becomes the volume.
    mips, smallest, compression, sharded, chunk
        As for `VolumeSpec.plan`.
    voxel_size : VoxelSize, optional
        In place of the acquisition's.
    missing : "error" or "fill"
        What to do when planes are missing that the metadata promises.
    memory : int, optional
        Bytes for all processes together, under MPI for each rank; None for no limit.
    programs : Programs
        What the processes take of it before any data.
    command_bytes : int
        What the command itself holds of it while workers keep what they need for fusion.
    destination : str, optional
        Folder or s3:// address that takes the channels' volumes, by default OUT.
    identity : mapping
        What the source's planes depend on (fingerprint of the files, digests of corrections), for the journal.
    """

    interpolation: Interpolation = "linear"
    blend: Blend = "cosine"
    bounds: Bounds | None = None
    mips: int | None = None
    smallest: int = SMALLEST
    compression: Compression = "gzip"
    sharded: bool | None = None
    chunk: tuple[int, int, int] = CHUNK
    voxel_size: VoxelSize | None = None
    missing: str = "error"
    memory: int | None = None
    programs: Programs = STITCH
    command_bytes: int = 0
    destination: str | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Job:
    scene: Scene
    url: str
    spec: VolumeSpec
    scratch: Path


@dataclass(frozen=True, slots=True)
class _Task:
    job: Shared[_Job]
    window: Bounds


def fuse(run: Run, source: TileSource, placement: Placement, options: FuseOptions | None = None) -> FusionReport:
    """Fuse one channel into `OUT/<channel>`.

    Parameters
    ----------
    run : Run
    source : TileSource
    placement : Placement
    options : FuseOptions

    Returns
    -------
    FusionReport

    Raises
    ------
    InputError
        The placement is of another acquisition, a plane is missing, or the channel was fused here with other
        options.
    ToolError
        There is too little memory.
    """
    options = options or FuseOptions()
    layout, spec = lay_out(source, placement, options)
    scene = Scene(source, layout, seams.seams_of(layout, source.grid), options.blend, spec.chunk[1])
    location = Location.parse(options.destination or str(run.out)) / source.channel
    url = str(location.path if location.is_file else location)
    _tidy(run.out, run.out / "qc", run.out / source.channel)
    keyed = _identity(placement, spec, layout, options)
    folder = run.scratch / STAGE / source.channel
    _tell_cut(run, source, placement, options)
    plan = _plan(run, layout, spec, folder / "plan.json", keyed, options)
    scratch = folder / f"{digest(keyed)} {plan.strips}"
    job = run.share(f"{STAGE} {source.channel}", _Job(scene, url, spec, scratch))
    units = [Unit(_key(window, plan), _Task(job, window)) for window in plan.windows]
    outputs = [f"qc/fusion.{source.channel}.json"] + ([] if options.destination else [source.channel])
    if run.finished(STAGE, source.channel) and location.is_file and not location.path.exists():
        run.require_outputs(STAGE, source.channel)  # before an empty volume takes the place of what was deleted
    results = run.stage(STAGE, fuse_unit, units, channel=source.channel, options=keyed, outputs=outputs)
    release()
    volume = create_volume(url, spec)
    finish_volume(run, volume, scratch, channel=source.channel, options=keyed)
    counts = Counts.zeros(scene)
    for result in results.values():
        counts.add_json(result)
    told = {name: keyed[name] for name in ("interpolation", "blend", "bounds")}
    return replace(write_report(run, scene, volume, counts, options=told, decodes=plan.decodes), url=url)


def _tell_cut(run: Run, source: TileSource, placement: Placement, options: FuseOptions) -> None:
    """Say that bounds reach beyond the mosaic; what lies there is not made."""
    if options.bounds is None:
        return
    whole = Layout.of(source, placement, interpolation=options.interpolation).volume
    if not whole.contains(options.bounds):
        run.warn(
            f"--bounds {options.bounds} reach beyond the mosaic of {whole.size} voxels (x, y, z); the volume is "
            f"{whole.intersection(options.bounds)}"
        )


def needs_to_fuse(source: TileSource, options: FuseOptions) -> tuple[Need, ...]:
    """What fusion takes of the memory; refuses before any work what it would refuse at its end: bounds, levels.

    The tiles are taken to lie where the stage says.

    Raises
    ------
    InputError
    """
    layout, spec = lay_out(source, Placement.by_stage(source.grid), options)
    return fusion_needs(layout, spec, options.command_bytes)


def lay_out(source: TileSource, placement: Placement, options: FuseOptions) -> tuple[Layout, VolumeSpec]:
    """Where the tiles go and what volume they make; for plans and for fusion itself."""
    if source.dtype.name not in _DTYPES:
        raise InputError(
            f"channel {source.channel} is {source.dtype.name}; fusion takes {', '.join(_DTYPES)}",
            why="sums are float32, which does not hold larger integers exactly",
            fix="convert the planes",
        )
    if options.missing == "error":
        _require_complete(source)
    layout = Layout.of(source, placement, interpolation=options.interpolation, bounds=options.bounds)
    spec = VolumeSpec.plan(
        layout.size,
        options.voxel_size or placement.voxel_size,
        source.dtype,
        mips=options.mips,
        smallest=options.smallest,
        chunk=options.chunk,
        compression=options.compression,
        sharded=options.sharded,
    )
    return layout, spec


def fuse_unit(task: _Task) -> dict[str, Any]:
    """Fuse one slab or strip and write it."""
    job, window = task.job.get(), task.window
    volume = create_volume(job.url, job.spec)
    z, x = (window.lower[2], window.upper[2]), (window.lower[0], window.upper[0])
    with SlabWriter(volume, job.scratch, z, x) as writer:
        counts = fuse_window(job.scene, window, writer.write)
    return counts.to_json()


def _require_complete(source: TileSource) -> None:
    for tile in source.grid.scanned:
        missing = [int(k) for k in np.flatnonzero(~source.present(tile)) if tile.promises(int(k))]
        if missing:
            raise NotFoundError(
                f"tile {tile.name}, channel {source.channel}: {len(missing)} plane(s) missing, first {missing[0]}",
                why="the copy or the recording is incomplete",
                fix="copy it again, or leave these planes out with --missing fill",
            )


def _identity(placement: Placement, spec: VolumeSpec, layout: Layout, options: FuseOptions) -> dict[str, Any]:
    """Everything that determines the bytes of the volume."""
    absent = {tile.tile.name: np.flatnonzero(~tile.present).tolist() for tile in layout.footprints}
    return {
        "placement": digest(placement.to_json()),
        "volume": to_info(spec),
        "compression": spec.compression,
        "interpolation": options.interpolation,
        "blend": options.blend,
        "bounds": [list(options.bounds.lower), list(options.bounds.upper)] if options.bounds else None,
        "absent": digest(absent),
        "destination": options.destination,
        **options.identity,
    }


def _plan(
    run: Run, layout: Layout, spec: VolumeSpec, path: Path, keyed: Mapping[str, Any], options: FuseOptions
) -> FusionPlan:
    """Plan; keep to the strips of an earlier attempt where memory allows, so that its work is not done again."""
    identity, earlier = digest(keyed), 1
    if path.exists():
        known = json.loads(path.read_text())
        earlier = known["strips"] if known["identity"] == identity else 1
    done = run.finished(STAGE, path.parent.name)
    plan = plan_fusion(
        layout,
        spec,
        budget=Budget.of(None if done else options.memory, run.jobs, options.programs),
        command=options.command_bytes,
        at_least=earlier,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"identity": identity, "strips": plan.strips})
    return plan


def _tidy(*folders: Path) -> None:
    """Remove the unfinished files that a killed command left; chunks are looked after by `finish_volume`."""
    for folder in folders:
        for path in folder.glob(".tmp-*"):
            if is_temporary(path):
                path.unlink(missing_ok=True)


def _key(window: Bounds, plan: FusionPlan) -> str:
    (x0, _, z0), (x1, _, z1) = window.lower, window.upper
    return f"z{z0}-{z1} x{x0}-{x1} of {plan.strips}"
