"""`hatch run fuzz [--seconds N] [--folder DIR] [TARGET …]`: the targets, two at a time, and what came of it.

Prints for each target how many inputs were tried, what was covered, and whether one was a finding: an exception
that is no `CloudRegError`, more than 5 s for one input, more than 2 GB of memory. Its input stays in the folder.
Exit status 1 when there is a finding.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.targets import PLANTED, TARGETS

_ROOT = Path(__file__).resolve().parents[2]
_GRACE = 300  # on a busy machine: to start, to stop, and for the one input that is being looked at
_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one target."""

    name: str
    executions: int
    covered: int
    findings: tuple[Path, ...]
    log: Path
    status: int

    @property
    def failed(self) -> bool:
        """Whether something was found, or nothing was looked at."""
        return bool(self.findings) or self.status != 0 or self.executions == 0

    def __str__(self) -> str:
        text = f"{self.name:<10} {self.executions:>9,} inputs  {self.covered:>5} edges covered  "
        if not self.failed:
            return text + "nothing found"
        found = ", ".join(map(str, self.findings)) or f"ended with {self.status}"
        return "\n".join([f"{text}FOUND: {found}", _last_lines(self.log), *map(_printed, self.findings)])


def _printed(finding: Path, most: int = 8192) -> str:
    """The input itself: the machine that found it may be gone when its output is read."""
    data = finding.read_bytes()
    return f"    in base64, {min(len(data), most)} of {len(data)} bytes: {base64.b64encode(data[:most]).decode()}"


def _last_lines(log: Path, most: int = 30) -> str:
    lines = log.read_text(errors="replace").splitlines()
    begin = next((i for i, line in enumerate(lines) if "Uncaught Python exception" in line), len(lines) - most)
    return "\n".join(f"    {line}" for line in lines[max(0, begin) :][:most])


def fuzz(name: str, folder: Path, seconds: int) -> Outcome:
    """Run one target in a process of its own."""
    log = folder / f"{name}.log"
    command = [sys.executable, "-m", "tests.fuzz.one", name, str(folder), str(seconds)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with (
        log.open("wb") as file,
        subprocess.Popen(command, cwd=_ROOT, stdout=file, stderr=file, env=environment) as process,
    ):
        try:
            status = process.wait(timeout=seconds + _GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
    text = log.read_text(errors="replace")
    executions = re.findall(r"stat::number_of_executed_units:\s*(\d+)", text) or re.findall(r"(?m)^#(\d+)\s", text)
    covered = re.findall(r"cov: (\d+)", text)
    found = tuple(sorted(folder.glob(f"{name}-*-*")))
    return Outcome(name, int((executions or ["0"])[-1]), int((covered or ["0"])[-1]), found, log, status)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="hatch run fuzz", description="Fuzz the parsers.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--folder", type=Path, help="for logs, corpora and findings; default: a new one in /tmp")
    chosen = parser.parse_args()
    if unknown := set(chosen.targets) - {*TARGETS, PLANTED.name}:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="cloudreg-fuzz-"))
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        outcomes = []
        for outcome in pool.map(lambda name: fuzz(name, folder, chosen.seconds), chosen.targets or TARGETS):
            outcomes.append(outcome)
            print(outcome, flush=True)  # noqa: T201 -- a script
    total = sum(outcome.executions for outcome in outcomes)
    failed = [outcome.name for outcome in outcomes if outcome.failed]
    verdict = f"findings: {', '.join(failed)}" if failed else "nothing found"
    print(f"{total:,} inputs; {verdict}; {folder}")  # noqa: T201 -- a script
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
