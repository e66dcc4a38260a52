"""Remedies: what to type about a file that is missing or damaged, and what `--repair` does about it.

A unit of work can be done again alone when it needs nothing that was in scratch and leaves nothing there that
others need: one that wrote chunks of the finest mips, or planes. Forgotten by the journal, it is done again by the
command that made the folder. Coarser mips and shards come from scratch that is gone.
"""

from __future__ import annotations

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
    finest : frozenset of str
        Chunks that come straight from a unit's input.
    derived : frozenset of str
        Chunks and shards that come from scratch.
    """

    out: Path
    typed: str
    ledger: Ledger
    stages: Stages
    finest: frozenset[str]
    derived: frozenset[str]

    def units(self, names: Iterable[str]) -> dict[StageKey, set[str]]:
        """The units that can be done again to make files anew."""
        found: dict[StageKey, set[str]] = {}
        for name in names:
            if self._redoable(name):
                for key, unit in self.ledger.units[name]:
                    found.setdefault(key, set()).add(unit)
        return found

    def text(self, name: str) -> str:
        """What to type."""
        if name in self.ledger.files and name not in self.ledger.units:
            return f"it is written anew by: {self.typed}"
        if self._redoable(name):
            return f"cloudreg verify {self.out} --repair, then: {self.typed}"
        return f"put it back from a copy; or delete it and make all of this folder anew: {self.typed} --overwrite"

    def _redoable(self, name: str) -> bool:
        if name not in self.ledger.units or name in self.derived:
            return False
        return name in self.finest or not any(name in record.outputs for record in self.stages.values())


def forget(out: Path, units: Units) -> None:
    """Let the journal forget units, so that the next command does them again. OUT must be locked."""
    journal = Journal(out / JOURNAL)
    try:
        for key, names in units.items():
            journal.forget(key, sorted(names))
    finally:
        journal.close()
