"""The `cloudreg` command: mounts the commands of the packages and adds its own.

Nothing heavy may be imported here: `cloudreg --help` is the first thing a user sees.
"""

from __future__ import annotations

import typer

from cloudreg_cli.cli_run import plan, run
from cloudreg_cli.commands import demo, doctor, inspect
from cloudreg_cli.console import draw_start, progress
from cloudreg_cli.upkeep import clean, verify
from cloudreg_correct.cli import app as correct_app
from cloudreg_io.cli import app as io_app
from cloudreg_io.console import VersionFlag, run_app
from cloudreg_register.cli import DRAW_START, register
from cloudreg_register.cli_analysis import accuracy, regions
from cloudreg_register.cli_transform import app as transform_app
from cloudreg_stitch.cli import app as stitch_app
from cloudreg_viz.cli import app as viz_app

app = typer.Typer(
    name="cloudreg",
    no_args_is_help=True,
    add_completion=False,
)
app.command()(demo)
app.command()(inspect)
app.command()(plan)
app.command()(run)
app.add_typer(stitch_app)
app.add_typer(correct_app, name="correct")
app.add_typer(io_app)
app.command()(register)
app.add_typer(transform_app, name="transform")
app.command()(regions)
app.command()(accuracy)
app.add_typer(viz_app, name="viz")
app.command()(verify)
app.command()(clean)
app.command()(doctor)


@app.callback()
def start(context: typer.Context, version: VersionFlag = False) -> None:
    """Raw light-sheet tiles in; one corrected, stitched, viewable brain out. Begin with: cloudreg demo."""
    context.obj = progress()
    context.meta[DRAW_START] = draw_start


def main() -> None:
    """Entry point of the console script."""
    run_app(app)


if __name__ == "__main__":
    main()
