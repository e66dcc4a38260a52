"""Topics beside the main tables; each prints its own and takes (options, record)."""

import time

import numpy as np

from cloudreg_io.space import Affine
from cloudreg_io.synthetic import RegistrationCase
from registering import apart, brains, cases, methods, tables
from registering.peers import GREEDY

BUDGETS = ("10x5x0", "50x20x5", "100x60x20", "100x100x60", "200x200x200")
EFFORTS = (0.1, 0.25, 0.5, 1.0, 2.0)
SCALES = (0.25, 2.0, 5.0, 15.0)
BASE_UM = (
    60.0  # voxel that the scales multiply: fifteen times as much is still less than the millimetre of `VoxelSize`
)


def ours(options, folder, *, measure=True, **more):
    return apart.run(folder, "cloudreg", options.threads, options.set | more, measure)


def large(options, record):
    """Displacements of 1500 µm: nothing may fold."""
    for kind in options.cases.split(","):
        rows = []
        for seed in options.seeds:
            folder = cases.make(options.cache, kind, seed, options.resolution, amplitude=1500.0)
            for method in options.methods.split(","):
                result = apart.run(folder, method, options.threads, options.set if method == "cloudreg" else None)
                record(topic="large", kind=kind, seed=seed, method=method, **result)
                rows.append((f"{method}, seed {seed}", result))
        tables.show(f"{kind}, displacements of 1500 µm", rows)


def starts(options, record):
    """24 wrong starts, the search on, beside the start that is aligned."""
    seed = options.seeds[0]
    for kind in options.cases.split(","):
        folder = cases.make(options.cache, kind, seed, options.resolution)
        aligned = ours(options, folder, measure=False)
        record(topic="starts", kind=kind, seed=seed, start="aligned", **aligned)
        rows, ratios = [("aligned", aligned)], []
        for start in range(24):
            result = ours(options, folder, measure=False, search=True, start=start)
            record(topic="starts", kind=kind, seed=seed, start=start, **result)
            ratios.append(result.get("valid_mean", np.inf) / aligned.get("valid_mean", 0))
            rows.append((f"start {start}, × {ratios[-1]:.2f}", result))
        tables.show(f"{kind}, seed {seed}: random starts", rows)
        good = np.sum(np.array(ratios) <= 1.2)
        print(f"{good} of 24 within 1.2 × the aligned start's error; at most × {max(ratios):.2f}")


def doubts(options, record):
    """Each of the 24 ways round, stated as the start: which are doubted, and what that takes."""
    from cloudreg_register.lddmm.options import RegisterOptions
    from cloudreg_register.start.initial import initial_affine
    from cloudreg_register.start.search import better_start

    for kind in options.cases.split(","):
        for seed in options.seeds:
            target, atlas = methods.images(
                RegistrationCase.load(cases.make(options.cache, kind, seed, options.resolution))
            )
            right = initial_affine(atlas.orientation, target.orientation)
            codes, begin = [], time.perf_counter()
            for rotation in cases.rotations():  # the first is the identity
                start = Affine(np.column_stack([rotation, [0, 0, 0]])) @ right
                better = better_start(target, atlas, start, RegisterOptions(threads=options.threads))
                codes.append(better and better.orientation.code)
            seconds = (time.perf_counter() - begin) / len(codes)
            record(topic="doubts", kind=kind, seed=seed, codes=codes, seconds=seconds)
            print(
                f"{kind}, seed {seed}: the right start is {'doubted' if codes[0] else 'not doubted'}; "
                f"{codes[1:].count(target.orientation.code)} of 23 wrong ones are, for the right one, "
                f"{sum(map(bool, codes[1:]))} for any; {seconds:.1f} s each"
            )


def poses(options, record):
    """Six samples that lie another way, told so and searched: the grid is another, and with it the samples."""
    seed = options.seeds[0]
    for kind in options.cases.split(","):
        rows = []
        for pose in range(0, 24, 4):
            folder = cases.make(options.cache, kind, seed, options.resolution, pose=pose)
            for label, more in (("told", {"start": pose}), ("searched", {"search": True})):
                result = ours(options, folder, measure=False, **more)
                record(topic="poses", kind=kind, seed=seed, pose=pose, label=label, **result)
                rows.append((f"pose {pose}, {label}", result))
        tables.show(f"{kind}, seed {seed}: samples that lie another way", rows)


def voxel_scales(options, record):
    """The same brain declared smaller and larger: the error in voxels must not change."""
    seed, rows = options.seeds[0], []
    for kind in options.cases.split(","):
        for scale in (1.0, *SCALES):
            factor = scale * BASE_UM / options.resolution
            folder = cases.make(options.cache, kind, seed, options.resolution, scale=factor)
            result = ours(options, folder, measure=False, resolution=None)  # the default, whatever the extent
            record(topic="voxel scales", kind=kind, seed=seed, scale=scale, **result)
            if "valid_mean" in result:
                voxel = scale * BASE_UM
                rows.append((kind, scale, voxel, result["valid_mean"] / voxel, result["valid_p95"] / voxel))
            else:
                print(f"{kind} × {scale}: {result.get('failed', 'not installed')}")
    print("\nkind    × voxel size   voxel µm   valid mean, p95 in voxels")
    for kind, scale, voxel, mean, p95 in rows:
        print(f"{kind:8s}{scale:10.2f}{voxel:13.1f}{mean:12.3f}{p95:8.3f}")


def curve(options, record):
    """Error against seconds beside greedy's at several budgets; energy and error against iterations."""
    seed = options.seeds[0]
    for kind in options.cases.split(","):
        folder, rows = cases.make(options.cache, kind, seed, options.resolution), []
        for share in EFFORTS:
            result = ours(options, folder, measure=False, effort=share)
            record(topic="curve", kind=kind, seed=seed, method="cloudreg", effort=share, **result)
            rows.append((f"cloudreg, {share:g} × the iterations", result))
        for budget in BUDGETS:
            for method in ("greedy2", "greedy3"):
                options_of = {"iterations": budget}
                result = apart.run(folder, method, options.threads, options_of, measure=False)
                record(topic="curve", kind=kind, seed=seed, method=method, iterations=budget, **result)
                rows.append((f"{method} {GREEDY[method][0]} {budget}", result))
        tables.show(f"{kind}, seed {seed}: error against seconds", rows)


def steps(options, record):
    """Energy and error after every step."""
    seed = options.seeds[0]
    for kind in options.cases.split(","):
        folder = cases.make(options.cache, kind, seed, options.resolution)
        result = ours(options, folder, measure=False, follow=True)
        record(topic="steps", kind=kind, seed=seed, **result)
        tables.show(f"{kind}, seed {seed}: step by step", [("cloudreg", result)])
        print("step  level  voxel µm      energy  regularisation  moved µm  error µm")
        for number, (step, error) in enumerate(zip(result["history"], result["followed"], strict=True)):
            print(
                f"{number:4d}{step['level']:7d}{step['voxel_size']:10.0f}{step['energy']:12.2f}"
                f"{step['regularisation']:16.2f}{step['moved']:10.1f}{error:10.1f}"
            )


def fine(options, record):
    """A 50 µm level on images interpolated to half the voxel size: time and memory."""
    folder = cases.make(options.cache, "plain", options.seeds[0], 100)
    result = ours(options, cases.finer(folder, options.cache), measure=False, resolution=50.0)
    record(topic="fine", **result)
    tables.show("50 µm level (time and memory only)", [("cloudreg", result)])


def classic(options, record):
    """The schedule and cost of the original, and ours on the same grid: seconds per iteration."""
    folder, rows = cases.make(options.cache, "plain", options.seeds[0], options.resolution), []
    for label, more in (("ours", {}), ("classic", {"classic": 20})):
        result = ours(options, folder, measure=False, **more)
        record(topic="classic", label=label, **result)
        count = len(result.get("history") or [])
        each = f", {result['seconds'] / count:.2f} s an iteration" if count else ""
        rows.append((label + each, result))
    tables.show(f"the original's schedule, {options.resolution} µm", rows)


def human(options, record):
    """MNI152 T1 with inverted contrast and a known deformation: error in voxels."""
    seed = options.seeds[0]
    folder = cases.human(options.cache, seed)
    if folder is None:
        print("\nMNI152: nilearn is not installed (hatch run peers:python …)")
        return
    case = RegistrationCase.load(folder)
    rows = []
    for method in options.methods.split(","):
        more = options.set | {"resolution": 1000.0} if method == "cloudreg" else None
        result = apart.run(folder, method, options.threads, more)
        record(topic="human", seed=seed, method=method, **result)
        mean = f", {result['all_mean'] / case.voxel_size.x:.2f} voxels" if "all_mean" in result else ""
        rows.append((method + mean, result))
    tables.show("MNI152 T1, inverted, blocks of 2 mm declared as 1 mm", rows)


TOPICS = {
    "large": large,
    "starts": starts,
    "doubts": doubts,
    "poses": poses,
    "voxel-scales": voxel_scales,
    "curve": curve,
    "steps": steps,
    "fine": fine,
    "classic": classic,
    "human": human,
    "real": brains.real,
}
