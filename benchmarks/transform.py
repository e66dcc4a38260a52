"""What applying a transform costs and how exact it is: points, labels and atlas on a native grid, memory.

    python benchmarks/transform.py [--points 10000000] [--jobs 2] [--bytes 5e8] [--memory-sizes 1 4] [--threads 2]

The transform is a smooth random velocity (200 µm grid, five parts) with an affine map, over the extent of the
Allen atlas. Labels are the Allen annotation at 100 µm where `../shared/data` is, refined to 25 µm; a grid of cubes
elsewhere. Prints

* seconds for the points both ways, their error against steps 50 times shorter, and there and back,
* voxels a second of labels and atlas on a 2 µm target as whole volumes (warped, compressed, with mips), a central
  box of so many bytes; hours for 1 TB of 16-bit target extrapolated from that; peak memory of all processes for
  targets of different size.
"""

import argparse
import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from cloudreg_io.files.image import read_image, write_image
from cloudreg_io.space import Affine, Grid, Orientation, VoxelSize
from cloudreg_io.volumes import VolumeSpec
from cloudreg_io.volumes.shards import shard_sizes
from cloudreg_register.images.frame import Frame
from cloudreg_register.transforms.particles import Particles
from cloudreg_register.transforms.transform import Transform
from support.memory_curve import watched
from support.velocities import velocity_on

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
ATLAS = Frame((132, 80, 114), VoxelSize(100, 100, 100), Orientation("PIR"), "Allen")
VOXEL_UM = 2.0
COMMAND = "from cloudreg_io.console import run_app; from cloudreg_register.cli_transform import app; run_app(app)"


def transform_onto(target):
    grid = Grid([int(np.ceil(edge / 200)) + 5 for edge in ATLAS.extent], (200,) * 3).centred()
    affine = Affine.from_parameters(rotation=(4, 3, 5), scale=(0.97, 1.03, 1))
    return Transform(affine, velocity_on(grid, 0, parts=5, fastest=700), grid, ATLAS, target)


def points(count):
    target = Frame((6600, 4000, 5700), VoxelSize(2, 2, 2), Orientation("PIR"))
    transform = transform_onto(target)
    grid = ATLAS.grid()
    given = np.random.default_rng(0).uniform(0, 1, (count, 3)) * grid.extent + grid.corner
    begin, cpu = time.perf_counter(), time.process_time()
    there, inside = transform.to_target(given)
    back, _ = transform.to_atlas(there)
    wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
    error = np.linalg.norm(back - given, axis=1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{count} points both ways: {wall:.1f} s wall, {cpu:.1f} s CPU, peak {peak:.2f} GB")
    print(f"inside of both volumes: {inside.mean():.0%}")
    print(f"there and back: {error.mean():.4f} µm mean, {error.max():.3f} µm max")
    particles = Particles(transform.velocity, transform.velocity_grid)
    some = given[:20_000] - ATLAS.centre
    coarse = particles.carried(some)
    steps, particles.substeps = particles.substeps, 50 * particles.substeps
    fine = particles.carried(some)
    error, moved = (np.linalg.norm(a - b, axis=1) for a, b in ((coarse, fine), (fine, some)))
    print(
        f"against 50 times shorter steps ({steps} a part): {error.mean():.4f} µm mean, {error.max():.3f} µm max, "
        f"of displacements of {moved.mean():.0f} mean, {moved.max():.0f} max"
    )


def sources(folder):
    """Labels and an image of the atlas at 25 µm, in files."""
    if (DATA / "annotation_100.nrrd").exists():
        coarse = read_image(DATA / "annotation_100.nrrd")[0].astype(np.uint32)
    else:
        z, y, x = np.indices(ATLAS.grid().shape)
        coarse = (1 + z // 8 + 20 * (y // 8) + 400 * (x // 8)).astype(np.uint32)
    labels = np.repeat(np.repeat(np.repeat(coarse, 4, 0), 4, 1), 4, 2)
    image = (labels % 5000 + np.random.default_rng(0).integers(0, 50, labels.shape)).astype(np.uint16)
    for name, array in (("labels", labels), ("atlas", image)):
        write_image(folder / f"{name}.nrrd", array, VoxelSize(25, 25, 25))


def whole_volume(folder, name, size, jobs):
    """A central box of a 2 µm target, as a volume of its own whose centre is the target's."""
    edge = int((size / 2 / 128) ** 0.5) // 128 * 128
    target = Frame((edge, edge, 128), VoxelSize(VOXEL_UM, VOXEL_UM, VOXEL_UM), Orientation("PIR"))
    transform_onto(target).save(folder / "transform")
    out = folder / "out"
    arguments = ["volume", folder / f"{name}.nrrd", out, "--transform", folder / "transform", "--to", "target"]
    arguments += ["--jobs", jobs, "--json", *(["--labels"] if name == "labels" else [])]
    curve = watched([sys.executable, "-c", COMMAND, *arguments], out)
    if curve.status:
        sys.exit(curve.errors)
    (report,) = json.loads(curve.output)["volumes"]
    wall = sum(seconds for stage, (seconds, _, _) in curve.stages().items() if stage != "start")
    voxels = int(np.prod(report["size"]))
    files = sum(path.is_file() for path in out.rglob("*") if ".cloudreg" not in path.parts)
    print(
        f"{name}, {report['size']} voxels ({2 * voxels / 1e9:.2f} GB of target), {jobs} jobs: {wall:.1f} s, "
        f"{voxels / wall / 1e6:.1f} M voxels/s, {report['bytes'] / 1e6:.1f} MB in {files} files, "
        f"peak {curve.peak / 1e9:.2f} GB; 1 TB: {5e11 / (voxels / wall) / 3600:.1f} h, "
        f"{report['bytes'] * 5e11 / voxels / 1e9:.0f} GB"
    )
    print("  peak by stage:", {stage: f"{total / 1e9:.2f} GB" for stage, (_, total, _) in curve.stages().items()})
    shutil.rmtree(out)


def terabyte():
    """How many objects labels on a target of 1 TB are: 2 µm voxels of 16 bits."""
    size = (9000, 6000, 9260)
    spec = VolumeSpec.plan(size, VoxelSize(VOXEL_UM, VOXEL_UM, VOXEL_UM), np.uint32, layer="segmentation")
    chunks = sum(int(np.prod(scale.chunks)) for scale in spec.scales)
    shards = sum(
        len(shard_sizes(scale)) if scale.sharding else int(np.prod(scale.chunks)) for scale in spec.scales
    )
    print(f"1 TB, {size} voxels: {shards:,} objects ({chunks:,} chunks, in shards above 100,000 of a volume)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=10_000_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bytes", type=float, default=5e8)
    parser.add_argument("--memory-sizes", type=float, nargs="*", default=[1, 4], help="Multiples of --bytes.")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    points(options.points)
    terabyte()
    with tempfile.TemporaryDirectory() as folder:
        sources(Path(folder))
        for factor in options.memory_sizes:
            for name in ("labels", "atlas"):
                whole_volume(Path(folder), name, factor * options.bytes, options.jobs)


if __name__ == "__main__":
    main()
