"""The commands `viz link`, `viz serve` and `viz picture`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cloudreg_io.console import DebugFlag, JsonFlag, only_rank_zero, typed_place, version_option

app = typer.Typer(help="Look at the volumes of a run.", no_args_is_help=True, add_completion=False)
app.callback()(version_option)

Out = Annotated[
    str,
    typer.Argument(metavar="OUT", callback=typed_place, help="A run's folder, or one precomputed folder."),
]


@app.command()
def serve(
    out: Out,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the link in the browser.")] = True,
    debug: DebugFlag = False,
) -> None:
    """Show OUT in Neuroglancer, served from this machine to this machine only, until Ctrl-C.

    The first line of the output is the link. On a remote machine choose a --port, type on your own

    ssh -L PORT:127.0.0.1:PORT HOST

    and open the same link there.
    """
    only_rank_zero()
    from cloudreg_viz.serve import serving
    from cloudreg_viz.waiting import open_in_browser, stop_signal

    with stop_signal() as stop, serving(out, port=port) as served:
        typer.echo(served.link)  # alone on the first line, flushed: programs wait for it
        typer.echo("Ctrl-C ends the viewer.", err=True)
        if open_browser:
            open_in_browser(served.link)
        stop.wait()


@app.command()
def link(
    out: Out,
    viewer: Annotated[str, typer.Option(help="Address of a Neuroglancer: https://…")],
    data: Annotated[
        str,
        typer.Option(callback=typed_place, help="Address of the copy of OUT that the browser reads; default OUT."),
    ] = "",
    state: Annotated[
        Path | None, typer.Option(callback=typed_place, help="Write the state to this JSON file as well.")
    ] = None,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Print a link that opens OUT in the Neuroglancer at an address that you give.

    For volumes that lie where a browser can read them: --data https://… or s3://…
    """
    only_rank_zero()
    from cloudreg_io.files.atomic import write_json
    from cloudreg_viz.link import check_data_address
    from cloudreg_viz.link import link as make_link
    from cloudreg_viz.outputs import find_outputs, state_of

    source = check_data_address(data or out)
    shown = state_of(find_outputs(out), source)
    if state is not None:
        write_json(state, shown)
    address = make_link(shown, viewer)
    typer.echo(json.dumps({"link": address, "state": shown}) if as_json else address)


@app.command()
def picture(
    out: Out,
    file: Annotated[Path, typer.Argument(metavar="FILE.png", callback=typed_place, help="The picture to write.")],
    width: Annotated[int, typer.Option(min=200, max=10000, help="Of the picture, in pixels.")] = 1200,
    debug: DebugFlag = False,
) -> None:
    """Draw three planes of every volume of OUT, with a scale bar, where the tiles were placed, and the shading."""
    only_rank_zero()
    from cloudreg_viz.picture import draw

    draw(out, file, width=width)
    typer.echo(str(file))
