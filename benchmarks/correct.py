"""How fast planes are corrected, and written corrected, beside plain ways, in the same run.

    python benchmarks/correct.py [--size 2048] [--planes 15] [--jobs 1 2] [--repeats 3] [--folder DIR]

The tiles are a phantom brain's with photon and read noise, 2 × 2 of them, written uncompressed. Plain NumPy is
what one writes in a line; the plain ways with files read by tifffile, correct by NumPy and write by tifffile:
deflate 3 is what the older CloudReg wrote. Ours runs as the command does: checks, journal, atomic
files flushed to disk, counts of clipped voxels, and with "estimate" also the estimate of the shading. Figures are
the best of the repeats, MB/s of raw voxels. Memory is the largest process's peak resident size.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import tifffile

from cloudreg_correct.apply import BiasOfPlane, correct_plane
from cloudreg_io.fields import Bias, Shading
from cloudreg_io.space.grid import Grid
from cloudreg_io.synthetic import AcquisitionSpec, Truth, make_acquisition, make_phantom

CODECS = ("zstd", "deflate", "lzw", "none")
PLAIN = {
    "deflate 3": {"compression": "zlib", "compressionargs": {"level": 3}},
    "zstd 1": {"compression": "zstd", "compressionargs": {"level": 1}},
    "none": {},
}
RUN = """
import resource, sys, time
from pathlib import Path
from cloudreg_correct.steps import correct_acquisition
from cloudreg_correct.tiles import TileOptions
if __name__ == "__main__":
    raw, out, codec, jobs, shading = sys.argv[1:]
    options = TileOptions(compression=codec, shading_files=Path(shading) if shading else None)
    began = time.perf_counter()  # worker processes start after this
    correct_acquisition(raw, Path(out), options=options, jobs=int(jobs))
    seconds = time.perf_counter() - began
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(seconds, peak / 1024)
"""


def best(function, repeats):
    """Least seconds of some calls, and of CPU."""
    walls = []
    for _ in range(repeats):
        began = time.perf_counter(), time.process_time()
        function()
        walls.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    return min(wall for wall, _ in walls), min(cpu for _, cpu in walls)


def numpy_way(raw, shading):
    return np.clip(np.rint((raw - shading.background) / shading.flat), 0, 65535).astype(np.uint16)


def kernels(args, shading):
    size = args.size
    rng = np.random.default_rng(0)
    planes = rng.poisson(500, (8, size, size)).astype(np.uint16)
    out = np.empty_like(planes[0])
    grid = Grid((60, 60, 40), (60.0, 60.0, 60.0))
    bias = Bias(rng.uniform(0.8, 1.2, grid.shape).astype(np.float32), grid)
    field = BiasOfPlane.at(bias, (1000.0, 1000.0, 50.0), (1.0, 1.0, 5.0), (size, size))
    ways = {
        "NumPy, plainly": lambda: [numpy_way(plane, shading) for plane in planes],
        "shading": lambda: [correct_plane(plane, shading, out=out) for plane in planes],
        "shading and bias": lambda: [correct_plane(plane, shading, field, out=out) for plane in planes],
    }
    print(f"kernels, one thread, {size}² uint16, in memory")
    for name, way in ways.items():
        way()  # compiled
        wall, cpu = best(way, args.repeats)
        print(
            f"   {name:18} {planes.nbytes / wall / 1e6:8.0f} MB/s   {planes.nbytes / cpu / 1e6:8.0f} MB per CPU s"
        )


def plain_plane(task):
    path, target, shading, options = task
    target.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(target, numpy_way(tifffile.imread(path), _load(shading)), **options)


@lru_cache(maxsize=1)
def _load(path):
    return Shading.load(path)


def plain_files(args, raw, shading, folder, nbytes):
    files = sorted((raw / "VW0").glob("*/*.tif"))
    print("plain ways with files: tifffile, NumPy, tifffile; processes are there before the clock starts")
    for jobs in args.jobs:
        with get_context("spawn").Pool(jobs) as pool:
            pool.map(_load, [shading] * 4 * jobs)
            for name, options in PLAIN.items():
                tasks = [(path, folder / path.relative_to(raw), shading, options) for path in files]

                def way(tasks=tasks, pool=pool):
                    shutil.rmtree(folder, ignore_errors=True)
                    pool.map(plain_plane, tasks, chunksize=1)

                wall, _ = best(way, args.repeats)
                print(f"   {name:18} {nbytes / wall / 1e6:8.0f} MB/s   jobs {jobs}   {wall:6.2f} s", flush=True)


def ours(args, raw, shading, folder, nbytes):
    print("correct tiles")
    runs = [(codec, jobs, str(shading)) for jobs in args.jobs for codec in CODECS]
    runs += [("zstd", jobs, "") for jobs in args.jobs]
    script = folder.parent / "run.py"
    script.write_text(RUN)
    for codec, jobs, given in runs:
        seconds, peaks = [], []
        for _ in range(args.repeats):
            shutil.rmtree(folder, ignore_errors=True)
            command = [sys.executable, str(script), str(raw), str(folder), codec, str(jobs), given]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            wall, peak = map(float, done.stdout.split())
            seconds.append(wall)
            peaks.append(peak)
        size = sum(path.stat().st_size for path in folder.glob("VW0/*/*.tif"))
        name = codec if given else f"{codec}, estimate"
        print(
            f"   {name:18} {nbytes / min(seconds) / 1e6:8.0f} MB/s   jobs {jobs}   {min(seconds):6.2f} s   "
            f"ratio {nbytes / size:.2f}   {max(peaks):.0f} MB",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--planes", type=int, default=15, help="of each of four tiles")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        raw = Path(temporary) / "raw"
        spec = AcquisitionSpec(rows=2, columns=2, tile_size=(args.size, args.size), planes=args.planes)
        x, y, z = (int(n) + 1 for n in spec.span)
        make_acquisition(raw, make_phantom((x, y, z), spec.voxel_size, 1, cells=1e-6).scene(0), spec)
        truth = Truth.load(raw).shading_file("CHN00")
        nbytes = 4 * args.planes * 2 * args.size**2
        print(f"{4 * args.planes} planes of {args.size}², {nbytes / 1e6:.0f} MB")
        kernels(args, Shading.load(truth))
        plain_files(args, raw, truth, Path(temporary) / "plain", nbytes)
        ours(args, raw, truth, Path(temporary) / "ours", nbytes)


if __name__ == "__main__":
    main()
