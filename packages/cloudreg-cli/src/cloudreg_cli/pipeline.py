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
from cloudreg_io.fields import Bias, Shading
from cloudreg_io.run import NO_PROGRESS, Progress, Run, digest, executor, open_run
from cloudreg_io.space import Bounds
from cloudreg_io.tiles import Acquisition, TileSource
from cloudreg_io.tiles.completeness import check
from cloudreg_io.tiles.fingerprint import fingerprint
from cloudreg_io.tiles.open import open_acquisition
from cloudreg_io.volumes.spec import SMALLEST
from cloudreg_stitch.align import place
from cloudreg_stitch.fusion import FuseOptions, FusionReport, fuse
from cloudreg_stitch.options import AlignOptions
from cloudreg_stitch.overview import overview
from cloudreg_stitch.placement import Placement
from cloudreg_stitch.survey import Survey, overview_survey, survey


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
        fusions = [work.fuse(channel, placement, aligned) for channel in channels]
        return _summary(run, data, placement, fusions)


@dataclass(frozen=True, slots=True)
class _Pipeline:
    """The stages of one run, in the order in which they need each other."""

    run: Run
    data: Acquisition
    options: RunOptions

    def placement(self, aligned: str) -> Placement:
        """Where the tiles go: as a given file says, or found on the alignment channel."""
        if self.options.placement is not None:
            placement = Placement.load(self.options.placement)
            placement.save(self.run.out / "placement.json")
            return placement
        return place(self.run, self._shaded(aligned), self._survey(aligned, whole=True), self._align(aligned))

    def fuse(self, channel: str, placement: Placement, aligned: str) -> FusionReport:
        """The volume of one channel, its shading and bias corrected on the way."""
        shading = self._shading(channel)
        bias = self._bias(channel, placement, whole=channel == aligned and self.options.placement is None)
        source = CorrectedTiles(
            self._raw(channel),
            Shading.load(shading) if shading else None,
            Bias.load(bias) if bias else None,
            placement.positions_of(channel),
        )
        options = FuseOptions(
            interpolation=self.options.interpolation,
            bounds=self.options.bounds,
            mips=self.options.mips,
            smallest=self.options.smallest,
            compression=self.options.compression,
            sharded=self.options.sharded,
            missing=self.options.missing,
            memory=self.options.memory,
            identity=self._identity(channel) | {"bias": digest(bias) if bias else None},
        )
        return fuse(self.run, source, placement, options)

    def _raw(self, channel: str) -> TileSource:
        return self.data.source(channel, fill_missing=self.options.missing == "fill")

    def _shaded(self, channel: str) -> TileSource:
        shading = self._shading(channel)
        return CorrectedTiles(self._raw(channel), Shading.load(shading)) if shading else self._raw(channel)

    def _shading(self, channel: str) -> Path | None:
        if not self.options.shading:
            return None
        options = ShadingOptions(
            background=self.options.background,
            sample=self.options.sample,
            identity={"acquisition": fingerprint(self.data, [channel])},
        )
        return shading_stage(self.run, self._raw(channel), options)

    def _survey(self, channel: str, *, whole: bool) -> Survey:
        look = survey if whole else overview_survey
        return look(self.run, self._shaded(channel), self._align(channel))

    def _bias(self, channel: str, placement: Placement, *, whole: bool) -> Path | None:
        if not self.options.bias:
            return None
        array, grid, covered = overview(self._survey(channel, whole=whole), placement)
        return bias_stage(self.run, array, grid, channel, mask=covered)

    def _align(self, channel: str) -> AlignOptions:
        return AlignOptions(search=self.options.search, identity=self._identity(channel))

    def _identity(self, channel: str) -> dict[str, Any]:
        """What the shaded planes of a channel depend on."""
        shading = self._shading(channel)
        return {
            "acquisition": fingerprint(self.data, [channel]),
            "shading": digest(shading) if shading else None,
        }


def _summary(run: Run, data: Acquisition, placement: Placement, fusions: Sequence[FusionReport]) -> dict[str, Any]:
    flags: dict[str, list[str]] = {}
    for tile in placement.scanned:
        for flag in tile.flags:
            flags.setdefault(flag, []).append(tile.name)
    return {
        "out": str(run.out),
        "placement": str(run.out / "placement.json"),
        "tiles": len(data.grid.scanned),
        "flags": flags,
        "volumes": [
            {
                "channel": fusion.channel,
                "url": fusion.url,
                "size": list(fusion.size),
                "voxel_size_um": list(fusion.voxel_size),
                "uncovered": fusion.uncovered,
                "coverage": fusion.coverage,
                "seams": fusion.seams,
            }
            for fusion in fusions
        ],
        "view": f"cloudreg viz serve {shlex.quote(str(run.out))}",
    }


def in_words(result: dict[str, Any]) -> str:
    """What a run made, for a person."""
    lines = [f"placement   {result['placement']}   {result['tiles']} tiles"]
    for flag, tiles in result["flags"].items():
        lines.append(f"  {flag}: {', '.join(tiles[:8])}{' …' if len(tiles) > 8 else ''}")
    for volume in result["volumes"]:
        size = " × ".join(map(str, volume["size"]))
        lines.append(f"{volume['channel']:<11} {volume['url']}   {size} voxels, {volume['uncovered']} uncovered")
    lines.append(f"look at it: {result['view']}")
    return "\n".join(lines)
