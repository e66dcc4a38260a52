"""Shared values: what is too large for a task, pickled once to scratch and loaded once by each worker."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from cloudreg_io.run.kept import kept

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shared(Generic[T]):
    """Something too large for a task, pickled once to scratch and loaded once by each worker."""

    path: Path
    version: int

    def get(self) -> T:
        """The value."""
        value: T = kept((self.path, self.version), lambda: _load(self.path))
        return value


def _load(path: Path) -> Any:
    with path.open("rb") as file:
        return pickle.load(file)
