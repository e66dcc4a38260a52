"""Voxel size: the edge lengths of one voxel, in micrometres, ordered x, y, z."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cloudreg_io.errors import InputError

# The coarsest images of a brain, of magnetic resonance, have smaller voxels; nanometres given as micrometres are
# mostly beyond.
_LARGEST_UM = 4000.0
_LARGEST_OF_MICROSCOPES_UM = 1000.0


@dataclass(frozen=True, slots=True)
class VoxelSize:
    """Edge lengths of a voxel in µm.

    Raises
    ------
    InputError
        When an edge is not a finite positive number, or larger than 4 mm (nanometres given for µm).
    """

    x: float
    y: float
    z: float

    def __post_init__(self) -> None:
        for axis, value in zip("xyz", (self.x, self.y, self.z), strict=True):
            object.__setattr__(self, axis, float(value))
            if not math.isfinite(value) or value <= 0:
                raise InputError(
                    f"voxel size {axis} = {value} µm is not a positive number",
                    fix="give three positive edge lengths in µm: --voxel-size X Y Z",
                )
        self._require_below(_LARGEST_UM, "4 mm")

    @classmethod
    def of(cls, values: Sequence[float] | VoxelSize) -> VoxelSize:
        """Make a voxel size from three numbers x, y, z in µm."""
        if isinstance(values, VoxelSize):
            return values
        if len(values) != 3:
            raise InputError(f"a voxel size has three edges, not {len(values)}", fix="--voxel-size X Y Z, in µm")
        return cls(*(float(value) for value in values))

    @classmethod
    def of_microscope(cls, values: Sequence[float] | VoxelSize) -> VoxelSize:
        """As `of`, for voxels of a microscope.

        Raises
        ------
        InputError
            Also for an edge of more than a millimetre.
        """
        size = cls.of(values)
        size._require_below(_LARGEST_OF_MICROSCOPES_UM, "a millimetre")
        return size

    @classmethod
    def from_nanometers(cls, values: Sequence[float]) -> VoxelSize:
        """Make a voxel size from the precomputed format's `resolution` (nm)."""
        return cls.of([float(value) / 1000 for value in values])

    @property
    def nanometers(self) -> tuple[float, float, float]:
        """The edges in nm, as the precomputed format wants them."""
        # 0.585 * 1000 is 584.9999999999999: round to the millionth of a nanometre
        x, y, z = (round(value * 1000, 6) for value in self)
        return (x, y, z)

    @property
    def volume_mm3(self) -> float:
        """Volume of one voxel in mm³."""
        return self.x * self.y * self.z * 1e-9

    def scaled(self, factor: Sequence[float]) -> VoxelSize:
        """The voxel size after downsampling by `factor` (x, y, z)."""
        return VoxelSize(self.x * factor[0], self.y * factor[1], self.z * factor[2])

    def _require_below(self, largest: float, called: str) -> None:
        if max(self) > largest:
            from_nanometers = " × ".join(f"{value / 1000:g}" for value in self)
            raise InputError(
                f"voxel size {self}: {max(self):g} µm is larger than {called}",
                why="the values are probably in nanometres",
                fix=f"did you mean {from_nanometers} µm?",
            )

    def __iter__(self) -> Iterator[float]:
        return iter((self.x, self.y, self.z))

    def __str__(self) -> str:
        return " × ".join(f"{value:g}" for value in self) + " µm"
