"""How fast and how well tiles are aligned, beside maximum-intensity projections, in the same run.

    python benchmarks/align.py [--cache DIR] [--seeds 5] [--rows 3 --columns 4 --tile 1024 --planes 96]
                               [--search 30 30 10] [--overlap 15] [--baseline 1] [--accuracy-tile 512]

Two kinds of sets are made of a phantom brain (and kept in --cache): one large set for the speed, and for every
seed a normal and a dark, noisy one (60 counts over a read noise of 6) for the errors: jitter of ±10 voxels in
x and y and ±4 in z, 10 to 15 % overlap, vignetting to 50 %, not corrected. The baseline is our own brief
rendering of what TeraStitcher's step 2 does: whole slabs of 48 planes as float32, three maximum-intensity
projections of the nominal overlap, normalised cross-correlation by direct sums, whole voxels. Everything runs
in one process with one thread; seconds are CPU seconds of that process, after the compiled code was loaded; the
compilation itself happens once on a machine. Errors: estimated minus true origin, median removed per axis,
Euclidean norm over the scanned tiles that were placed. MB/s are of raw voxels.
"""

import argparse
import os
import resource
import shutil
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import numba
import numpy as np

from cloudreg_io.run import open_run
from cloudreg_io.synthetic import AcquisitionSpec, Truth, make_acquisition, make_phantom
from cloudreg_io.tiles import open_acquisition
from cloudreg_stitch.align import place
from cloudreg_stitch.options import AlignOptions
from cloudreg_stitch.solve import Link, solve
from cloudreg_stitch.survey import survey

FAMILIES = ("lens", "gaussian", "sheet", "shadow", "patches")


def make_set(cache, name, seed, rows, columns, tile, planes, overlap, **camera):
    folder = cache / name
    if not folder.exists():
        spec = AcquisitionSpec(
            rows=rows,
            columns=columns,
            tile_size=(tile, tile),
            planes=planes,
            overlap=(overlap, overlap),
            jitter=(10.0, 10.0, 4.0),
            vignetting=(FAMILIES[seed % len(FAMILIES)],),
            strength=0.5,
            dust=30,
            unscanned=frozenset({(0, 0)}) if rows * columns > 9 else frozenset(),
            seed=seed,
            **camera,
        )
        x, y, z = spec.span
        # larger than the brain would be, so that the tiles at the rim hold tissue too
        phantom = make_phantom((int(1.1 * x), int(1.1 * y), int(1.3 * z)), spec.voxel_size, seed)
        make_acquisition(folder, phantom.scene(0), spec, jobs=os.cpu_count() or 1)
    return folder


def cpu(function, *arguments):
    before = time.process_time()
    result = function(*arguments)
    return result, time.process_time() - before


def align(folder, search):
    """Align one set: a dictionary of seconds, errors and memory."""
    source = open_acquisition(folder).source(0)
    truth = Truth.load(folder)
    options = AlignOptions(search=search)
    out = Path(tempfile.mkdtemp(dir=folder.parent))
    stages = {}
    try:
        with open_run(out, command="benchmark") as run:
            found, stages["survey"] = cpu(survey, run, source, options)
            placement, stages["place"] = cpu(place, run, source, found, options)
    finally:
        shutil.rmtree(out)
    trusted = [tile.name for tile in placement.scanned if "stage_position" not in tile.flags]
    errors = list(truth.placement_errors(placement.positions, trusted).values())
    textured = {tile.name for tile in truth.tiles if tile.textured}
    flagged = [tile.name for tile in placement.scanned if tile.flags and tile.name in textured]
    return {
        "stages": stages,
        "bin": (found.plan.bin, found.plan.bin_z),
        "errors": errors,
        "flagged": len(flagged),
        "textured": len(textured),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


@numba.njit(nogil=True, fastmath=True)
def direct_ncc(a, b, reach_u, reach_v):
    """Normalised cross-correlation of two images at every whole shift, by direct sums."""
    height, width = a.shape
    result = np.zeros((2 * reach_u + 1, 2 * reach_v + 1))
    for u in range(-reach_u, reach_u + 1):
        for v in range(-reach_v, reach_v + 1):
            here = a[max(0, u) : min(height, height + u), max(0, v) : min(width, width + v)]
            there = b[max(0, -u) : min(height, height - u), max(0, -v) : min(width, width - v)]
            mean_a = mean_b = 0.0
            for y in range(here.shape[0]):
                for x in range(here.shape[1]):
                    mean_a += here[y, x]
                    mean_b += there[y, x]
            mean_a /= here.size
            mean_b /= here.size
            cross = norm_a = norm_b = 0.0
            for y in range(here.shape[0]):
                for x in range(here.shape[1]):
                    p = here[y, x] - mean_a
                    q = there[y, x] - mean_b
                    cross += p * q
                    norm_a += p * p
                    norm_b += q * q
            result[u + reach_u, v + reach_v] = cross / np.sqrt(max(norm_a * norm_b, 1e-30))
    return result


def projected(a, b, search):
    """Whole-voxel displacement (x, y, z) of two overlap regions [z, y, x], and how sure it is, for each axis."""
    reach = [max(0, min(s, n - 25)) for s, n in zip(search[::-1], a.shape, strict=True)]
    seen = {axis: [] for axis in range(3)}
    for hidden in range(3):
        first, second = (axis for axis in range(3) if axis != hidden)
        flat_a, flat_b = (np.ascontiguousarray(part.max(axis=hidden)) for part in (a, b))
        ncc = direct_ncc(flat_a, flat_b, reach[first], reach[second])
        peak = np.unravel_index(ncc.argmax(), ncc.shape)
        for axis, at in zip((first, second), peak, strict=True):
            seen[axis].append((float(ncc.max()), int(at) - reach[axis]))
    shift, height = [], []
    for axis in range(3):
        total = sum(p for p, _ in seen[axis])
        shift.append(int(np.floor(sum(p * d for p, d in seen[axis]) / total + 0.5)))
        height.append(max(p for p, _ in seen[axis]))
    return shift[::-1], min(height)


def projections(folder, search):
    """The baseline: CPU seconds and errors."""
    source = open_acquisition(folder).source(0)
    truth = Truth.load(folder)
    grid = source.grid
    width, height, planes = grid.tile_size
    direct_ncc(np.zeros((30, 30), np.float32), np.zeros((30, 30), np.float32), 1, 1)
    began = time.process_time()
    best = {}
    slabs = -(-planes // 60)
    for slab in range(slabs):
        z = slice(slab * planes // slabs, (slab + 1) * planes // slabs)
        stacks = {t.name: source.read(t, z).astype(np.float32) / 65535 for t in grid.scanned}
        for a, b, axis in grid.neighbours():
            dx, dy = (int(q - p) for p, q in zip(a.nominal[:2], b.nominal[:2], strict=True))
            part_a, part_b = stacks[a.name], stacks[b.name]
            if axis == "x":
                part_a, part_b = part_a[:, :, dx:], part_b[:, :, : width - dx]
            else:
                part_a, part_b = part_a[:, dy:], part_b[:, : height - dy]
            shift, sure = projected(part_a, part_b, search)
            if sure > best.get((a.name, b.name), (0.0,))[0]:
                step = (dx, 0, 0) if axis == "x" else (0, dy, 0)
                best[a.name, b.name] = (sure, tuple(s + k for s, k in zip(shift, step, strict=True)))
    seconds = time.process_time() - began
    index = {tile.name: i for i, tile in enumerate(grid.tiles)}
    links = [Link(index[a], index[b], shift, (0.5, 0.5, 0.5)) for (a, b), (_, shift) in best.items()]
    solution = solve(np.array([tile.nominal for tile in grid.tiles]), links)
    positions = {tile.name: solution.positions[i] for i, tile in enumerate(grid.tiles)}
    return {"seconds": seconds, "errors": list(truth.placement_errors(positions).values())}


def apart(function, *arguments):
    """Run in a process of its own, so that memory is its own too."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def report_errors(label, results):
    if not results:
        return
    for seed, result in results.items():
        errors = result["errors"]
        print(f"{label:22s} seed {seed:4d}   mean {np.mean(errors):7.4f}   max {np.max(errors):7.4f}", end="")
        print(f"   flagged {result['flagged']} of {result['textured']} textured" if "flagged" in result else "")
    everything = np.concatenate([result["errors"] for result in results.values()])
    print(f"{label:22s} all         mean {everything.mean():7.4f}   max {everything.max():7.4f}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=None, help="folder of the sets, made where absent")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=1001)
    parser.add_argument("--rows", type=int, default=3)
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--tile", type=int, default=1024)
    parser.add_argument("--planes", type=int, default=96)
    parser.add_argument("--overlap", type=float, default=15.0)
    parser.add_argument("--accuracy-tile", type=int, default=512)
    parser.add_argument("--accuracy-planes", type=int, default=64)
    parser.add_argument("--search", type=int, nargs=3, default=(30, 30, 10))
    parser.add_argument("--baseline", type=int, default=1)
    options = parser.parse_args()
    cache = options.cache or Path(tempfile.mkdtemp())
    cache.mkdir(parents=True, exist_ok=True)
    search = tuple(options.search)
    try:
        if options.rows:
            speed(cache, options, search)
        accuracy(cache, options, search)
    finally:
        if options.cache is None:
            shutil.rmtree(cache)


def speed(cache, options, search):
    shape = (options.rows, options.columns, options.tile, options.planes, options.overlap)
    folder = make_set(cache, "speed-" + "-".join(str(v) for v in shape), 7, *shape)
    size = sum(path.stat().st_size for path in folder.rglob("*.tif*"))
    print(
        f"{options.rows} × {options.columns} tiles of {options.tile}² × {options.planes}: {size / 1e6:.0f} MB raw"
    )
    print(f"search {search}")
    apart(align, folder, search)  # compiles, and brings the files into the cache of the system
    result = apart(align, folder, search)
    total = sum(result["stages"].values())
    for name, seconds in (*result["stages"].items(), ("together", total)):
        print(f"  {name:10s} {seconds:7.2f} CPU s   {size / 1e6 / seconds:8.0f} MB/s")
    print(f"  largest memory {result['memory'] / 1e6:.0f} MB; bins {result['bin']}")
    print(f"  errors: mean {np.mean(result['errors']):.4f}, max {np.max(result['errors']):.4f} voxels")
    if options.baseline:
        plain = apart(projections, folder, search)
        print(
            f"  projections, direct sums: {plain['seconds']:.2f} CPU s, {plain['seconds'] / total:.1f} × ours",
            end="",
        )
        print(f"; errors: mean {np.mean(plain['errors']):.4f}, max {np.max(plain['errors']):.4f} voxels")
    print()


def accuracy(cache, options, search):
    kinds = {"normal": {}, "dark, noisy": {"signal": 60.0, "read_noise": 6.0}}
    for kind, camera in kinds.items():
        results, plain = {}, {}
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            overlap = 10.0 + seed % 6
            shape = (3, 3, options.accuracy_tile, options.accuracy_planes, overlap)
            name = "-".join([kind.split(",")[0], str(seed), *(str(v) for v in shape)])
            folder = make_set(cache, name, seed, *shape, **camera)
            results[seed] = apart(align, folder, search)
            if options.baseline > 1:
                plain[seed] = apart(projections, folder, search)
        report_errors(kind, results)
        if plain:
            report_errors(f"{kind}, projections", plain)


if __name__ == "__main__":
    main()
