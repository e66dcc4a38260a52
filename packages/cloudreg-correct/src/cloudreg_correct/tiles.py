"""Corrected tiles as files: a new acquisition beside the raw one, which is only read.

For pipelines that go on with files. CloudReg itself corrects planes as it reads them (`CorrectedTiles`), which
saves writing and reading every plane once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cloudreg_correct.apply import Clipped, correct_plane
from cloudreg_correct.layout import Layout
from cloudreg_correct.sample import ShadingOptions, shading_stage
from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.fields import Shading
from cloudreg_io.files.atomic import remove_temporaries, sync_files, write_json
from cloudreg_io.files.tiff import write_plane
from cloudreg_io.run import Run, Shared, Unit, digest
from cloudreg_io.tiles import Acquisition, TileSource, fingerprint
from cloudreg_io.tiles.completeness import check

Compression = Literal["zstd", "deflate", "lzw", "none"]

_PLANES_PER_UNIT = 16
_TOLERATED = 1e-3  # share of clipped voxels of a tile above which the user is told


@dataclass(frozen=True, slots=True)
class TileOptions:
    """What decides about corrected tiles.

    Attributes
    ----------
    shading : ShadingOptions
        How the shading is estimated, where it is.
    shading_files : Path, optional
        A folder of `<channel>.tif`, or one file for all channels: taken instead of an estimate.
    compression : {"zstd", "deflate", "lzw", "none"}
        Of the planes. Deflate and LZW are read by nearly every program.
    missing : {"error", "fill"}
        Whether planes that the metadata promises but nobody finds stop the work, or stay missing.
    """

    shading: ShadingOptions = field(default_factory=ShadingOptions)
    shading_files: Path | None = None
    compression: Compression = "zstd"
    missing: Literal["error", "fill"] = "error"

    def to_json(self) -> dict[str, Any]:
        """As JSON, for the provenance."""
        return {
            "background": self.shading.background,
            "sample": self.shading.sample,
            "shading": str(self.shading_files) if self.shading_files else None,
            "compression": self.compression,
            "missing": self.missing,
        }


@dataclass(frozen=True, slots=True)
class ChannelReport:
    """What was done to one channel.

    Attributes
    ----------
    channel : str
    planes : int
        Corrected.
    low, high : int
        Voxels that were clipped; low ones are the noise of places without tissue.
    voxels : int
        Corrected.
    shading : Path
    """

    channel: str
    planes: int
    low: int
    high: int
    voxels: int
    shading: Path

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        names = ("channel", "planes", "low", "high", "voxels")
        return {name: getattr(self, name) for name in names} | {"shading": str(self.shading)}


def correct_tiles(
    run: Run, acquisition: Acquisition, channels: Sequence[str | int] = (), options: TileOptions | None = None
) -> list[ChannelReport]:
    """Write the corrected planes of some channels into `run.out`, laid out like the acquisition.

    Parameters
    ----------
    run : Run
    acquisition : Acquisition
        Only read.
    channels : sequence of str or int
        All by default.
    options : TileOptions

    Returns
    -------
    list of ChannelReport

    Raises
    ------
    InputError
        OUT and the acquisition lie in one another, it is corrected already, it is not complete, or its shading
        cannot be estimated.
    """
    options = options or TileOptions()
    layout = Layout.of(acquisition, run.out)
    names = list(dict.fromkeys(acquisition.channel(channel) for channel in channels or acquisition.channels))
    check(acquisition, names).error(options.missing)
    given = given_shadings(acquisition, names, options)
    reports = [_correct_channel(run, acquisition, layout, name, options, given[name]) for name in names]
    layout.copy_descriptions(acquisition)  # last: a folder that opens as an acquisition is complete
    remove_temporaries(layout.place(acquisition.tile_root))
    return reports


@dataclass(frozen=True, slots=True)
class _Job:
    source: TileSource
    files: dict[str, Sequence[Path | None]]
    layout: Layout
    shading: Path
    compression: Compression


@dataclass(frozen=True, slots=True)
class _PlanesTask:
    job: Shared[_Job]
    tile: str
    start: int


def _correct_channel(
    run: Run, acquisition: Acquisition, layout: Layout, channel: str, options: TileOptions, given: Path | None
) -> ChannelReport:
    source = acquisition.source(channel, fill_missing=options.missing == "fill")
    identity = {"acquisition": fingerprint(acquisition, [channel])}
    if given is None:
        shading = shading_stage(run, source, _identified(options.shading, identity))
    else:
        shading = _take(run, given, channel)
    tiles = acquisition.grid.scanned
    job = _Job(source, acquisition.files[channel], layout, shading, options.compression)
    shared = run.share(f"tiles {channel}", job)
    starts = range(0, acquisition.grid.planes, _PLANES_PER_UNIT)
    units = [
        Unit(f"{tile.name} {start}", _PlanesTask(shared, tile.name, start)) for tile in tiles for start in starts
    ]
    keyed = {**identity, "shading": digest(shading), "compression": options.compression}
    known = run.finished("correct", channel)
    done = run.stage("correct", _correct_planes, units, channel=channel, options=keyed)
    counts = {tile.name: _sum([done[f"{tile.name} {start}"] for start in starts]) for tile in tiles}
    if not known:
        _report_clipped(run, channel, counts)
    total = _sum(list(counts.values()))
    return ChannelReport(channel, total["planes"], total["low"], total["high"], total["voxels"], shading)


def _identified(options: ShadingOptions, identity: dict[str, Any]) -> ShadingOptions:
    return ShadingOptions(
        options.background, options.sample, options.seed, options.saturation, {**options.identity, **identity}
    )


def given_shadings(
    acquisition: Acquisition, channels: Sequence[str], options: TileOptions
) -> dict[str, Path | None]:
    """The shading file that the user gives for each channel, after a look at it; None where it is to be estimated.

    Raises
    ------
    NotFoundError, InputError
        One is not there, cannot be used, or does not fit the planes.
    """
    x, y, _ = acquisition.grid.tile_size
    files = options.shading_files
    names = channels or acquisition.channels
    return {name: _given(files, name, (y, x)) if files else None for name in names}


def _given(files: Path, channel: str, planes: tuple[int, int]) -> Path:
    path = files / f"{channel}.tif" if files.is_dir() else files
    if not path.is_file():
        raise NotFoundError(f"no shading for channel {channel}: {path} not found", fix="--shading FILE or FOLDER")
    if (shape := Shading.load(path).shape) != planes:
        raise InputError(
            f"{path} is {list(shape)} [y, x], the planes are {list(planes)}",
            fix="give a --shading from the same camera setting, or leave it out",
        )
    return path


def _take(run: Run, given: Path, channel: str) -> Path:
    """Keep a copy of a shading that was given."""
    path = run.out / "shading" / f"{channel}.tif"
    run.stage(
        "shading",
        _copy_shading,
        [Unit("copy", (given, path))],
        channel=channel,
        options={"given": digest(given)},
        outputs=[f"shading/{channel}.tif"],
    )
    return path


def _copy_shading(task: tuple[Path, Path]) -> None:
    source, target = task
    target.parent.mkdir(parents=True, exist_ok=True)
    Shading.load(source).save(target)


def _correct_planes(task: _PlanesTask) -> dict[str, int]:
    job = task.job.get()
    grid = job.source.grid
    tile = grid.tile(task.tile)
    paths = job.files[tile.name]
    shading = Shading.load(job.shading)
    x, y, planes = grid.tile_size
    buffer = np.empty((1, y, x), job.source.dtype)
    written, clipped = [], Clipped()
    for z in range(task.start, min(task.start + _PLANES_PER_UNIT, planes)):
        path = paths[z]
        if path is not None:
            plane = job.source.read(tile, slice(z, z + 1), out=buffer)[0]
            clipped += correct_plane(plane, shading, out=plane)[1]
            target = job.layout.place(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_plane(target, plane, compression=job.compression, durable=False)
            written.append(target)
    if written:
        sync_files(written)  # all at once: before the journal says that they are there
    return {"planes": len(written), "low": clipped.low, "high": clipped.high, "voxels": len(written) * y * x}


def _sum(results: Sequence[dict[str, int]]) -> dict[str, int]:
    return {name: sum(result[name] for result in results) for name in ("planes", "low", "high", "voxels")}


def _report_clipped(run: Run, channel: str, counts: dict[str, dict[str, int]]) -> None:
    quality = run.out / "qc" / f"correct.{channel}.json"
    quality.parent.mkdir(parents=True, exist_ok=True)
    write_json(quality, {"channel": channel, "tiles": counts})
    # noise around an empty place's background goes below 0 as a matter of course: only the bright end is told
    over = {
        tile: count["high"] / count["voxels"]
        for tile, count in counts.items()
        if count["high"] > _TOLERATED * count["voxels"]
    }
    if over:
        worst = max(over, key=lambda tile: over[tile])
        run.warn(
            f"channel {channel}: {len(over)} tiles have more than {_TOLERATED:.1%} of their voxels above what the "
            f"data type holds, most {worst} with {over[worst]:.2%}; they were clipped"
        )
