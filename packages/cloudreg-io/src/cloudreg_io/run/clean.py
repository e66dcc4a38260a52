"""Cleaning an OUT folder: what commands left for themselves is removed, results stay.

What goes: scratch, markers of units under way, unfinished files of our own writers. What stays: results, journal,
checksums, provenance, so that the folder can still be verified; a command that needs scratch to go on says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudreg_io.errors import InputError
from cloudreg_io.files.atomic import sync_file, temporaries, write_bytes
from cloudreg_io.run.journal import Journal, StageKey, StageRecord, stage_in_words
from cloudreg_io.run.ledger import PROVENANCE, Ledger, read_ledger
from cloudreg_io.run.lock import lock
from cloudreg_io.run.refusals import require_journal
from cloudreg_io.run.session import CLEANED, HIDDEN, remove
from cloudreg_io.run.units import RUNNING


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What was removed, or would be.

    Attributes
    ----------
    out : Path
    removed : tuple of str
        Files and folders, relative to OUT.
    bytes : int
    elsewhere : tuple of str
        Results that do not lie in OUT and were left.
    """

    out: Path
    removed: tuple[str, ...]
    bytes: int
    elsewhere: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        names = {"removed": list(self.removed), "elsewhere": list(self.elsewhere)}
        return {"out": str(self.out), "bytes": self.bytes, **names}


def clean(out: Path, *, everything: bool = False, give_up: bool = False, dry_run: bool = False) -> Cleaning:
    """Remove what no result needs.

    Parameters
    ----------
    out : Path
    everything : bool
        Remove the results too: what the journal and the ledger list, and nothing else.
    give_up : bool
        Also when the work is not finished and could be gone on with.
    dry_run : bool
        Only tell.

    Raises
    ------
    NotFoundError
        No command of CloudReg made the folder.
    InputError
        The work is not finished.
    ToolError
        A command is at work in the folder.
    """
    out = out.absolute()
    hidden = out / HIDDEN
    journal = require_journal(hidden)
    with lock(hidden / "lock", patience=0.0):
        stages = Journal.read(journal)
        if not give_up and not dry_run:
            _require_finished(out, stages)
        ledger = read_ledger(hidden, stages)
        doomed = list(_results(out, stages, ledger) if everything else _left(out))
        size = sum(_size(path) for path in doomed)
        if not dry_run:
            if not everything:
                write_bytes(hidden / CLEANED, b"")  # first: whoever misses something then knows why
            _remove(out, doomed)
    elsewhere = tuple(sorted({_folder(name) for name in ledger.files if "://" in name or name.startswith("/")}))
    return Cleaning(out, tuple(str(path.relative_to(out)) for path in doomed), size, elsewhere)


def _require_finished(out: Path, stages: dict[StageKey, StageRecord]) -> None:
    for key, record in stages.items():
        if record.options is not None and not record.ended:
            raise InputError(
                f"{out}: the stage {stage_in_words(key)} is not finished; {len(record.results)} units are done",
                why="without scratch the same command could not go on",
                fix="give the same command again to finish it, or add --yes to give it up",
            )


def _left(out: Path) -> Iterator[Path]:
    """Scratch, markers, and unfinished files anywhere in the folder."""
    inside = (out / HIDDEN / "scratch", out / HIDDEN / RUNNING)
    yield from (folder for folder in inside if folder.exists())
    for path in temporaries(out):
        if not any(path.is_relative_to(folder) for folder in inside):
            yield path


def _results(out: Path, stages: dict[StageKey, StageRecord], ledger: Ledger) -> Iterator[Path]:
    """Everything that commands made in the folder."""
    listed = {output for record in stages.values() for output in record.outputs}
    written = {name for name in ledger.files if "://" not in name and not name.startswith("/")}
    own = {out / name for name in written | listed | {PROVENANCE, HIDDEN}}
    found = {path for path in own if path.exists() or path.is_symlink()}.union(_left(out))
    yield from (path for path in sorted(found) if not found.intersection(path.parents))  # whole folders once


def _size(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_symlink() or file.is_file())


def _remove(out: Path, doomed: Sequence[Path]) -> None:
    """Remove files and folders, and the folders that are empty then."""
    for path in doomed:
        remove(path)
    folders = {parent for path in doomed for parent in path.parents if parent.is_relative_to(out)}
    for folder in sorted(folders, key=lambda path: -len(path.parts)):
        with suppress(OSError):  # not empty
            folder.rmdir()
    if out.exists():
        sync_file(out)


def _folder(name: str) -> str:
    return name.rpartition("/")[0]
