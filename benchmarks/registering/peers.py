"""The peers, with the settings of the table that the figures of the issue come from. Fixed: target; moving: atlas.

Images go in with an origin that puts 0 at the centre of the volume, and in mm.
"""

import tempfile
from pathlib import Path

import numpy as np

from cloudreg_io.space import Grid
from registering.fields import Field, Maps

MASKED = "greedy3 told"  # which voxels are damaged, which the others must see for themselves

# name -> (metric, iterations, smoothing of update and of field)
GREEDY = {
    "greedy2": ("NCC 2x2x2", "100x60x30", None),
    "greedy2w": ("WNCC 2x2x2", "100x100x60", "2.5vox 1vox"),
    "greedy3": ("NCC 3x3x3", "100x100x60", "2vox 1vox"),
    MASKED: ("NCC 3x3x3", "100x100x60", "2vox 1vox"),
    "greedy4": ("NCC 4x4x4", "200x200x200", "2vox 0.5vox"),
}


def greedy(case, setting, threads=2, iterations=None, masked=False):
    import SimpleITK as sitk
    from picsl_greedy import Greedy3D

    metric, budget, smoothing = setting
    program = Greedy3D()
    fixed, moving = (_itk(sitk, *pair) for pair in _images(case))
    with tempfile.TemporaryDirectory() as scratch:
        affine, warp, inverse = (str(Path(scratch) / name) for name in ("a.mat", "w.nii.gz", "i.nii.gz"))
        common = f"-d 3 -V 0 -threads {threads} -i fixed moving"
        images = {"fixed": fixed, "moving": moving, "out": _Silent(), "err": _Silent()}
        if masked:
            images["mask"] = _itk(sitk, case.condition == 0, case.target_grid.centred())
            common += " -gm mask"
        start = f"{common} -a -dof 12 -m NCC 2x2x2 -n 100x50x10 -ia-image-centers -o {affine}"
        program.execute(start, **images)
        smooth = f"-s {smoothing}" if smoothing else ""
        flow = f"{common} -m {metric} -n {iterations or budget} {smooth} -it {affine} -o {warp} -oinv {inverse}"
        program.execute(flow, **images)
        flip = np.diag([-1.0, -1, 1, 1])  # its matrices are RAS, everything else LPS
        matrix = flip @ np.loadtxt(affine) @ flip
        there, back = (_field(sitk.ReadImage(path)) for path in (warp, inverse))
    return _maps(case, there, back, matrix)


class _Silent:
    def write(self, text):
        return len(text)

    def flush(self):
        pass


def syn(case, threads=2):
    import ants
    import pandas as pd

    del threads  # by environment, before the import
    fixed, moving = (_ants(ants, *pair) for pair in _images(case))
    done = ants.registration(fixed, moving, "SyN", random_seed=1)
    axes = list("xyz")

    def through(points, transforms, invert):
        table = pd.DataFrame(np.asarray(points) / 1000, columns=axes)
        moved = ants.apply_transforms_to_points(3, table, transforms, whichtoinvert=invert)
        return moved[axes].to_numpy() * 1000

    def to_target(points):
        moved = through(points - case.atlas_grid.centre, done["invtransforms"], [True, False])
        return moved + case.target_grid.centre

    def to_atlas(points):
        moved = through(points - case.target_grid.centre, done["fwdtransforms"], [False, False])
        return moved + case.atlas_grid.centre

    return Maps(to_target, to_atlas)


def dipy(case, threads=2):
    from dipy.align import affine_registration, syn_registration

    del threads
    (target, grid), (atlas, atlas_grid) = _images(case)
    fixed, moving = (np.asarray(image.transpose(2, 1, 0), np.float64) for image in (target, atlas))
    frames = [np.diag([*g.spacing, 1000.0]) / 1000 for g in (grid, atlas_grid)]
    for frame, g in zip(frames, (grid, atlas_grid), strict=True):
        frame[:3, 3] = np.array(g.origin) / 1000
    _, start = affine_registration(
        moving,
        fixed,
        moving_affine=frames[1],
        static_affine=frames[0],
        level_iters=[1000, 300, 50],
    )
    _, found = syn_registration(
        moving,
        fixed,
        moving_affine=frames[1],
        static_affine=frames[0],
        metric="CC",
        dim=3,
        level_iters=[60, 60, 25],
        prealign=start,
    )

    def to_atlas(points):
        return found.transform_points(_mm(points, case.target_grid)) * 1000 + case.atlas_grid.centre

    def to_target(points):
        return found.transform_points_inverse(_mm(points, case.atlas_grid)) * 1000 + case.target_grid.centre

    return Maps(to_target, to_atlas)


def _mm(points, grid):
    return (np.asarray(points) - grid.centre) / 1000


def _images(case):
    return (case.target, case.target_grid.centred()), (case.atlas, case.atlas_grid.centred())


def _itk(sitk, array, grid):
    image = sitk.GetImageFromArray(np.asarray(array, np.float32))
    image.SetSpacing([s / 1000 for s in grid.spacing])
    image.SetOrigin([o / 1000 for o in grid.origin])
    return image


def _ants(ants, array, grid):
    values = np.ascontiguousarray(array.transpose(2, 1, 0), np.float32)
    return ants.from_numpy(values, [o / 1000 for o in grid.origin], [s / 1000 for s in grid.spacing])


def _field(image):
    import SimpleITK as sitk

    vectors = sitk.GetArrayFromImage(image).astype(np.float32) * 1000
    spacing, origin = ([1000 * v for v in value] for value in (image.GetSpacing(), image.GetOrigin()))
    return Field(vectors, Grid(image.GetSize(), spacing, origin))


def _maps(case, there, back, matrix):
    """Maps of a field on the target's grid, followed by an affine map to the atlas (mm, centred)."""
    inverse = np.linalg.inv(matrix)

    def to_atlas(points):
        moved = there.apply(points - case.target_grid.centre)
        return moved @ matrix[:3, :3].T + 1000 * matrix[:3, 3] + case.atlas_grid.centre

    def to_target(points):
        moved = (points - case.atlas_grid.centre) @ inverse[:3, :3].T + 1000 * inverse[:3, 3]
        return back.apply(moved) + case.target_grid.centre

    return Maps(to_target, to_atlas)
