"""Remedies: what to type about a file that is missing or damaged, and what `--repair` does about it.

Units of work that the journal forgets are done again by the command that made the folder. One that wrote chunks of
the finest mips, or planes, can be done again alone. Coarser mips and shards come from scratch that is gone: all
units that made their volume are done again, but nothing of what was found out before.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cloudreg_io.run.journal import Journal, StageKey
from cloudreg_io.run.ledger import Ledger
from cloudreg_io.verify.history import JOURNAL, Stages

Units = Mapping[StageKey, set[str]]


@dataclass(frozen=True, slots=True)
class Remedies:
    """What can be done about each file.

    Attributes
    ----------
    out : Path
    typed : str
        The command that made the folder.
    ledger : Ledger
    stages : mapping
        Of the journal.
    derived : mapping
        Chunks and shards that come from scratch, to the stages that make their volume.
    """

    out: Path
    typed: str
    ledger: Ledger
    stages: Stages
    derived: Mapping[str, frozenset[StageKey]]

    def units(self, names: Iterable[str]) -> dict[StageKey, set[str]]:
        """The units that can be done again to make files anew."""
        found: dict[StageKey, set[str]] = {}
        for name in names:
            for key in self.derived.get(name, ()):
                found.setdefault(key, set()).update(self.stages[key].results)
            if self._alone(name):
                for key, unit in self.ledger.units[name]:
                    found.setdefault(key, set()).add(unit)
        return found

    def text(self, name: str) -> str:
        """What to type."""
        if name in self.ledger.files and name not in self.ledger.units:
            return f"it is written anew by: {self.typed}"
        repair = f"cloudreg verify {shlex.quote(str(self.out))} --repair, then: {self.typed}"
        if self.derived.get(name):
            return f"{repair} (which makes the whole volume again)"
        if self._alone(name):
            spoilt = name.rpartition("/")[2] == "info" and (self.out / name).exists()
            return f"delete it; {repair}" if spoilt else repair
        return f"put it back from a copy; or delete it and make all of this folder anew: {self.typed} --overwrite"

    def _alone(self, name: str) -> bool:
        if name not in self.ledger.units or name in self.derived:
            return False
        return (
            not any(name in record.outputs for record in self.stages.values()) or name.rpartition("/")[2] == "info"
        )


def forget(out: Path, units: Units) -> None:
    """Let the journal forget units, so that the next command does them again. OUT must be locked."""
    journal = Journal(out / JOURNAL)
    try:
        for key, names in units.items():
            journal.forget(key, sorted(names))
    finally:
        journal.close()
