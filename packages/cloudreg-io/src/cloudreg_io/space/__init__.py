"""Where things are: voxel sizes, boxes of voxels, orientations, affine maps, grids of samples."""

from cloudreg_io.space.bounds import Bounds, Vector3i, vector3i
from cloudreg_io.space.voxel_size import VoxelSize

__all__ = ["Bounds", "Vector3i", "VoxelSize", "vector3i"]
