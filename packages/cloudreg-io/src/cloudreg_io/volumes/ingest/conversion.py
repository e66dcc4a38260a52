"""Conversion: voxels of one data type as another, refusing to lose what nobody agreed to lose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.volumes.spec import DTYPES


@dataclass(frozen=True, slots=True)
class Conversion:
    """What is done to the voxels of a stack on their way into a volume.

    Attributes
    ----------
    dtype : str
        Of the volume. Floats are rounded to integers; values out of its range are an error, never wrapped.
    nan_to : float, optional
        Replaces what is not finite; without it, such values are an error.
    """

    dtype: str
    nan_to: float | None = None

    def apply(self, voxels: NDArray[Any], name: str) -> NDArray[Any]:
        """Convert voxels of any shape; `name` says in errors where they come from.

        Raises
        ------
        InputError
            Values that are not finite, or that the data type cannot hold.
        """
        target = np.dtype(self.dtype)
        if voxels.dtype.kind == "f":
            voxels = self._finite(voxels, name)
            if target.kind in "iu":
                voxels = np.rint(voxels)
        if voxels.dtype == target:
            return voxels
        if target.kind in "iu" and not np.can_cast(voxels.dtype, target, "safe"):
            _require_range(voxels, target, name)
        return voxels.astype(target)

    def _finite(self, voxels: NDArray[Any], name: str) -> NDArray[Any]:
        bad = ~np.isfinite(voxels)
        if not bad.any():
            return voxels
        if self.nan_to is not None:
            return np.where(bad, voxels.dtype.type(self.nan_to), voxels)
        first = np.argwhere(bad)[0].tolist()
        raise InputError(
            f"{name}: {int(bad.sum())} values are not finite (NaN or infinite), the first at {first} [y, x]",
            why="another program marks voxels without data in this way",
            fix="--nan-to 0 replaces them",
        )


def conversion_for(stored: np.dtype[Any], wanted: str | None, nan_to: float | None) -> Conversion:
    """Choose the volume's data type: that of the stack unless another is asked for.

    Raises
    ------
    InputError
        The format has no place for the stack's type and none was asked for.
    """
    if wanted is not None:
        if wanted not in DTYPES:
            raise InputError(f"--dtype {wanted} has no place in a volume", fix=f"one of {', '.join(DTYPES)}")
        return Conversion(wanted, nan_to)
    if stored == np.float16:
        return Conversion("float32", nan_to)  # holds every float16
    if stored.name not in DTYPES:
        likely = "float32" if stored.kind == "f" else "uint64"
        raise InputError(
            f"the stack holds {stored.name}, for which the precomputed format has no place",
            fix=f"--dtype {likely} converts; values that do not fit are an error",
        )
    return Conversion(stored.name, nan_to)


def _require_range(voxels: NDArray[Any], target: np.dtype[Any], name: str) -> None:
    limits = np.iinfo(target)
    low, high = voxels.min(), voxels.max()
    # Python's integers compare exactly where numpy would go through floats
    if int(low) < limits.min or int(high) > limits.max:
        raise InputError(
            f"{name}: values from {low} to {high} do not fit {target.name} ({limits.min} to {limits.max})",
            fix="choose a larger --dtype; float32 holds them all to seven digits",
        )
