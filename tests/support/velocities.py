"""Smooth random velocities and transforms, such as a registration finds."""

import numpy as np
from scipy.ndimage import gaussian_filter

from cloudreg_io.space import Affine, Grid, Orientation, VoxelSize
from cloudreg_register.images.frame import Frame
from cloudreg_register.transforms.transform import Transform

ATLAS = Frame((41, 30, 36), VoxelSize(100, 100, 100), Orientation("PIR"), "atlas", "0123456789abcdef")
TARGET = Frame((180, 230, 100), VoxelSize(20, 20, 40), Orientation("LPS"), "target")


def velocity_on(grid, seed=0, parts=4, fastest=500.0, sigma=2.0):
    """[t, 3, z, y, x] float32 in µm per unit time: noise, blurred over `sigma` samples."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(parts, 3, *grid.shape)) * 0.5 + rng.normal(size=(1, 3, *grid.shape))
    smooth = gaussian_filter(noise, (0, 0, sigma, sigma, sigma), mode="nearest")
    return np.float32(smooth * fastest / np.linalg.norm(smooth, axis=1).max())


def transform_of(atlas=ATLAS, target=TARGET, *, seed=0, fastest=500.0, spacing=200.0, affine=None):
    """A transform with everything in it: axes exchanged, rotated, stretched, shifted and warped."""
    extent = [edge + 4 * spacing for edge in atlas.extent]
    size = [int(np.ceil(edge / spacing)) + 1 for edge in extent]
    grid = Grid(size, (spacing,) * 3).centred()
    if affine is None:
        turned = Affine.from_parameters(translation=(60, -90, 40), rotation=(5, -3, 8), scale=(0.95, 1.04, 1.02))
        affine = turned @ atlas.orientation.centred_affine_to(target.orientation)
    return Transform(affine, velocity_on(grid, seed, fastest=fastest), grid, atlas, target)
