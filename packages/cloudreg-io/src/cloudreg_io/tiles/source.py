"""Sources of planes. A correction of the planes is a decorator: a source that reads from another source.

A source is small and picklable: tasks in other processes get the source and open files there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files.tiff import TiffHeader, read_plane
from cloudreg_io.tiles.acquisition import Tile, TileGrid
from cloudreg_io.tiles.stamps import Stamps, require_unchanged

if TYPE_CHECKING:
    from cloudreg_io.tiles.acquisition import Acquisition


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


@dataclass(frozen=True, slots=True)
class FileTileSource:
    """The planes of one channel as they are in the acquisition's files.

    Attributes
    ----------
    grid : TileGrid
    channel : str
    dtype_name : str
        dtype of every plane.
    files : mapping of tile name to paths
        In plane order; None where there is no file.
    fill_missing : bool
        Whether a plane that the metadata promises but the disk lacks reads as 0 (True) or is an error.
    stamps : mapping of tile name to stamps
        What the planes must still be; those of tiles that are not in it may be anything.
    """

    grid: TileGrid
    channel: str
    dtype_name: str
    files: Mapping[str, Sequence[Path | None]]
    fill_missing: bool = False
    stamps: Mapping[str, Stamps] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, acquisition: Acquisition, channel: str | int, fill_missing: bool = False) -> FileTileSource:
        """The source of one channel of an acquisition."""
        name = acquisition.channel(channel)
        files, stamps = acquisition.files[name], acquisition.stamps(name)
        return cls(acquisition.grid, name, acquisition.dtype, files, fill_missing, stamps)

    @property
    def dtype(self) -> np.dtype[Any]:
        """What `read` returns: the files' own dtype in native byte order."""
        return np.dtype(self.dtype_name)

    def present(self, tile: Tile) -> NDArray[np.bool_]:
        """Which of the tile's planes have a file, shape [planes]; all False for an unscanned cell."""
        return np.array([path is not None for path in self._paths(tile)], dtype=bool)

    def read(self, tile: Tile, z: slice, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Read planes of a tile.

        Parameters
        ----------
        tile : Tile
        z : slice
            Of planes.
        out : array [z, y, x], optional
            Filled and returned; its dtype must hold the planes' values without loss.

        Returns
        -------
        array [z, y, x]
            Planes that were not imaged are 0, and so are missing ones when `fill_missing`.

        Raises
        ------
        NotFoundError
            A plane that the metadata promises has no file, and `fill_missing` is False.
        InputError
            A file is damaged, of another shape or dtype, holds NaN or infinite values, or was changed meanwhile.
        """
        wanted = range(*z.indices(self.grid.planes))
        x, y, _ = self.grid.tile_size
        if out is None:
            out = np.empty((len(wanted), y, x), self.dtype)
        elif out.shape != (len(wanted), y, x):
            raise InputError(f"`out` has the shape {out.shape}; {(len(wanted), y, x)} is needed")
        expect = TiffHeader((y, x), self.dtype_name)
        paths, stamps = self._paths(tile), self.stamps.get(tile.name)
        for place, plane in zip(out, wanted, strict=True):
            path = paths[plane]
            if path is None:
                self._check_absent(tile, plane)
                place[...] = 0
            else:
                read_plane(path, place, expect=expect)
                check_finite(place, path)
                if stamps is not None:
                    require_unchanged(path, stamps[plane])
        return out

    def _paths(self, tile: Tile) -> Sequence[Path | None]:
        if not tile.scanned:
            return (None,) * self.grid.planes
        try:
            return self.files[tile.name]
        except KeyError:
            raise NotFoundError(f"no tile {tile.name!r} in channel {self.channel}") from None

    def _check_absent(self, tile: Tile, plane: int) -> None:
        if tile.promises(plane) and not self.fill_missing:
            raise NotFoundError(
                f"plane {plane} of tile {tile.name}, channel {self.channel}, is missing",
                why="the copy or the recording is incomplete",
                fix="copy it again, or read missing planes as 0 with --missing fill",
            )


def check_finite(plane: NDArray[Any], path: Path) -> None:
    """Refuse NaN and infinite values.

    Parameters
    ----------
    plane : array [y, x]
    path : Path
        The file it was read from, for the message.

    Raises
    ------
    InputError
        With their number and the position of the first.
    """
    # a sum is finite unless a value is not (or float32 overflows): one pass without a temporary array
    if plane.dtype.kind != "f" or np.isfinite(plane.sum(dtype=np.float64)):
        return
    wrong = ~np.isfinite(plane)
    y, x = (int(index) for index in np.unravel_index(int(np.argmax(wrong)), plane.shape))
    raise InputError(
        f"{path} holds {int(wrong.sum())} NaN or infinite values, the first at x = {x}, y = {y}",
        why="the file was written by a program that divides, such as a flat-field correction",
        fix="use the microscope's own files, or decide what these values shall be and write the planes again",
    )
