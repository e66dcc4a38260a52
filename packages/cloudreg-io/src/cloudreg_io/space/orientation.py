"""Orientation: which way the axes of an array point in the animal.

A code such as `LPS` gives, for x, y and z, the direction in which the index grows: Left or Right, Posterior
or Anterior, Superior or Inferior. BrainGlobe's codes say the same thing differently, see
`Orientation.from_brainglobe`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.space.affine import Affine
from cloudreg_io.space.vector import Vector3i, vector3i
from cloudreg_io.space.voxel_size import VoxelSize

_OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "S": "I", "I": "S"}
_POSITIVE = "RAS"  # a right-handed triple: right × anterior = superior


@dataclass(frozen=True, slots=True)
class Orientation:
    """Directions in which x, y and z grow.

    Parameters
    ----------
    code : str
        Three letters of L, R, P, A, S, I in the order x, y, z, one of each pair of opposites: "LPS".

    Raises
    ------
    InputError
        For any other text. Lower case is refused because BrainGlobe's codes look like that and mean the opposite.
    """

    code: str

    def __post_init__(self) -> None:
        code = self.code
        if sorted(_axis(letter) for letter in code.upper()) != [0, 1, 2]:
            raise InputError(
                f"orientation {code!r} does not name three directions",
                fix="give for x, y, z the direction in which the index grows: one of L or R, one of P or A, "
                "one of S or I, such as LPS",
            )
        if code != code.upper():
            raise InputError(
                f"orientation {code!r}: lower case is how BrainGlobe names the corner where [z, y, x] begin",
                fix=f"write {_from_corner(code)} if that was meant, {code.upper()} if the letters are the "
                "directions in which x, y, z grow",
            )

    @classmethod
    def from_brainglobe(cls, code: str) -> Orientation:
        """Convert a code that names the corner where the array [z, y, x] begins: "asr" gives `LIP`.

        "asr": slice 0 is the most anterior one, so that z grows posterior; row 0 superior, so that y grows
        inferior; column 0 right, so that x grows left.
        """
        if sorted(_axis(letter) for letter in code.upper()) != [0, 1, 2]:
            raise InputError(f"{code!r} is not an orientation code of BrainGlobe", fix="for example: asr")
        return cls(_from_corner(code))

    @property
    def brainglobe(self) -> str:
        """The corner where the array [z, y, x] begins, as BrainGlobe names it."""
        return "".join(_OPPOSITE[letter] for letter in reversed(self.code)).lower()

    @property
    def is_right_handed(self) -> bool:
        """Whether x, y, z form a right-handed system in the animal; one that is not shows it mirrored."""
        axes, signs = self.permutation_to(Orientation(_POSITIVE))
        swaps = sum(a > b for i, a in enumerate(axes) for b in axes[i + 1 :])
        return bool((-1) ** swaps * signs[0] * signs[1] * signs[2] > 0)

    def permutation_to(self, other: Orientation) -> tuple[Vector3i, Vector3i]:
        """How to turn an array of this orientation into one of another.

        Returns
        -------
        axes : (x, y, z) int
            For each axis of the result, which axis of this array it comes from (0 is x).
        signs : (x, y, z) int
            1 where the index grows in the same direction, −1 where that axis is reversed.
        """
        here = [_axis(letter) for letter in self.code]
        axes = vector3i([here.index(_axis(letter)) for letter in other.code])
        same = [self.code[axis] == letter for axis, letter in zip(axes, other.code, strict=True)]
        return axes, vector3i([1 if equal else -1 for equal in same])

    def reorient(self, array: NDArray[Any], other: Orientation) -> NDArray[Any]:
        """A view of an array [z, y, x] of this orientation as [z, y, x] of another."""
        axes, signs = self.permutation_to(other)
        # axis k of x, y, z is axis 2 - k of the array
        turned = array.transpose([2 - axis for axis in reversed(axes)])
        return turned[tuple(slice(None, None, sign) for sign in reversed(signs))]

    def affine_to(self, other: Orientation, size: Sequence[int], voxel_size: VoxelSize) -> Affine:
        """The map of positions in a volume to positions in the same volume reoriented.

        Parameters
        ----------
        other : Orientation
        size, voxel_size
            Of the volume in this orientation (x, y, z).

        Returns
        -------
        Affine
            From µm with 0 at the centre of voxel 0 here, to µm with 0 at the centre of the result's voxel 0.
        """
        axes, signs = self.permutation_to(other)
        matrix = self.centred_affine_to(other).matrix.copy()
        edges = tuple(voxel_size)
        for row, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
            matrix[row, 3] = (int(size[axis]) - 1) * edges[axis] if sign < 0 else 0.0
        return Affine(matrix)

    def centred_affine_to(self, other: Orientation) -> Affine:
        """The map between frames whose 0 is the centre of the volume: it exchanges and reverses axes only."""
        axes, signs = self.permutation_to(other)
        matrix = np.eye(4)
        matrix[:3, :3] = 0
        for row, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
            matrix[row, axis] = sign
        return Affine(matrix)

    def __str__(self) -> str:
        return self.code


def _axis(letter: str) -> int:
    """0 for left-right, 1 for posterior-anterior, 2 for superior-inferior, −1 for anything else."""
    return next((i for i, pair in enumerate(("LR", "PA", "SI")) if letter in pair), -1)


def _from_corner(code: str) -> str:
    return "".join(_OPPOSITE[letter] for letter in reversed(code.upper()))
