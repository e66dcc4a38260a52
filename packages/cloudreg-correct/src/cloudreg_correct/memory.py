"""What the commands need at least, so that too little memory is refused before any work."""

from __future__ import annotations

from cloudreg_io.errors import ToolError

# an interpreter with NumPy, Numba and the codecs, and the arrays of an estimate of the shading
_PROCESS = 400_000_000


def require_memory(memory: int | None, jobs: int, array_bytes: int) -> None:
    """Refuse when `jobs` workers that each hold `array_bytes` do not fit into `memory` bytes (None: any amount).

    Raises
    ------
    ToolError
        Naming the least that is needed.
    """
    processes = jobs + 1 if jobs > 1 else 1
    least = processes * _PROCESS + jobs * array_bytes
    if memory is not None and memory < least:
        raise ToolError(
            f"--memory {memory / 1e9:.2g} GB is too little: {jobs} jobs need {least / 1e9:.2g} GB",
            fix=f"fewer --jobs, or --memory {least / 1e9:.1f}GB",
        )
