"""Ingest of synthetic 16-bit planes: ours beside cloud-volume, in the same run.

    python benchmarks/ingest.py [--size 2048 2048 128] [--jobs 2] [--repeats 2]

Prints MB/s of raw voxels, CPU seconds and the largest memory (sum of proportional set sizes over the processes)
for a full pyramid, gzip, chunks 128 × 128 × 32. cloud-volume does what its users write: planes stacked into slabs
as deep as the coarsest mip's factor asks for, `vol[...] =` for each mip, means of blocks by numpy. Planes are
uncompressed and in the page cache for both.
"""

import argparse
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

VOXEL_SIZE = (0.585, 0.585, 3.5)
CHUNK = (128, 128, 32)


def make_planes(folder: Path, size):
    """Smooth structure with noise, which is what a light sheet gives."""
    from cloudreg_io.files.tiff import write_plane

    rng = np.random.default_rng(0)
    x, y, z = size
    yy, xx = np.mgrid[:y, :x]
    smooth = 400 + 300 * np.sin(xx / 90) * np.cos(yy / 70)
    for k in range(z):
        plane = smooth * (1 + 0.3 * np.sin(k / 20)) + rng.standard_normal((y, x), np.float32) * 20
        write_plane(folder / f"plane_{k}.tif", plane.astype(np.uint16), compression="none", durable=False)


def by_cloudreg(planes: Path, volume: Path, jobs: int):
    from cloudreg_io.run import executor, open_run
    from cloudreg_io.space import VoxelSize
    from cloudreg_io.volumes.ingest import IngestOptions, ingest

    with executor(jobs) as pool, open_run(volume, command="ingest", pool=pool, jobs=jobs) as run:
        ingest(run, planes, volume, IngestOptions(voxel_size=VoxelSize(*VOXEL_SIZE)))


def by_cloudvolume(planes: Path, volume: Path, jobs: int):
    import tifffile
    from cloudvolume import CloudVolume

    from cloudreg_io.volumes import VolumeSpec, open_volume

    files = sorted(planes.iterdir(), key=lambda path: int(path.stem.split("_")[1]))
    y, x = tifffile.imread(files[0]).shape
    spec = VolumeSpec.plan((x, y, len(files)), VOXEL_SIZE, "uint16")
    info = CloudVolume.create_new_info(
        1, "image", "uint16", "raw", [round(1000 * v) for v in VOXEL_SIZE], (0, 0, 0), spec.size, chunk_size=CHUNK
    )
    first = CloudVolume(f"file://{volume}", info=info)
    for factor in spec.mips[1:]:
        first.add_scale(factor)
    first.commit_info()
    levels = [
        CloudVolume(
            f"file://{volume}", mip=mip, compress="gzip", parallel=jobs, progress=False, non_aligned_writes=True
        )
        for mip in range(len(spec.mips))
    ]
    depth = CHUNK[2] * max(f[2] for f in spec.mips)
    for z in range(0, len(files), depth):
        slab = np.stack([tifffile.imread(f) for f in files[z : z + depth]]).T
        levels[0][:, :, z : z + slab.shape[2]] = slab[..., None]
        for mip, (finer, coarser) in enumerate(zip(spec.mips, spec.mips[1:], strict=False), start=1):
            step = tuple(c // f for f, c in zip(finer, coarser, strict=True))
            slab = np.asfortranarray(means(slab, step))
            z0 = z // coarser[2]
            levels[mip][:, :, z0 : z0 + slab.shape[2]] = slab[..., None]
    assert open_volume(volume).size() == spec.size


def means(slab, step):
    """Means of blocks [x, y, z], by sums of strided views; sizes are multiples of the steps here."""
    sums = slab
    for axis, factor in enumerate(step):
        parts = [sums[(slice(None),) * axis + (slice(k, None, factor),)] for k in range(factor)]
        if factor > 1:
            sums = sum((part for part in parts[1:]), start=parts[0].astype(np.uint32))
    return np.rint(sums / math.prod(step)).astype(slab.dtype)


def tree(pid: int):
    """A process and its descendants."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += tree(int(child))
    return found


def proportional_set_size(pid: int) -> int:
    total = 0
    for process in tree(pid):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


class Watch(threading.Thread):
    """The largest memory of a process and its children, looked at ten times a second."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.pid, self.peak, self.over = pid, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.1):
            try:
                self.peak = max(self.peak, proportional_set_size(self.pid))
            except OSError:
                continue


def measure(what: str, planes: Path, jobs: int, raw: int):
    target = Path(tempfile.mkdtemp(dir=planes.parent)) / "volume"
    before = os.times()
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, __file__, "--only", what, planes, target, str(jobs)]) as process:
        watch = Watch(process.pid)
        watch.start()
        code = process.wait()
        watch.over.set()
    seconds = time.perf_counter() - start
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    if code:
        raise SystemExit(f"{what} failed")
    files = [path for path in target.rglob("*") if path.is_file() and ".cloudreg" not in path.parts]
    written = sum(path.stat().st_size for path in files)
    print(
        f"{what:12s} jobs {jobs}  {raw / seconds / 1e6:7.1f} MB/s  {seconds:6.1f} s  CPU {cpu:6.1f} s  "
        f"memory {watch.peak / 1e6:6.0f} MB  {written / 1e6:.0f} MB in {len(files)} files",
        flush=True,
    )
    return target


def worst_differences(ours: Path, theirs: Path, planes: Path):
    """How far both are from the planes, at mip 0, and from the exact mean, at mip 1."""
    from cloudreg_io.files.tiff import read_plane
    from cloudreg_io.space import Bounds
    from cloudreg_io.volumes import open_volume

    mine, other = open_volume(ours), open_volume(theirs)
    x, y, _ = mine.size()
    fx, fy, fz = mine.spec.mips[1]
    stack = np.stack([read_plane(planes / f"plane_{k}.tif") for k in range(fz)]).astype(np.float64)
    even = stack[:, : y // fy * fy, : x // fx * fx]
    mean = even.reshape(fz, y // fy, fy, x // fx, fx).mean(axis=(0, 2, 4))
    for name, volume in (("cloudreg", mine), ("cloud-volume", other)):
        exact = np.array_equal(volume.read(Bounds.of_size((x, y, fz))), stack)
        level = volume.read(Bounds.of_size((x // fx, y // fy, 1)), 1)[0]
        print(f"{name:12s} mip 0 exact: {exact}; mip 1: mean error {np.mean(level - mean):+.4f} grey levels")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs=3, type=int, default=(2048, 2048, 128), metavar=("X", "Y", "Z"))
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        what, planes, target, jobs = arguments.only
        work = by_cloudreg if what == "cloudreg" else by_cloudvolume
        work(Path(planes), Path(target), int(jobs))
        return
    folder = Path(tempfile.mkdtemp(prefix="cloudreg-ingest-"))
    try:
        planes = folder / "planes"
        planes.mkdir()
        make_planes(planes, arguments.size)
        raw = int(np.prod(arguments.size)) * 2
        print(f"{' × '.join(map(str, arguments.size))} uint16, {raw / 1e6:.0f} MB, {os.cpu_count()} cores")
        made = {}
        for _ in range(arguments.repeats):
            for jobs in arguments.jobs:
                for what in ("cloudreg", "cloud-volume"):
                    made[what] = measure(what, planes, jobs, raw)
        worst_differences(made["cloudreg"], made["cloud-volume"], planes)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
