"""The ledger: checksums of all files that made an OUT folder, beside its journal.

Each unit of work that wrote results leaves one file in `OUT/.cloudreg/checksums`, before its result is known to
the journal; what a command writes itself, between its stages, is in one more. So the ledger is as complete as the
journal, survives whatever the journal survives, and lengthens neither tasks nor lines of the journal. Entries of
units that the journal no longer holds mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cloudreg_io.files.atomic import write_bytes
from cloudreg_io.files.checksums import Checksum, dump, parse, recording
from cloudreg_io.run.journal import StageKey, StageRecord
from cloudreg_io.run.units import CHECKSUMS, RUNNING, marker, unit_ledger

PROVENANCE = "provenance.json"  # written anew by each command, and checked by what it says
_COMMANDS = "commands.json"


@dataclass(slots=True)
class Ledger:
    """What was written.

    Attributes
    ----------
    files : dict of str to Checksum
        By path relative to OUT; files elsewhere by absolute path or URL.
    units : dict of str to set of ((stage, channel), unit)
        Which units wrote a file; none for what a command wrote between its stages.
    damaged : list of Path
        Files of the ledger that cannot be read.
    """

    files: dict[str, Checksum] = field(default_factory=dict)
    units: dict[str, set[tuple[StageKey, str]]] = field(default_factory=dict)
    damaged: list[Path] = field(default_factory=list)

    def add(self, path: Path, unit: tuple[StageKey, str] | None) -> None:
        """Take one file of the ledger; one that does not exist holds nothing."""
        try:
            found = parse(path.read_bytes())
        except FileNotFoundError:
            return
        except (ValueError, TypeError, AttributeError):
            self.damaged.append(path)
            return
        self.files |= found
        if unit is not None:
            for name in found:
                self.units.setdefault(name, set()).add(unit)


def read_ledger(hidden: Path, stages: Mapping[StageKey, StageRecord]) -> Ledger:
    """The ledger of the units that a journal holds.

    Parameters
    ----------
    hidden : Path
        `OUT/.cloudreg`.
    stages : mapping
        Of the journal there.
    """
    ledger = Ledger()
    for key, record in stages.items():
        for unit in record.results:
            ledger.add(unit_ledger(marker(hidden / RUNNING, *key, unit)), (key, unit))
    ledger.add(hidden / CHECKSUMS / _COMMANDS, None)
    return ledger


@contextmanager
def keeping(hidden: Path) -> Iterator[None]:
    """Add what a command writes itself, between its stages, to the ledger in `hidden`, however it ends."""
    with recording(hidden.parent, hidden.name) as written:
        try:
            yield
        finally:
            _keep(hidden, written.files)


def _keep(hidden: Path, files: Mapping[str, Checksum]) -> None:
    written = {name: checksum for name, checksum in files.items() if name != PROVENANCE}
    if written:
        path = hidden / CHECKSUMS / _COMMANDS
        known = Ledger()
        known.add(path, None)
        write_bytes(path, dump(known.files | written))
