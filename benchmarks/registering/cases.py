"""Cases: samples of the Allen template (or of a phantom, where its folder is absent) with known deformation.

Seeds 1 and 2 calibrated the generator, 11 to 14 are for tuning; 101 to 105 score and are used for nothing else.
"""

from pathlib import Path

import numpy as np

from cloudreg_io.files.image import read_image
from cloudreg_io.space import Affine, Grid, VoxelSize, resample
from cloudreg_io.synthetic import (
    DamageSpec,
    RegistrationCase,
    make_phantom,
    make_registration_case,
    random_deformation,
)

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
KINDS = {"plain": None, "hard": DamageSpec()}


def atlas(resolution, data=DATA):
    """Image, labels, voxel size and orientation at 100 or 200 µm."""
    voxel = VoxelSize(*[float(resolution)] * 3)
    image = data / f"average_template_{resolution}.nrrd"
    if image.is_file():
        return read_image(image)[0], read_image(data / f"annotation_{resolution}.nrrd")[0], voxel, "PIR"
    size = tuple(round(n * 100 / resolution) for n in (110, 140, 86))
    phantom = make_phantom(size, voxel, seed=1, cells=0, beacons=0)
    return phantom.atlas(), phantom.labels(), voxel, phantom.orientation


def make(cache, kind, seed, resolution=100, *, amplitude=500.0, scale=1.0, pose=None):
    """Folder of a case, made where absent.

    scale: the brain is so many times as large, in µm; voxels stay. pose: number of a motion that the whole sample
    makes, in a cube large enough; None: it lies as the atlas does.
    """
    folder = cache / f"{kind}-{seed}-{resolution}-{amplitude:g}-{scale:g}-{pose}"
    if not (folder / "case.json").is_file():
        image, labels, voxel, orientation = atlas(resolution)
        grid = Grid.of_array(image, voxel)
        deformation = random_deformation(grid, seed, amplitude)
        target = None
        if pose is not None:
            deformation = deformation.moved(motion(pose))
            edge = int(1.35 * max(grid.size))  # whichever way it lies
            target = Grid((edge, edge, edge), voxel)
        damage = KINDS[kind]
        make_registration_case(
            image,
            labels,
            voxel.scaled([scale] * 3),
            seed,
            orientation=orientation,
            damage=damage and damage.scaled(scale),
            deformation=deformation.scaled(scale),
            target_grid=target,
        ).save(folder)
    return folder


def rotations():
    """The 24 proper rotations of a cube as matrices; the first is the identity."""
    found = []
    for axes in ((0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (2, 1, 0), (1, 0, 2)):
        for signs in np.ndindex(2, 2, 2):
            matrix = np.eye(3)[list(axes)] * (1 - 2 * np.array(signs))[:, None]
            if np.linalg.det(matrix) > 0:
                found.append(matrix)
    return found


def motion(start):
    """One of the 24 rotations, a further turn of up to 20° about each axis, a shift of up to 1 mm along each."""
    rng = np.random.default_rng([35, start])
    turn = Affine.from_parameters(rotation=rng.uniform(-20, 20, 3), translation=rng.uniform(-1000, 1000, 3))
    return turn @ Affine(np.column_stack([rotations()[start % 24], [0, 0, 0]]))


def human(cache, seed):
    """A case of MNI152 T1 with inverted contrast, 1 % noise; None without nilearn.

    Blocks of 2³ voxels of 1 mm, declared as 1 mm: the format's largest voxel. Lengths follow the extent.
    """
    try:
        from nilearn.datasets import load_mni152_template
    except ImportError:
        return None
    folder = cache / f"human-{seed}"
    if not (folder / "case.json").is_file():
        image = np.asarray(load_mni152_template(resolution=2).get_fdata(), np.float32).transpose(2, 1, 0)
        labels = (image > 0.1 * image.max()).astype(np.uint32)
        voxel = VoxelSize(1000.0, 1000.0, 1000.0)
        grid = Grid.of_array(image, voxel)
        extent = max(grid.extent) / 13_200  # of the mouse's atlas
        deformation = random_deformation(
            grid, seed, 500 * extent, scale_um=1200 * extent, translation_um=300 * extent
        )
        case = make_registration_case(image, labels, voxel, seed, orientation="RAS", deformation=deformation)
        white = float(np.percentile(image[labels > 0], 99.5))
        case.target[:] = np.where(case.target_labels > 0, 1.1 * white - case.target, case.target)
        case.save(folder)
    return folder


def finer(folder, cache):
    """The case on grids of half the voxel size, by cubic interpolation: for time and memory, not for accuracy."""
    fine = cache / f"{folder.name}-fine"
    if not (fine / "case.json").is_file():
        case = RegistrationCase.load(folder)
        images = {}
        for name, grid in (("atlas", case.atlas_grid), ("target", case.target_grid)):
            onto = grid.with_spacing([s / 2 for s in grid.spacing])
            images[name] = resample(np.asarray(getattr(case, name), np.float32), grid, onto, order=3, outside=None)
            images[f"{name}_grid"] = onto
        half = np.array(case.atlas_grid.spacing) / 4  # physical 0 moves to the new voxel 0
        repeat = {name: double(getattr(case, name)) for name in ("labels", "target_labels", "condition")}
        RegistrationCase(
            **images
            | {
                f"{n}_grid": Grid(images[f"{n}_grid"].size, images[f"{n}_grid"].spacing)
                for n in ("atlas", "target")
            },
            **repeat,
            orientation=case.orientation,
            deformation=case.deformation,
            landmarks_atlas=case.landmarks_atlas + half,
            landmarks_target=case.landmarks_target + half,
            landmarks_condition=case.landmarks_condition,
        ).save(fine)
    return fine


def double(array):
    for axis in range(3):
        array = array.repeat(2, axis=axis)
    return array
