"""Units of work: what a stage is cut into, and how they are performed by the workers of an executor.

A unit that has begun leaves a small marker file until its result is in the journal; one that is finished leaves
its result beside. After a crash the next run takes such results over, and the markers without one tell how many
units it repeats: at most one a worker.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cloudreg_io.files.atomic import write_bytes
from cloudreg_io.files.checksums import Checksum, dump, recording
from cloudreg_io.run import kept
from cloudreg_io.run.counters import Cost, Meter

RUNNING, CHECKSUMS = "running", "checksums"  # folders beside the journal


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of a stage.

    Attributes
    ----------
    key : str
        Names the unit in the journal; unique in its stage.
    task : object
        Picklable descriptor of less than 16 kB, handed to the stage's function.
    """

    key: str
    task: Any


def marker(folder: Path, stage: str, channel: str, key: str) -> Path:
    """The file that exists while a unit is under way."""
    return folder / hashlib.sha256(f"{stage}\n{channel}\n{key}".encode()).hexdigest()[:24]


def unit_ledger(path: Path) -> Path:
    """Where the checksums of what a unit wrote are, by its marker; see `cloudreg_io.run.ledger`."""
    return path.parent.parent / CHECKSUMS / f"{path.name}.json"


def left_result(path: Path) -> tuple[Any, Cost] | None:
    """What a unit that was finished before a crash left beside its marker, if it did."""
    try:
        left = json.loads(_result_path(path).read_bytes())
        return left["result"], Cost(**left["cost"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        # it was not synced, so a power cut may have left it empty: the unit is done again
        return None


def clear(path: Path) -> None:
    """Remove a marker and what was left beside it."""
    path.unlink(missing_ok=True)
    _result_path(path).unlink(missing_ok=True)


def _result_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def perform(
    pool: Executor,
    function: Callable[[Any], Any],
    units: Sequence[tuple[Unit, Path]],
    *,
    stage: tuple[str, str],
    window: int,
) -> Iterator[tuple[Unit, Any, Cost]]:
    """Run the units, at most `window` handed out at a time, and give them back as they are finished.

    Raises
    ------
    Exception
        What the first failing unit raised, after those under way were given back too; the others do not begin.
    """
    waiting = iter(units)
    running: dict[Future[tuple[Any, Cost]], Unit] = {}
    failure: BaseException | None = None
    try:
        while True:
            while failure is None and len(running) < window and (following := next(waiting, None)) is not None:
                unit, path = following
                running[pool.submit(_perform_one, function, unit.task, path, stage)] = unit
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                unit = running.pop(future)
                if (error := future.exception()) is None:
                    yield unit, *future.result()
                else:
                    failure = failure or error
            if failure is not None:
                running = {future: unit for future, unit in running.items() if not future.cancel()}
        if failure is not None:
            raise failure
    finally:
        for future in running:
            future.cancel()


def _perform_one(
    function: Callable[[Any], Any], task: Any, path: Path, stage: tuple[str, str]
) -> tuple[Any, Cost]:
    kept.begin(stage)
    path.touch()
    meter = Meter()
    hidden = path.parent.parent
    with recording(hidden.parent, hidden.name) as written:
        result = json.loads(json.dumps(function(task)))
    cost = meter.cost()
    _keep(unit_ledger(path), written.files)
    # renamed, but not synced: the page cache survives the death of a process
    write_bytes(_result_path(path), json.dumps({"result": result, "cost": asdict(cost)}).encode(), durable=False)
    return result, cost


def _keep(path: Path, files: dict[str, Checksum]) -> None:
    if files:
        write_bytes(path, dump(files))
    else:  # of this unit with other options, which wrote something
        path.unlink(missing_ok=True)
