"""The writer of a volume's mip 0: one slab, one strip, rows in; chunks of every mip it completes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.volumes.cascade import Cascade, mip_groups, require_writable, strip_alignment
from cloudreg_io.volumes.volume import Volume


class SlabWriter:
    """Writes a slab of mip 0 and all mips that have its z factor; leaves sums for the others in scratch.

    ::

        with SlabWriter(volume, scratch, z) as writer:
            for band in bands:
                writer.write(band)
        return writer.result()

    The bytes written depend neither on the heights of the bands nor on the strips. When the context ends well,
    everything is on the disk; when it ends with an error, what is there is whole and the slab can be written
    again.

    Parameters
    ----------
    volume : Volume
    scratch : Path
        Folder for this volume and these options only, the same for all its slabs; `finish_volume` removes it.
    z : (int, int)
        One of `volume.slabs()`.
    x : (int, int), optional
        Strip of x in voxels, by default all; it begins and ends at a multiple of `strip_alignment(volume.spec)`
        or at the edge of the volume.

    Raises
    ------
    InputError
        For another z or x, or a volume of a kind that is not written.
    """

    def __init__(
        self, volume: Volume, scratch: Path, z: tuple[int, int], x: tuple[int, int] | None = None
    ) -> None:
        require_writable(volume.spec)
        width, self._height, _ = volume.size()
        x = (0, width) if x is None else (int(x[0]), int(x[1]))
        z = (int(z[0]), int(z[1]))
        if z not in volume.slabs():
            raise InputError(f"z {z[0]}-{z[1]} is not a slab of {volume.url}", fix="take one of volume.slabs()")
        step = strip_alignment(volume.spec)
        if not 0 <= x[0] < x[1] <= width or x[0] % step or (x[1] % step and x[1] != width):
            raise InputError(f"a strip of x must begin and end at multiples of {step} or at {width}, not {x}")
        self._shape = (z[1] - z[0], x[1] - x[0])
        self._dtype = volume.dtype
        self._url = volume.url
        self._cascade = Cascade(volume, Path(scratch), mip_groups(volume.spec)[0], z, x)
        self._uncovered = 0
        self.rows = 0

    def __enter__(self) -> Self:
        self._cascade.__enter__()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None and self.rows != self._height:
            kind, error = (
                InputError,
                InputError(f"{self.rows} of {self._height} rows were written to a slab of {self._url}"),
            )
        self._cascade.__exit__(kind, error, trace)

    def write(self, band: NDArray[Any], *, uncovered: int = 0) -> None:
        """Take the next rows.

        Parameters
        ----------
        band : [z, y, x]
            All of the slab's z and the strip's x, any number of rows; of the volume's data type. It may be reused
            afterwards.
        uncovered : int
            How many of its voxels no tile covers; only counted.
        """
        if band.ndim != 3 or (band.shape[0], band.shape[2]) != self._shape or band.dtype != self._dtype:
            raise InputError(
                f"a band of {band.dtype} {list(band.shape)} does not fit a slab of {self._url}: "
                f"{self._dtype} [{self._shape[0]}, y, {self._shape[1]}] is wanted"
            )
        if self.rows + band.shape[1] > self._height:
            raise InputError(f"more than {self._height} rows for a slab of {self._url}")
        self.rows += band.shape[1]
        self._uncovered += int(uncovered)
        self._cascade.write(np.asarray(band))

    def result(self) -> dict[str, int]:
        """{"bytes", "chunks", "uncovered"}: what was written, for the journal."""
        return {"bytes": self._cascade.bytes, "chunks": self._cascade.chunks, "uncovered": self._uncovered}
