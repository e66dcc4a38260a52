"""The command `register`.

Only typer is imported here; the work is imported when there is work.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloudreg_io.console import (
    DebugFlag,
    JobsOption,
    JsonFlag,
    MemoryOption,
    OverwriteFlag,
    command_progress,
    memory_bytes,
    typed_place,
)
from cloudreg_io.option_groups import with_groups
from cloudreg_register.cli_options import TypedRegistration, of_start

if TYPE_CHECKING:
    from cloudreg_register.stage.stages import Registered
    from cloudreg_register.stage.starting import Person

DRAW_START = "cloudreg_register.draw_start"  # in the context's meta: what draws qc/start.npz, gives the picture


@with_groups()
def register(
    context: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            callback=typed_place,
            help="The sample: a precomputed volume, or a NRRD, NIfTI or TIFF file.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", callback=typed_place, help="Folder of results; one that exists is gone on with."
        ),
    ],
    *,
    orientation: Annotated[
        str,
        typer.Option(
            metavar="CODE",
            help="Where the target's x, y, z grow to: one of L or R, P or A, S or I each, such as LPS.",
        ),
    ],
    voxel_size: Annotated[
        tuple[float, float, float] | None,
        typer.Option(
            metavar="X Y Z", help="Of the target in µm, in place of what it says; for TIFF mostly needed."
        ),
    ] = None,
    registration: TypedRegistration,
    search: Annotated[
        bool,
        of_start(
            "--search/--no-search",
            "--search-rotations",  # as in `run`, where --search is about tiles
            help="Try all ways in which the brain may lie (seconds); left and right stay as the codes say. In "
            "`cloudreg run` it is --search-rotations alone.",
        ),
    ] = False,
    confirm: Annotated[
        bool, of_start("--confirm", help="Show the start and ask: y, n, or another --rotation, --translation.")
    ] = False,
    jobs: JobsOption = 1,
    memory: MemoryOption = "",
    overwrite: OverwriteFlag = False,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Register a brain to an atlas: OUT/registration gets the map, labels and atlas on the brain, its regions.

    Killed or interrupted at any time, the same command goes on where it stopped, to the same bytes.
    """
    import json

    from cloudreg_register.stage.registering import register_target

    choice = registration.choice(orientation=orientation, search=search, voxel_size=voxel_size)
    done = register_target(
        target,
        out,
        choice,
        jobs=jobs,
        memory=memory_bytes(memory),
        overwrite=overwrite,
        progress=command_progress(context),
        person=at_terminal(context) if confirm else None,
    )
    if done is None:  # a worker rank: its work is done
        return
    typer.echo(json.dumps(done.to_json(), indent=2) if as_json else in_words(done))


def at_terminal(context: typer.Context) -> Person:
    """Who is asked to confirm: the one at the terminal. The script that mounts this may know how to draw."""
    from cloudreg_register.stage.starting import Person

    draw = context.meta.get(DRAW_START)

    def ask(question: str) -> str:
        typer.echo(question, err=True, nl=False)
        answer = sys.stdin.readline()
        if not answer:
            raise EOFError
        return answer

    def show(data: Path, text: str) -> None:
        typer.echo(f"{text}\n\nthe start: {data if draw is None else draw(data)}", err=True)

    return Person(ask, show)


def start_in_words(start: Mapping[str, Any]) -> list[str]:
    """What was found about the start, as lines; none where it is as it was stated."""
    if start["by"] == "landmarks":
        return [f"start       by {len(start['landmarks'])} landmarks"]
    if start["by"] != "search":
        return []
    first, *others = (f"{one['orientation']} ({one['score']:.3f})" for one in start["candidates"])
    likely = f"{first} is the likeliest --orientation"
    return [f"start       by search: {likely}; then {', '.join(others)}" if others else f"start       {likely}"]


def overlap_in_words(overlap: Mapping[str, float]) -> str:
    """How far the tissue of target and atlas overlap, as a line."""
    return f"tissue      Dice {overlap['after']:.2f} of target and atlas ({overlap['before']:.2f} at the start)"


def in_words(done: Registered) -> str:
    """What a registration made, for a person."""
    import shlex

    report = done.to_json()
    shape = report["map"]
    lines = [
        *start_in_words(report["start"]),
        f"transform   {report['transform']}   {report['steps']} steps at voxels down to "
        f"{report['resolution_um']:.3g} µm",
        f"            volume changes by {shape['jacobian_min']:.2f} to {shape['jacobian_max']:.2f}, "
        f"{shape['folded']} folded voxels",
        overlap_in_words(report["tissue_overlap"]),
    ]
    lines += [
        f"volume      {volume['volume']}   {' × '.join(map(str, volume['size']))} voxels"
        for volume in report["volumes"]
    ]
    if report["regions"]:
        lines.append(f"regions     {report['regions']}")
    lines.append(f"look at it: cloudreg viz serve {shlex.quote(report['out'])}")
    return "\n".join(lines)
