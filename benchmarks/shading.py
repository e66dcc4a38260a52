"""How well and how fast the shading is estimated, beside other ways, in the same run.

    python benchmarks/shading.py [--size 2048] [--seeds 100 101 102] [--families lens gaussian …]
                                 [--dust 20] [--channel 0] [--full-n4]

Planes of 2048² are exposed at random places of a phantom brain ten tiles wide, through flat-fields that are in
nobody's basis (`cloudreg_io.synthetic.FAMILIES`), strength 0.2 to 0.6, with photon and read noise, saturation and
dust. Half of a sample is empty planes or none. Errors are of flat-field over truth after scale, over all pixels,
in percent (RMS); seconds are CPU seconds of one thread, shrinking included.

none       the planes as they are
mean       mean of the planes, the true background subtracted
older      the older way: mean of the planes - background - its minimum + 1, then N4; on fields shrunken to 128
           (with --full-n4 on all pixels, some 400 CPU seconds each)
no shift   the same without the shift by the minimum
ours       estimate_shading
overlaps   estimate_shading told that half of the planes are right or lower neighbours of the others, which is how
           `cloudreg` takes its samples
"""

import argparse
import time

import numpy as np

from cloudreg_correct.overlap import Overlap
from cloudreg_correct.shading import fit_shading
from cloudreg_correct.shrink import ShrunkenPlanes, shrink_planes
from cloudreg_io.synthetic import FAMILIES, flat_field, make_phantom
from cloudreg_io.synthetic.camera import Camera
from cloudreg_io.synthetic.vignetting import dust

BACKGROUND, TILES, STEP, TISSUE = 110.0, 10, 0.85, 0.05
SAMPLES = ((60, 0.0), (60, 0.5), (200, 0.0), (200, 0.5))
WAYS = ("none", "mean", "older", "no shift", "ours", "overlaps")


def places(scene, size, count, rng):
    """Pairs of neighbouring tiles at one depth, each with some tissue: (x, y, z), and the shift of the second."""
    depth = scene.size[2]
    found = []
    while len(found) < count:
        column, row = rng.integers(0, TILES - 1), rng.integers(0, int(0.8 * TILES) - 1)
        shift = (STEP * size, 0.0) if rng.random() < 0.5 else (0.0, STEP * size)
        first = (column * STEP * size, row * STEP * size, float(rng.integers(0, depth)))
        pair = [(first[0] + k * shift[0], first[1] + k * shift[1], first[2]) for k in (0, 1)]
        # ±10 voxels of stage error, and ±4 in depth
        pair = [(x + rng.uniform(-10, 10), y + rng.uniform(-10, 10), z + rng.uniform(-4, 4)) for x, y, z in pair]
        if all(
            (scene.evaluate(*place, (1, 16, 16), (size // 16, size // 16, 1)) > 0).mean() > TISSUE
            for place in pair
        ):
            found.append((pair, shift))
    return found


def cameras(families, size, seed, specks):
    rng = np.random.default_rng([seed, 1])
    for k, family in enumerate(families):
        flat = flat_field(family, (size, size), rng.uniform(0.2, 0.6), 100 * seed + k) * dust(
            (size, size), specks, seed
        )
        flat /= flat.mean(dtype=np.float64)
        yield Camera(flat, np.full_like(flat, BACKGROUND), 400.0, 1.0, 6.0, 4095)


def expose_all(args, seed):
    """For each family: camera, shrunken planes (tissue in pairs, then empty ones), seconds to shrink one plane."""
    size = args.size
    width = int(size * (1 + STEP * (TILES - 1)))
    phantom = make_phantom((width, int(0.8 * width), width), (0.6, 0.6, 0.6), seed, cells=1e-7)
    scene = phantom.scene(args.channel)
    pairs = places(scene, size, 100, np.random.default_rng([seed, 2]))
    made = list(cameras(args.families, size, seed, args.dust))
    shrunken = [[] for _ in made]
    seconds = 0.0
    for number in range(300):
        if number < 200:
            light = scene.evaluate(*pairs[number // 2][0][number % 2], (1, size, size))[0]
        else:
            light = np.zeros((size, size), np.float32)
        for k, camera in enumerate(made):
            plane = camera.expose(light, (seed, k, number))
            began = time.process_time()
            shrunken[k].append(shrink_planes([plane]))
            seconds += time.process_time() - began
    overlaps = [Overlap(2 * k, 2 * k + 1, shift) for k, (_, shift) in enumerate(pairs)]
    return made, [ShrunkenPlanes.join(parts) for parts in shrunken], overlaps, seconds / (300 * len(made))


def n4(field, shift):
    """Bias of a mean plane by N4, as the older way used it."""
    import SimpleITK as sitk

    shifted = field - field.min() + 1 if shift else np.maximum(field, 1)
    image = sitk.GetImageFromArray(shifted.astype(np.float32))
    corrector = sitk.N4BiasFieldCorrectionImageFilter()
    corrector.SetNumberOfThreads(1)
    corrector.SetConvergenceThreshold(0.001)
    corrector.SetMaximumNumberOfIterations([50] * 4)
    corrector.Execute(image, sitk.GetImageFromArray(np.ones(field.shape, np.uint8)))
    return np.exp(sitk.GetArrayFromImage(corrector.GetLogBiasFieldAsImage(image)))


def error(estimate, truth):
    ratio = estimate / truth
    return 100 * float((ratio / ratio.mean(dtype=np.float64)).std(dtype=np.float64))


def compare(args, camera, planes, overlaps, count, empty, per_plane):
    tissue = round(count * (1 - empty))
    chosen = np.r_[np.arange(tissue), np.arange(200, 200 + count - tissue)]
    sample = planes.select(chosen)
    known = [overlap for overlap in overlaps if overlap.b < tissue]
    blocks, truth = planes.blocks, camera.flat
    mean = sample.means.mean(axis=0) - BACKGROUND
    result = {"none": (error(np.ones_like(truth), truth), 0.0)}
    result["mean"] = (error(blocks.fine_to_pixels(mean), truth), 0.0)
    background = float(sample.means.mean(axis=(1, 2)).min())
    raw = sample.means.mean(axis=0) - background
    raw = blocks.fine_to_pixels(raw) if args.full_n4 else raw
    for name, shift in (("older", True), ("no shift", False)):
        began = time.process_time()
        field = n4(raw, shift)
        seconds = time.process_time() - began
        result[name] = (error(field if args.full_n4 else blocks.fine_to_pixels(field), truth), seconds)
    for name, given in (("ours", []), ("overlaps", known)):
        began = time.process_time()
        found = fit_shading(sample, overlaps=given)
        seconds = time.process_time() - began + count * per_plane
        result[name] = (error(found.flat, truth), seconds)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102])
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--dust", type=int, default=20)
    parser.add_argument("--channel", type=int, default=0)
    parser.add_argument("--full-n4", action="store_true")
    args = parser.parse_args()
    table = {sample: [] for sample in SAMPLES}
    for seed in args.seeds:
        made, shrunken, overlaps, per_plane = expose_all(args, seed)
        for family, camera, planes in zip(args.families, made, shrunken, strict=True):
            for count, empty in SAMPLES:
                result = compare(args, camera, planes, overlaps, count, empty, per_plane)
                table[count, empty].append(result)
                errors = "  ".join(f"{name} {result[name][0]:6.2f}" for name in WAYS)
                print(f"seed {seed} {family:9} {count:4} planes, {empty:.0%} empty:  {errors}", flush=True)
    print("\nRMS error in % over all pixels: mean (worst); CPU seconds")
    for (count, empty), results in table.items():
        print(f"{count} planes, {empty:.0%} empty, {len(results)} cases")
        for name in WAYS:
            errors, seconds = zip(*(result[name] for result in results), strict=True)
            print(f"   {name:9} {np.mean(errors):6.2f} ({np.max(errors):6.2f})   {np.mean(seconds):6.2f} s")


if __name__ == "__main__":
    main()
