"""What is measured of an answer: landmarks, overlap of regions, folds, there and back, confidence."""

import numpy as np
from scipy.stats import rankdata

BIG_MM3 = 0.15
FAR_UM = 100.0


def measure(case, maps):
    """All measures as a dictionary of numbers (µm unless the name says otherwise)."""
    result = landmarks(case, maps)
    result |= overlap(case, maps.to_atlas)
    result |= folds(case, maps.to_target)
    result |= there_and_back(case, maps)
    if maps.confidence is not None:
        result["auc"] = confidence(case, maps)
    return result | (maps.notes or {})


def errors(case, maps):
    return np.linalg.norm(maps.to_target(case.landmarks_atlas) - case.landmarks_target, axis=1)


def landmarks(case, maps):
    found = errors(case, maps)
    missing = case.landmarks_condition == 1
    parts = {"all": np.ones(len(found), bool), "valid": case.valid, "missing": missing}
    return {f"{name}_{key}": value for name, part in parts.items() for key, value in summary(found[part]).items()}


def summary(values):
    if not len(values):
        return {}
    return {
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "p95": float(np.percentile(values, 95)),
        "max": float(values.max()),
        "n": len(values),
    }


def overlap(case, to_atlas):
    """Dice on the target grid, of big regions and volume-weighted over all; `_valid` without damaged voxels."""
    points = case.target_grid.points().reshape(-1, 3)
    found = nearest(case.labels, case.atlas_grid, to_atlas(points)).reshape(case.target_grid.shape)
    voxel = case.voxel_size.volume_mm3
    result = {}
    for name, kept in (("", np.ones(found.shape, bool)), ("_valid", case.condition == 0)):
        big, weighted = dice(case.target_labels[kept], found[kept], voxel)
        result |= {f"dice_big{name}": big, f"dice_weighted{name}": weighted}
    return result


def nearest(labels, grid, points):
    index = np.rint(grid.index_of(points)).astype(np.intp)
    inside = np.all((index >= 0) & (index < grid.size), axis=1)
    x, y, z = np.where(inside[:, None], index, 0).T
    return np.where(inside, labels[z, y, x], 0)


def dice(truth, found, voxel_mm3):
    ids, index = np.unique(np.concatenate([truth.ravel(), found.ravel()]), return_inverse=True)
    a, b = np.split(index, 2)
    here, there, both = (np.bincount(part, minlength=len(ids)) for part in (a, b, a[a == b]))
    regions = (ids != 0) & (here > 0)
    score = 2 * both[regions] / (here + there)[regions]
    big = here[regions] * voxel_mm3 >= BIG_MM3
    return float(score[big].mean()), float(np.average(score, weights=here[regions]))


def folds(case, to_target):
    """Jacobians of the map at the voxels of the atlas, by central differences over a voxel's edge."""
    grid = case.atlas_grid
    moved = to_target(grid.points().reshape(-1, 3)).reshape((*grid.shape, 3))
    columns = [np.gradient(moved, step, axis=2 - axis) for axis, step in enumerate(grid.spacing)]
    jacobian = np.linalg.det(np.stack(columns, axis=-1))
    return {"folded": int((jacobian <= 0).sum()), "jacobian_min": float(jacobian.min())}


def there_and_back(case, maps):
    """How far points of the tissue come back beside where they began, in µm."""
    index = np.argwhere(case.labels > 0)[:, ::-1]
    index = index[np.random.default_rng(0).integers(len(index), size=20_000)]
    points = index * np.array(case.atlas_grid.spacing) + case.atlas_grid.origin
    away = np.linalg.norm(maps.to_atlas(maps.to_target(points)) - points, axis=1)
    return {"return_mean": float(away.mean()), "return_max": float(away.max())}


def confidence(case, maps):
    """Area under the curve: how often a landmark that is off by over 100 µm has less confidence than one not."""
    far = errors(case, maps) > FAR_UM
    if far.all() or not far.any():
        return float("nan")
    rank = rankdata(-np.asarray(maps.confidence(case.landmarks_atlas)))
    n = far.sum()
    return float((rank[far].sum() - n * (n + 1) / 2) / (n * (~far).sum()))
