"""What all of CloudReg's console scripts share: how they end, what they say, options of one meaning.

A script ends with 0 when its work is done, 1 when a `CloudRegError` (or anything else) stopped it, 2 when it
was called wrongly, 130 after Ctrl-C and 143 after SIGTERM; after the last two the same command goes on where it
stopped. Nothing heavy is imported here.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn, cast, overload

import typer

from cloudreg_io.errors import CloudRegError, InputError
from cloudreg_io.launcher import mpi_rank
from cloudreg_io.logs import set_up_logging

if TYPE_CHECKING:
    from cloudreg_io.run.progress import Progress

_ENDINGS: dict[int, str] = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


def print_versions(wanted: bool) -> None:
    """Print the versions of all of CloudReg's packages that are installed, and end."""
    if not wanted:
        return
    from cloudreg_io.run.provenance import versions

    for name, version in versions().items():
        if name.startswith("cloudreg-"):
            typer.echo(f"{name} {version}")
    raise typer.Exit


VersionFlag = Annotated[
    bool,
    typer.Option("--version", callback=print_versions, is_eager=True, help="Show the versions of all packages."),
]
DebugFlag = Annotated[bool, typer.Option("--debug", help="Show tracebacks and the libraries' log.")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
OverwriteFlag = Annotated[
    bool, typer.Option("--overwrite", help="Replace what an earlier command with other options made in OUT.")
]
JobsOption = Annotated[
    int, typer.Option("--jobs", "-j", min=1, help="Worker processes. Under mpirun -np N there are N - 1 instead.")
]
FlipXFlag = Annotated[
    bool,
    typer.Option("--flip-x", help="The stage's x runs against the image's columns: mirror the tiles along x."),
]
FlipYFlag = Annotated[
    bool,
    typer.Option("--flip-y", help="The stage's y runs against the image's rows: mirror the tiles along y."),
]
SwapXYFlag = Annotated[
    bool,
    typer.Option("--swap-xy", help="The stage's x runs along the image's rows: exchange x and y, then flip."),
]
CheckStageFlag = Annotated[
    bool,
    typer.Option(
        "--check-stage/--no-check-stage",
        help="Look at some overlaps first, and stop if they fit together only with x or y mirrored or exchanged.",
    ),
]
MemoryOption = Annotated[
    str,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="Memory of all processes together, such as 4GB; under mpirun of each rank. "
        "Default: half of the machine's.",
    ),
]


@overload
def typed_place(place: str) -> str: ...
@overload
def typed_place(place: Path) -> Path: ...
@overload
def typed_place(place: None) -> None: ...
def typed_place(place: str | Path | None) -> str | Path | None:
    """What a shell user means by a place: `..` of a local path leads where the kernel says; URLs stay as they are.

    Libraries refuse `..`, because names from files must not lead out of a folder. On a command line it is the
    user's own word. The callback of every argument and option that names a place.
    """
    text = str(place or "")
    if "://" in text or ".." not in text.split("/"):
        return place
    folded = os.path.realpath(os.path.expanduser(text))  # noqa: PTH111 -- Path's raises for an unknown ~name
    return folded if isinstance(place, str) else Path(folded)


def version_option(version: VersionFlag = False) -> None:
    """Callback of a script of several commands, so that it has --version."""


def run_app(app: typer.Typer) -> NoReturn:
    """Run a script: parse the command line, do the work, say what went wrong, exit.

    Parameters
    ----------
    app : typer.Typer
        With one command, or several.
    """
    _open_streams()
    # a thread of OpenMP that spins while it waits takes the core from one that works, where cores are shared
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    debug = "--debug" in sys.argv[1:]
    set_up_logging(debug=debug)
    rank = mpi_rank()
    if rank == 0:
        for number in _ENDINGS:
            signal.signal(number, _stop)
    else:
        # Ctrl-C reaches every rank; rank 0 decides what it means, the others finish what they are at
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # answers and help texts come from rank 0 alone
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 -- stays open until the process ends
    sys.exit(_status(app, debug=debug, standalone=rank == 0))


def _open_streams() -> None:
    """Give a process that was started with its streams closed (`2>&-`, some schedulers) streams to nowhere.

    Otherwise the next files that are opened get their numbers, and what a library writes to standard error would
    go into the journal.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest number that is free
        pass
    os.close(descriptor)
    sys.stdin = sys.stdin or open(0)  # noqa: SIM115 -- stay open until the process ends
    sys.stdout = sys.stdout or open(1, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w")  # noqa: SIM115


def _status(app: typer.Typer, *, debug: bool, standalone: bool) -> int:
    try:
        # standalone: typer prints what is wrong with a command line, and exits
        result = typer.main.get_command(app)(standalone_mode=standalone)
    except _Stopped as stopped:
        _say(f"{_ENDINGS[stopped.number]}; the same command goes on where it stopped")
        return 128 + stopped.number
    except Exception as error:
        usage = getattr(error, "exit_code", None)
        if not standalone and isinstance(usage, int):
            return usage
        if debug:
            traceback.print_exc()
        if standalone or not isinstance(error, CloudRegError):  # what all ranks find wrong, rank 0 says
            _say(explained(error))
        return 1
    return result if isinstance(result, int) else 0


def explained(error: Exception) -> str:
    """What to tell a person about an error that ended a command."""
    if isinstance(error, CloudRegError):
        return f"error: {error}"
    if type(error).__name__ == "BrokenProcessPool":
        return (
            "error: a worker process died\n"
            "  why: it was killed, most likely because memory ran out\n"
            "  fix: give the same command with fewer --jobs; it goes on where it stopped"
        )
    if isinstance(error, MemoryError):
        return (
            f"error: not enough memory: {error}\n"
            "  fix: the same command with fewer --jobs, larger voxels or a smaller --search, whichever it has"
        )
    if isinstance(error, OSError):
        return f"error: {error}\n  fix: when that is put right, give the same command; it goes on where it stopped"
    return (
        f"error: {type(error).__name__}: {error}\n"
        "  why: this is a defect of CloudReg, or damage that it does not recognise\n"
        "  fix: --debug shows where; please report it"
    )


def _say(text: str) -> None:
    # nobody may be listening any more (`… 2>&1 | head`): that is no reason to stop the work
    with suppress(BrokenPipeError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


class _Stopped(BaseException):
    """Ctrl-C or SIGTERM, as an exception that typer does not catch: `with` blocks are left in order."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    raise _Stopped(number)


def only_rank_zero() -> None:
    """End this process unless it is the first of an MPI job: called by commands that are the work of one."""
    if mpi_rank():
        raise typer.Exit


def memory_bytes(text: str) -> int:
    """Number of bytes of a size such as 4GB, 512 MiB or 2e9; for an empty text half of this machine's memory.

    Raises
    ------
    InputError
        It is not a size.
    """
    if not text:
        from cloudreg_io.run.memory import machine_memory

        return machine_memory() // 2
    match = re.fullmatch(r"([0-9.]+(?:e[0-9]+)?)\s*(?:([kmgt]?)(i?)b?)", text.strip().lower())
    try:
        number = float(match[1]) if match else 0.0
    except ValueError:
        number = 0.0
    if match is None or number <= 0:
        raise InputError(f"--memory {text} is not a size", fix="a number and a unit, such as --memory 4GB")
    base = 1024 if match[3] else 1000
    power: int = " kmgt".index(match[2] or " ")
    return int(number * base**power)


class LineProgress:
    """Progress as lines on standard error: one when a stage ends, and one every half minute before."""

    _PAUSE = 30.0

    def __init__(self) -> None:
        self._name, self._total, self._done, self._note = "", 0, 0, ""
        self._before = 0
        self._began = self._said = time.monotonic()

    def start(self, name: str, total: int, done: int = 0) -> None:
        """A stage begins."""
        self._name, self._total, self._done, self._note = name, total, done, ""
        self._before = done
        self._began = self._said = time.monotonic()
        if done:
            self._line(f"going on at {done} of {total}")

    def advance(self, n: int = 1) -> None:
        """More units are finished."""
        self._done += n
        if time.monotonic() - self._said > self._PAUSE:
            self._line(f"{self._done} of {self._total}{self._left()}{self._note}")

    def note(self, text: str) -> None:
        """Said with the next line."""
        self._note = f"; {text}"

    def finish(self) -> None:
        """The stage is complete."""
        self._line(f"done, {time.monotonic() - self._began:.1f} s{self._note}")

    def _left(self) -> str:
        here = self._done - self._before
        seconds = (time.monotonic() - self._began) / here * (self._total - self._done)
        return f", at most {seconds:.0f} s more"

    def _line(self, text: str) -> None:
        self._said = time.monotonic()
        _say(f"{self._name}: {text}")


def command_progress(context: typer.Context) -> Progress:
    """What draws the progress of a command: what the script put into its context, or else lines."""
    found = context.obj
    return cast("Progress", found) if hasattr(found, "advance") else LineProgress()
