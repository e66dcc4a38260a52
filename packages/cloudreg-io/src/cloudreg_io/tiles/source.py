"""Sources of planes. A correction of the planes is a decorator: a source that reads from another source.

A source is small and picklable: tasks in other processes get the source and open files there.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.tiles.acquisition import Tile, TileGrid


class TileSource(Protocol):
    """Where the planes of one channel come from."""

    @property
    def grid(self) -> TileGrid:
        """The tiles."""
        ...

    @property
    def channel(self) -> str:
        """Name of the channel."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """What `read` returns."""
        ...

    def present(self, tile: Tile) -> NDArray[np.bool_]:
        """Which of the tile's planes exist, shape [planes]; all False for an unscanned cell."""
        ...

    def read(self, tile: Tile, z: slice, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Planes z of a tile as [z, y, x]; planes not present read as 0. `out` is filled when given."""
        ...
