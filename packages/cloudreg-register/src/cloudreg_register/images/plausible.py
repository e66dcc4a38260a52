"""Plausible: what a volume must be to be registered, and the messages that say what it is instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cloudreg_io.errors import InputError, ToolError
from cloudreg_io.run.memory import machine_memory, readable
from cloudreg_io.space import Grid
from cloudreg_register.images.frame import in_mm
from cloudreg_register.memory import reading_bytes

_FEWEST = 4


def require_memory(size: Sequence[int], dtype: DTypeLike, name: str, memory: int | None) -> None:
    """Check that reading a volume fits.

    Raises
    ------
    ToolError
        Stating what is needed and what may be used.
    """
    needed = reading_bytes(size, dtype)
    limit = machine_memory() // 2 if memory is None else memory
    if needed > limit:
        raise ToolError(
            f"{name}: {' × '.join(map(str, size))} voxels take about {readable(needed)} of memory; "
            f"{readable(limit)} may be used",
            fix="choose a larger --resolution, store a coarser copy, or allow more by --memory",
        )


def require_signal(array: NDArray[Any], name: str, *, labels: bool = False) -> None:
    """Check that there is something to register in an array.

    Raises
    ------
    InputError
        For NaN and infinities (counted), one value everywhere, or an axis of too few voxels.
    """
    if min(array.shape) < _FEWEST:
        z, y, x = array.shape
        raise InputError(
            f"{name} has {x} × {y} × {z} voxels (x, y, z) at this resolution: too few to be registered",
            why="a plane is no volume, its voxel size is wrong, or --resolution is larger than the brain",
            fix="give the whole volume; check --voxel-size, choose a smaller --resolution",
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = ~np.isfinite(array)
        raise InputError(
            f"{name}: {int(bad.sum())} of {array.size} voxels are not a number, or infinite; the first is "
            f"{tuple(int(i) for i in np.argwhere(bad)[0][::-1])} (x, y, z)",
            fix="replace them by 0 (numpy.nan_to_num), which means that nothing was imaged there",
        )
    low = array.min()
    if low == array.max():
        what = "is empty: every voxel is 0" if not low else f"is constant: every voxel is {low:g}"
        raise InputError(
            f"{name} {what}",
            why="the file of another channel or a failed export" if not labels else "these are no labels",
            fix="check the path; look at the volume in Fiji or Neuroglancer",
        )


def require_larger_than(grid: Grid, smallest_um: float, name: str, what: str = "the smoothing kernel") -> None:
    """Check that a volume is larger on every axis than a length, such as that of a kernel.

    Raises
    ------
    InputError
    """
    extent = grid.extent
    if min(extent) < smallest_um:
        raise InputError(
            f"{name} is {in_mm(extent)} (x, y, z): on one axis smaller than {what}, {smallest_um / 1000:.3g} mm",
            why="its voxel size may be wrong, or it is a piece that is too small to be registered",
            fix="check --voxel-size; a part of a brain is registered with the whole volume around it",
        )


def require_same_extent(atlas: Grid, labels: Grid, atlas_name: str, labels_name: str) -> None:
    """Check that labels are those of an atlas: both align by their outer corners, whatever their voxel sizes.

    Differences up to one voxel of the coarser are what rounding to whole voxels leaves.

    Raises
    ------
    InputError
    """
    for a, b, sa, sb in zip(atlas.extent, labels.extent, atlas.spacing, labels.spacing, strict=True):
        if abs(a - b) > max(sa, sb) * (1 + 1e-6):
            raise InputError(
                f"the labels {labels_name} are {in_mm(labels.extent, 4)} (x, y, z), "
                f"the atlas {atlas_name} is {in_mm(atlas.extent, 4)}",
                why="sorted, they are the same: one has its axes in another order"
                if np.allclose(sorted(atlas.extent), sorted(labels.extent), rtol=0.02)
                else "they belong to another atlas, or one voxel size is wrong",
                fix="--atlas-voxel-size X Y Z, in µm, holds for both"
                if atlas.size == labels.size
                else "give labels and atlas of one release, in one orientation",
            )


def as_label_ids(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Labels in an unsigned type that holds them exactly.

    Unsigned types stay; signed ones become the unsigned one of the same width; floats, which some programs write,
    become uint32 (or uint64) where every value is whole and one that the float type holds exactly.

    Raises
    ------
    InputError
        For fractions, negative ids, or ids that the float type cannot tell from their neighbours.
    """
    kind = array.dtype.kind
    if kind == "u":
        return array
    if kind == "b":
        return array.view(np.uint8)
    if kind not in "if":
        raise InputError(f"{name} holds {array.dtype} voxels: labels are whole numbers")
    low, high = array.min(), array.max()
    if kind == "f":
        _require_whole(array, float(high), name)
    if low < 0:
        raise InputError(
            f"{name}: the smallest label is {low}; ids are not negative",
            why="ids beyond the range of a smaller type were wrapped when the file was written"
            if kind == "i"
            else "this is an image, not labels",
            fix="export the labels as uint32 or uint64",
        )
    if kind == "i":
        return array.view(array.dtype.str.replace("i", "u"))
    return array.astype(np.uint32 if high < 2**32 else np.uint64)


def _require_whole(array: NDArray[Any], high: float, name: str) -> None:
    exact = 2.0 ** (np.finfo(array.dtype).nmant + 1)
    if not np.isfinite(array).all() or (array != np.rint(array)).any():
        raise InputError(
            f"{name} holds fractions: labels are whole numbers",
            why="it is an image, or was interpolated when it was resampled",
            fix="give the labels as they were released, or resampled by nearest neighbour, in uint32",
        )
    if high > exact:
        raise InputError(
            f"{name}: label {high:.0f} is stored as {array.dtype}, which tells ids apart only up to {exact:.0f}",
            why="ids have been rounded already when the file was written",
            fix="export the labels as uint32 or uint64",
        )
