"""What registration takes of the memory, at most; what cannot be made smaller is asked for before any work.

Measured by `python benchmarks/register_memory.py`: its figures are in the comments. What is asked for is 6 to 29 %
more, as the bytes of a voxel become fewer where there are many. The search for a start takes less than any of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from cloudreg_io.errors import ToolError
from cloudreg_io.run.memory import Programs, machine_memory, readable

# Python, torch, SciPy, Numba and its compiler, cloud-volume: what processes share, what each has for itself
PROGRAMS = Programs(240_000_000, 220_000_000)
# MB of the whole process: 528 for 0.20 million voxels, 773 for 0.59, 1160 for 1.60, 2033 for 4.67
_REGISTER, _REGISTER_VOXEL = 110_000_000, 440
# with the margin: 563 for 0.33 million voxels, 1024 for 0.96, 1838 for 2.62
_CLASSIC, _CLASSIC_VOXEL = 70_000_000, 580
# reading takes up to 2.5 times the voxels' bytes; the float32 result and its resampled copy come on top
_READING, _RESULT = 2.5, 8


def register_bytes(voxels: int) -> int:
    """Memory to find the map: `voxels` has the larger of sample and atlas at the finest level."""
    return _REGISTER + _REGISTER_VOXEL * voxels


def classic_bytes(voxels: int) -> int:
    """The same of the original's schedule; `voxels` with its margin around both."""
    return _CLASSIC + _CLASSIC_VOXEL * voxels


def reading_bytes(size: Sequence[int], dtype: DTypeLike) -> int:
    """Memory to read voxels of a type into an image, and to bring that to another voxel size."""
    item: int = np.dtype(dtype).itemsize
    return math.ceil(math.prod(size) * (_READING * item + _RESULT))


def require_samples(edge: float, samples: int, each: int, axes: int) -> None:
    """Refuse voxels so small that what is held of them at once takes more than half of the machine's memory.

    Parameters
    ----------
    edge : float
        Of a voxel in µm.
    samples, each : int
        How many are held at once, and the bytes that one takes.
    axes : int
        How many axes of the volume they fill: 3, or 2 for a plane.

    Raises
    ------
    ToolError
        Naming a voxel size that will do.
    """
    needed, limit = samples * each, machine_memory() / 2
    if needed <= limit:
        return
    coarser = math.ceil(1.01 * edge * (needed / limit) ** (1 / axes) * 10) / 10
    raise ToolError(
        f"voxels of {edge:g} µm take {readable(needed)} of memory; half of this machine's is {readable(limit)}",
        why=f"{samples:,} of them are held at once",
        fix=f"--voxel-size {coarser:g} or larger",
    )
