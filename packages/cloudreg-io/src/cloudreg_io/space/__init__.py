"""Where things are: voxel sizes, boxes of voxels, orientations, affine maps, grids of samples, resampling."""

from cloudreg_io.space.affine import Affine
from cloudreg_io.space.bounds import Bounds
from cloudreg_io.space.grid import Grid
from cloudreg_io.space.orientation import Orientation
from cloudreg_io.space.resample import resample
from cloudreg_io.space.vector import Vector3, Vector3i, vector3, vector3i
from cloudreg_io.space.voxel_size import VoxelSize

__all__ = [
    "Affine",
    "Bounds",
    "Grid",
    "Orientation",
    "Vector3",
    "Vector3i",
    "VoxelSize",
    "resample",
    "vector3",
    "vector3i",
]
