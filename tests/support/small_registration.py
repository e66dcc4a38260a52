"""A registration that takes a second or two, for tests and for the processes that they kill."""

from dataclasses import replace

from cloudreg_io.synthetic import make_phantom
from cloudreg_io.synthetic.deformation import random_deformation
from cloudreg_io.synthetic.registration_case import make_registration_case
from cloudreg_register.images.image import Image
from cloudreg_register.lddmm import registration
from cloudreg_register.lddmm.levels import default_levels
from cloudreg_register.lddmm.registration import RegisterOptions, register

EDGE = 250.0


def phantom():
    return make_phantom((48, 36, 40), (EDGE,) * 3, seed=1, texture=0.0, cells=0.0, beacons=0)


def case_of(brain, *, largest=500.0, **more):
    deformation = random_deformation(brain.grid, 3, largest)
    return make_registration_case(
        brain.atlas(), brain.labels(), (EDGE,) * 3, 3, orientation="LPS", deformation=deformation, **more
    )


def images_of(case, *, scale=1.0):
    return tuple(
        Image.of_array(array, [scale * s for s in grid.spacing], case.orientation, name)
        for array, grid, name in (
            (case.target, case.target_grid, "target"),
            (case.atlas, case.atlas_grid, "atlas"),
        )
    )


def coarsest(atlas, resolution, iterations):
    """The first of the default levels alone: a fine one takes ten times as long."""
    return default_levels(atlas, resolution, iterations)[:1]


def two_short_levels(atlas, resolution, iterations):
    """Two levels that differ in voxel size and in the velocity's grid."""
    first = replace(coarsest(atlas, resolution, iterations)[0], iterations=3, affine_only=1)
    spacing = 0.9 * first.velocity_spacing
    return [first, replace(first, factor=1, velocity_spacing=spacing, iterations=3, affine_only=0)]


def short(images, checkpoint=None, regularization=None, **more):
    """A registration of two short levels."""
    before = registration.default_levels
    registration.default_levels = two_short_levels
    try:
        options = RegisterOptions(threads=1, regularization=regularization)
        return register(*images, options, checkpoint=checkpoint, key="short", **more)
    finally:
        registration.default_levels = before
