"""The pipeline: orders the stages of the packages and does nothing else.

channels → completeness → shading of each → survey and placement on one → bias of each → fused volume of each.
Every plane of the alignment channel is decoded for its sample, its survey and its fusion; the other channels
skip most of the survey.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from cloudreg_correct.bias import bias_stage
from cloudreg_correct.corrected import CorrectedTiles
from cloudreg_correct.sample import ShadingOptions, shading_stage
from cloudreg_io.run import NO_PROGRESS, Progress, Run, digest, executor, open_run
from cloudreg_io.space import Bounds
from cloudreg_io.tiles import Acquisition, TileSource
from cloudreg_io.tiles.completeness import check
from cloudreg_io.tiles.fingerprint import fingerprint
from cloudreg_io.tiles.open import open_acquisition
from cloudreg_stitch.align import place
from cloudreg_stitch.fusion import FuseOptions, FusionReport, fuse
from cloudreg_stitch.options import AlignOptions
from cloudreg_stitch.overview import overview
from cloudreg_stitch.placement import Placement
from cloudreg_stitch.survey import overview_survey, survey


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What the user decides about a run; `cloudreg run --help` says what each means."""

    channels: tuple[str, ...] = ()
    align_channel: str = ""
    voxel_size: tuple[float, float, float] | None = None
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
        del value["memory"]
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
        return run_in_pool(
            acquisition, out, options, pool=pool, jobs=jobs, overwrite=overwrite, progress=progress
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
) -> dict[str, Any]:
    """`run_acquisition` with an executor of the caller's."""
    data = open_acquisition(acquisition, voxel_size=options.voxel_size)
    channels = list(dict.fromkeys(data.channel(name) for name in options.channels or data.channels))
    aligned = data.channel(options.align_channel) if options.align_channel else channels[0]
    needed = list(dict.fromkeys([aligned, *channels]))
    report = check(data, needed)
    report.error(options.missing)
    with open_run(
        out,
        command="run",
        options=options.to_json(),
        inputs={"acquisition": str(data.root), "fingerprint": fingerprint(data, needed)},
        pool=pool,
        jobs=jobs,
        progress=progress,
        overwrite=overwrite,
    ) as run:
        for problem in report.problems:
            run.warn(f"left out: {problem}")
        work = _Pipeline(run, data, options)
        placement = work.placement(aligned)
        return _summary(run, data, placement, work.fuse(channels, aligned, placement))
