"""What a person sees while a command works: a bar on a terminal, plain lines elsewhere. Only here is rich used."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from cloudreg_io.run import Progress


def progress() -> Progress:
    """A drawer of progress for standard error: rich on a terminal, log lines elsewhere."""
    return _Bar() if sys.stderr.isatty() else _Lines()


def set_up_logging(*, debug: bool) -> None:
    """Send the libraries' log to standard error."""
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING, format="%(levelname)s %(name)s: %(message)s", force=True
    )
    if not debug:
        return
    for chatty in ("numba", "botocore", "urllib3", "matplotlib"):
        logging.getLogger(chatty).setLevel(logging.INFO)


class _Bar:
    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def start(self, name: str, total: int, done: int = 0) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._bar.start()
        self._task = self._bar.add_task(name, total=total, completed=done)

    def advance(self, n: int = 1) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, n)

    def finish(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class _Lines:
    """A line when a stage begins and ends, and one every half minute between."""

    _PAUSE = 30.0

    def start(self, name: str, total: int, done: int = 0) -> None:
        self._name, self._total, self._done = name, total, done
        self._began = self._said = time.monotonic()
        if done:
            self._say(f"going on at {done} of {total}")

    def advance(self, n: int = 1) -> None:
        self._done += n
        if time.monotonic() - self._said > self._PAUSE:
            self._say(f"{self._done} of {self._total}")

    def finish(self) -> None:
        self._say(f"done, {time.monotonic() - self._began:.1f} s")

    def _say(self, text: str) -> None:
        self._said = time.monotonic()
        sys.stderr.write(f"{self._name}: {text}\n")
        sys.stderr.flush()
