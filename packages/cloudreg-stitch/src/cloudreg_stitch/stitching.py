"""The whole way: check an acquisition, align its tiles, fuse its channels into OUT."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from cloudreg_io.errors import InputError, NotFoundError, ToolError
from cloudreg_io.fields import Bias, Shading
from cloudreg_io.files.location import Location
from cloudreg_io.run import NO_PROGRESS, Progress, Run, digest, open_run
from cloudreg_io.run.memory import Budget, Need
from cloudreg_io.run.session import has_begun
from cloudreg_io.space import Vector3, VoxelSize
from cloudreg_io.tiles import Acquisition, TileSource, fingerprint, open_acquisition
from cloudreg_io.tiles.apart import require_apart
from cloudreg_io.tiles.completeness import check
from cloudreg_io.tiles.stage import AS_TOLD, StageAxes
from cloudreg_stitch.adopt import PLACEMENT, adopt, given_placement, require_unedited
from cloudreg_stitch.align import place
from cloudreg_stitch.crop import Crop, CroppedTiles
from cloudreg_stitch.fusion import FuseOptions, FusionReport, fuse, needs_to_fuse
from cloudreg_stitch.memory import STITCH, needs_to_align
from cloudreg_stitch.options import AlignOptions
from cloudreg_stitch.placement import Placement
from cloudreg_stitch.stage_check import StageReport, look_at_stage, record_look
from cloudreg_stitch.survey import survey

# Makes a source of corrected planes: (source, shading, bias, positions by tile name).
Corrector = Callable[..., TileSource]


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
    sources = _Sources(data, part, crop, options, corrector)
    sources.require(wanted)
    AlignOptions(options.search)  # what is wrong with an option is said before OUT is made
    if options.placement is not None:
        given_placement(options.placement, data.grid)
    elif options.steps == "fuse":
        _require_placement(folder / PLACEMENT)
    needs: tuple[Need, ...] = ()
    if options.steps != "fuse":
        needs += needs_to_align(data.source(aligned), AlignOptions(options.search))
    if options.steps != "align":
        needs += needs_to_fuse(part.source(channels[0], fill_missing=options.missing == "fill"), options.fuse)
    Budget.of(options.fuse.memory, options.jobs, STITCH).require(*needs)
    look = None
    if options.check_stage and options.steps != "fuse" and (options.overwrite or not has_begun(folder)):
        look = look_at_stage(data, aligned, AlignOptions(options.search), options.axes)
    with open_run(
        folder,
        command="stitch",
        options=_record(options, channels, aligned),
        inputs={"acquisition": str(data.root), "fingerprint": taken},
        pool=pool,
        jobs=options.jobs,
        progress=progress,
        overwrite=options.overwrite,
    ) as run:
        _tell(run, look, crop, data)
        placement = _placement(run, sources, aligned, options)
        fusions = []
        for channel in channels if options.steps != "align" else ():
            chosen = replace(
                options.fuse,
                missing=options.missing,
                voxel_size=options.voxel_size,
                destination=destination,
                identity=sources.identity(channel),
            )
            fusions.append(fuse(run, sources.corrected(channel, placement), placement, chosen))
        scanned = placement.scanned
        flagged = sum(bool(tile.flags) for tile in scanned)
        return StitchReport(out, run.out / PLACEMENT, len(scanned), flagged, tuple(fusions))


def _placement(run: Run, sources: _Sources, channel: str, options: StitchOptions) -> Placement:
    path = run.out / PLACEMENT
    if options.steps != "fuse":
        identity = sources.identity(channel) | {"bias": None}  # bias lies in the frame that alignment finds
        if sources.crop is not None:
            identity["crop"] = sources.crop.to_json()
        align = AlignOptions(options.search, options.placement, identity)
        source, cropped = sources.shaded(channel), None
        if sources.crop is not None:
            source, cropped = CroppedTiles(source, sources.crop), (sources.crop, sources.data.grid)
        placement = place(run, source, survey(run, source, align), align, cropped)
        require_unedited(run, placement)
        return placement
    if options.placement is not None:
        return adopt(run, Placement.load(options.placement), options.placement)
    return Placement.load(path)


def _require_placement(path: Path) -> None:
    if not path.exists():
        raise NotFoundError(
            f"{path} does not exist",
            why="--fuse-only uses an earlier alignment",
            fix="leave --fuse-only out to align first, or name a placement file: --placement FILE",
        )


@dataclass(frozen=True, slots=True)
class _Sources:
    """The planes of the channels, corrected as the user asks."""

    data: Acquisition
    part: Acquisition
    crop: Crop | None
    options: StitchOptions
    corrector: Corrector | None

    def require(self, channels: Sequence[str]) -> None:
        """Find out before any work whether the corrections are there."""
        for channel in channels:
            for path in (self._file(self.options.shading, channel), self._file(self.options.bias, channel)):
                if path is not None and not path.exists():
                    raise NotFoundError(
                        f"{path} does not exist",
                        why=f"channel {channel} has no correction in that folder",
                        fix="estimate it with cloudreg correct, or leave the option out",
                    )
        if (self.options.shading or self.options.bias) and self.corrector is None:
            raise ToolError("shading and bias need a corrector", fix="give cloudreg_correct.CorrectedTiles")

    def identity(self, channel: str) -> dict[str, Any]:
        """What the planes of a channel depend on."""
        files = {
            "shading": self._file(self.options.shading, channel),
            "bias": self._file(self.options.bias, channel),
        }
        known = {name: digest(path) if path else None for name, path in files.items()}
        axes = {"stage_axes": str(self.options.axes)} if self.options.axes else {}
        return {"acquisition": fingerprint(self.data, [channel])} | axes | known

    def shaded(self, channel: str) -> TileSource:
        """A channel with its shading corrected."""
        source: TileSource = self.part.source(channel, fill_missing=self.options.missing == "fill")
        path = self._file(self.options.shading, channel)
        if path is None or self.corrector is None:
            return source
        return self.corrector(source, Shading.load(path))

    def corrected(self, channel: str, placement: Placement) -> TileSource:
        """A channel with shading and bias corrected; the bias lies in the frame of the fused volume."""
        path = self._file(self.options.bias, channel)
        if path is None or self.corrector is None:
            return self.shaded(channel)
        source: TileSource = self.part.source(channel, fill_missing=self.options.missing == "fill")
        flat = self._file(self.options.shading, channel)
        shading = Shading.load(flat) if flat else None
        return self.corrector(source, shading, Bias.load(path), _shifted(placement, channel))

    @staticmethod
    def _file(folder: Path | None, channel: str) -> Path | None:
        return folder / f"{channel}.tif" if folder is not None else None


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


def _shifted(placement: Placement, channel: str) -> Mapping[str, Vector3]:
    dx, dy, dz = placement.channel_shift.get(channel, (0.0, 0.0, 0.0))
    return {name: (x + dx, y + dy, z + dz) for name, (x, y, z) in placement.positions.items()}


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
