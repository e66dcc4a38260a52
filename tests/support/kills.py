"""The kill rig: a command is killed -9 at the n-th thing that it does to OUT, and given again at once.

`support/kill_hook` does the killing from within, so the product knows nothing of it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from cloudreg_io.synthetic import AcquisitionSpec
from support.command import command
from support.imaged import image_brain
from support.kill_hook.sitecustomize import VARIABLE, processes
from support.trees import difference, tree

HOOK = Path(__file__).with_name("kill_hook")
# who may be killed, under each way to run
VICTIMS = {
    "inline": ("parent",),
    "jobs": ("parent", "worker", "all"),
    "mpi": ("mpirun", "proxy", "rank 0", "rank", "all"),
}
ARGUMENTS = {"inline": {}, "jobs": {"words": ("--jobs", "2"), "workers": 2}, "mpi": {"ranks": 3, "workers": 2}}
# what a command that lost a part says: its own words, the launcher's, and the launcher's that lost its own part
REASONS = ("a worker process died", "Killed (signal 9)", "error waiting for event")
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def make_raw(folder):
    """Five tiles of 192 × 160 × 16 voxels in two channels: the smallest on which every stage has work to do."""
    spec = AcquisitionSpec(
        rows=2,
        columns=3,
        tile_size=(192, 160),
        planes=16,
        overlap=(18.0, 20.0),
        jitter=(4.0, 4.0, 2.0),
        channels=2,
        strength=0.4,
        unscanned=frozenset({(0, 0)}),
        seed=11,
    )
    return image_brain(folder, spec)


@dataclass(frozen=True)
class Kill:
    """Whom to kill, at which event after the start; `torn`: half a journal line stays."""

    victim: str
    n: int
    torn: bool = False


@dataclass
class Fired:
    """A kill that took place: where it hit, and what became of the command."""

    kill: Kill
    hit: dict
    code: int  # exit code of the process that the user started
    ended: float  # seconds from the kill to the end of that process
    lingered: float  # seconds that others lived on, after the kill or that end, whichever came later
    said: str
    repeated: int = 0  # units that the next command did again

    @property
    def faults(self):
        """What a user would not expect of it."""
        found = []
        if {"parent", "mpirun"} & set(self.hit["victims"]):
            if self.code != -9:
                found.append(f"exit {self.code} of a killed process")
        elif self.code == 0 and not self.hit["stage"].startswith("after"):
            found.append("exit 0 though a part of it was killed")
        elif self.code and not any(word in self.said for word in REASONS):
            found.append(f"no reason was given: {self.said}")
        if "Traceback" in self.said:
            found.append("traceback")
        return found


@dataclass
class Chain:
    """One OUT folder: killed as often as planned, then finished."""

    mode: str
    fired: list = field(default_factory=list)
    faults: list = field(default_factory=list)


class Rig:
    """Runs the command on one acquisition, in folders below `place`.

    `patience` is how many seconds others may live on after the end of the process that the user started.
    """

    def __init__(self, place, raw, patience=1.0):
        self.place, self.raw, self.patience = Path(place), raw, patience
        self._numbers = count()
        self.place.mkdir(parents=True, exist_ok=True)
        self.events, self.reference = self._undisturbed()

    def _undisturbed(self):
        """Kind and stage of each event of one whole run, and the bytes that it makes."""
        out = self.place / "reference"
        job = self._start("inline", out, Kill("nobody", 0))
        said = _finish(job)
        assert job.returncode == 0, said
        lines = Path(job.plan["record"]).read_text().splitlines()
        return [json.loads(line) for line in lines], tree(out)

    def _start(self, mode, out, kill):
        base = self.place / f"plan{next(self._numbers)}"
        plan = {
            "path": f"{base}.json",
            "out": str(out),
            "counter": f"{base}.counter",
            "record": f"{base}.record",
            "victim": kill.victim if kill else "none",
            "n": kill.n if kill else sys.maxsize,
            "torn": bool(kill and kill.torn),
        }
        Path(plan["path"]).write_text(json.dumps(plan))
        Path(plan["counter"]).touch()
        how = ARGUMENTS[mode]
        args = command("run", self.raw, out, *how.get("words", ()), ranks=how.get("ranks", 0))
        path = os.pathsep.join(filter(None, (str(HOOK), os.environ.get("PYTHONPATH", ""))))
        environment = {**os.environ, **_ONE_THREAD, "PYTHONPATH": path, VARIABLE: plan["path"]}
        job = subprocess.Popen(
            args, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        job.plan = plan
        return job

    def chain(self, mode, kills):
        """Kill a command again and again, each time given at once after the last; finish it, and compare."""
        out = self.place / f"out{next(self._numbers)}"
        chain = Chain(mode)
        before = None
        for kill in [*kills, None]:
            job = self._start(mode, out, kill)
            lingered = self._wait_gone(before) if before else 0.0
            said = _finish(job)
            if before:
                chain.fired[-1].lingered = lingered
                chain.fired[-1].repeated = _repeated(out) - sum(fired.repeated for fired in chain.fired)
            before = self._fired(chain, job, kill, said)
            if before is None:
                break
        self._judge(chain, out, job.returncode, said)
        return chain

    def _fired(self, chain, job, kill, said):
        """Note the kill, if it took place; give who is to be gone soon, and since when."""
        record = Path(job.plan["record"])
        if not record.exists():
            return None
        now, hit = time.monotonic(), json.loads(record.read_text())
        hit["place"] = os.path.relpath(hit["place"], job.plan["out"])
        chain.fired.append(Fired(kill, hit, job.returncode, now - hit["time"], 0.0, said))
        return job.plan["path"], now

    def _wait_gone(self, before):
        path, since = before
        while processes(path):
            if time.monotonic() - since > 60:
                raise AssertionError(f"still there after a minute: {processes(path)}")
            time.sleep(0.02)
        return time.monotonic() - since

    def _judge(self, chain, out, code, said):
        faults = [f"{fired.hit['stage']}: {fault}" for fired in chain.fired for fault in fired.faults]
        faults += [
            f"{fired.hit['stage']}: others lived on for {fired.lingered:.2f} s"
            for fired in chain.fired
            if fired.lingered > self.patience
        ]
        if code != 0:
            chain.faults = [*faults, f"the last command ended with {code}: {said}"]
            return
        faults += [f"other bytes: {name}" for name in difference(self.reference, tree(out))]
        workers = ARGUMENTS[chain.mode].get("workers", 1)
        (entry,) = json.loads((out / "provenance.json").read_text())["commands"]
        told = sum(stage["units_repeated"] for stage in entry["stages"])
        repeats = [fired.repeated for fired in chain.fired]
        if told != sum(repeats):
            faults.append(f"provenance tells of {told} repeated units, the journal of {repeats}")
        if any(number > workers for number in repeats):
            faults.append(f"{repeats} units were repeated by {workers} workers")
        journal = _journal(out)
        done = Counter(
            (line["stage"], line["channel"], line.get("unit")) for line in journal if line["event"] == "done"
        )
        faults += [f"done twice in the journal: {unit}" for unit, number in done.items() if number > 1]
        chain.faults = faults


def _finish(job):
    """All that a command said; one that hangs is ended, and fails the test."""
    try:
        return job.communicate(timeout=600)[0]
    except subprocess.TimeoutExpired:
        for pid in processes(job.plan["path"]):
            os.kill(pid, signal.SIGKILL)
        raise


def _journal(out):
    """Its whole lines."""
    try:
        lines = (out / ".cloudreg" / "journal.jsonl").read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def _repeated(out):
    return sum(line["count"] for line in _journal(out) if line["event"] == "repeat")
