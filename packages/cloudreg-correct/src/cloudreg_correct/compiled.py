"""Compiled functions that keep their types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function on its first call; the machine code is kept on disk, and the GIL is let go of.

    Arithmetic stays IEEE (no fast-math), so that NumPy gives the same numbers; a division by 0 gives what NumPy's
    does, too, since the check for it would keep loops from being vectorised (a factor of four).
    """
    return cast("F", numba.njit(cache=True, nogil=True, error_model="numpy")(function))
