"""Where things are: voxel sizes, boxes of voxels, orientations, affine maps, grids of samples."""

from cloudreg_io.space.bounds import Bounds, Vector3i, vector3i
from cloudreg_io.space.grid import Grid, Vector3, vector3
from cloudreg_io.space.voxel_size import VoxelSize

__all__ = ["Bounds", "Grid", "Vector3", "Vector3i", "VoxelSize", "vector3", "vector3i"]
