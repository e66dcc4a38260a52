"""A scene: what a perfect microscope would see, as a function of continuous coordinates.

`evaluate` computes the function at the samples asked for; it never interpolates, so that tiles at fractional
positions hold the truth and not a filter's idea of it. Coordinates are voxels of the scene's own grid,
ordered x, y, z; intensities are relative to an average tissue of 1, and exactly 0 outside the brain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.synthetic.anatomy import Anatomy, Look
from cloudreg_io.synthetic.blobs import Blobs
from cloudreg_io.synthetic.texture import Texture, TexturePlanes

Float32 = NDArray[np.float32]

_BAND = 1 << 15  # voxels
_DARKEST = np.float32(0.05)  # texture takes no more than 95 % of the light away


class Scene(Protocol):
    """Anything that can be imaged."""

    def evaluate(
        self, x0: float, y0: float, z0: float, shape: tuple[int, int, int], step: tuple[int, int, int] = (1, 1, 1)
    ) -> Float32:
        """Intensities [z, y, x] of `shape` samples that begin at (x0, y0, z0) and lie `step` (x, y, z) apart."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class BrainScene:
    """The phantom brain in one channel.

    Attributes
    ----------
    size : (x, y, z) int
        Voxels that the anatomy's unit cube spans.
    anatomy : Anatomy
    look : Look
        Brightness of the regions in this channel.
    texture : Texture
    contrast : float
        Standard deviation of the texture relative to the tissue; 0 for smooth tissue.
    blobs : Blobs
        Cells and beacons in this channel.
    """

    size: tuple[int, int, int]
    anatomy: Anatomy
    look: Look
    texture: Texture
    contrast: float
    blobs: Blobs

    def evaluate(
        self, x0: float, y0: float, z0: float, shape: tuple[int, int, int], step: tuple[int, int, int] = (1, 1, 1)
    ) -> Float32:
        """Intensities [z, y, x] of `shape` samples that begin at (x0, y0, z0) and lie `step` (x, y, z) apart.

        Parameters
        ----------
        x0, y0, z0 : float
            Position of sample 0 in voxels; fractions are fine, and so is the outside.
        shape : (z, y, x) int
        step : (x, y, z) int
            Distance between samples in voxels.

        Returns
        -------
        [z, y, x] float32
        """
        x, y, z = (
            start + by * np.arange(n, dtype=np.float64)
            for start, by, n in zip((x0, y0, z0), step, reversed(shape), strict=True)
        )
        nx, ny, nz = self.size
        anatomy = self.anatomy.on((x + 0.5) / nx, (y + 0.5) / ny, self.look)
        texture = self.texture.on(x, y)
        image = np.zeros(shape, np.float32)
        for plane, depth in zip(image, z, strict=True):
            unit = (depth + 0.5) / nz
            rows, columns = anatomy.box(unit)
            for band in _bands(rows, columns):
                tissue = anatomy.at(unit, band, columns)
                if tissue is not None:
                    self._add_texture(tissue, texture, depth, band, columns)
                    plane[band, columns] = tissue
        self.blobs.add_to(image, x, y, z)
        return image

    def _add_texture(self, tissue: Float32, texture: TexturePlanes, z: float, rows: slice, columns: slice) -> None:
        if not self.contrast:
            return
        relative = texture.at(z, rows, columns)
        relative *= np.float32(self.contrast)
        relative += np.float32(1)
        np.maximum(relative, _DARKEST, out=relative)
        tissue *= relative


def _bands(rows: slice, columns: slice) -> Iterator[slice]:
    """Bands of rows whose intermediate results stay in the processor's cache."""
    height = max(8, _BAND // max(1, columns.stop - columns.start))
    for start in range(rows.start, rows.stop, height):
        yield slice(start, min(start + height, rows.stop))


@dataclass(frozen=True, slots=True, eq=False)
class ArrayScene:
    """A real volume as a scene: only its own voxels can be asked for; beyond its border it is 0.

    Attributes
    ----------
    array : [z, y, x]
        float32 holds its values exactly: uint8, uint16, float32.
    """

    array: NDArray[Any]

    def evaluate(
        self, x0: float, y0: float, z0: float, shape: tuple[int, int, int], step: tuple[int, int, int] = (1, 1, 1)
    ) -> Float32:
        """Voxels of the array as float32.

        Raises
        ------
        InputError
            When the origin is not whole: a volume is cut, never interpolated.
        """
        origin = (z0, y0, x0)
        if any(value != int(value) for value in origin):
            raise InputError(
                f"a volume can be cut only at whole voxels, not at ({x0}, {y0}, {z0})",
                fix="whole_voxels=True in the acquisition's specification",
            )
        indices = [
            int(start) + by * np.arange(n) for start, by, n in zip(origin, reversed(step), shape, strict=True)
        ]
        inside = [(i >= 0) & (i < n) for i, n in zip(indices, self.array.shape, strict=True)]
        image = np.zeros(shape, np.float32)
        image[np.ix_(*inside)] = self.array[np.ix_(*[i[k] for i, k in zip(indices, inside, strict=True)])]
        return image
