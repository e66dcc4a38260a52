"""What a registration takes of the memory: the figures in `cloudreg_register.memory` are from here.

    python benchmarks/register_memory.py [--methods register,classic,search] [--voxels 200,140,100] [--threads 1]

A smooth picture with the extent of a mouse brain, and the same turned by 3°, at three voxel sizes (µm), each in a
process of its own: the peak of its resident memory less what it had before there were any images, in bytes for a
voxel of the larger image. With few iterations: the peak is in the first ones of the finest level.
"""

import argparse
import json
import math
import resource
import subprocess
import sys

EXTENT = (13200.0, 8000.0, 11400.0)
LARGER = 1.1  # the sample than the atlas, along each axis


def picture(extent, spacing, shift):
    """A blob of waves [z, y, x], made without large temporary arrays."""
    import numpy as np

    axes = [(np.arange(round(e / spacing)) * spacing - e / 2).astype(np.float32) for e in extent]
    array = np.empty([len(axis) for axis in reversed(axes)], np.float32)
    x, y = axes[0], axes[1][:, None]
    grain = 0.01 + 0.01 * np.sin(x / 90 + y / 70)
    for plane, z in enumerate(axes[2]):
        inside = (x / 5500) ** 2 + (y / 3300) ** 2 + (z / 4700) ** 2 < 1
        waves = 2 + np.sin((x + shift) / 700) * np.cos((y + 0.3 * x) / 600) + np.sin(z / 800)
        array[plane] = inside * waves + grain
    return array


def measured(method, spacing, threads):
    """Bytes, and what took them: run in a process of its own."""
    from cloudreg_register.classic.registration import register_classic
    from cloudreg_register.images.image import Image
    from cloudreg_register.lddmm.options import RegisterOptions
    from cloudreg_register.lddmm.registration import register
    from cloudreg_register.start.initial import initial_affine
    from cloudreg_register.start.search import search_start

    options = RegisterOptions(resolution=spacing, threads=threads)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    target, atlas = (
        Image.of_array(picture(extent, spacing, shift), (spacing,) * 3, "LPS", name)
        for extent, shift, name in (([LARGER * e for e in EXTENT], 150, "target"), (EXTENT, 0, "atlas"))
    )
    if method == "register":
        register(target, atlas, RegisterOptions(resolution=spacing, threads=threads, iterations=(1, 1, 3)))
    elif method == "classic":
        register_classic(target, atlas, options, iterations=2)
    else:
        search_start(target, atlas, initial_affine(atlas.orientation, target.orientation), options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"before": before, "peak": peak, "voxels": [math.prod(i.array.shape) for i in (target, atlas)]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="register,classic,search")
    parser.add_argument("--voxels", default="200,140,100")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "UM"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(options.one[0], float(options.one[1]), options.threads)))
        return
    print(f"{'method':<10}{'µm':>6}{'voxels':>12}{'before MB':>11}{'peak MB':>9}{'bytes a voxel':>15}")
    for method in options.methods.split(","):
        for spacing in options.voxels.split(","):
            words = [sys.executable, __file__, "--threads", str(options.threads), "--one", method, spacing]
            found = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
            voxels, taken = max(found["voxels"]), found["peak"] - found["before"]
            print(
                f"{method:<10}{spacing:>6}{voxels:>12,}{found['before'] / 1e6:>11.0f}{found['peak'] / 1e6:>9.0f}"
                f"{taken / voxels:>15.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
