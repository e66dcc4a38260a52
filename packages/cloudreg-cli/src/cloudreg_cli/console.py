"""Progress on a terminal, drawn by rich; elsewhere it is plain lines (`cloudreg_io.console.LineProgress`)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cloudreg_io.console import LineProgress

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from cloudreg_io.run.progress import Progress


def draw_start(data: Path) -> Path:
    """Draw the start of a registration beside its data; the picture's path."""
    from cloudreg_viz.start import draw_start as draw

    picture = data.with_suffix(".png")
    draw(data, picture)
    return picture


def progress() -> Progress:
    """What draws progress on standard error: a bar on a terminal, lines elsewhere."""
    return ProgressBar() if sys.stderr.isatty() else LineProgress()


class ProgressBar:
    """One bar a stage, with the time that it took and the time that it still takes."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def start(self, name: str, total: int, done: int = 0) -> None:
        """A stage begins."""
        # rich takes 60 ms to import: not for --help
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self.finish()
        self._bar = RichProgress(
            TextColumn("{task.description:<32}"),  # the longest: "provisional shading sample CHN00"
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
        )
        self._bar.start()
        self._task = self._bar.add_task(name, total=total, completed=done, note="")

    def advance(self, n: int = 1) -> None:
        """More units are finished."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, n)

    def note(self, text: str) -> None:
        """Shown at the end of the bar."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, note=text)

    def finish(self) -> None:
        """The stage is complete, or was broken off."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
