"""The commands `run`, from raw tiles to volumes and to an atlas, and `plan`, which says what that will cost."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cloudreg_cli.commands import AcquisitionArgument, VoxelSizeOption
from cloudreg_io.console import (
    CheckStageFlag,
    DebugFlag,
    FlipXFlag,
    FlipYFlag,
    JobsOption,
    JsonFlag,
    MemoryOption,
    OverwriteFlag,
    SwapXYFlag,
    command_progress,
    memory_bytes,
    only_rank_zero,
    typed_place,
)
from cloudreg_io.option_groups import with_groups
from cloudreg_register.cli import at_terminal
from cloudreg_register.cli_options import TypedRegistration

if TYPE_CHECKING:
    from cloudreg_cli.prepare import RunOptions
    from cloudreg_register.stage.choice import Choice


# options by their heading in the help; what names none is about the tiles
of_correction = partial(typer.Option, rich_help_panel="Correction")
of_stitching = partial(typer.Option, rich_help_panel="Stitching")
of_volumes = partial(typer.Option, rich_help_panel="Volumes")


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedRun:
    """What is typed about a run, but its registration: a group of options (`cloudreg_io.option_groups`)."""

    channels: Annotated[str, typer.Option(help="Which, such as 0,1 or CHN00,CHN01. Default: all.")] = ""
    voxel_size: VoxelSizeOption = None
    flip_x: FlipXFlag = False
    flip_y: FlipYFlag = False
    swap_xy: SwapXYFlag = False
    check_stage: CheckStageFlag = True
    missing: Annotated[
        Literal["error", "fill"], typer.Option(help="Planes that are not there: stop, or leave them out.")
    ] = "error"
    shading: Annotated[bool, of_correction(help="Estimate and correct the shading of the planes.")] = True
    background: Annotated[str, of_correction(help="Counts without light: auto, none, or a number.")] = "auto"
    sample: Annotated[
        int | None,
        of_correction(min=1, help="Planes from which shading is estimated. Default: 20 %, from 20 to 200."),
    ] = None
    bias: Annotated[bool, of_correction(help="Estimate and correct the slow illumination of the volume.")] = True
    align_channel: Annotated[str, of_stitching(help="Channel on which tiles are placed. Default: the first.")] = ""
    search: Annotated[
        tuple[int, int, int] | None,
        of_stitching(
            metavar="X Y Z",
            help="How far, in voxels, neighbours may be off the stage's word. "
            "Default: 30 for each 1024 of a tile, at least 24; 10 in z.",
        ),
    ] = None
    placement: Annotated[
        Path | None,
        of_stitching(
            callback=typed_place, help="Place the tiles as this placement.json says; nothing is aligned."
        ),
    ] = None
    interpolation: Annotated[
        Literal["linear", "nearest"],
        of_stitching(
            help="Between voxels where a tile lies at a fraction, or whole voxels with counts untouched."
        ),
    ] = "linear"
    bounds: Annotated[
        tuple[int, int, int, int, int, int] | None,
        of_stitching(
            metavar="X0 Y0 Z0 X1 Y1 Z1",
            help="Try this box of the mosaic, in voxels: only the tiles and planes near it are read.",
        ),
    ] = None
    mips: Annotated[
        int | None, of_volumes(min=1, help="Number of levels of the volumes. Default: by --smallest.")
    ] = None
    smallest: Annotated[
        int, of_volumes(min=1, help="Levels are added until no axis has more voxels than this.")
    ] = 128
    compression: Annotated[Literal["gzip", "zstd", "br"], of_volumes(help="Of the chunks.")] = "gzip"
    sharded: Annotated[
        bool | None,
        of_volumes("--sharded/--no-sharded", help="Pack chunks into large files. Default: above 100,000 chunks."),
    ] = None

    def options(self, memory: str, autofluorescence_channel: str, registration: Choice | None) -> RunOptions:
        """It all as the pipeline takes it."""
        from cloudreg_cli.prepare import RunOptions
        from cloudreg_io.space import Bounds
        from cloudreg_io.tiles import StageAxes

        given: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        given["axes"] = StageAxes(*(given.pop(name) for name in ("flip_x", "flip_y", "swap_xy")))
        given["channels"] = tuple(part.strip() for part in self.channels.split(",") if part.strip())
        given["bounds"] = Bounds(self.bounds[:3], self.bounds[3:]) if self.bounds else None
        return RunOptions(
            **given,
            memory=memory_bytes(memory),
            autofluorescence_channel=autofluorescence_channel,
            registration=registration,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedTarget:
    """What is typed about the channel that is registered: a group of options."""

    register: Annotated[
        bool,
        typer.Option("--register", help="Register to the Allen Reference Atlas; implied by --atlas or --labels."),
    ] = False
    autofluorescence_channel: Annotated[
        str, typer.Option(help="Channel that is registered. Default: the one on which tiles are placed.")
    ] = ""
    orientation: Annotated[
        str,
        typer.Option(metavar="CODE", help="Where x, y, z of the volume grow to, such as LPS; needed to register."),
    ] = ""
    search_rotations: Annotated[
        bool,
        typer.Option(
            "--search-rotations",
            help="Try all ways in which the brain may lie for the start: --search of `cloudreg register`.",
        ),
    ] = False
    confirm: Annotated[
        bool,
        typer.Option(
            "--confirm",
            help="Show the start once the channel is fused, perhaps hours from now, and wait for an answer: "
            "y, n, or another --rotation, --translation. After n, the command goes on from there with others.",
        ),
    ] = False

    def choice(self, typed: TypedRegistration) -> Choice | None:
        """The registration that is wanted, if any.

        Raises
        ------
        typer.BadParameter
            One is wanted, but where the axes grow to is not said; or options of one are given, and no atlas.
        """
        if not (self.register or typed.atlas is not None or typed.labels is not None):
            self._require_none(typed)
            return None
        if not self.orientation:
            raise typer.BadParameter(
                "to register, say where x, y and z of the volume grow to: --orientation, such as LPS"
            )
        return typed.choice(orientation=self.orientation, search=self.search_rotations)

    def _require_none(self, typed: TypedRegistration) -> None:
        """Options that would be left unheeded are not: what was wanted is not known."""
        silent = TypedTarget(autofluorescence_channel=self.autofluorescence_channel)  # the pipeline says that
        given = [
            name for group, usual in ((self, silent), (typed, TypedRegistration())) for name in _said(group, usual)
        ]
        if given:
            raise typer.BadParameter(
                f"--{given[0].replace('_', '-')} is about a registration, but nothing is registered: "
                "name an atlas (--atlas PLACE), or --register for the default one"
            )


def _said(group: Any, usual: Any) -> list[str]:
    return [field.name for field in fields(group) if getattr(group, field.name) != getattr(usual, field.name)]


@with_groups(typed="Tiles", target="Registration")
def run(
    context: typer.Context,
    acquisition: AcquisitionArgument,
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", callback=typed_place, help="Folder of results; one that exists is gone on with."
        ),
    ],
    *,
    typed: TypedRun,
    target: TypedTarget,
    registration: TypedRegistration,
    jobs: JobsOption = 1,
    memory: MemoryOption = "",
    overwrite: OverwriteFlag = False,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Take an acquisition to fused volumes: shading, placement, bias, fusion, for every channel.

    With an atlas, one channel is registered to it; labels and a table of regions are made of all.

    Killed at any moment, it goes on with the same command. The raw data are only read.

    `mpirun -np N cloudreg run …` spreads the work over N - 1 workers.
    """
    from cloudreg_cli.pipeline import run_acquisition
    from cloudreg_cli.summary import in_words

    choice = target.choice(registration)
    if target.confirm and not (sys.stdin and sys.stdin.isatty()):  # None where it was closed
        raise typer.BadParameter(
            "--confirm asks in a terminal, and this is none: leave it out, and say how the brain lies with "
            "--rotation and --translation, or --search-rotations"
        )
    options = typed.options(memory, target.autofluorescence_channel, choice)
    result = run_acquisition(
        acquisition,
        out,
        options,
        jobs=jobs,
        overwrite=overwrite,
        progress=command_progress(context),
        person=at_terminal(context) if target.confirm else None,
    )
    if result is not None:
        typer.echo(json.dumps(result, indent=2) if as_json else in_words(result))


@with_groups(typed="Tiles", target="Registration")
def plan(
    acquisition: AcquisitionArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", callback=typed_place, help="Where the results would go.")],
    *,
    typed: TypedRun,
    target: TypedTarget,
    registration: TypedRegistration,
    jobs: JobsOption = 1,
    memory: MemoryOption = "",
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Say what `run` with the same options would read, write, need and take; nothing is written.

    Exit status 1: the disk is too small, or `run` would be refused for another reason.
    """
    only_rank_zero()
    from cloudreg_cli.pipeline import plan_run
    from cloudreg_io.run.disk import Room

    options = typed.options(memory, target.autofluorescence_channel, target.choice(registration))
    forecast = plan_run(acquisition, out, options, jobs)
    typer.echo(json.dumps(forecast.to_json(out), indent=2) if as_json else forecast.in_words(out))
    Room.at(out).require(forecast.disk_bytes, out)
