"""What a process keeps from one unit of work for the next: dropped as soon as it begins a unit of another stage.

Shared values and work space are dear to make and large to keep. A worker lives as long as its command; without an
end to what it keeps, it would hold the work space of every stage that it ever took part in.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any, TypeVar, cast

T = TypeVar("T")

_kept: dict[Hashable, Any] = {}
_stage: Hashable = None


def begin(stage: Hashable) -> None:
    """A unit of this stage begins: what units of another one kept is dropped."""
    global _stage  # noqa: PLW0603 -- a process does one unit at a time
    if stage != _stage:
        drop()
        _stage = stage


def drop() -> None:
    """Keep nothing any more, and give the memory back to the machine."""
    _kept.clear()
    if sys.platform == "linux":
        with suppress(AttributeError):  # other C libraries than glibc return memory by themselves
            ctypes.CDLL(None).malloc_trim(0)


def kept(key: Hashable, make: Callable[[], T]) -> T:
    """The value of a key, made when it is not there."""
    if key not in _kept:
        _kept[key] = make()
    return cast("T", _kept[key])


def keep(key: Hashable, value: Any) -> None:
    """Keep a value for `take`."""
    _kept[key] = value


def take(key: Hashable) -> Any:
    """The value of a key, which is then no longer kept; None when there is none."""
    return _kept.pop(key, None)
