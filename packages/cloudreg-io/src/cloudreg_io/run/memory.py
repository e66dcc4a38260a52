"""The memory of this machine."""

from __future__ import annotations

import os


def machine_memory() -> int:
    """Installed memory in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
