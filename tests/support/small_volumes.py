"""Small volumes for tests, and what their mips must hold, worked out the slow and obvious way."""

from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np

from cloudreg_io.run import open_run
from cloudreg_io.volumes import SlabWriter, VolumeSpec, create_volume, finish_volume


def write_volume(folder, array, voxel_size=(1, 1, 1), *, band=0, strip=0, url=None, **plan):
    """Write an array [z, y, x] as a volume in `folder` (or at `url`), in bands and strips, and finish it."""
    spec = VolumeSpec.plan(array.shape[::-1], voxel_size, array.dtype, **plan)
    volume = create_volume(url or Path(folder) / "volume", spec)
    with open_run(Path(folder) / "out", command="test") as run:
        write_slabs(volume, run.scratch / "volume", array, band=band, strip=strip)
        finish_volume(run, volume, run.scratch / "volume", channel="")
        assert not (run.scratch / "volume").exists()
    return volume


def write_slabs(volume, scratch, array, *, band=0, strip=0):
    _, height, width = array.shape
    for z0, z1 in volume.slabs():
        for x0 in range(0, width, strip or width):
            x1 = min(x0 + (strip or width), width)
            with SlabWriter(volume, scratch, (z0, z1), (x0, x1)) as writer:
                for y in range(0, height, band or height):
                    writer.write(array[z0:z1, y : y + (band or height), x0:x1])


def windows(array, factor):
    """Index of each block of `factor` (x, y, z), and its voxels."""
    fx, fy, fz = factor
    shape = [-(-n // f) for n, f in zip(array.shape, (fz, fy, fx), strict=True)]
    for k, j, i in product(*(range(n) for n in shape)):
        yield (k, j, i), array[k * fz : (k + 1) * fz, j * fy : (j + 1) * fy, i * fx : (i + 1) * fx].ravel()


def means(array, factor):
    """Exact means of blocks, integers rounded half to even (Python's round of a fraction)."""
    out = np.empty([-(-n // f) for n, f in zip(array.shape, factor[::-1], strict=True)], array.dtype)
    for index, values in windows(array, factor):
        if array.dtype.kind == "f":
            out[index] = values.astype(np.float64).sum() / values.size
        else:
            out[index] = round(Fraction(sum(values.tolist()), values.size))
    return out


def modes(array, factor):
    """The most frequent label of each block, the first met of several."""
    out = np.empty([-(-n // f) for n, f in zip(array.shape, factor[::-1], strict=True)], array.dtype)
    for index, values in windows(array, factor):
        labels = values.tolist()
        out[index] = max(dict.fromkeys(labels), key=labels.count)
    return out
