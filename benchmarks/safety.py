"""What it costs that a command can be killed at any moment: `cloudreg run` with and without flushes and journal.

    python benchmarks/safety.py [--tile 1024] [--planes 64] [--rows 2] [--columns 2] [--jobs 2] [--repeats 5]

Runs alternate between the product as it is and one from which a `sitecustomize` takes, from outside: every flush
to the disk (fsync, syncfs), the journal, the markers and results of units, and the checksums. Both make the same
volumes. Printed are the medians of wall and CPU time (of all processes), and what safety adds to them. The disk
counts: name one with --folder; a file system in memory flushes for nothing.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from memory import make

_UNSAFE = """
import os
os.fsync = os.fdatasync = lambda _: None
from cloudreg_io.files import atomic, checksums
atomic.sync_files = lambda _: None
atomic.wrote = checksums.wrote = lambda *_: None
from cloudreg_io.run import journal, units
journal.Journal._append = lambda self, event, stage, **content: self._apply(
    {"event": event, "stage": stage[0], "channel": stage[1], **content}
)
units._keep = units.write_bytes = lambda *_, **__: None
"""


def timed(acquisition, out, options, environment):
    """Wall and CPU seconds of one run."""
    command = [Path(sys.executable).with_name("cloudreg"), "run", acquisition, out, "--jobs", options.jobs]
    os.sync()  # what others wrote shall not be flushed at our expense
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(list(map(str, command)), check=True, env=environment, capture_output=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["rm", "-rf", out], check=True)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = (
        ("tile", 1024),
        ("planes", 64),
        ("rows", 2),
        ("columns", 2),
        ("channels", 1),
        ("jobs", 2),
        ("repeats", 5),
    )
    for name, value in sizes:
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--folder", type=Path, help="Where the data go; by default a temporary folder.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        make(folder / "acquisition", options)
        (folder / "hook").mkdir()
        (folder / "hook" / "sitecustomize.py").write_text(_UNSAFE)
        bench(folder, options)


def bench(folder, options):
    safe, unsafe = dict(os.environ), os.environ | {"PYTHONPATH": str(folder / "hook")}
    timed(folder / "acquisition", folder / "out", options, safe)  # compiled code and the page cache are warm
    times = {"safe": [], "unsafe": []}
    for repeat in range(options.repeats):
        order = [("safe", safe), ("unsafe", unsafe)]
        for name, environment in order if repeat % 2 else reversed(order):
            times[name].append(timed(folder / "acquisition", folder / "out", options, environment))
    print(f"{'':<24}{'wall s':>8}{'CPU s':>8}   each run, wall / CPU")
    for name, runs in times.items():
        each = "  ".join(f"{wall:.1f}/{cpu:.1f}" for wall, cpu in runs)
        wall, cpu = (statistics.median(run[i] for run in runs) for i in (0, 1))
        print(f"{name:<24}{wall:>8.1f}{cpu:>8.1f}   {each}")
    # pairs follow one another: the load of the machine is more alike within one than between medians
    for i, name in enumerate(("wall", "CPU")):
        ratios = [a[i] / b[i] for a, b in zip(times["safe"], times["unsafe"], strict=True)]
        print(f"safety adds to {name:<5}{statistics.median(ratios) - 1:>8.1%}   (median of {len(ratios)} pairs)")


if __name__ == "__main__":
    main()
