"""Rows: bands of any height in, blocks of a wanted number of rows out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Rows:
    """Collects rows (y, the middle axis) of arrays [z, y, x]. Nothing is copied while bands fit the blocks.

    Parameters
    ----------
    count : int
        Rows of a block.
    exact : bool
        Whether blocks have exactly that many rows, or a multiple of it.
    """

    def __init__(self, count: int, *, exact: bool) -> None:
        self.count = count
        self.exact = exact
        self._pending: list[NDArray[Any]] = []
        self._height = 0

    def add(self, band: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """Take a band, give the blocks that are complete. The band may be reused once they have been consumed."""
        begin = 0
        if self._height:
            begin = min(-self._height % self.count, band.shape[1])
            self._keep(band[:, :begin])
            if self._height % self.count:
                return
            yield from self.rest()
        end = begin + (band.shape[1] - begin) // self.count * self.count
        step = self.count if self.exact else max(end - begin, 1)
        for y in range(begin, end, step):
            yield band[:, y : y + step]
        if end < band.shape[1]:
            self._keep(band[:, end:])

    def rest(self) -> Iterator[NDArray[Any]]:
        """Give what is pending, as one block that may be shorter."""
        if self._height:
            block = self._pending[0] if len(self._pending) == 1 else np.concatenate(self._pending, axis=1)
            self._pending, self._height = [], 0
            yield block

    def _keep(self, rows: NDArray[Any]) -> None:
        if rows.shape[1]:
            self._pending.append(rows.copy())
            self._height += rows.shape[1]
