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
        self._pending: NDArray[Any] | None = None
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
        if self._height and self._pending is not None:
            block = self._pending[:, : self._height]
            self._height = 0
            yield block

    def _keep(self, rows: NDArray[Any]) -> None:
        if self._pending is None:
            depth, _, width = rows.shape
            self._pending = np.empty((depth, self.count, width), rows.dtype)
        self._pending[:, self._height : self._height + rows.shape[1]] = rows
        self._height += rows.shape[1]
