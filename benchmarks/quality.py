"""How near to the truth the whole pipeline comes: placement, shading and seams of made acquisitions.

    python benchmarks/quality.py --tile 1024 --planes 48 --seeds 3

Seams are measured against the scene itself, so that tissue does not count as a step: of the fused volume
divided by the scene, the means of two bands of 16 voxels on either side of each line (where the second tile
begins, the middle of the overlap, where the first tile ends) are compared; "jump" is the step less the slope of
the bands beyond.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from cloudreg_cli.demo import placement_errors, shading_error
from cloudreg_cli.pipeline import RunOptions, run_acquisition
from cloudreg_io.space import Bounds
from cloudreg_io.synthetic import FAMILIES, AcquisitionSpec, Truth, make_acquisition, make_phantom
from cloudreg_io.tiles import open_acquisition
from cloudreg_io.volumes import open_volume
from cloudreg_stitch.layout import Layout
from cloudreg_stitch.placement import Placement
from cloudreg_stitch.seams import seams_of

LINES = ("begin", "middle", "end")


def make(folder, arguments, seed):
    family = sorted(FAMILIES)[seed % len(FAMILIES)]
    spec = AcquisitionSpec(
        rows=arguments.grid,
        columns=arguments.grid,
        tile_size=(arguments.tile, arguments.tile),
        planes=arguments.planes,
        overlap=(arguments.overlap, arguments.overlap),
        jitter=(10.0, 10.0, 4.0),
        vignetting=(family,),
        strength=0.5,
        seed=seed,
    )
    size = tuple(int(n) + 1 for n in spec.span)
    scene = make_phantom(size, spec.voxel_size, seed).scene(0)
    make_acquisition(folder, scene, spec, scene_size=size, jobs=arguments.jobs)
    return family, scene, spec


def seams(raw, out, truth, scene, signal):
    """Largest and median step and jump over all seams, in permille, by line."""
    placement = Placement.load(out / "placement.json")
    volume = open_volume(str(out / "CHN00"))
    moved = np.median([np.subtract(placement.positions[t.name], t.position) for t in truth.scanned], axis=0)
    origin = np.array(truth.scene_offset) - moved
    acquisition = open_acquisition(raw)
    layout = Layout.of(acquisition.source(0), placement)
    found = {line: [] for line in LINES}
    for seam in seams_of(layout, acquisition.grid):
        ratios = []
        for band in seam.bands():
            box = band.intersection(Bounds.of_size(volume.spec.size))
            light = scene.evaluate(*(origin + box.lower), box.shape) * signal
            ratios.append(volume.read(box).sum(dtype=np.float64) / max(light.sum(dtype=np.float64), 1.0))
        for line, (a, b, c, d) in zip(LINES, np.reshape(ratios, (3, 4)), strict=True):
            found[line].append((abs(c / b - 1), abs((c - b - ((b - a) + (d - c)) / 2) / b)))
    return {line: 1000 * np.array(values) for line, values in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--planes", type=int, default=48)
    parser.add_argument("--grid", type=int, default=3)
    parser.add_argument("--overlap", type=float, default=12.0)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    print("seed  family    placement mean / max   shading RMSE   A - B before blending   and at each line,")
    print("                                     in permille: median / max of the step, median / max of the jump")
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            raw, out = Path(folder) / "raw", Path(folder) / "out"
            family, scene, spec = make(raw, arguments, seed)
            run_acquisition(raw, out, RunOptions(bias=False), jobs=arguments.jobs)
            truth = Truth.load(raw)
            placement = placement_errors(truth, out)
            shading = shading_error(truth, out, "CHN00")
            before = json.loads((out / "qc" / "fusion.CHN00.json").read_text())["seams"]["before"]
            print(
                f"{seed:4}  {family:<8}  {placement['mean']:.3f} / {placement['max']:.3f} voxels"
                f"   {shading['corrected']:.2f} % ({shading['uncorrected']:.1f})"
                f"   {100 * before['median']:.2f} / {100 * before['worst']:.2f} %",
                end="",
            )
            for line, values in seams(raw, out, truth, scene, spec.signal_of(0)).items():
                step, jump = values.T
                print(
                    f"   {line} {np.median(step):.2f} / {step.max():.2f},",
                    f"{np.median(jump):.2f} / {jump.max():.2f}",
                    end="",
                )
            print(flush=True)


if __name__ == "__main__":
    main()
