"""Processes that do not outlive their parent: what was killed shall not go on in the background."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path


def die_with_parent(parent: int, *, by_kernel: bool = True) -> None:
    """End this process as soon as process `parent` is gone, even when that was killed.

    Parameters
    ----------
    parent : int
        Its id, found before this process could have lost it.
    by_kernel : bool
        Let Linux kill this process at once. It does so when the *thread* that started this process ends: only for
        parents that start processes from a thread that stays.
    """
    if by_kernel and sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="parent-watch").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.25)
    os._exit(1)


def parent_is_hydra() -> bool:
    """Whether the parent is the process manager of MPICH, which starts all ranks of a host from one thread."""
    try:
        return Path(f"/proc/{os.getppid()}/comm").read_text().startswith("hydra")
    except OSError:
        return False
