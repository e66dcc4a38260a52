"""The journal: what has been done in an OUT folder, one JSON line an event, appended and synced.

A stage is identified by its name and channel. Its `begin` line holds the options that determine its result
and the outputs it will create; each finished unit adds a `done` line with its result and cost; `end` closes
the stage. A line torn by a crash is cut off on the next opening, which repeats its unit and loses nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cloudreg_io.errors import InputError
from cloudreg_io.files.atomic import naming_full_disk
from cloudreg_io.run.counters import Cost

StageKey = tuple[str, str]


def stage_in_words(stage: StageKey) -> str:
    """A stage for a person, such as "fuse of CHN00"."""
    return " of ".join(filter(None, stage))


@dataclass(slots=True)
class StageRecord:
    """What the journal knows of one stage."""

    options: dict[str, Any] | None = None
    outputs: list[str] = field(default_factory=list)
    results: dict[str, Any] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)
    repeated: int = 0
    ended: bool = False


class Journal:
    """An append-only log of stages and units.

    Parameters
    ----------
    path : Path
        The file; made when absent.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.stages: dict[StageKey, StageRecord] = {}
        whole = self._replay()
        if path.exists() and path.stat().st_size != whole:
            os.truncate(path, whole)
        self._file = path.open("ab")

    @classmethod
    def read(cls, path: Path) -> dict[StageKey, StageRecord]:
        """The stages of a journal that is only looked at: nothing is written, a torn line is left out."""
        journal = cls.__new__(cls)
        journal.path, journal.stages = path, {}
        journal._replay()
        return journal.stages

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def record(self, stage: StageKey) -> StageRecord:
        """The record of a stage; an empty one when it never began."""
        return self.stages.setdefault(stage, StageRecord())

    def begin(self, stage: StageKey, options: Mapping[str, Any], outputs: Sequence[str]) -> None:
        """A stage begins with these options and will create these outputs."""
        self._append("begin", stage, options=dict(options), outputs=list(outputs))

    def done(self, stage: StageKey, unit: str, result: Any, cost: Cost) -> None:
        """A unit is finished and its output is on disk."""
        self._append("done", stage, unit=unit, result=result, cost=asdict(cost))

    def repeat(self, stage: StageKey, count: int) -> None:
        """`count` units had been started before a crash and are done again."""
        self._append("repeat", stage, count=count)

    def end(self, stage: StageKey) -> None:
        """All units of the stage are finished."""
        self._append("end", stage)

    def forget(self, stage: StageKey, units: Sequence[str]) -> None:
        """The results of some units are lost: they are done again, and the stage is not finished before."""
        self._append("forget", stage, units=list(units))

    def reset(self, stage: StageKey) -> None:
        """Forget the stage's results; its outputs stay listed until they are deleted and it begins anew."""
        self._append("reset", stage)

    def _append(self, event: str, stage: StageKey, **content: Any) -> None:
        entry = {"event": event, "stage": stage[0], "channel": stage[1], **content}
        line = json.dumps(entry, sort_keys=True).encode() + b"\n"
        with naming_full_disk(self.path, None, len(line)):
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        self._apply(entry)

    def _replay(self) -> int:
        """Take the lines that are there; gives the length of those that are whole."""
        if not self.path.exists():
            return 0
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        for number, line in enumerate(data[:whole].splitlines(), start=1):
            try:
                self._apply(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(
                    f"{self.path} line {number} cannot be read: {error}",
                    why="the journal was edited or the disk is damaged",
                    fix="choose another OUT, or delete this one and start again",
                ) from error
        return whole

    def _apply(self, entry: dict[str, Any]) -> None:
        record = self.record((entry["stage"], entry["channel"]))
        event = entry["event"]
        if event == "begin":
            # in the order in which they began: what two stages wrote holds as the later one wrote it
            self.stages[entry["stage"], entry["channel"]] = self.stages.pop((entry["stage"], entry["channel"]))
            record.options, record.outputs = dict(entry["options"]), [_inside(name) for name in entry["outputs"]]
        elif event == "done":
            record.results[entry["unit"]] = entry["result"]
            record.cost = record.cost + Cost(**entry["cost"])
        elif event == "repeat":
            record.repeated += entry["count"]
        elif event == "end":
            record.ended = True
        elif event == "forget":
            record.results = {
                unit: result for unit, result in record.results.items() if unit not in entry["units"]
            }
            record.ended = False
        elif event == "reset":
            self.stages[entry["stage"], entry["channel"]] = StageRecord(outputs=record.outputs)
        else:
            raise ValueError(f"unknown event {event!r}")


def _inside(output: str) -> str:
    # --overwrite deletes what the journal lists: an edited journal must not lead out of OUT
    if not output or output.startswith("/") or {"", ".", ".."} & set(output.split("/")):
        raise ValueError(f"output {output!r} does not lie in the folder")
    return output
