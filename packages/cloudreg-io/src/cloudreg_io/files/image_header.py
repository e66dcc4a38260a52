"""What a 3-D image file says about its voxels, whatever its format."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cloudreg_io.errors import InputError
from cloudreg_io.space import Vector3i, VoxelSize

_logger = logging.getLogger(__name__)

_UNITS_UM = {
    "um": 1.0,
    "µm": 1.0,  # micro sign
    "μm": 1.0,  # Greek mu
    "\\u00b5m": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "micrometers": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "millimetre": 1e3,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "nanometre": 1e-3,
    "cm": 1e4,
    "m": 1e6,
    "meter": 1e6,
    "metre": 1e6,
    "inch": 25400.0,
}

# No light microscope resolves a voxel below this on all three axes; the number is in millimetres then.
_SMALLEST_PLAUSIBLE_UM = 0.1


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a file's header says; small and picklable.

    Attributes
    ----------
    path : Path
    shape : (z, y, x) int
    dtype : str
        numpy name, native byte order.
    voxel_size : VoxelSize or None
        In µm; None where the file does not say.
    notes : tuple of str
        What the header says and CloudReg does not use: origin, directions.
    """

    path: Path
    shape: Vector3i
    dtype: str
    voxel_size: VoxelSize | None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> Vector3i:
        """Voxels along x, y, z."""
        z, y, x = self.shape
        return (x, y, z)


def micrometres(unit: str) -> float | None:
    """How many µm a unit is; None for a unit that is not a length, or unknown."""
    return _UNITS_UM.get(unit.strip().strip('"').lower())


def voxel_size_of(path: Path, spacing: Sequence[float], unit_um: float | None) -> VoxelSize | None:
    """The voxel size that a header's spacing means.

    Parameters
    ----------
    path : Path
        For messages.
    spacing : (x, y, z) float
    unit_um : float or None
        Length of the unit in µm. None where the header has no unit: the numbers are then taken as µm, or as mm
        where all three would be too small for a light microscope; both are logged.

    Returns
    -------
    VoxelSize or None
        None for a spacing that is not three positive numbers (a header's way to say that it is unknown).

    Raises
    ------
    InputError
        For voxels larger than 4 mm.
    """
    if not all(math.isfinite(value) and value > 0 for value in spacing):
        return None
    if unit_um is None:
        unit_um = 1e3 if max(spacing) < _SMALLEST_PLAUSIBLE_UM else 1.0
        name = "mm" if unit_um > 1 else "µm"
        _logger.warning("%s: its spacing %s has no unit; taken as %s", path, tuple(spacing), name)
    # headers hold single precision or rational numbers: 0.025 mm reads as 24.99999962747097 µm
    edges = [float(f"{value * unit_um:.7g}") for value in spacing]
    try:
        return VoxelSize.of(edges)
    except InputError as error:
        raise InputError(
            f"{path}: {error.what}", why="the unit in its header may be wrong", fix=error.fix
        ) from error


def three_axes(path: Path, sizes: Sequence[int]) -> Vector3i:
    """Three sizes x, y, z from those of a file, x first; further axes of size 1 do not count, z may be absent.

    Raises
    ------
    InputError
        For a fourth axis larger than 1, or a size of 0.
    """
    sizes = [int(size) for size in sizes]
    if min(sizes, default=0) < 1:
        raise InputError(f"{path} holds no voxel: its size is {sizes}", fix="copy the file again")
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) > 3:
        raise InputError(
            f"{path} has {len(sizes)} axes of sizes {sizes}, three are expected",
            why="it holds several channels, times or vectors",
            fix="save one channel to a file of its own",
        )
    x, y, z = [*sizes, 1, 1][:3]
    return (x, y, z)
