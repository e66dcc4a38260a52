"""The stage that estimates the shading of a channel: sample planes, shrink them in parallel, estimate once.

A unit reads some planes, shrinks them to block means and leaves those in scratch; the last unit estimates from
all of them. The result depends on the sample and the options alone, not on the number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_correct.overlap import Overlap
from cloudreg_correct.sampling import Positions, SamplePlane, choose_sample, overlaps_of
from cloudreg_correct.shading import BackgroundChoice, ShadingEstimate, background_choice, fit_shading
from cloudreg_correct.shrink import ShrunkenPlanes, shrink_planes
from cloudreg_io.errors import InputError
from cloudreg_io.files.atomic import atomic_path, write_json
from cloudreg_io.files.tiff import write_stack
from cloudreg_io.run import Run, Shared, Unit, digest
from cloudreg_io.space import VoxelSize
from cloudreg_io.tiles import TileSource

_PLANES_PER_UNIT = 8
_FEW = 15  # planes with tissue: below, the estimate is said to be uncertain


@dataclass(frozen=True, slots=True)
class ShadingOptions:
    """What decides about the shading of a channel.

    Attributes
    ----------
    background : "auto", "none" or float
        Estimate the background, take 0, or take this many counts.
    sample : int, optional
        Number of planes; see `choose_sample`.
    seed : int
        Of the sample.
    saturation : float, optional
        See `shrink_planes`.
    identity : mapping
        What the raw planes depend on (JSON values, such as a fingerprint): when it changes, the stage is done
        again.
    """

    background: BackgroundChoice = "auto"
    sample: int | None = None
    seed: int = 0
    saturation: float | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)


def shading_stage(
    run: Run,
    source: TileSource,
    options: ShadingOptions | None = None,
    *,
    positions: Positions | None = None,
    provisional: bool = False,
) -> Path:
    """Estimate the shading of a channel into `OUT/shading/<channel>.tif`; QC goes to `OUT/qc/`.

    Parameters
    ----------
    run : Run
    source : TileSource
        Raw planes.
    options : ShadingOptions
    positions : mapping of tile name to (x, y, z), optional
        Where the tiles have been found to lie, in voxels. Their overlaps then show exactly the same tissue, which
        brings neighbouring tiles to agree; by default the stage is believed.
    provisional : bool
        A first estimate, for alignment to see the planes through: it is kept in scratch.

    Returns
    -------
    Path
        For `Shading.load`.

    Raises
    ------
    InputError
        The planes hold no signal or are too few; or the gains are implausible, in which case the field is kept
        in `OUT/qc/shading.<channel>.refused.tif`.
    """
    options = options or ShadingOptions()
    channel = source.channel
    stage = "provisional shading" if provisional else "shading"
    path = (run.scratch / stage if provisional else run.out) / "shading" / f"{channel}.tif"
    sample = choose_sample(source, options.sample, options.seed, positions)
    job = _Job(source, tuple(sample), options, positions, run.scratch / f"{stage} sample" / channel, path)
    shared = run.share(f"{stage} {channel}", job)
    keyed = {
        "background": background_choice(str(options.background)),
        "saturation": options.saturation,
        "sample": digest([list(plane) for plane in sample]),
        "positions": digest(positions) if positions else None,
        **options.identity,
    }
    known = run.finished(stage, channel)
    job.folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, len(sample), _PLANES_PER_UNIT)
    units = [Unit(f"planes {start}", _ShrinkTask(shared, start)) for start in starts]
    run.stage(f"{stage} sample", _shrink, units, channel=channel, options=keyed)
    outputs = [f"shading/{channel}.tif", f"qc/shading.{channel}.json", f"qc/shading.{channel}.npz"]
    units = [Unit("estimate", shared)]
    result = run.stage(
        stage, _estimate, units, channel=channel, options=keyed, outputs=() if provisional else outputs
    )
    run.discard(f"{stage} sample/{channel}")
    if not known and not provisional:
        _warn(run, channel, result["estimate"])
    return path


@dataclass(frozen=True, slots=True)
class _Job:
    source: TileSource
    sample: tuple[SamplePlane, ...]
    options: ShadingOptions
    positions: Positions | None
    folder: Path
    path: Path

    def part(self, start: int) -> Path:
        return self.folder / f"{start:05d}.npz"


@dataclass(frozen=True, slots=True)
class _ShrinkTask:
    job: Shared[_Job]
    start: int


def _shrink(task: _ShrinkTask) -> dict[str, int]:
    job = task.job.get()
    planes = job.sample[task.start : task.start + _PLANES_PER_UNIT]
    grid = job.source.grid
    x, y, _ = grid.tile_size
    buffer = np.empty((1, y, x), job.source.dtype)
    parts = [
        shrink_planes(
            job.source.read(grid.tile(name), slice(z, z + 1), out=buffer), saturation=job.options.saturation
        )
        for name, z in planes
    ]
    shrunken = ShrunkenPlanes.join(parts)
    with atomic_path(job.part(task.start)) as temporary, temporary.open("wb") as file:
        np.savez(file, means=shrunken.means, used=shrunken.used, dark=shrunken.dark)
    return {"planes": len(planes)}


def _estimate(shared: Shared[_Job]) -> dict[str, Any]:
    job = shared.get()
    grid = job.source.grid
    planes = _load(job)
    tiles = {tile.name: index for index, tile in enumerate(grid.scanned)}
    overlaps = overlaps_of(grid, job.sample, job.positions)
    with _naming(job.source.channel):
        estimate = fit_shading(
            planes,
            background=background_choice(str(job.options.background)),
            groups=[tiles[name] for name, _ in job.sample],
            overlaps=overlaps,
        )
    quality = job.path.parent.parent / "qc"
    quality.mkdir(parents=True, exist_ok=True)
    _save(estimate, job.path, quality, job.source.channel)
    summary = _summary(job, estimate, overlaps)
    write_json(quality / f"shading.{job.source.channel}.json", summary)
    _write_profiles(quality / f"shading.{job.source.channel}.npz", planes, estimate)
    return {name: value for name, value in summary.items() if name != "sample"}


@contextmanager
def _naming(channel: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"channel {channel}: {error.what}", why=error.why, fix=error.fix) from error


def _load(job: _Job) -> ShrunkenPlanes:
    from cloudreg_correct.blocks import Blocks

    x, y, _ = job.source.grid.tile_size
    blocks = Blocks.over((y, x))
    parts = []
    for start in range(0, len(job.sample), _PLANES_PER_UNIT):
        with np.load(job.part(start)) as stored:
            parts.append(ShrunkenPlanes(blocks, stored["means"], stored["used"], stored["dark"]))
    return ShrunkenPlanes.join(parts)


def _save(estimate: ShadingEstimate, path: Path, quality: Path, channel: str) -> None:
    try:
        shading = estimate.shading()
    except InputError as error:
        refused = quality / f"shading.{channel}.refused.tif"
        write_stack(refused, np.stack([estimate.flat, estimate.background]), VoxelSize(1, 1, 1))
        raise InputError(
            f"channel {channel}: {error.what}",
            why="there is too little tissue in the sampled planes, so that the estimate followed it",
            fix=f"look at {refused}; sample more planes, or give --background VALUE",
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    shading.save(path)


def _summary(job: _Job, estimate: ShadingEstimate, overlaps: list[Overlap]) -> dict[str, Any]:
    flat, background = estimate.flat, estimate.background
    return {
        "channel": job.source.channel,
        "planes": estimate.planes,
        "planes_with_tissue": estimate.with_tissue,
        "overlaps": len(overlaps),
        "flat_range": [float(flat.min()), float(flat.max())],
        "background_mean": float(background.mean(dtype=np.float64)),
        "background_range": [float(background.min()), float(background.max())],
        "background_certain": estimate.background_certain,
        "sample": [list(plane) for plane in job.sample],
    }


def _write_profiles(path: Path, planes: ShrunkenPlanes, estimate: ShadingEstimate) -> None:
    """Mean of the sampled planes before and after correction, on blocks: what a picture needs."""
    flat = shrink_planes([estimate.flat]).means[0]
    background = shrink_planes([estimate.background]).means[0]
    before: NDArray[np.float32] = planes.means.mean(axis=0) - background
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, flat=flat, background=background, before=before, after=before / flat)


def _warn(run: Run, channel: str, summary: dict[str, Any]) -> None:
    if not summary["background_certain"]:
        run.warn(
            f"channel {channel}: no place without tissue in the sample; the background of "
            f"{summary['background_mean']:.4g} counts follows from dim and bright planes and may be off by tens; "
            "--background VALUE gives the camera's offset"
        )
    if summary["planes_with_tissue"] < _FEW:
        run.warn(
            f"channel {channel}: only {summary['planes_with_tissue']} of {summary['planes']} sampled planes show "
            "tissue: the shading is uncertain; raise --sample"
        )
