"""Whether `--memory` is held: all processes of a command, watched stage by stage.

    python benchmarks/memory.py [--memory 2GB] [--tile 2048] [--planes 104] [--rows 3] [--columns 3] [--jobs 2]

Makes tiles whose fused volume has `rows * columns * tile² * planes` voxels, less the overlaps (by default 6.6 GB
of 16 bits), runs `cloudreg run` on them with `--memory` and samples the proportional set size of the whole process
tree every 50 ms. Prints the curve and the peak of each stage. Exit status 1 when any sample is above the cap.
"""

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from cloudreg_io.console import memory_bytes
from cloudreg_io.synthetic import PERFECT_OPTICS, AcquisitionSpec
from cloudreg_io.synthetic.acquisition import make_cameras, write_acquisition
from cloudreg_io.synthetic.make_truth import make_truth
from cloudreg_io.volumes.volume import open_volume
from support.memory_curve import watched

_BARS = 100  # samples of the printed curve


@dataclass(frozen=True)
class Texture:
    """Cut from one noisy picture, rolled on from plane to plane: quick to make, compresses like real planes."""

    spec: AcquisitionSpec
    pool: np.ndarray
    positions: dict

    def planes(self, channel, tile):
        (width, height), edge = self.spec.tile_size, len(self.pool)
        x0, y0, z0 = (round(p) for p in self.positions[tile.name])
        for z in range(z0, z0 + self.spec.planes):
            rows, columns = (
                (np.arange(n) + start) % edge for n, start in ((height, y0 - 37 * z), (width, x0 - 91 * z))
            )
            yield self.pool[rows][:, columns] + np.uint16(channel)


def make(folder, options):
    """Write the tiles, with Zstandard."""
    spec = AcquisitionSpec(
        rows=options.rows,
        columns=options.columns,
        tile_size=(options.tile, options.tile),
        planes=options.planes,
        channels=options.channels,
        jitter=(6, 6, 2),
        whole_voxels=True,
        magnification=4,
        compression="zstd",
        seed=3,
    )
    rng = np.random.default_rng(0)
    pool = rng.gamma(2.0, 150, (1024, 1024)).astype(np.float32)
    for axis in (0, 1):
        pool = sum(np.roll(pool, k, axis) for k in range(-3, 4)) / 7
    pool[:, :300] *= 0.05  # hardly any tissue there, so that a threshold finds some elsewhere
    pool += rng.standard_normal(pool.shape, np.float32) * np.sqrt(pool + 36) + 110
    truth = make_truth(folder, spec, spec.scene_positions(), lambda *_: 1.0)
    painter = Texture(spec, np.clip(pool, 0, 65535).astype(np.uint16), spec.scene_positions())
    write_acquisition(truth, spec, painter, make_cameras(replace(spec, **PERFECT_OPTICS)), options.jobs)


def show(curve, cap):
    print(f"\n{'stage':<34}{'s':>7}{'all MB':>9}{'one MB':>9}{'of cap':>8}")
    for stage, (seconds, total, each) in curve.stages().items():
        print(f"{stage:<34}{seconds:>7.1f}{total / 1e6:>9.0f}{each / 1e6:>9.0f}{total / cap:>8.0%}")
    print(f"\nall processes together; the line is {cap / 1e6:.0f} MB")
    for part in np.array_split(np.arange(len(curve.samples)), min(_BARS, len(curve.samples))):
        second, stage, _ = curve.samples[part[0]]
        most = max(sum(curve.samples[i][2]) for i in part)
        print(f"{second:>7.1f} s {most / 1e6:>6.0f} {'#' * round(60 * most / cap):<60}| {stage}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (
        ("tile", 2048),
        ("planes", 104),
        ("rows", 3),
        ("columns", 3),
        ("channels", 1),
        ("jobs", 2),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--compression", default="gzip", choices=("gzip", "zstd"))
    parser.add_argument("--folder", type=Path, help="Where the data go; by default a temporary folder.")
    parser.add_argument("--keep", type=Path, help="Tiles that an earlier call left here are used again.")
    options = parser.parse_args()
    raw = 2 * options.rows * options.columns * options.tile**2 * options.planes * options.channels
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        acquisition = options.keep or Path(name) / "acquisition"
        if shutil.disk_usage(name).free < 2.5 * raw:
            raise SystemExit(f"{name} has less than the {2.5 * raw / 1e9:.0f} GB free that this takes")
        began = time.perf_counter()
        if not acquisition.exists():
            make(acquisition, options)
        print(f"{raw / 1e9:.2f} GB of raw voxels, made in {time.perf_counter() - began:.0f} s", flush=True)
        sys.exit(bench(acquisition, Path(name) / "out", options))


def bench(acquisition, out, options):
    cap = memory_bytes(options.memory)
    words = ("run", acquisition, out, "--memory", options.memory, "--jobs", options.jobs)
    command = [Path(sys.executable).with_name("cloudreg"), *words, "--compression", options.compression]
    curve = watched(command, out)
    if curve.status:
        raise SystemExit(f"cloudreg run ended with {curve.status}\n{curve.errors}")
    volumes = [open_volume(str(path)) for path in sorted(out.glob("CHN*"))]
    fused = sum(2 * int(np.prod(volume.size())) for volume in volumes)
    show(curve, cap)
    held = curve.peak <= cap
    print(
        f"\n{fused / 1e9:.2f} GB fused in {curve.samples[-1][0]:.0f} s; peak {curve.peak / 1e6:.0f} MB of "
        f"{cap / 1e6:.0f}, in {len(curve.samples)} samples: {'held' if held else 'NOT HELD'}"
    )
    return 0 if held else 1


if __name__ == "__main__":
    main()
