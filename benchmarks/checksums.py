"""What checksums cost: the share of a volume's writing that goes into them, and how fast verification reads.

    python benchmarks/checksums.py [--edge 1024] [--planes 64] [--turns 3]

A volume of noise (gzip chunks of 128 × 128 × 32, all mips) is written inside units of work, from memory: without
reading, correcting and blending, the share is larger than in any command. The time inside the functions that take
and keep checksums is measured by the CPU clock of their thread, as the difference of two whole runs drowns in the
noise of a busy machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.files import checksums
from cloudreg_io.run import Unit, open_run, units
from cloudreg_io.verify import verify
from cloudreg_io.volumes import SlabWriter, Volume, VolumeSpec, create_volume, finish_volume


class Stopwatch:
    """CPU seconds spent in functions that are wrapped with it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time added."""

        def timed(*arguments: Any) -> Any:
            begin = time.thread_time()
            try:
                return function(*arguments)
            finally:
                self.seconds += time.thread_time() - begin

        return timed


def write_slab(task: tuple[Volume, Path, NDArray[np.uint16], tuple[int, int]]) -> dict[str, int]:
    """One unit of work."""
    volume, scratch, array, z = task
    with SlabWriter(volume, scratch, z) as writer:
        writer.write(array[z[0] : z[1]])
    return writer.result()


def write(array: NDArray[np.uint16], out: Path) -> None:
    """Write the volume into OUT."""
    with open_run(out, command="benchmark") as run:
        volume = create_volume(out / "volume", VolumeSpec.plan(array.shape[::-1], (1, 1, 1), "uint16"))
        scratch = run.scratch / "volume"
        slabs = [Unit(f"z{z[0]}-{z[1]}", (volume, scratch, array, z)) for z in volume.slabs()]
        run.stage("write", write_slab, slabs)
        finish_volume(run, volume, scratch, channel="")


def share(array: NDArray[np.uint16], out: Path) -> tuple[float, float, float]:
    """CPU seconds of taking checksums, of keeping them, and of all."""
    taking, keeping = Stopwatch(), Stopwatch()
    begin = time.process_time()
    with (
        patch("cloudreg_io.files.atomic.wrote", taking.around(checksums.wrote)),
        patch("cloudreg_io.run.units._keep", keeping.around(units._keep)),
    ):
        write(array, out)
    return taking.seconds, keeping.seconds, time.process_time() - begin


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--planes", type=int, default=64)
    parser.add_argument("--edge", type=int, default=1024)
    parser.add_argument("--turns", type=int, default=3)
    chosen = parser.parse_args()
    shape = (chosen.planes, chosen.edge, chosen.edge)
    array = np.random.default_rng(0).poisson(300, shape).astype(np.uint16)
    with tempfile.TemporaryDirectory() as folder:
        write(array, Path(folder) / "first")  # imports and the page cache
        for turn in range(chosen.turns):
            taken, kept, total = share(array, Path(folder) / str(turn))
            shares = f"checksums {taken / total:.2%}, their ledger {kept / total:.2%}"
            print(f"{array.nbytes / 1e6:.0f} MB of voxels: {total:.2f} s of CPU, of which {shares}")
        for quick in (False, True):
            begin = time.perf_counter()
            report = verify(Path(folder) / "first", quick=quick)
            seconds = time.perf_counter() - begin
            how = "--quick" if quick else f"{report.bytes / seconds / 1e6:.0f} MB/s of {report.bytes / 1e6:.0f} MB"
            print(f"verify: {report.files} files in {seconds:.2f} s, {how}")


if __name__ == "__main__":
    main()
