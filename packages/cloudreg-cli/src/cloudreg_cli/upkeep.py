"""The commands that look after an OUT folder: verify, clean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloudreg_io.console import DebugFlag, JobsOption, JsonFlag, command_progress, only_rank_zero, typed_place
from cloudreg_io.errors import InputError

if TYPE_CHECKING:
    from cloudreg_io.verify import Report

OutArgument = Annotated[
    Path,
    typer.Argument(
        metavar="OUT", callback=typed_place, help="Folder of results, or the one that was given as --work."
    ),
]


def verify(
    context: typer.Context,
    out: OutArgument,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only whether files are there with their size; none is read.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Forget the units of work that made what is missing or damaged, so that the same command does "
            "them again, and only them.",
        ),
    ] = False,
    jobs: JobsOption = 1,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Check that results are whole: every chunk there, readable and as it was written, all work accounted for.

    Exit status 1 if anything is not. Nothing is changed without --repair.
    """
    from cloudreg_io.run import executor
    from cloudreg_io.verify import repair as forget
    from cloudreg_io.verify import verify as do
    from cloudreg_stitch.verification import judge_fusion

    with executor(jobs) as pool:
        if pool is None:  # a worker rank: its work is done
            return
        progress = command_progress(context)
        report = do(out, quick=quick, checks=[judge_fusion], pool=pool, jobs=jobs, progress=progress)
        forgotten = forget(report) if repair else 0
        if as_json:
            typer.echo(json.dumps({**report.to_json(), "units_to_repeat": forgotten}, indent=2))
        else:
            typer.echo(_in_words(report, quick=quick))
            if repair:
                typer.echo(f"{_counted(forgotten, 'unit')} of work will be done again by: {report.typed}")
    if not report.whole:
        raise typer.Exit(1)


def _in_words(report: Report, *, quick: bool) -> str:
    wrong = sum(not finding.harmless for finding in report.findings)
    looked = _counted(report.files, "file") + ("" if quick else f", {report.bytes / 1e6:.1f} MB read")
    end = f"{_counted(wrong, 'finding')} to look at" if wrong else "all is as it was written"
    lines = [f"{'note ' if finding.harmless else 'WRONG '}{finding}" for finding in report.findings]
    return "\n".join([*lines, f"{report.out}: {looked}: {end}"])


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def clean(
    out: OutArgument,
    *,
    everything: Annotated[
        bool,
        typer.Option(
            "--all", help="Remove the results too: the files and folders that commands made in OUT, no others."
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Needed for --all, and to give up work that is not finished.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Remove what commands left for themselves in OUT: scratch, markers, unfinished files. Results stay.

    Afterwards OUT can be used and verified as before, but commands that need scratch to go on begin anew, with
    --overwrite.
    """
    only_rank_zero()
    from cloudreg_io.run.clean import clean as do

    if everything and not (yes or dry_run):
        raise InputError(
            f"--all would remove the results of {out} too",
            why="they cannot be brought back",
            fix="add --yes; or --dry-run to see what would go",
        )
    done = do(out, everything=everything, give_up=yes, dry_run=dry_run)
    if as_json:
        typer.echo(json.dumps({**done.to_json(), "dry_run": dry_run}, indent=2))
        return
    for name in done.removed:
        typer.echo(f"{'would remove' if dry_run else 'removed'} {name}")
    for name in done.elsewhere if everything else ():
        typer.echo(f"left, because it is not in {out}: {name}")
    typer.echo(f"{out}: {done.bytes / 1e6:.1f} MB {'would be free' if dry_run else 'are free again'}")
