"""What a transform costs to apply: many points, and labels on a native grid."""

import resource
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from cloudreg_io.space import Grid
from registering import cases

COUNT = 10_000_000
NATIVE_UM = (40.0, 20.0)
TERABYTE = 1e12


def points(options, record):
    """10⁷ points there and back."""
    result = alone(_points, options.threads)
    record(topic="points", **result)
    print(f"\n{COUNT:.0e} points: to the target {result['there']:.1f} s, back {result['back']:.1f} s,", end=" ")
    print(f"{result['away']:.2e} µm away at most, {result['peak'] / 1e9:.2f} GB")


def labels(options, record):
    """Labels on the target's own grid at two voxel sizes: memory must not grow; a target of 1 TB extrapolated."""
    print("\nlabels on the native grid")
    for voxel in NATIVE_UM:
        result = alone(_labels, options.threads, voxel)
        record(topic="labels", voxel=voxel, **result)
        rate = result["voxels"] / result["seconds"]
        raw = TERABYTE / 2  # voxels of a target of uint16
        print(
            f"{voxel:g} µm: {result['voxels']:.2e} voxels, {result['seconds']:.1f} s, {rate:.2e} voxels/s, "
            f"{result['chunks']} objects, {result['bytes'] / 1e6:.0f} MB written, "
            f"peak {result['peak'] / 1e6:.0f} MB; 1 TB: {raw / rate / 3600:.1f} h with one worker, "
            f"{raw / result['voxels'] * result['chunks']:.2e} objects unsharded"
        )


def alone(function, *arguments):
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def random_transform(target_voxel=None):
    """A transform such as a registration gives: velocity on 200 µm, about 500 µm of displacement."""
    from cloudreg_io.synthetic import random_deformation
    from cloudreg_register.image import Image
    from cloudreg_register.transform import Transform

    image, ids, voxel, orientation = cases.atlas(100)
    grid = Grid.of_array(image, voxel)
    known = random_deformation(grid, 1)
    coarse = grid.centred().with_spacing((200.0, 200.0, 200.0))
    field = known.velocity.at(coarse.points().reshape(-1, 3)).T.reshape(3, *coarse.shape)
    velocity = np.repeat(field[None].astype(np.float32), 5, axis=0)
    atlas = Image.of_array(image, voxel, orientation, "atlas").frame
    target = atlas
    if target_voxel:
        size = grid.with_spacing((target_voxel,) * 3).size
        target = type(atlas)(size, type(voxel)(*(target_voxel,) * 3), atlas.orientation, "target")
    return Transform(known.affine, velocity, coarse, atlas, target), ids, grid


def _points(threads):
    import torch

    torch.set_num_threads(threads)
    transform, _, grid = random_transform()
    here = np.random.default_rng(0).uniform(0, 1, (COUNT, 3)) * grid.extent
    began = time.perf_counter()
    there, _ = transform.to_target(here)
    middle = time.perf_counter()
    back, _ = transform.to_atlas(there)
    return {
        "there": middle - began,
        "back": time.perf_counter() - middle,
        "away": float(np.abs(back - here).max()),
        "peak": peak(),
    }


def _labels(threads, voxel):
    import torch

    from cloudreg_io.run import open_run
    from cloudreg_register.native import labels_on_target, warp_volume
    from cloudreg_register.sources import FileSource

    torch.set_num_threads(threads)
    transform, ids, grid = random_transform(voxel)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        source = FileSource.write(out / "labels.npy", ids, grid)
        began = time.perf_counter()
        with open_run(out / "out", command="benchmark") as run:
            made = warp_volume(run, transform, labels_on_target(source, "benchmark", out / "out"), name="labels")
        seconds = time.perf_counter() - began
    voxels = int(np.prod(transform.target.size))
    return {"seconds": seconds, "voxels": voxels, "chunks": made["chunks"], "bytes": made["bytes"], "peak": peak()}


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
