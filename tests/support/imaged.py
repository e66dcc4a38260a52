"""A phantom brain imaged as tiles: the acquisitions of tests of whole commands."""

from cloudreg_io.synthetic import AcquisitionSpec, make_acquisition, make_phantom


def image_brain(folder, spec, seed=3):
    """Make an acquisition of a phantom that just fills it, with its truth beside; gives the folder."""
    size = tuple(int(n) + 1 for n in spec.span)
    phantom = make_phantom(size, spec.voxel_size, seed)
    make_acquisition(folder, [phantom.scene(c) for c in range(spec.channels)], spec, scene_size=size)
    return folder


def tiny_spec(**changes):
    """Tiles of 64 × 64 × 12 voxels side by side, two unless told otherwise, that can be aligned."""
    usual = {
        "rows": 1,
        "columns": 2,
        "tile_size": (64, 64),
        "planes": 12,
        "overlap": (20.0, 20.0),
        "jitter": (1.0, 1.0, 0.0),
        "channels": 1,
        "strength": 0.2,
        "seed": 5,
    }
    return AcquisitionSpec(**usual | changes)
