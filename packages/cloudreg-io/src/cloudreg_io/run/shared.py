"""Shared values: what is too large for a task, pickled once to scratch and loaded once by each worker."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shared(Generic[T]):
    """Something too large for a task, pickled once to scratch and loaded once by each worker."""

    path: Path
    version: int

    def get(self) -> T:
        """The value."""
        value: T = _load(self.path, self.version)
        return value


@lru_cache(maxsize=16)  # `version` makes a new value of the same name a new entry
def _load(path: Path, version: int) -> Any:
    return pickle.loads(path.read_bytes())
