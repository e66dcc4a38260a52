"""Preparation of a run: acquisition opened, options checked, needs worked out; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cloudreg_cli.plan import Scope
from cloudreg_correct.memory import bias_bytes, shading_bytes
from cloudreg_correct.shading import background_choice
from cloudreg_io.run.memory import Budget, Need, Programs
from cloudreg_io.space import Bounds
from cloudreg_io.tiles import Acquisition, TileGrid, TileSource
from cloudreg_io.tiles.apart import require_apart
from cloudreg_io.tiles.completeness import Report, check
from cloudreg_io.tiles.fingerprint import fingerprint
from cloudreg_io.tiles.open import open_acquisition
from cloudreg_io.tiles.stage import AS_TOLD, StageAxes
from cloudreg_io.volumes.spec import SMALLEST
from cloudreg_stitch.adopt import given_placement
from cloudreg_stitch.crop import Crop
from cloudreg_stitch.fusion import FuseOptions, needs_to_fuse
from cloudreg_stitch.memory import needs_to_align
from cloudreg_stitch.options import AlignOptions
from cloudreg_stitch.overview import overview_samples

if TYPE_CHECKING:
    from cloudreg_register.stage.choice import Choice

# All libraries of all stages but registration, in every process (measured; benchmarks/memory.py)
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
    autofluorescence_channel: str = ""
    registration: Choice | None = None

    def to_json(self) -> dict[str, Any]:
        """The options that decide about the result, for the provenance."""
        value = asdict(self)
        del value["memory"], value["check_stage"]
        value["axes"] = str(self.axes)
        value["placement"] = str(self.placement) if self.placement else None
        value["bounds"] = [*self.bounds.lower, *self.bounds.upper] if self.bounds else None
        return value


@dataclass(frozen=True, slots=True)
class Raw:
    """The acquisition, and the part of it that the volume needs: all of it, or what a crop says.

    Attributes
    ----------
    data, part : Acquisition
    crop : Crop or None
    channels : list of str
        To be fused.
    aligned : str
        The channel on which tiles are placed.
    report : Report
    fingerprint : str
    """

    data: Acquisition
    part: Acquisition
    crop: Crop | None
    channels: list[str]
    aligned: str
    report: Report
    fingerprint: str


def prepared(acquisition: Path, out: Path, options: RunOptions) -> Raw:
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
    return Raw(data, part, crop, channels, aligned, report, taken)


def scope(options: RunOptions, raw: Raw) -> Scope:
    """What of a run decides about its cost."""
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
        fuse=fusion(options, raw.data.grid, {}),
        fill=options.missing == "fill",
    )


def _crop(options: RunOptions, data: Acquisition) -> Crop | None:
    if options.bounds is None:
        return None
    if options.placement is not None:
        return Crop.at(data.grid, options.bounds, given_placement(options.placement, data.grid))
    return Crop.of(data.grid, options.bounds, AlignOptions(search=options.search).search_of(data.grid))


def require_sensible(options: RunOptions, data: Acquisition, channel: str, jobs: int) -> int:
    """Say what is wrong with an option before OUT is made; the least memory, in bytes, that will do."""
    background_choice(options.background)
    AlignOptions(search=options.search)
    if options.placement is not None:
        given_placement(options.placement, data.grid)
    source = data.source(channel, fill_missing=options.missing == "fill")
    needs = (*_needs(options, source), *needs_to_fuse(source, fusion(options, source.grid, {})))
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


def fusion(options: RunOptions, grid: TileGrid, identity: Mapping[str, Any]) -> FuseOptions:
    """How the volumes are fused; `identity` says of what."""
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
