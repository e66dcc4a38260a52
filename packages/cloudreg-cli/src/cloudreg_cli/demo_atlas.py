"""The atlas of the demonstration: that of the phantom, deformed in a known way, and how well it is found again."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.files.atomic import write_bytes, write_json
from cloudreg_io.files.image import read_image, write_image
from cloudreg_io.files.structures import StructureTree, structures_csv
from cloudreg_io.space import VoxelSize
from cloudreg_io.synthetic import Phantom, Truth, make_registration_case, random_deformation
from cloudreg_register.analysis.accuracy import Summary
from cloudreg_register.layout import START, TABLE, TRANSFORM
from cloudreg_register.stage.choice import Choice
from cloudreg_register.start.initial import read_start
from cloudreg_register.transforms.transform import Transform
from cloudreg_stitch.placement import Placement

VOXEL_UM = 20.0
RESOLUTION_UM = 40.0
_ITERATIONS = (10, 4, 6)  # enough for a brain of this size
_MAX_DISPLACEMENT_UM, _SCALE_UM = 60.0, 600.0
_FEWEST = 500  # voxels of a structure whose volume is compared
LANDMARKS = "landmarks.json"


def make_atlas(folder: Path, phantom: Phantom, seed: int) -> None:
    """Write template, labels, structures and landmarks: the phantom as another animal, of other contrast."""
    grid = phantom.grid.with_spacing((VOXEL_UM,) * 3)
    # the map of the case is from the brain to the atlas: what is its target is the atlas here
    deformation = random_deformation(
        grid,
        seed,
        _MAX_DISPLACEMENT_UM,
        scale_um=_SCALE_UM,
        rotation=1.0,
        scaling=0.04,
        anisotropy=0.02,
        translation_um=30.0,
    )
    case = make_registration_case(
        phantom.atlas(grid),
        phantom.labels(grid),
        grid.voxel_size,
        seed,
        orientation=phantom.orientation,
        deformation=deformation,
    )
    write_image(folder / "atlas.nrrd", case.target, grid.voxel_size)
    write_image(folder / "labels.nrrd", case.target_labels, grid.voxel_size)
    write_image(folder / "labels_of_brain.nrrd", case.labels, grid.voxel_size)
    write_bytes(folder / "structures.csv", structures_csv(StructureTree(phantom.structures)).encode())
    in_brain = case.landmarks_atlas + grid.origin  # 0 at the centre of the phantom's own voxel 0
    write_json(folder / LANDMARKS, {"atlas": case.landmarks_target.tolist(), "brain": in_brain.tolist()})


def atlas_choice(folder: Path, orientation: str) -> Choice:
    """What a user would type to register to that atlas."""
    return Choice(
        orientation=orientation,
        atlas=str(folder / "atlas.nrrd"),
        labels=str(folder / "labels.nrrd"),
        structures=str(folder / "structures.csv"),
        atlas_orientation=orientation,
        resolution=RESOLUTION_UM,
        iterations=_ITERATIONS,
    )


def registration_errors(folder: Path, truth: Truth, brain: Path) -> dict[str, Any]:
    """How far landmarks are from the truth, before and after, and the volumes of the regions."""
    marked = json.loads((folder / LANDMARKS).read_text())
    atlas, true = np.array(marked["atlas"]), _in_volume(np.array(marked["brain"]), truth, brain)
    transform = Transform.load(brain / TRANSFORM)
    start = Transform.of_affine(read_start(brain / START), transform.atlas, transform.target)
    errors = {
        when: Summary.of(np.linalg.norm(mapped.to_target(atlas)[0] - true, axis=1)).to_json()
        for when, mapped in (("before", start), ("after", transform))
    }
    return {"landmarks": errors, "volume_error_percent": volume_error(folder, brain)}


def volume_error(folder: Path, brain: Path) -> float:
    """Mean difference of the regions' volumes from the truth in percent, weighted by volume."""
    labels, size = read_image(folder / "labels_of_brain.nrrd")
    edges = size or VoxelSize(VOXEL_UM, VOXEL_UM, VOXEL_UM)
    ids, counts = np.unique(labels[labels > 0], return_counts=True)
    true = {int(i): int(n) * edges.volume_mm3 for i, n in zip(ids, counts, strict=True) if n >= _FEWEST}
    found = dict.fromkeys(true, 0.0)
    with (brain / TABLE).open() as file:
        for row in csv.DictReader(file):
            if (number := int(row["id"])) in found:
                found[number] += float(row["volume_mm3"])
    return 100 * sum(abs(found[i] - volume) for i, volume in true.items()) / sum(true.values())


def _in_volume(points: NDArray[np.float64], truth: Truth, brain: Path) -> NDArray[np.float64]:
    """Points of the phantom, in µm, in the frame of the fused volume."""
    found = Placement.load(brain / "placement.json").positions
    names = [tile.name for tile in truth.tiles if tile.textured]
    free = np.median([np.subtract(found[name], truth.positions[name]) for name in names], axis=0)
    edges = np.array(tuple(truth.voxel_size))
    moved: NDArray[np.float64] = points + (free - np.array(truth.scene_offset)) * edges
    return moved
