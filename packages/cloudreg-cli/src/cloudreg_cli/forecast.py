"""Forecast: what a run will read, write, need and take, step by step, and how that is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cloudreg_io.run.disk import Room
from cloudreg_io.run.expense import Expense
from cloudreg_io.run.memory import readable

_SPARE = 1.1  # of what is estimated to be written


@dataclass(frozen=True, slots=True)
class Forecast:
    """A run, foretold.

    Attributes
    ----------
    steps : tuple of Expense
    volume_bytes, scratch_bytes : int
        Of all volumes, and of what lies in `.cloudreg` at most.
    memory : int
        Bytes that all processes take at least.
    jobs : int
    """

    steps: tuple[Expense, ...]
    volume_bytes: int
    scratch_bytes: int
    memory: int
    jobs: int

    @property
    def disk_bytes(self) -> int:
        """What OUT takes while the run is at work."""
        return int(_SPARE * self.volume_bytes) + self.scratch_bytes

    @property
    def minutes(self) -> float:
        """About how long it takes."""
        return sum(step.seconds / (1 if step.alone else self.jobs) for step in self.steps) / 60

    def then(self, steps: Sequence[Expense], scratch_bytes: int) -> Forecast:
        """The forecast with steps that follow, which leave their own in `.cloudreg` meanwhile."""
        volumes = self.volume_bytes + sum(step.bytes_written for step in steps)
        return replace(
            self,
            steps=(*self.steps, *steps),
            volume_bytes=volumes,
            scratch_bytes=self.scratch_bytes + scratch_bytes,
        )

    def to_json(self, out: Path) -> dict[str, Any]:
        """As a JSON value."""
        room = Room.at(out)
        return {
            "steps": [asdict(step) for step in self.steps],
            "planes_decoded": sum(step.planes for step in self.steps),
            "bytes_read": sum(step.bytes_read for step in self.steps),
            "bytes_written": sum(step.bytes_written for step in self.steps),
            "disk_needed": self.disk_bytes,
            "disk_free": room.free,
            "disk": str(room.mount),
            "memory": self.memory,
            "jobs": self.jobs,
            "minutes": round(self.minutes, 2),
        }

    def in_words(self, out: Path) -> str:
        """For a person."""
        room = Room.at(out)
        lines = [f"{'step':<26}{'planes':>10}{'read':>12}{'written':>12}{'core min':>10}"]
        for step in self.steps:
            sizes = f"{readable(step.bytes_read):>12}{readable(step.bytes_written):>12}"
            lines.append(
                f"{step.name + ' ' + step.channel:<26}{step.planes:>10,}{sizes}{step.seconds / 60:>10.1f}"
            )
        return "\n".join(
            [
                *lines,
                f"disk      about {readable(self.disk_bytes)} in {out}",
                f"          {readable(room.free)} free on {room.mount}",
                f"memory    at least {readable(self.memory)} for {self.jobs} job(s)",
                f"time      about {self.minutes:.1f} minutes with {self.jobs} job(s), if the disk keeps up",
            ]
        )
