"""Whether this machine can do the work: `cloudreg doctor`."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cloudreg_io.run.memory import machine_memory
from cloudreg_io.run.provenance import versions


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `essential` ones that fail make `cloudreg doctor` exit with 1."""

    name: str
    ok: bool
    text: str
    essential: bool = True


def examine(folder: Path) -> Iterator[Finding]:
    """Check Python, the machine, the packages, and that `folder` can be written to."""
    yield Finding("python", sys.version_info >= (3, 11), f"{platform.python_version()} on {platform.platform()}")
    yield Finding(
        "cores", True, str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    )
    yield _memory()
    yield _disk(folder)
    for module in ("numpy", "tifffile", "imagecodecs", "cloudvolume", "numba", "scipy", "SimpleITK"):
        yield _tried(module, partial(_version_of, module))
    yield _tried("numba compiles", _compile)
    yield _tried("viewer", lambda: importlib.import_module("neuroglancer").__name__, essential=False)
    yield _tried("mpirun", _mpirun, essential=False)
    for package, version in versions().items():
        if package.startswith("cloudreg-"):
            yield Finding(package, True, version)


def _memory() -> Finding:
    installed = machine_memory() / 1e9
    return Finding("memory", installed >= 4, f"{installed:.1f} GB", essential=False)


def _disk(folder: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding("disk", False, f"cannot write to {folder}: {error}")
    free = shutil.disk_usage(folder).free / 1e9
    return Finding("disk", free >= 1, f"{free:.1f} GB free in {folder}")


def _tried(name: str, check: Callable[[], str], *, essential: bool = True) -> Finding:
    try:
        return Finding(name, True, check(), essential)
    # any failure of somebody else's import is just what this command is there to report
    except Exception as error:
        return Finding(name, False, f"{type(error).__name__}: {error}", essential)


def _version_of(module: str) -> str:
    return str(getattr(importlib.import_module(module), "__version__", "present"))


def _compile() -> str:
    import numba

    return str(numba.njit(lambda x: x + 1)(1) == 2)


def _mpirun() -> str:
    path = Path(sys.executable).parent / "mpirun"
    code = "from mpi4py import MPI; print(MPI.COMM_WORLD.Get_size())"
    command = [str(path), "-np", "2", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    # two ranks may write into one line
    if done.stdout.count("2") != 2:
        raise RuntimeError(f"two ranks said {done.stdout.split()}")
    return f"{path}: two ranks met"
