"""The pipeline: orders the stages of the packages and does nothing else.

completeness → provisional shading, survey and placement on one channel → shading, bias and volume of each channel.
Every plane of the alignment channel is decoded for its sample, its survey and its fusion; the other channels
skip most of the survey.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from cloudreg_cli.plan import Forecast, Scope, foretell
from cloudreg_cli.summary import summary
from cloudreg_correct.bias import bias_stage
from cloudreg_correct.corrected import CorrectedTiles
from cloudreg_correct.memory import bias_bytes, shading_bytes
from cloudreg_correct.sample import ShadingOptions, shading_stage
from cloudreg_correct.shading import background_choice
from cloudreg_io.errors import InputError
from cloudreg_io.fields import Bias, Shading
from cloudreg_io.run import NO_PROGRESS, Progress, Run, digest, executor, open_run
from cloudreg_io.run.disk import Room
from cloudreg_io.run.memory import Budget, Need, Programs
from cloudreg_io.run.session import has_begun
from cloudreg_io.space import Bounds
from cloudreg_io.tiles import Acquisition, TileGrid, TileSource
from cloudreg_io.tiles.apart import require_apart
from cloudreg_io.tiles.completeness import Report, check
from cloudreg_io.tiles.fingerprint import fingerprint
from cloudreg_io.tiles.open import open_acquisition
from cloudreg_io.tiles.stage import AS_TOLD, StageAxes
from cloudreg_io.volumes.spec import SMALLEST
from cloudreg_stitch.adopt import adopt, given_placement, require_unedited
from cloudreg_stitch.align import place
from cloudreg_stitch.crop import Crop, CroppedTiles, moved
from cloudreg_stitch.fusion import FuseOptions, FusionReport, fuse, needs_to_fuse
from cloudreg_stitch.memory import needs_to_align
from cloudreg_stitch.options import AlignOptions
from cloudreg_stitch.overview import overview, overview_samples
from cloudreg_stitch.placement import Placement
from cloudreg_stitch.stage_check import look_at_stage, record_look
from cloudreg_stitch.survey import overview_survey, survey

# All libraries of all stages, in every process (measured; benchmarks/memory.py)
PROGRAMS = Programs(250_000_000, 200_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What the user decides about a run; `cloudreg run --help` says what each means."""

    channels: tuple[str, ...] = ()
    align_channel: str = ""
    voxel_size: tuple[float, float, float] | None = None
    axes: StageAxes = AS_TOLD
    check_stage: bool = True
    missing: Literal["error", "fill"] = "error"
    shading: bool = True
    background: str = "auto"
    sample: int | None = None
    bias: bool = True
    search: tuple[int, int, int] | None = None
    placement: Path | None = None
    interpolation: Literal["linear", "nearest"] = "linear"
    bounds: Bounds | None = None
    mips: int | None = None
    smallest: int = SMALLEST
    compression: Literal["gzip", "zstd", "br"] = "gzip"
    sharded: bool | None = None
    memory: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The options that decide about the result, for the provenance."""
        value = asdict(self)
        del value["memory"], value["check_stage"]
        value["axes"] = str(self.axes)
        value["placement"] = str(self.placement) if self.placement else None
        value["bounds"] = [*self.bounds.lower, *self.bounds.upper] if self.bounds else None
        return value


def run_acquisition(
    acquisition: Path,
    out: Path,
    options: RunOptions,
    *,
    jobs: int = 1,
    overwrite: bool = False,
    progress: Progress = NO_PROGRESS,
) -> dict[str, Any] | None:
    """Take an acquisition to fused volumes in OUT.

    Parameters
    ----------
    acquisition : Path
        What `open_acquisition` opens.
    out : Path
        Folder of results; one that an earlier run left is gone on with.
    options : RunOptions
    jobs : int
        Worker processes; under MPI the ranks but one.
    overwrite : bool
        Replace what an earlier run with other options made.
    progress : Progress

    Returns
    -------
    dict or None
        What was made, as a JSON value; None on the worker ranks of an MPI job.
    """
    with executor(jobs) as pool:
        if pool is None:
            return None
        return run_in_pool(acquisition, out, options, pool=pool, jobs=jobs, overwrite=overwrite, progress=progress)


def run_in_pool(
    acquisition: Path,
    out: Path,
    options: RunOptions,
    *,
    pool: Executor,
    jobs: int,
    overwrite: bool = False,
    progress: Progress = NO_PROGRESS,
) -> dict[str, Any]:
    """`run_acquisition` with an executor of the caller's."""
    raw = _prepared(acquisition, out, options)
    data, aligned = raw.data, raw.aligned
    budget = _require_sensible(options, raw.part, aligned, jobs)
    look = None
    if overwrite or not has_begun(out):
        if options.check_stage and options.placement is None:
            look = look_at_stage(data, aligned, AlignOptions(search=options.search), options.axes)
        Room.at(out).require(foretell(_scope(options, raw), budget, jobs).disk_bytes, out)
    with open_run(
        out,
        command="run",
        options=options.to_json(),
        inputs={"acquisition": str(data.root), "fingerprint": raw.fingerprint},
        pool=pool,
        jobs=jobs,
        progress=progress,
        overwrite=overwrite,
    ) as run:
        for problem in raw.report.problems:
            run.warn(f"left out: {problem}")
        if look is not None:
            record_look(run, look)
        if raw.crop is not None:
            run.warn(raw.crop.in_words(data.grid))
        first = _shaded(run, raw, aligned, options, None) if options.placement is None else None
        placement = _placement(run, first, options)
        fusions = [
            _fuse(run, _shaded(run, raw, channel, options, placement), placement, options, first)
            for channel in raw.channels
        ]
        return summary(run.out, placement, fusions)


@dataclass(frozen=True, slots=True)
class _Raw:
    """The acquisition, and the part of it that the volume needs: all of it, or what a crop says."""

    data: Acquisition
    part: Acquisition
    crop: Crop | None
    channels: list[str]
    aligned: str
    report: Report
    fingerprint: str


def plan_run(acquisition: Path, out: Path, options: RunOptions, jobs: int = 1) -> Forecast:
    """What `run_acquisition` with the same arguments would read, write, need and take. Nothing is written.

    Raises
    ------
    CloudRegError
        It would be refused, for another reason than the room on the disk.
    """
    raw = _prepared(acquisition, out, options)
    return foretell(_scope(options, raw), _require_sensible(options, raw.part, raw.aligned, jobs), jobs)


def _prepared(acquisition: Path, out: Path, options: RunOptions) -> _Raw:
    """The acquisition opened and found complete, as far as the volume needs it."""
    data = open_acquisition(acquisition, voxel_size=options.voxel_size, axes=options.axes)
    require_apart(data, out)
    channels = list(dict.fromkeys(data.channel(name) for name in options.channels or data.channels))
    aligned = data.channel(options.align_channel) if options.align_channel else channels[0]
    needed = list(dict.fromkeys([aligned, *channels]))
    taken = fingerprint(data, needed)  # of the whole, before a part of it is looked at
    crop = _crop(options, data)
    part = crop.part(data) if crop else data
    report = check(part, needed)
    report.error(options.missing)
    return _Raw(data, part, crop, channels, aligned, report, taken)


def _scope(options: RunOptions, raw: _Raw) -> Scope:
    return Scope(
        data=raw.data,
        part=raw.part,
        crop=raw.crop,
        channels=raw.channels,
        aligned="" if options.placement else raw.aligned,
        shading=options.shading,
        sample=options.sample,
        bias=options.bias,
        search=AlignOptions(search=options.search).search_of(raw.data.grid),
        fuse=_fusion(options, raw.data.grid, {}),
        fill=options.missing == "fill",
    )


def _crop(options: RunOptions, data: Acquisition) -> Crop | None:
    if options.bounds is None:
        return None
    if options.placement is not None:
        return Crop.at(data.grid, options.bounds, given_placement(options.placement, data.grid))
    return Crop.of(data.grid, options.bounds, AlignOptions(search=options.search).search_of(data.grid))


def _require_sensible(options: RunOptions, data: Acquisition, channel: str, jobs: int) -> int:
    """Say what is wrong with an option before OUT is made; the least memory, in bytes, that will do."""
    background_choice(options.background)
    AlignOptions(search=options.search)
    if options.placement is not None:
        given_placement(options.placement, data.grid)
    source = data.source(channel, fill_missing=options.missing == "fill")
    needs = (*_needs(options, source), *needs_to_fuse(source, _fusion(options, source.grid, {})))
    budget = Budget.of(options.memory, jobs, PROGRAMS)
    budget.require(*needs)
    return max(map(budget.least, needs))


def _needs(options: RunOptions, source: TileSource) -> Iterator[Need]:
    """What the stages before fusion take of the memory."""
    if options.shading:
        needed = shading_bytes(source.grid, source.dtype.itemsize, options.sample)
        yield Need("estimating the shading", needed)
    if options.placement is None:
        yield from needs_to_align(source, AlignOptions(search=options.search))
    if options.bias:
        yield Need("estimating the bias", *bias_bytes(overview_samples(source.grid)))


@contextmanager
def _naming(channel: str, without: str) -> Iterator[None]:
    """What cannot be estimated on a channel, an empty one for example, does not have to stop the others."""
    try:
        yield
    except InputError as error:
        what = error.what if channel in error.what else f"channel {channel}: {error.what}"
        leave = f"or leave this out with {without}, or the channel with --channels"
        fix = f"{error.fix}; {leave}" if error.fix and without not in error.fix else error.fix or leave
        raise InputError(what, why=error.why, fix=fix) from error


@dataclass(frozen=True, slots=True)
class _Channel:
    """One channel on its way: its raw planes, its shading, and what its shaded planes depend on."""

    raw: TileSource
    shading: Shading | None
    identity: Mapping[str, Any]
    crop: Crop | None

    @property
    def surveyed(self) -> TileSource:
        """The shaded planes that alignment and the overview see."""
        shaded = CorrectedTiles(self.raw, self.shading) if self.shading else self.raw
        return CroppedTiles(shaded, self.crop) if self.crop else shaded


def _shaded(run: Run, raw: _Raw, channel: str, options: RunOptions, placement: Placement | None) -> _Channel:
    """A channel and its shading: provisional until the tiles are placed, then one that makes neighbours agree."""
    fill = options.missing == "fill"
    needed = raw.part.source(channel, fill_missing=fill)
    identity: dict[str, Any] = {"acquisition": fingerprint(raw.data, [channel]), "missing": options.missing}
    if options.axes:
        identity["stage_axes"] = str(options.axes)
    if not options.shading:
        return _Channel(needed, None, identity, raw.crop)
    chosen = ShadingOptions(background=options.background, sample=options.sample, identity=identity)
    positions = placement.positions_of(channel) if placement else None
    with _naming(channel, "--no-shading"):
        # of the whole acquisition: a corner may hold too little tissue to show the shading
        whole = raw.data.source(channel, fill_missing=fill)
        path = shading_stage(run, whole, chosen, positions=positions, provisional=placement is None)
    return _Channel(needed, Shading.load(path), identity | {"shading": digest(path)}, raw.crop)


def _align(channel: _Channel, options: RunOptions) -> AlignOptions:
    crop = {"crop": channel.crop.to_json()} if channel.crop else {}
    return AlignOptions(search=options.search, identity={**channel.identity, **crop})


def _placement(run: Run, channel: _Channel | None, options: RunOptions) -> Placement:
    """Where the tiles go: as this channel shows, or as a given file says."""
    if channel is None:
        given = cast("Path", options.placement)
        return adopt(run, Placement.load(given), given)
    align = _align(channel, options)
    source, cropped = channel.surveyed, (channel.crop, channel.raw.grid) if channel.crop else None
    placement = place(run, source, survey(run, source, align), align, cropped)
    require_unedited(run, placement)
    return placement


def _fuse(
    run: Run, channel: _Channel, placement: Placement, options: RunOptions, aligned: _Channel | None
) -> FusionReport:
    """The volume of one channel, its shading and bias corrected on the way."""
    bias = _bias(run, channel, placement, options, aligned)
    source = CorrectedTiles(
        channel.raw,
        channel.shading,
        Bias.load(bias) if bias else None,
        placement.positions_of(channel.raw.channel),
    )
    identity = {**channel.identity, "bias": digest(bias) if bias else None}
    return fuse(run, source, placement, _fusion(options, source.grid, identity))


def _fusion(options: RunOptions, grid: TileGrid, identity: Mapping[str, Any]) -> FuseOptions:
    return FuseOptions(
        interpolation=options.interpolation,
        bounds=options.bounds,
        mips=options.mips,
        smallest=options.smallest,
        compression=options.compression,
        sharded=options.sharded,
        missing=options.missing,
        memory=options.memory,
        programs=PROGRAMS,
        command_bytes=bias_bytes(overview_samples(grid))[1] if options.bias else 0,
        identity=identity,
    )


def _bias(
    run: Run, channel: _Channel, placement: Placement, options: RunOptions, aligned: _Channel | None
) -> Path | None:
    """The bias of a channel, from the small copies of its tiles; those of the alignment channel are there."""
    if not options.bias:
        return None
    name = channel.raw.channel
    if aligned is not None and aligned.raw.channel == name:
        small = survey(run, aligned.surveyed, _align(aligned, options))
    else:
        small = overview_survey(run, channel.surveyed, _align(channel, options))
    if channel.crop is None:
        array, grid, covered = overview(small, placement)
    else:
        local, origin = channel.crop.local(placement)
        array, grid, covered = overview(small, local)
        grid = moved(grid, origin, tuple(placement.voxel_size))
    with _naming(name, "--no-bias"):
        return bias_stage(run, array, grid, name, mask=covered)
