"""The memory of a command while it runs: proportional set size of its whole process tree, stage by stage."""

import json
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil


@dataclass
class Curve:
    """Samples of a run.

    Attributes
    ----------
    samples : list of (seconds, stage, bytes of each process)
    status : int
        Exit status of the command.
    output, errors : str
    """

    samples: list = field(default_factory=list)
    status: int = 0
    output: str = ""
    errors: str = ""

    @property
    def peak(self):
        """Most memory of all processes together, in bytes."""
        return max(sum(sizes) for _, _, sizes in self.samples)

    def stages(self):
        """Of each stage, in order: seconds, most of all processes together, most of one."""
        found = {}
        for (begin, stage, sizes), (end, _, _) in zip(
            self.samples, [*self.samples[1:], self.samples[-1]], strict=True
        ):
            seconds, total, each = found.get(stage, (0.0, 0, 0))
            found[stage] = (seconds + end - begin, max(total, sum(sizes)), max(each, *sizes))
        return found


def watched(command, out, *, pause=0.05, env=None):
    """Run a command line to its end; what its processes held in memory, and in which stage of `out`."""
    curve = Curve()
    follower = _Follower(Path(out) / ".cloudreg" / "journal.jsonl")
    began = time.perf_counter()
    job = subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )
    process = psutil.Process(job.pid)
    while job.poll() is None:
        if sizes := _sizes(process):
            curve.samples.append((time.perf_counter() - began, follower.stage(), sizes))
        time.sleep(pause)
    curve.output, curve.errors = job.communicate()
    curve.status = job.returncode
    return curve


def _sizes(process):
    sizes = []
    with suppress(psutil.Error):
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                sizes.append(one.memory_full_info().pss)
    return [size for size in sizes if size]


class _Follower:
    """Reads a growing journal: which stage is under way."""

    def __init__(self, path):
        self._path, self._at, self._stage = path, 0, "start"

    def stage(self):
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._at)
                data = file.read()
            whole = data.rfind(b"\n") + 1
            self._at += whole
            for line in data[:whole].splitlines():
                entry = json.loads(line)
                if entry["event"] in ("begin", "end"):
                    name = " ".join(filter(None, (entry["stage"], entry["channel"])))
                    self._stage = name if entry["event"] == "begin" else f"after {name}"
        return self._stage
