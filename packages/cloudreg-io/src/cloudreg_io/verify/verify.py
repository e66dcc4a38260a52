"""Verification of an OUT folder: history, inventory of its volumes, contents of its files.

Nothing is written. The folder is kept free of commands as long as it is looked at; files are read by the workers
of an executor, a few at a time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cloudreg_io.errors import CloudRegError, NotFoundError
from cloudreg_io.files import store
from cloudreg_io.files.location import Location
from cloudreg_io.run import NO_PROGRESS, Progress, digest
from cloudreg_io.run.executor import InlineExecutor, workers
from cloudreg_io.run.journal import Journal, StageKey, StageRecord
from cloudreg_io.run.ledger import PROVENANCE, read_ledger
from cloudreg_io.run.lock import lock, looking
from cloudreg_io.run.refusals import require_journal
from cloudreg_io.run.session import HIDDEN
from cloudreg_io.verify.contents import ContentsTask, Examined, Stored, examine, place
from cloudreg_io.verify.finding import Finding, Judgement
from cloudreg_io.verify.history import Stages, again, commands_of, history
from cloudreg_io.verify.inventory import prefix_of, take_inventory, wrong_size
from cloudreg_io.verify.remedy import Remedies, forget
from cloudreg_io.volumes.cascade import mip_groups
from cloudreg_io.volumes.info import parse_info, to_info
from cloudreg_io.volumes.spec import VolumeSpec

Check = Callable[[Path, Stages], Judgement]

_FILES_PER_TASK = 32


@dataclass(frozen=True, slots=True)
class Report:
    """What verification found.

    Attributes
    ----------
    out : Path
    findings : tuple of Finding
    files, bytes : int
        That were looked at; with `quick`, no bytes are read.
    volumes : tuple of str
    units : mapping
        Of stage and channel to units that can be done again to repair what was found.
    typed : str
        The command that made the folder.
    """

    out: Path
    findings: tuple[Finding, ...]
    files: int
    bytes: int
    volumes: tuple[str, ...]
    units: Mapping[tuple[str, str], set[str]]
    typed: str

    @property
    def whole(self) -> bool:
        """Whether all is as it was left."""
        return all(finding.harmless for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "out": str(self.out),
            "whole": self.whole,
            "files": self.files,
            "bytes_read": self.bytes,
            "volumes": list(self.volumes),
            "findings": [finding.to_json() for finding in self.findings],
        }


def verify(
    out: Path | str,
    *,
    quick: bool = False,
    checks: Sequence[Check] = (),
    pool: Executor | None = None,
    jobs: int = 1,
    progress: Progress = NO_PROGRESS,
) -> Report:
    """Look at everything in an OUT folder, and in the volumes that its commands wrote elsewhere.

    Parameters
    ----------
    out : Path
        A folder with a journal: OUT of a command, or the folder given as `--work`.
    quick : bool
        Only look whether files are there and have the size that was written; read none.
    checks : sequence of callable
        `check(out, stages) -> Judgement`: what other packages have to say of their outputs.
    pool : Executor, optional
        From `executor(jobs)`.
    jobs : int
    progress : Progress

    Raises
    ------
    NotFoundError
        No command of CloudReg made the folder.
    ToolError
        A command is at work in it.
    """
    out = Path(os.path.abspath(out))  # noqa: PTH100 -- as `open_run`
    journal = require_journal(out / HIDDEN)
    with looking(out / HIDDEN / "lock"):
        return _Verification(out, Journal.read(journal), quick).report(checks, pool, workers(jobs), progress)


class _Verification:
    """One look at a folder."""

    def __init__(self, out: Path, stages: Stages, quick: bool) -> None:
        self.out, self.stages, self.quick = out, stages, quick
        self.ledger = read_ledger(out / HIDDEN, stages)
        self.findings: list[Finding] = []
        self.tasks: list[ContentsTask] = []
        self._files: dict[str, int] = {}
        self._derived: dict[str, frozenset[StageKey]] = {}
        self._folders: set[str] = set()
        self._replaced: set[str] = set()

    def report(self, checks: Sequence[Check], pool: Executor | None, jobs: int, progress: Progress) -> Report:
        """Do all of it."""
        judgements = [check(self.out, self.stages) for check in checks]
        judged = frozenset().union(*(judgement.judged for judgement in judgements))
        self.findings += history(self.out, self.stages, self.ledger)
        volumes = [url for url in self._volumes() if self._volume(Location.parse(url))]
        self._others(judged)
        size = 0
        progress.start("verify", len(self.tasks))
        for examined in performed(pool or InlineExecutor(), self.tasks, window=2 * jobs):
            self.findings += examined.findings
            size += examined.bytes
            progress.advance()
        progress.finish()
        self.findings += (finding for judgement in judgements for finding in judgement.findings)
        return self._report(tuple(volumes), size)

    def _report(self, volumes: tuple[str, ...], size: int) -> Report:
        typed = again(commands_of(self.out), self.out)
        remedies = Remedies(self.out, typed, self.ledger, self.stages, self._derived)
        findings = tuple(
            finding if finding.fix or finding.harmless else replace(finding, fix=remedies.text(finding.path))
            for finding in dict.fromkeys(self.findings)
        )
        wrong = [finding.path for finding in findings if not finding.harmless]
        return Report(self.out, findings, len(self._files), size, volumes, remedies.units(wrong), typed)

    def _volumes(self) -> list[str]:
        """Where the commands of this folder wrote volumes: wherever they wrote an `info`."""
        outputs = [output for record in self.stages.values() for output in record.outputs]
        told = [name for name in self.ledger.files if name == "info" or name.endswith("/info")]
        seen = [f"{output}/info" for output in outputs if (self.out / output / "info").is_file()]
        listed = [output for output in outputs if output == "info" or output.endswith("/info")]
        return sorted({str(place(self.out, name)).removesuffix("/info") for name in (*told, *seen, *listed)})

    def _volume(self, location: Location) -> bool:
        """Plan to look at a volume; False when nobody can tell what it is."""
        prefix = prefix_of(self.out, location)
        writers = {key for name, units in self.ledger.units.items() if name.startswith(prefix) for key, _ in units}
        self._plan([self._stored(f"{prefix}info")])
        spec = self._spec(location, f"{prefix}info", writers)
        if spec is None:
            return False
        others = {key for key in writers if not self._made(key, to_info(spec))}
        inventory = take_inventory(
            self.out, location, spec, self.ledger.files, complete=all(record.ended for record in self._begun())
        )
        self.findings += inventory.findings
        finest = mip_groups(spec)[0] if not spec.sharded else ()
        makers = self._makers(writers - others)
        self._derived |= {item.name: makers for item in inventory.expected if item.mip not in finest}
        self._folders |= {f"{prefix}{scale.key}/" for scale in spec.scales}
        if any(self._only(item.name, others) for item in inventory.expected):
            self.findings.append(Finding(f"{prefix}info", "is not the volume that the journal says was made"))
        self._plan(inventory.files, spec)
        # what was replaced by a volume of other mips or shards
        self._replaced |= {name for name in self.ledger.units if self._only(name, others)}
        return True

    def _makers(self, writers: set[StageKey]) -> frozenset[StageKey]:
        """The stages that make a volume, those that wrote only to scratch included.

        These depend on what the volume depends on, and on nothing else.
        """
        known = {key: record.options for key, record in self.stages.items() if record.options}
        return frozenset(writers).union(
            key
            for key, options in known.items()
            for writer in writers & known.keys()
            if key[1] == writer[1] and options.items() <= known[writer].items()
        )

    def _made(self, key: StageKey, info: dict[str, Any]) -> bool:
        """Whether a stage wrote to a volume of this description, as far as its options tell."""
        plan = (self.stages[key].options or {}).get("volume", info)
        return plan in (info, digest(info))

    def _only(self, name: str, stages: set[StageKey]) -> bool:
        """Whether a file was written by these stages and no other."""
        units = self.ledger.units.get(name)
        return units is not None and {key for key, _ in units} <= stages

    def _begun(self) -> Iterator[StageRecord]:
        return (record for record in self.stages.values() if record.options is not None or record.outputs)

    def _spec(self, location: Location, info: str, writers: set[StageKey]) -> VolumeSpec | None:
        """What the volume is: by its `info`, or by what the journal says that it was made as."""
        try:
            return parse_info(store.get(location / "info"), info)
        except CloudRegError as error:
            if not isinstance(error, NotFoundError):
                self.findings.append(Finding(info, f"is no description of a volume: {error.what}"))
        planned = [(self.stages[key].options or {}).get("volume") for key in writers]
        known = next((plan for plan in planned if isinstance(plan, dict)), None)
        return parse_info(json.dumps(known).encode(), info) if known else None

    def _others(self, judged: frozenset[str]) -> None:
        """Plan to look at what belongs to no volume."""
        names = [
            name
            for name in self.ledger.files
            if name not in self._files
            and name not in judged
            and name not in self._replaced
            and not name.startswith(tuple(self._folders))
        ]
        self._plan([self._stored(name) for name in names if name != PROVENANCE])

    def _stored(self, name: str) -> Stored:
        try:
            location = place(self.out, name)
            size = location.path.stat().st_size if location.is_file else -1
        except OSError:
            size = -1
        return Stored(name, self.ledger.files.get(name), size=size)

    def _plan(self, files: Sequence[Stored], spec: VolumeSpec | None = None) -> None:
        self._files |= {stored.name: stored.size for stored in files}
        if self.quick:
            self.findings += (finding for stored in files if (finding := self._seen(stored)) is not None)
        else:
            for start in range(0, len(files), _FILES_PER_TASK):
                self.tasks.append(ContentsTask(self.out, tuple(files[start : start + _FILES_PER_TASK]), spec))

    def _seen(self, stored: Stored) -> Finding | None:
        location = place(self.out, stored.name)
        if stored.size < 0 and not store.exists(location):
            return Finding(stored.name, "is missing", why="it was deleted or moved")
        return wrong_size(stored) if stored.size >= 0 else None


def performed(pool: Executor, tasks: Sequence[ContentsTask], window: int) -> Iterator[Examined]:
    """What became of each task, as they are finished; at most `window` are handed out at a time."""
    waiting = iter(tasks)
    running: set[Future[Examined]] = set()
    try:
        while True:
            while len(running) < window and (task := next(waiting, None)) is not None:
                running.add(pool.submit(examine, task))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        for future in running:
            future.cancel()


def repair(report: Report) -> int:
    """Let the journal forget what can be done again alone; gives the number of units.

    Parameters
    ----------
    report : Report
        Of `verify`, just made.
    """
    if report.units:
        with lock(report.out / HIDDEN / "lock"):
            forget(report.out, report.units)
    return sum(len(names) for names in report.units.values())
