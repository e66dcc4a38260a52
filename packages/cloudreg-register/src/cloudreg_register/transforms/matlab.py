"""Import of what the older, MATLAB based CloudReg left: A.mat and v.mat.

A is the 4×4 affine map, v.mat holds vtx, vty, vtz [row, column, slice, time]: the velocity in µm per unit time at
nT equal steps, on a grid centred at 0. Neither file says how large its voxels are or which volumes it was made
for, so that is to be given. The older program took one first-order step a time and interpolated the displacements;
here the same velocity is integrated exactly, so points may differ from its by a small part of a voxel of that
grid.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError, NotFoundError, ToolError
from cloudreg_io.space import Affine, Grid, VoxelSize, vector3
from cloudreg_register.images.frame import Frame, in_mm
from cloudreg_register.transforms.transform import Transform

_HDF5 = b"\x89HDF\r\n\x1a\n"
_HDF5_OFFSET = 512  # a MATLAB header of text stands before it


def import_matlab(
    affine: Path | str, velocity: Path | str, velocity_voxel_size: VoxelSize, atlas: Frame, target: Frame
) -> Transform:
    """The transform of an `A.mat` and a `v.mat`.

    Parameters
    ----------
    affine, velocity : Path
        Of MATLAB's versions 5 to 7.3.
    velocity_voxel_size : VoxelSize
        Of the (resampled) atlas that was registered: the older program's `registration_resolution`, by default
        100 µm.
    atlas, target : Frame
        The volumes it was made for.

    Raises
    ------
    NotFoundError
        A file is missing.
    InputError
        A file is no MATLAB file, lacks a variable, or the velocity's grid does not cover the atlas.
    ToolError
        The extra `cloudreg-register[matlab]` is not installed.
    """
    matrix = np.asarray(_variables(Path(affine), ["A"])["A"], np.float64)
    if matrix.shape != (4, 4):
        raise InputError(f"{affine}: A is {list(matrix.shape)}, not a 4×4 matrix")
    components = _variables(Path(velocity), ["vtx", "vty", "vtz"])
    field = _field(Path(velocity), components)
    grid = Grid((field.shape[4], field.shape[3], field.shape[2]), vector3(velocity_voxel_size)).centred()
    _require_cover(Path(velocity), grid, atlas)
    return Transform(Affine(matrix), field, grid, atlas, target)


def _field(path: Path, components: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    """[t, 3, z, y, x] of components [row y, column x, slice z, t]; a single time has no fourth axis."""
    shapes = {array.shape for array in components.values()}
    if len(shapes) > 1 or len(next(iter(shapes))) not in (3, 4):
        raise InputError(
            f"{path}: vtx, vty, vtz are {' and '.join(str(list(shape)) for shape in sorted(shapes))}, "
            "not arrays of one shape [row, column, slice, time]"
        )
    four = [array.reshape((*array.shape, 1)) if array.ndim == 3 else array for array in components.values()]
    return np.stack([array.transpose(3, 2, 0, 1) for array in four], axis=1).astype(np.float32)


def _require_cover(path: Path, grid: Grid, atlas: Frame) -> None:
    short = [g < 0.98 * a for g, a in zip(grid.extent, atlas.extent, strict=True)]
    if any(short):
        raise InputError(
            f"{path}: {' × '.join(map(str, grid.size))} voxels of {grid.voxel_size} span {in_mm(grid.extent)}; "
            f"the atlas is {in_mm(atlas.extent)}",
            why="v.mat does not say how large its voxels are, and the size given does not fit",
            fix="give the resolution at which it was registered: --velocity-voxel-size 100",
        )


def _variables(path: Path, names: list[str]) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise NotFoundError(f"no such file: {path}")
    with path.open("rb") as file:
        start = file.read(_HDF5_OFFSET + len(_HDF5))
    read = _read_hdf5 if _HDF5 in (start[: len(_HDF5)], start[_HDF5_OFFSET:]) else _read_older
    found = read(path, names)
    if missing := [name for name in names if name not in found]:
        raise InputError(f"{path} has no variable {', '.join(missing)}", fix="give A.mat and v.mat in this order")
    return found


def _read_hdf5(path: Path, names: list[str]) -> dict[str, NDArray[Any]]:
    """Of version 7.3: HDF5, which lists MATLAB's axes in reverse."""
    h5py = _required("h5py")
    try:
        with h5py.File(path, "r") as file:
            return {name: np.asarray(file[name]).T for name in names if name in file}
    except OSError as error:
        raise InputError(f"{path} is damaged: {error}") from error


def _read_older(path: Path, names: list[str]) -> dict[str, NDArray[Any]]:
    loadmat = _required("scipy.io").loadmat
    try:
        return {name: array for name, array in loadmat(path, variable_names=names).items() if name in names}
    except Exception as error:  # scipy raises whatever the bytes lead it to
        raise InputError(
            f"{path} is not a MATLAB file that can be read: {error}",
            fix="give A.mat and v.mat of the older CloudReg; copy them again if they are damaged",
        ) from error


def _required(module: str) -> ModuleType:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ToolError(
            f"MATLAB's files need {module.partition('.')[0]}, which is not installed",
            fix="pip install 'cloudreg-register[matlab]'",
        ) from error
