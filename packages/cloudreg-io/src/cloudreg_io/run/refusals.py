"""Why an OUT folder that an earlier command left cannot be gone on with, in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.run.journal import StageKey, stage_in_words

_LONGEST_SHOWN = 80  # characters of an option's value


def gone(path: Path, maker: str) -> NotFoundError:
    """The error about an output of the stage `maker` that was deleted."""
    return NotFoundError(
        f"{path} is not there any more",
        why=f"the stage {maker} made it, and it was deleted or moved since",
        fix="put it back, or add --overwrite to do everything in this folder again",
    )


def require_journal(hidden: Path) -> Path:
    """The journal in `hidden`, which is `OUT/.cloudreg`.

    Raises
    ------
    NotFoundError
    """
    journal = hidden / "journal.jsonl"
    if not journal.is_file():
        raise NotFoundError(
            f"{hidden.parent} has no journal ({hidden.name}/{journal.name})",
            why="no command of CloudReg made this folder, or its journal was removed",
            fix="name the folder that was given as OUT, or as --work where the volume lies elsewhere",
        )
    return journal


def cleaned(out: Path, missing: str) -> NotFoundError:
    """The error about something in scratch that `cloudreg clean` removed."""
    return NotFoundError(
        f"{out} was cleaned: {missing} is gone",
        why="cloudreg clean removed what a command needs to go on; the results themselves are untouched",
        fix="nothing is to be done if the results are complete (cloudreg verify tells); "
        "else add --overwrite to do everything in this folder again",
    )


def scratch_gone(error: FileNotFoundError) -> NotFoundError:
    """The error about something in scratch that nobody of ours removed."""
    return NotFoundError(
        f"{error.filename or error} is not there any more",
        why="it was scratch of a stage that is done, and was deleted since",
        fix="put it back, or add --overwrite to do everything in this folder again",
    )


def changed(out: Path, key: StageKey, old: dict[str, Any], new: dict[str, Any]) -> InputError:
    """The error about a stage that was made with other options."""
    changes = "; ".join(_differences("", old, new))
    return InputError(
        f"{out} holds the stage {stage_in_words(key)} made with other options: {changes}",
        why="results of different options must not be mixed in one folder",
        fix="add --overwrite to replace what this depends on, or choose another OUT",
    )


def _differences(name: str, old: Any, new: Any) -> Iterator[str]:
    """What differs, by the names of the innermost values: `options.mode was 'affine', now 'rigid'`."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(f"{name}.{key}" if name else key, old.get(key), new.get(key))
    elif old != new:
        was, now = repr(old), repr(new)
        # the beginnings of two long values say nothing
        long = max(len(was), len(now)) > _LONGEST_SHOWN
        yield f"{name} differs" if long else f"{name} was {was}, now {now}"
