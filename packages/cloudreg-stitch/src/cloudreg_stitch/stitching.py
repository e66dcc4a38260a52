"""The whole way: check an acquisition, align its tiles, fuse its channels into OUT."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files.location import Location
from cloudreg_io.run import NO_PROGRESS, Progress, Run, open_run
from cloudreg_io.run.memory import Budget, Need
from cloudreg_io.run.session import has_begun
from cloudreg_io.space import VoxelSize
from cloudreg_io.tiles import Acquisition, fingerprint, open_acquisition
from cloudreg_io.tiles.apart import require_apart
from cloudreg_io.tiles.completeness import check
from cloudreg_io.tiles.stage import AS_TOLD, StageAxes
from cloudreg_stitch.adopt import PLACEMENT, adopt, given_placement, require_unedited
from cloudreg_stitch.align import place
from cloudreg_stitch.channel_sources import ChannelSources, Corrector
from cloudreg_stitch.crop import Crop, CroppedTiles
from cloudreg_stitch.fusion import FuseOptions, FusionReport, fuse, needs_to_fuse
from cloudreg_stitch.memory import STITCH, needs_to_align
from cloudreg_stitch.options import AlignOptions
from cloudreg_stitch.placement import Placement
from cloudreg_stitch.stage_check import look_at_stage, record_look
from cloudreg_stitch.stage_evidence import StageReport
from cloudreg_stitch.survey import survey


@dataclass(frozen=True, slots=True)
class StitchOptions:
    """What the user decides.

    Attributes
    ----------
    steps : "all", "align" or "fuse"
    channels : sequence of str
        Names or numbers; all by default.
    align_channel : str
        By default the first of `channels`.
    voxel_size : VoxelSize, optional
        In place of the acquisition's.
    axes : StageAxes
        How the stage's axes lie to the image's.
    check_stage : bool
        Whether to look at some overlaps before alignment.
    placement : Path, optional
        Fusion alone takes it as it is (default OUT/placement.json); alignment keeps its tiles flagged `pinned`.
    shading, bias : Path, optional
        Folders that hold `<channel>.tif`, as `cloudreg correct` writes them.
    missing : "error" or "fill"
    search : (x, y, z) int, optional
    fuse : FuseOptions
    work : Path, optional
        Local folder for the journal and small results; needed when OUT is in S3.
    jobs : int
    overwrite : bool
    """

    steps: Literal["all", "align", "fuse"] = "all"
    channels: Sequence[str] = ()
    align_channel: str = ""
    voxel_size: VoxelSize | None = None
    axes: StageAxes = AS_TOLD
    check_stage: bool = True
    placement: Path | None = None
    shading: Path | None = None
    bias: Path | None = None
    missing: Literal["error", "fill"] = "error"
    search: tuple[int, int, int] | None = None
    fuse: FuseOptions = field(default_factory=FuseOptions)
    work: Path | None = None
    jobs: int = 1
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class StitchReport:
    """What was made.

    Attributes
    ----------
    out : str
    placement : Path
    tiles, flagged : int
        Scanned tiles, and how many of them are flagged.
    fusions : tuple of FusionReport
    """

    out: str
    placement: Path
    tiles: int
    flagged: int
    fusions: tuple[FusionReport, ...]


def stitch(
    acquisition: Path,
    out: str,
    options: StitchOptions,
    *,
    pool: Executor | None = None,
    progress: Progress = NO_PROGRESS,
    corrector: Corrector | None = None,
) -> StitchReport:
    """Align and fuse an acquisition.

    Parameters
    ----------
    acquisition : Path
        What `open_acquisition` opens.
    out : str
        Folder, or s3:// address, of the results.
    options : StitchOptions
    pool : Executor, optional
        From `executor(options.jobs)`.
    progress : Progress
    corrector : callable, optional
        `cloudreg_correct.CorrectedTiles`, needed for shading and bias; this library does not depend on it.

    Raises
    ------
    InputError, NotFoundError
        Before any work: the acquisition is not complete, or an option does not fit it.
    """
    job = _prepared(acquisition, out, options, corrector)
    look = None
    if options.check_stage and options.steps != "fuse" and (options.overwrite or not has_begun(job.folder)):
        look = look_at_stage(job.sources.data, job.aligned, AlignOptions(options.search), options.axes)
    with open_run(
        job.folder,
        command="stitch",
        options=_record(options, job.channels, job.aligned),
        inputs={"acquisition": str(job.sources.data.root), "fingerprint": job.fingerprint},
        pool=pool,
        jobs=options.jobs,
        progress=progress,
        overwrite=options.overwrite,
    ) as run:
        _tell(run, look, job.crop, job.sources.data)
        placement = _placement(run, job, options)
        fusions = [
            _fused(run, job, channel, placement, options)
            for channel in (job.channels if options.steps != "align" else ())
        ]
        scanned = placement.scanned
        flagged = sum(bool(tile.flags) for tile in scanned)
        return StitchReport(out, run.out / PLACEMENT, len(scanned), flagged, tuple(fusions))


@dataclass(frozen=True, slots=True)
class _Job:
    """What there is to do, found to be in order before OUT is touched."""

    folder: Path
    destination: str | None
    channels: list[str]
    aligned: str
    fingerprint: str
    crop: Crop | None
    sources: ChannelSources


def _prepared(acquisition: Path, out: str, options: StitchOptions, corrector: Corrector | None) -> _Job:
    data = open_acquisition(acquisition, voxel_size=options.voxel_size, axes=options.axes)
    channels = [data.channel(name) for name in options.channels] or list(data.channels)
    aligned = data.channel(options.align_channel) if options.align_channel else channels[0]
    folder, destination = _folder(out, options.work)
    for target in (folder, out):
        require_apart(data, target)
    wanted = [aligned] if options.steps == "align" else channels
    if options.steps == "all" and aligned not in wanted:
        wanted = [*channels, aligned]
    taken = fingerprint(data, wanted)  # of the whole, before a part of it is looked at
    crop = _crop(data, options, folder)
    part = crop.part(data) if crop else data
    check(part, wanted).error(options.missing)
    sources = ChannelSources(data, part, options.missing, options.axes, options.shading, options.bias, corrector)
    sources.require(wanted)
    job = _Job(folder, destination, channels, aligned, taken, crop, sources)
    _require_sensible(job, options)
    return job


def _require_sensible(job: _Job, options: StitchOptions) -> None:
    """Say what is wrong with an option before OUT is made."""
    align, sources = AlignOptions(options.search), job.sources
    if options.placement is not None:
        given_placement(options.placement, sources.data.grid)
    elif options.steps == "fuse":
        _require_placement(job.folder / PLACEMENT)
        given_placement(job.folder / PLACEMENT, sources.data.grid)  # it may have been edited
    needs: tuple[Need, ...] = ()
    if options.steps != "fuse":
        needs += needs_to_align(sources.data.source(job.aligned), align)
    if options.steps != "align":
        needs += needs_to_fuse(sources.raw(job.channels[0]), options.fuse)
    Budget.of(options.fuse.memory, options.jobs, STITCH).require(*needs)


def _placement(run: Run, job: _Job, options: StitchOptions) -> Placement:
    if options.steps != "fuse":
        return _aligned(run, job, options)
    if options.placement is not None:
        return adopt(run, Placement.load(options.placement), options.placement)
    return Placement.load(run.out / PLACEMENT)


def _aligned(run: Run, job: _Job, options: StitchOptions) -> Placement:
    sources, crop = job.sources, job.crop
    identity = sources.identity(job.aligned) | {"bias": None}  # bias lies in the frame that alignment finds
    source, cropped = sources.shaded(job.aligned), None
    if crop is not None:
        identity["crop"] = crop.to_json()
        source, cropped = CroppedTiles(source, crop), (crop, sources.data.grid)
    align = AlignOptions(options.search, options.placement, identity)
    placement = place(run, source, survey(run, source, align), align, cropped)
    require_unedited(run, placement)
    return placement


def _fused(run: Run, job: _Job, channel: str, placement: Placement, options: StitchOptions) -> FusionReport:
    chosen = replace(
        options.fuse,
        missing=options.missing,
        voxel_size=options.voxel_size,
        destination=job.destination,
        identity=job.sources.identity(channel),
    )
    return fuse(run, job.sources.corrected(channel, placement), placement, chosen)


def _require_placement(path: Path) -> None:
    if not path.exists():
        raise NotFoundError(
            f"{path} does not exist",
            why="--fuse-only uses an earlier alignment",
            fix="leave --fuse-only out to align first, or name a placement file: --placement FILE",
        )


def _tell(run: Run, look: StageReport | None, crop: Crop | None, data: Acquisition) -> None:
    """Put what was found before the run began into its provenance."""
    if look is not None:
        record_look(run, look)
    if crop is not None:
        run.warn(crop.in_words(data.grid))


def _crop(data: Acquisition, options: StitchOptions, folder: Path) -> Crop | None:
    """What `--bounds` needs; None without, and where tiles are pinned, whose frame only the whole mosaic shows."""
    bounds = options.fuse.bounds
    if bounds is None:
        return None
    if options.steps == "fuse":
        path = options.placement or folder / PLACEMENT
        return Crop.at(data.grid, bounds, given_placement(path, data.grid)) if path.exists() else None
    if options.placement is not None:
        return None
    return Crop.of(data.grid, bounds, AlignOptions(options.search).search_of(data.grid))


def _folder(out: str, work: Path | None) -> tuple[Path, str | None]:
    """The local folder of a run, and where its volumes go when that is somewhere else."""
    location = Location.parse(out)
    if location.is_file:
        return (location.path, None) if work is None else (work, out)
    if work is None:
        raise InputError(
            f"{out} is not a local folder",
            why="the journal and small results need one",
            fix="name it: --work DIR",
        )
    return work, out


def _record(options: StitchOptions, channels: Sequence[str], aligned: str) -> dict[str, Any]:
    """The options as provenance keeps them: those that decide about results."""
    fusion = options.fuse
    return {
        "steps": options.steps,
        "channels": list(channels),
        "align_channel": aligned,
        "voxel_size": list(options.voxel_size) if options.voxel_size else None,
        "axes": str(options.axes),
        "placement": str(options.placement) if options.placement else None,
        "shading": str(options.shading) if options.shading else None,
        "bias": str(options.bias) if options.bias else None,
        "missing": options.missing,
        "search": list(options.search) if options.search else None,
        "interpolation": fusion.interpolation,
        "blend": fusion.blend,
        "bounds": [*fusion.bounds.lower, *fusion.bounds.upper] if fusion.bounds else None,
        "mips": fusion.mips,
        "smallest": fusion.smallest,
        "compression": fusion.compression,
        "sharded": fusion.sharded,
    }
