"""What this process has read, decoded and written: counted where it happens, collected per unit of work.

Readers and writers call `count`; the engine takes the difference around each unit and adds it to the
provenance of the stage.
"""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass, fields, replace


@dataclass(slots=True)
class _Totals:
    bytes_read: int = 0
    bytes_written: int = 0
    planes_decoded: int = 0
    values_clipped_low: int = 0
    values_clipped_high: int = 0


_totals = _Totals()


@dataclass(frozen=True, slots=True)
class Cost:
    """What a piece of work took. `peak_memory_bytes` is that of the largest process."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    bytes_read: int = 0
    bytes_written: int = 0
    planes_decoded: int = 0
    values_clipped_low: int = 0
    values_clipped_high: int = 0
    peak_memory_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        sums["peak_memory_bytes"] = max(self.peak_memory_bytes, other.peak_memory_bytes)
        return Cost(**sums)


def count(
    *,
    bytes_read: int = 0,
    bytes_written: int = 0,
    planes_decoded: int = 0,
    values_clipped_low: int = 0,
    values_clipped_high: int = 0,
) -> None:
    """Add to this process's totals. A plane is counted each time it is opened for its pixels."""
    _totals.bytes_read += bytes_read
    _totals.bytes_written += bytes_written
    _totals.planes_decoded += planes_decoded
    _totals.values_clipped_low += values_clipped_low
    _totals.values_clipped_high += values_clipped_high


class Meter:
    """Measures the work between its making and `cost()`."""

    def __init__(self) -> None:
        self._wall = time.monotonic()
        self._cpu = time.process_time()
        self._before = replace(_totals)

    def cost(self) -> Cost:
        """What this process did since the meter was made."""
        counted = {f.name: getattr(_totals, f.name) - getattr(self._before, f.name) for f in fields(_totals)}
        return Cost(
            seconds=time.monotonic() - self._wall,
            cpu_seconds=time.process_time() - self._cpu,
            peak_memory_bytes=peak_memory(),
            **counted,
        )


def peak_memory() -> int:
    """Largest resident size of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024
