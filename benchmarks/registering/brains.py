"""A real brain against the Allen template: whole, without a hemisphere, and without a third of its planes."""

import resource
import time
from multiprocessing import get_context

import numpy as np
from scipy import ndimage

from cloudreg_io.files.image import read_image
from cloudreg_io.space import VoxelSize
from registering import cases

FILE, VOXEL = "real_brain_50um.tif", VoxelSize(50.0, 50.0, 50.0)
ORIENTATIONS = ("IRA", "ILA")  # which side is left is not recorded: both must be accepted
BLUR_UM = 100.0


def real(options, record):
    path = cases.DATA / FILE
    if not path.is_file():
        print(f"\nreal brain: no {FILE} in the folder of shared data")
        return
    brain = read_image(path)[0]
    tissue = mask_of(brain)  # of the intact brain: of a damaged one the largest component may be a slab
    versions = {
        "whole": brain,
        "no hemisphere": without_half(brain, tissue),
        "a third of planes lost": without_planes(brain),
    }
    for name, array in versions.items():
        for orientation in ORIENTATIONS if name == "whole" else ORIENTATIONS[:1]:
            picture = options.pictures / f"real-{name.replace(' ', '-')}-{orientation}.jpg"
            with get_context("spawn").Pool(1) as pool:
                job = (array, tissue, orientation, options.threads, options.set, picture)
                result = pool.apply(register_real, job)
            record(topic="real", version=name, orientation=orientation, **result)
            print(
                f"real brain, {name}, {orientation}: mask Dice {result['dice']:.3f}, {result['seconds']:.0f} s, "
                f"peak {result['peak'] / 1e6:.0f} MB, smallest Jacobian {result['jacobian']:.2f}; {picture}"
            )


def without_half(brain, tissue):
    """One hemisphere is 0: y runs from side to side, and the cut lies midway through the tissue."""
    cut = brain.copy()
    across = np.flatnonzero(tissue.any(axis=(0, 2)))
    cut[:, : (across[0] + across[-1]) // 2] = 0
    return cut


def without_planes(brain):
    """Every third of the planes z, in runs of five, is 0."""
    cut = brain.copy()
    cut[np.arange(len(cut)) % 15 < 5] = 0
    return cut


def mask_of(brain, voxel=VOXEL):
    """Otsu's threshold of a blur of 100 µm, the largest component, holes filled."""
    blurred = ndimage.gaussian_filter(brain.astype(np.float32), [BLUR_UM / s for s in reversed(tuple(voxel))])
    parts, _ = ndimage.label(blurred > otsu(blurred))
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return ndimage.binary_fill_holes(parts == sizes.argmax())


def otsu(values):
    """The threshold that separates two classes best (Otsu, IEEE Trans. SMC 9:62, 1979)."""
    counts, edges = np.histogram(values, 512)
    centres = (edges[1:] + edges[:-1]) / 2
    below, sums = counts.cumsum(), (counts * centres).cumsum()
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return centres[np.nanargmax(between)]


def register_real(array, tissue, orientation, threads, extra, picture):
    from cloudreg_register.images.image import Image
    from cloudreg_register.lddmm.options import RegisterOptions
    from cloudreg_register.lddmm.registration import register
    from registering.measures import nearest

    image, labels, voxel, code = cases.atlas(100)
    target = Image.of_array(array, VOXEL, orientation, "real brain")
    atlas = Image.of_array(np.asarray(image, np.float32), voxel, code, "atlas")
    began = time.perf_counter()
    result = register(
        target, atlas, options=RegisterOptions(**({"resolution": 100.0, "threads": threads} | extra))
    )
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    positions, _ = result.transform.to_atlas(target.grid.points().reshape(-1, 3))
    warped = nearest(labels, atlas.grid, positions).reshape(array.shape)
    seen = array != 0  # what was set to 0 is not in view
    mask, found = tissue & seen, (warped > 0) & seen
    there, _ = result.transform.to_target(atlas.grid.points().reshape(-1, 3))
    moved = there.reshape((*atlas.grid.shape, 3))
    columns = [np.gradient(moved, step, axis=2 - axis) for axis, step in enumerate(atlas.grid.spacing)]
    jacobian = np.linalg.det(np.stack(columns, axis=-1)) * sign(code, orientation)
    draw(array, warped, picture)
    return {
        "dice": float(2 * (mask & found).sum() / (mask.sum() + found.sum())),
        "seconds": seconds,
        "peak": peak,
        "jacobian": float(jacobian.min()),
    }


def sign(code, orientation):
    """−1 where one of the two orientations is left-handed and the other is not: the map then mirrors."""
    from cloudreg_io.space import Orientation

    return 1 if Orientation(code).is_right_handed == Orientation(orientation).is_right_handed else -1


def draw(array, warped, path):
    """Three planes a direction with the borders of the warped labels."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    figure, axes = pyplot.subplots(3, 3, figsize=(12, 12))
    bright = np.percentile(array[array > 0], 99.5)
    for row, axis in zip(axes, range(3), strict=True):
        for cell, share in zip(row, (0.3, 0.5, 0.7), strict=True):
            index = int(share * array.shape[axis])
            plane, ids = array.take(index, axis), warped.take(index, axis)
            edge = np.zeros(ids.shape, bool)
            edge[1:] |= ids[1:] != ids[:-1]
            edge[:, 1:] |= ids[:, 1:] != ids[:, :-1]
            colour = np.repeat(np.clip(plane / bright, 0, 1)[..., None], 3, axis=2)
            colour[edge] = (1, 0.2, 0.1)
            cell.imshow(colour)
            cell.set_title(f"{'zyx'[axis]} = {index}")
            cell.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=70, pil_kwargs={"quality": 80})
    pyplot.close(figure)
