"""How fast tiles become a precomputed volume with its pyramid, beside a plain way, in the same run.

    python benchmarks/fuse.py [--tile 1024] [--planes 64] [--rows 2] [--columns 3] [--jobs 1,2] [--folder DIR]

Raw tiles are cut from noisy texture at whole positions (--fraction moves them by a part of a voxel, so that
fusion interpolates) and written as uncompressed TIFF; positions are the true ones. The plain way is what one
writes in an afternoon: NumPy accumulators of a slab, cloud-volume for chunks, every coarser mip read back from the
one before. It blends and rounds as we do and has one process. MB/s are of raw voxels.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil

from cloudreg_io.synthetic import PERFECT_OPTICS, AcquisitionSpec
from cloudreg_io.synthetic.acquisition import make_cameras, write_acquisition
from cloudreg_io.synthetic.make_truth import make_truth
from cloudreg_io.tiles import open_acquisition
from cloudreg_io.volumes.spec import VolumeSpec
from cloudreg_io.volumes.volume import open_volume
from cloudreg_stitch.placement import Placement


@dataclass(frozen=True)
class Texture:
    """Cells on a smooth background with camera noise; quick to make, compresses like real planes."""

    spec: AcquisitionSpec
    pool: np.ndarray
    positions: dict

    def planes(self, channel, tile):
        width, height = self.spec.tile_size
        x0, y0, z0 = (round(p) for p in self.positions[tile.name])
        rng = np.random.default_rng((1, channel, tile.row, tile.column))
        for z in range(z0, z0 + self.spec.planes):
            layer = np.roll(self.pool, (37 * z, 91 * z), (0, 1))
            rows, columns = np.arange(y0, y0 + height) % len(layer), np.arange(x0, x0 + width) % len(layer)
            light = layer[np.ix_(rows, columns)]
            noise = rng.standard_normal(light.shape, np.float32) * np.sqrt(light + 36)
            yield np.clip(light + noise + 110, 0, 65535).astype(np.uint16)


def make(folder, options):
    spec = AcquisitionSpec(
        rows=options.rows,
        columns=options.columns,
        tile_size=(options.tile, options.tile),
        planes=options.planes,
        jitter=(6, 6, 2),
        whole_voxels=True,
        magnification=10,
        seed=3,
    )
    rng = np.random.default_rng(0)
    pool = rng.gamma(2.0, 150, (1024, 1024)).astype(np.float32)
    for axis in (0, 1):
        pool = sum(np.roll(pool, k, axis) for k in range(-3, 4)) / 7
    truth = make_truth(folder, spec, spec.scene_positions(), lambda *_: 1.0)
    painter = Texture(spec, pool, spec.scene_positions())
    write_acquisition(truth, spec, painter, make_cameras(replace(spec, **PERFECT_OPTICS)), 2)
    placement = folder.parent / "placement.json"
    truth.save_placement(placement)
    content = json.loads(placement.read_text())
    for tile in content["tiles"]:
        tile["position"] = [p + options.fraction for p in tile["position"]]
    placement.write_text(json.dumps(content))
    return placement


def ours(acquisition, placement, out, jobs, extra):
    command = [sys.executable, "-m", "cloudreg_stitch", acquisition, out, "--fuse-only", "--placement", placement]
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    answer, total, each = watched([*map(str, command), "--json", "--jobs", str(jobs), *extra])
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    stages = json.loads((out / "provenance.json").read_text())["commands"][0]["stages"]
    answer = answer["channels"][0]
    return {
        "wall": wall,
        "cpu": cpu,
        "fuse": sum(stage["cpu_seconds"] for stage in stages if stage["name"] == "fuse"),
        "memory": each,
        "total": total,
        "planes": sum(stage["planes_decoded"] for stage in stages),
        "plan": answer["decodes"],
        "seams": answer["seams"],
    }


def plain(acquisition, placement, out):
    """NumPy and cloud-volume, in a process of its own so that its memory and time can be told."""
    began = time.perf_counter()
    answer, total, each = watched([sys.executable, __file__, "--plain", *map(str, (acquisition, placement, out))])
    return answer | {"wall": time.perf_counter() - began, "memory": each, "total": total}


def watched(command):
    """What a command prints, as JSON; the most memory (proportional set size) of all its processes and of one."""
    total = each = 0
    with tempfile.TemporaryFile() as output:
        process = psutil.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            sizes = []
            for one in (process, *children(process)):
                with suppress(psutil.Error):
                    sizes.append(one.memory_full_info().pss)
            total, each = max(total, sum(sizes)), max([each, *sizes])
            time.sleep(0.1)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed")
        output.seek(0)
        return json.loads(output.read()), total, each


def children(process):
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def plain_work(acquisition, placement, out):
    from cloudvolume import CloudVolume

    data = open_acquisition(Path(acquisition))
    source, places = data.source(0), Placement.load(Path(placement)).positions
    width, height, planes = data.grid.tile_size
    at = {name: tuple(round(v) for v in place) for name, place in places.items()}
    size = [max(p[axis] for p in at.values()) + data.grid.tile_size[axis] for axis in range(3)]
    chunk, nanometres = [128, 128, 32], [v * 1000 for v in data.grid.voxel_size]
    info = CloudVolume.create_new_info(1, "image", "uint16", "raw", nanometres, [0, 0, 0], size, chunk_size=chunk)
    volume = CloudVolume(f"file://{out}", info=info, compress="gzip", progress=False)
    factors = VolumeSpec.plan(size, data.grid.voxel_size, np.uint16).mips
    for factor in factors[1:]:
        volume.add_scale(factor, chunk_size=chunk, encoding="raw")
    volume.commit_info()
    ramp = [np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in (height, width)]
    weight = np.outer(*ramp).astype(np.float32)
    decoded = 0
    for z0 in range(0, size[2], 32):
        depth = min(32, size[2] - z0)
        total = np.zeros((depth, size[1], size[0]), np.float32)
        weights = np.zeros_like(total)
        for tile in data.grid.scanned:
            x, y, z = at[tile.name]
            for k in range(max(0, z0 - z), min(planes, z0 + depth - z)):
                plane = source.read(tile, slice(k, k + 1))[0]
                decoded += 1
                total[k + z - z0, y : y + height, x : x + width] += weight * plane
                weights[k + z - z0, y : y + height, x : x + width] += weight
        fused = np.rint(np.divide(total, weights, out=total, where=weights > 0)).astype(np.uint16)
        volume[:, :, z0 : z0 + depth] = fused.T[..., None]
    for mip in range(1, len(factors)):
        finer = CloudVolume(f"file://{out}", mip=mip - 1, progress=False)
        coarser = CloudVolume(f"file://{out}", mip=mip, compress="gzip", progress=False)
        step = [c // f for c, f in zip(factors[mip], factors[mip - 1], strict=True)]
        for z in range(0, coarser.shape[2], 32):
            end = min(z + 32, coarser.shape[2])
            block = finer[:, :, z * step[2] : min(end * step[2], finer.shape[2])][..., 0]
            coarser[:, :, z:end] = mean_pool(block, step)[..., None]
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = usage.ru_utime + usage.ru_stime
    print(json.dumps({"cpu": cpu, "planes": decoded}))


def mean_pool(block, step):
    pads = [(0, -n % s) for n, s in zip(block.shape, step, strict=True)]
    block = np.pad(block, pads, "edge").astype(np.float32)
    shape = [v for n, s in zip(block.shape, step, strict=True) for v in (n // s, s)]
    return np.rint(block.reshape(shape).mean(axis=(1, 3, 5))).astype(np.uint16)


def disk(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("tile", 1024), ("planes", 64), ("rows", 2), ("columns", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--fraction", type=float, default=0.0)
    parser.add_argument("--jobs", default="1,2")
    parser.add_argument("--memory", default="")
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--no-plain", action="store_true")
    parser.add_argument("--plain", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        plain_work(*options.plain)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        bench(Path(name), options)


def bench(folder, options):
    acquisition = folder / "acq"
    placement = make(acquisition, options)
    data = open_acquisition(acquisition)
    raw = 2 * np.prod(data.grid.tile_size) * len(data.grid.scanned)
    planes = data.grid.planes * len(data.grid.scanned)
    print(
        f"{len(data.grid.scanned)} tiles of {data.grid.tile_size}, {raw / 1e6:.0f} MB raw, all in the page cache"
    )
    for path in acquisition.rglob("*.tif*"):
        path.read_bytes()
    header = ("way", "wall s", "CPU s", "MB/s", "MB/CPU s", "decodes", "MB each", "MB all", "disk")
    print("{:<34}{:>8}{:>8}{:>8}{:>10}{:>9}{:>9}{:>8}{:>7}".format(*header))
    runs = [(f"cloudreg-stitch --jobs {jobs}", int(jobs), []) for jobs in options.jobs.split(",")]
    runs.append(("  --jobs 1 --compression zstd", 1, ["--compression", "zstd"]))
    if options.memory:
        jobs = int(options.jobs.split(",")[-1])
        runs.append((f"  --jobs {jobs} --memory {options.memory}", jobs, ["--memory", options.memory]))
    for title, jobs, extra in runs:
        out = folder / "out"
        figures = ours(acquisition, placement, out, jobs, extra)
        volume = open_volume(out / "CHN00")
        show(title, figures, raw, planes, disk(out / "CHN00") / (2 * np.prod(volume.size())))
        if not extra and jobs == 1:
            print(f"    units of fusion, encoding included: {raw / 1e6 / figures['fuse']:.0f} MB per CPU second")
            before, step = figures["seams"]["before"]["worst"], figures["seams"]["step"]
            steps = {line: f"{value['worst']:.1e}" for line, value in step.items()}
            print(f"    worst seam: before {before:.1e}, step between bands after {steps}")
        shutil.rmtree(out)
    if not options.no_plain:
        out = folder / "plain"
        figures = plain(acquisition, placement, out)
        size = open_volume(out).size()
        show("NumPy + cloud-volume, 1 process", figures, raw, planes, disk(out) / (2 * np.prod(size)))


def show(title, figures, raw, planes, ratio):
    wall, cpu = figures["wall"], figures["cpu"]
    speeds = f"{wall:>8.1f}{cpu:>8.1f}{raw / 1e6 / wall:>8.0f}{raw / 1e6 / cpu:>10.0f}"
    memory = f"{figures['memory'] / 1e6:>9.0f}{figures['total'] / 1e6:>8.0f}"
    print(f"{title:<34}{speeds}{figures['planes'] / planes:>9.2f}{memory}{ratio:>7.2f}")


if __name__ == "__main__":
    main()
