"""The pipeline: orders the stages of the packages and does nothing else.

completeness → provisional shading, survey and placement on one channel → shading, bias and volume of each channel
→ registration of one of them, where that is wanted.
Every plane of the alignment channel is decoded for its sample, its survey and its fusion; the other channels
skip most of the survey.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cloudreg_cli.forecast import Forecast
from cloudreg_cli.plan import foretell
from cloudreg_cli.prepare import Raw, RunOptions, fusion, prepared, require_sensible, scope
from cloudreg_cli.registration_steps import (
    PreparedRegistration,
    prepared_registration,
    register_brain,
    with_registration,
)
from cloudreg_cli.summary import summary
from cloudreg_correct.bias import bias_stage
from cloudreg_correct.corrected import CorrectedTiles
from cloudreg_correct.sample import ShadingOptions, shading_stage
from cloudreg_io.errors import InputError
from cloudreg_io.fields import Bias, Shading
from cloudreg_io.run import NO_PROGRESS, Progress, Run, digest, executor, open_run
from cloudreg_io.run.disk import Room
from cloudreg_io.run.session import has_begun
from cloudreg_io.tiles import TileSource
from cloudreg_io.tiles.fingerprint import fingerprint
from cloudreg_stitch.adopt import adopt, require_unedited
from cloudreg_stitch.align import place
from cloudreg_stitch.crop import Crop, CroppedTiles, moved
from cloudreg_stitch.fusion import FusionReport, fuse
from cloudreg_stitch.options import AlignOptions
from cloudreg_stitch.overview import overview
from cloudreg_stitch.placement import Placement
from cloudreg_stitch.stage_check import look_at_stage, record_look
from cloudreg_stitch.survey import overview_survey, survey

if TYPE_CHECKING:
    from cloudreg_register.stage.starting import Person

__all__ = ["RunOptions", "plan_run", "run_acquisition", "run_in_pool"]


def plan_run(acquisition: Path, out: Path, options: RunOptions, jobs: int = 1) -> Forecast:
    """What `run_acquisition` with the same arguments would read, write, need and take. Nothing is written.

    Raises
    ------
    CloudRegError
        It would be refused, for another reason than the room on the disk.
    """
    raw = prepared(acquisition, out, options)
    memory = require_sensible(options, raw.part, raw.aligned, jobs)
    return _foretold(options, raw, prepared_registration(options, raw, out, jobs), memory, jobs)


def _foretold(
    options: RunOptions, raw: Raw, registration: PreparedRegistration | None, memory: int, jobs: int
) -> Forecast:
    forecast = foretell(scope(options, raw), memory, jobs)
    return forecast if registration is None else with_registration(forecast, registration, options, raw)


def run_acquisition(
    acquisition: Path,
    out: Path,
    options: RunOptions,
    *,
    jobs: int = 1,
    overwrite: bool = False,
    progress: Progress = NO_PROGRESS,
    person: Person | None = None,
) -> dict[str, Any] | None:
    """Take an acquisition to fused volumes in OUT, and register one to an atlas where that is wanted.

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
    person : Person, optional
        Who is shown the start of the registration, and asked.

    Returns
    -------
    dict or None
        What was made, as a JSON value; None on the worker ranks of an MPI job.
    """
    with executor(jobs) as pool:
        if pool is None:
            return None
        return run_in_pool(
            acquisition, out, options, pool=pool, jobs=jobs, overwrite=overwrite, progress=progress, person=person
        )


def run_in_pool(
    acquisition: Path,
    out: Path,
    options: RunOptions,
    *,
    pool: Executor,
    jobs: int,
    overwrite: bool = False,
    progress: Progress = NO_PROGRESS,
    person: Person | None = None,
) -> dict[str, Any]:
    """`run_acquisition` with an executor of the caller's."""
    raw = prepared(acquisition, out, options)
    data, aligned = raw.data, raw.aligned
    memory = require_sensible(options, raw.part, aligned, jobs)
    registration = prepared_registration(options, raw, out, jobs)
    look = None
    if overwrite or not has_begun(out):
        if options.check_stage and options.placement is None:
            look = look_at_stage(data, aligned, AlignOptions(search=options.search), options.axes)
        Room.at(out).require(_foretold(options, raw, registration, memory, jobs).disk_bytes, out)
    with open_run(
        out,
        command="run",
        options=options.to_json()
        | ({} if registration is None else {"autofluorescence_channel": registration.channel}),
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
        registered = None
        if registration is not None:
            registered = register_brain(run, registration, fusions, options.memory, person)
        return summary(run.out, placement, fusions, registered)


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


def _shaded(run: Run, raw: Raw, channel: str, options: RunOptions, placement: Placement | None) -> _Channel:
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
    return fuse(run, source, placement, fusion(options, source.grid, identity))


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
