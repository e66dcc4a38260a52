"""A run: one command at work in an OUT folder, stage by stage, resumable after any crash.

::

    with executor(jobs) as pool:
        if pool is None:
            return
        with open_run(out, command="stitch", options={...}, inputs={...}, pool=pool) as run:
            results = run.stage("survey", survey_tile, units, channel="CHN00", options={...})

Everything a stage needs to go on lives in `OUT/.cloudreg`: the lock, the journal, scratch.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from cloudreg_io.errors import InputError
from cloudreg_io.files.atomic import write_bytes
from cloudreg_io.run.executor import InlineExecutor, workers
from cloudreg_io.run.journal import Journal, StageKey, StageRecord, stage_in_words
from cloudreg_io.run.ledger import PROVENANCE, keeping
from cloudreg_io.run.lock import lock
from cloudreg_io.run.progress import NO_PROGRESS, Progress
from cloudreg_io.run.provenance import Provenance
from cloudreg_io.run.refusals import changed, cleaned, gone, scratch_gone
from cloudreg_io.run.shared import Shared
from cloudreg_io.run.units import CHECKSUMS, RUNNING, Unit, clear, left_result, marker, perform

T = TypeVar("T")
_logger = logging.getLogger(__name__)

HIDDEN = ".cloudreg"
CLEANED = "cleaned"  # in it: scratch was removed, on request or not


class Run:
    """One command at work in an OUT folder. Made by `open_run`.

    Attributes
    ----------
    out : Path
        The local folder of results.
    scratch : Path
        Where stages keep what later stages need; removed by `discard`.
    jobs : int
        How many tasks run at the same time.
    progress : Progress
        For functions of stages that are done `here`.
    """

    def __init__(
        self,
        out: Path,
        pool: Executor,
        jobs: int,
        journal: Journal,
        provenance: Provenance,
        progress: Progress,
        overwrite: bool,
    ) -> None:
        self.out = out
        self.jobs = jobs
        self.progress = progress
        self.scratch = out / HIDDEN / "scratch"
        self.scratch.mkdir(parents=True, exist_ok=True)
        self._running = out / HIDDEN / RUNNING
        for folder in (self._running, out / HIDDEN / CHECKSUMS):
            folder.mkdir(exist_ok=True)
        self._pool = pool
        self._journal = journal
        self._provenance = provenance
        self._overwrite = overwrite
        self._used: dict[StageKey, None] = {}

    def share(self, name: str, value: T) -> Shared[T]:
        """Make a value available to the workers' tasks through a small descriptor."""
        data = pickle.dumps(value)
        path = self.scratch / "shared" / f"{name}.pickle"
        path.parent.mkdir(exist_ok=True)
        write_bytes(path, data, durable=False)
        return Shared(path, hash(data))

    def warn(self, text: str) -> None:
        """Log a warning and keep it in the provenance."""
        _logger.warning(text)
        self._provenance.warn(text)

    def discard(self, *names: str) -> None:
        """Remove folders of scratch that no later stage needs."""
        for name in names:
            shutil.rmtree(self.scratch / name, ignore_errors=True)

    def finished(self, name: str, channel: str = "") -> bool:
        """Whether a stage ended in this OUT folder."""
        return self._journal.record((name, channel)).ended

    def options_of(self, name: str, channel: str = "") -> Mapping[str, Any] | None:
        """What a stage of this OUT folder was begun with; None where it was not."""
        return self._journal.record((name, channel)).options

    def results_of(self, name: str, channel: str = "") -> Mapping[str, Any]:
        """The results of a stage so far, by unit."""
        return self._journal.record((name, channel)).results

    def withdraw(self, name: str, channel: str = "") -> None:
        """Let a stage begin anew with other options: for one of which nothing is lost that somebody asked for.

        What it made is removed when it begins.
        """
        self._journal.reset((name, channel))

    def stage(
        self,
        name: str,
        function: Callable[[Any], Any],
        units: Sequence[Unit],
        *,
        channel: str = "",
        options: Mapping[str, Any] | None = None,
        outputs: Sequence[str] = (),
        here: bool = False,
    ) -> dict[str, Any]:
        """Perform the units that the journal does not hold yet, and give all results.

        Parameters
        ----------
        name, channel : str
            Identify the stage in this OUT folder.
        function : callable
            A top-level function `task -> JSON value`; it writes its own output, atomically.
        units : sequence of Unit
        options : mapping
            Everything that determines the result, digests of earlier results included; JSON values.
        outputs : sequence of str
            Paths relative to OUT that the stage creates.
        here : bool
            Perform the units one after the other in this process; the function, which may be any callable, tells
            `progress` itself. For one long piece of work.

        Returns
        -------
        dict
            Result of each unit by its key, in the order of `units`.

        Raises
        ------
        InputError
            The stage was done here with other options, or an output exists that the journal does not list.
        """
        key = (name, channel)
        self._used[key] = None
        record = self._begin(key, json.loads(json.dumps(dict(options or {}))), outputs, units)
        todo = [(unit, self._marker(key, unit)) for unit in units if unit.key not in record.results]
        if todo or not record.ended:
            self._perform(key, function, todo, total=len(units), here=here)
        else:
            self._provenance.require(key, record)
        return {unit.key: record.results[unit.key] for unit in units}

    def _perform(
        self,
        key: StageKey,
        function: Callable[[Any], Any],
        todo: list[tuple[Unit, Path]],
        *,
        total: int,
        here: bool,
    ) -> None:
        pool, progress = (InlineExecutor(), NO_PROGRESS) if here else (self._pool, self.progress)
        started = time.monotonic()
        todo = [(unit, path) for unit, path in todo if not self._taken_over(key, unit, path)]
        if repeated := sum(path.exists() for _, path in todo):
            self._journal.repeat(key, repeated)
        progress.start(" ".join(filter(None, key)), total, total - len(todo))
        try:
            for unit, result, cost in perform(pool, function, todo, stage=key, window=2 * self.jobs):
                self._journal.done(key, unit.key, result, cost)
                clear(self._marker(key, unit))
                progress.advance()
            self._journal.end(key)
        finally:
            self._provenance.stage(key, self._journal.record(key), time.monotonic() - started)
        progress.finish()

    def _taken_over(self, key: StageKey, unit: Unit, path: Path) -> bool:
        """Whether a unit was finished before a crash, though its result had not reached the journal."""
        left = left_result(path)
        if left is None:
            return False
        self._journal.done(key, unit.key, *left)
        clear(path)
        return True

    def _begin(
        self, key: StageKey, options: dict[str, Any], outputs: Sequence[str], units: Sequence[Unit]
    ) -> StageRecord:
        record = self._journal.record(key)
        if record.options is not None and record.options != options:
            if not self._overwrite:
                raise changed(self.out, key, record.options, options)
            self._journal.reset(key)
            record = self._journal.record(key)
        if record.options is None:
            # outputs still listed are those of a reset stage; nothing else is ever deleted
            for output in record.outputs:
                remove(self.out / output)
            for output in outputs:
                if (self.out / output).exists():
                    raise InputError(
                        f"{self.out / output} exists, and no earlier command of this OUT folder made it",
                        fix="move it away, or choose another OUT",
                    )
            for unit in units:  # results of other options
                clear(self._marker(key, unit))
            self._journal.begin(key, options, outputs)
        return record

    def _marker(self, key: StageKey, unit: Unit) -> Path:
        return marker(self._running, *key, unit.key)

    def require_outputs(self, *stage: str) -> None:
        """Check that what a stage (name, channel) made is there; at the end of a command, all its stages.

        Raises
        ------
        NotFoundError
            Naming the first that is not: a stage that the journal calls done is not done again.
        """
        for path, maker in _lost(self.out, self._journal, [(stage[0], stage[1])] if stage else self._used):
            raise gone(path, maker)

    def explain(self, error: FileNotFoundError) -> None:
        """Say of a file that a stage did not find that this folder once had it, if so.

        Raises
        ------
        NotFoundError
        """
        for path, maker in _lost(self.out, self._journal, self._used):
            if str(path) in str(error):
                raise gone(path, maker) from error
        if str(self.scratch) in str(error):
            marked = (self.out / HIDDEN / CLEANED).exists()
            if not marked:
                write_bytes(self.out / HIDDEN / CLEANED, b"")  # so that --overwrite begins anew
            raise cleaned(self.out, str(self.scratch)) if marked else scratch_gone(error) from error


def has_begun(out: Path) -> bool:
    """Whether a command has begun its work in an OUT folder."""
    return (out / HIDDEN / "journal.jsonl").exists()


@contextmanager
def open_run(
    out: Path | str,
    *,
    command: str,
    options: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Any] | None = None,
    pool: Executor | None = None,
    jobs: int = 1,
    progress: Progress = NO_PROGRESS,
    overwrite: bool = False,
) -> Iterator[Run]:
    """Lock an OUT folder and give a `Run` in it; a folder that holds one already is gone on with.

    Parameters
    ----------
    out : Path
        The folder of results; made when absent.
    command : str
        What the provenance shall call this.
    options, inputs : mapping
        For the provenance.
    pool : Executor, optional
        From `executor(jobs)`; without one, tasks run inline.
    jobs : int
        The same number as was given to `executor`.
    progress : Progress
    overwrite : bool
        Stages done here with other options are deleted (what the journal lists, nothing else) and done again.

    Raises
    ------
    ToolError
        Another command is at work in the folder.
    """
    out = Path(os.path.abspath(out))  # noqa: PTH100 -- folds '..', and links stay as the user wrote them
    hidden = out / HIDDEN
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file, not a folder", fix="choose another OUT")
    try:
        hidden.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be made: {error.strerror}", fix="choose another OUT") from error
    with lock(hidden / "lock"), keeping(hidden):
        journal = Journal(hidden / "journal.jsonl")
        try:
            # what other stages made of something that was deleted cannot be trusted to fit
            if overwrite and (any(_lost(out, journal, [*journal.stages])) or (hidden / CLEANED).exists()):
                for key in list(journal.stages):
                    journal.reset(key)
                (hidden / CLEANED).unlink(missing_ok=True)
            provenance = Provenance(out / PROVENANCE, command, options or {}, inputs or {})
            run = Run(out, pool or InlineExecutor(), workers(jobs), journal, provenance, progress, overwrite)
            try:
                yield run
            except FileNotFoundError as error:
                run.explain(error)
                raise
            run.require_outputs()
            provenance.complete()
        finally:
            journal.close()


def _lost(out: Path, journal: Journal, stages: Iterable[StageKey]) -> Iterator[tuple[Path, str]]:
    """Outputs of finished stages that are not there, and what made them."""
    for key in stages:
        record = journal.record(key)
        for path in (out / output for output in record.outputs if record.ended):
            if not path.exists():
                yield path, stage_in_words(key)


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
