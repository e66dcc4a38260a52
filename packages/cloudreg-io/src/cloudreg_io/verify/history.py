"""The history of an OUT folder: whether journal and provenance tell of the same, finished work."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cloudreg_io.run.journal import StageKey, StageRecord, stage_in_words
from cloudreg_io.run.ledger import PROVENANCE, Ledger
from cloudreg_io.run.provenance import working_folder
from cloudreg_io.verify.finding import Finding

JOURNAL = ".cloudreg/journal.jsonl"
Stages = Mapping[StageKey, StageRecord]


def commands_of(out: Path) -> list[dict[str, Any]] | None:
    """The commands that the provenance tells; None when it cannot be read."""
    try:
        commands = json.loads((out / PROVENANCE).read_bytes())["commands"]
        return [{"stages": [], "complete": False, "typed": "", "command": "", **command} for command in commands]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def again(commands: list[dict[str, Any]] | None, out: Path) -> str:
    """What to type to go on, as far as the provenance tells."""
    last = (commands or [{}])[-1]
    if last.get("typed"):
        return _typed(str(last["typed"]), str(last.get("typed_in", "")), str(last.get("out", "")), out)
    return f"the same command again (cloudreg {last['command']} …)" if last.get("command") else "the same command"


def _typed(line: str, folder: str, earlier: str, out: Path) -> str:
    """A command line that means the same here: OUT may have been moved or copied since, and paths be relative."""
    if earlier and earlier != str(out):
        with suppress(ValueError):  # unbalanced quotes: the provenance was edited
            words = shlex.split(line)
            line = shlex.join(str(out) if os.path.normpath(Path(folder, w)) == earlier else w for w in words)
    elsewhere = folder not in ("", working_folder()) and Path(folder).is_dir()
    return f"cd {shlex.quote(folder)} && {line}" if elsewhere else line


def history(out: Path, stages: Stages, ledger: Ledger) -> Iterator[Finding]:
    """What journal, provenance and ledger have against each other."""
    commands = commands_of(out)
    yield from _unfinished(stages, again(commands, out))
    if commands is None:
        yield Finding(PROVENANCE, "is missing or cannot be read", why="it was deleted or edited")
    else:
        yield from _broken_off(commands, stages, out)
        yield from _untold(commands, stages)
    yield from _lost(out, stages, ledger)
    for path in ledger.damaged:
        yield Finding(
            str(path.relative_to(out)),
            "cannot be read: the checksums that it held are not known",
            why="it was edited, or the disk is damaged",
        )


def _unfinished(stages: Stages, typed: str) -> Iterator[Finding]:
    for key, record in stages.items():
        if not record.ended and (record.options is not None or record.outputs):
            yield Finding(
                JOURNAL,
                f"the stage {stage_in_words(key)} is not finished: {len(record.results)} units are done",
                why="the command was broken off, or is still to be given again",
                fix=f"go on where it stopped: {typed}",
            )


def _broken_off(commands: list[dict[str, Any]], stages: Stages, out: Path) -> Iterator[Finding]:
    """Commands that began some stage and did not come to their end, unless a later one took their place."""
    if not all(record.ended for record in stages.values() if record.options is not None):
        return  # told already
    for index, command in enumerate(commands):
        later = commands[index + 1 :]
        if command["stages"] and not command["complete"] and not any(other["complete"] for other in later):
            yield Finding(
                PROVENANCE,
                f"the command {command['command']} did not come to its end",
                why="it was broken off between two stages",
                fix=f"go on where it stopped: {again([command], out)}",
            )


def _untold(commands: list[dict[str, Any]], stages: Stages) -> Iterator[Finding]:
    told = [stage for command in commands for stage in command["stages"]]
    for (name, channel), record in stages.items():
        wanted = {
            "name": name,
            "channel": channel,
            "units": len(record.results),
            "bytes_written": record.cost.bytes_written,
            "planes_decoded": record.cost.planes_decoded,
        }
        if record.ended and not any(wanted.items() <= stage.items() for stage in told):
            stage = stage_in_words((name, channel))
            yield Finding(
                PROVENANCE,
                f"does not tell what the journal holds of the stage {stage}: {wanted['units']} units, "
                f"{wanted['bytes_written']} bytes written, {wanted['planes_decoded']} planes decoded",
                why="it was edited, or is of another run",
            )


def _lost(out: Path, stages: Stages, ledger: Ledger) -> Iterator[Finding]:
    """Outputs that are not there; those of which the ledger knows a checksum are looked at one by one."""
    for key, record in stages.items():
        for output in record.outputs if record.ended else ():
            if output not in ledger.files and not (out / output).exists():
                maker = stage_in_words(key)
                yield Finding(output, "is missing", why=f"the stage {maker} made it; it was deleted or moved")
