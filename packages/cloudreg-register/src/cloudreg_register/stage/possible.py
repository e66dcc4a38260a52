"""Possible: what can be seen to be wrong before a target is read, or made."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cloudreg_io.errors import InputError
from cloudreg_io.files.location import Location
from cloudreg_io.space import Grid, Orientation, VoxelSize
from cloudreg_register.images.extent import judged
from cloudreg_register.images.frame import Frame, in_mm
from cloudreg_register.images.image import Image
from cloudreg_register.lddmm.affine import AffineMode
from cloudreg_register.lddmm.device import Device, chosen_device
from cloudreg_register.stage.choice import Choice
from cloudreg_register.start.initial import initial_affine
from cloudreg_register.start.landmark_fit import fitted_affine
from cloudreg_register.start.landmarks import Landmarks, Pairs, paired, read_landmarks
from cloudreg_register.transforms.warped_volumes import require_not_too_fine

if TYPE_CHECKING:
    from cloudreg_register.stage.inputs import AtlasInputs

_CORNER = 0.02  # of the longest extent: landmarks that all lie nearer to 0 are not in µm
_INCOMPARABLE = 20.0  # times longer or shorter: no tissue has to be looked for


def require_possible(name: str, target: Grid, choice: Choice, of_atlas: AtlasInputs) -> None:
    """Refuse what can be seen to be wrong before a target is read, or made: device, size, start, landmarks.

    Parameters
    ----------
    name : str
        Of the target.
    target : Grid
    choice : Choice
    of_atlas : AtlasInputs

    Raises
    ------
    NotFoundError, InputError, ToolError
    """
    chosen_device(Device(choice.device))
    atlas = of_atlas.image.frame
    frame = Frame(target.size, VoxelSize.of(target.spacing), Orientation(choice.orientation), name)
    if not choice.any_extent:
        _require_comparable(frame, of_atlas.image)
    _require_overlap(atlas, frame, choice)
    if choice.to_atlas is not None:
        require_not_too_fine(VoxelSize.of((choice.to_atlas,) * 3), atlas, frame, "--to-atlas")
    if choice.landmarks is not None:
        _require_landmarks((atlas, frame), choice, choice.landmarks)


def require_apart(name: str, place: object, out: Path) -> None:
    """Refuse an OUT that is what is registered (its `name`, and where), or lies in it.

    Raises
    ------
    InputError
    """
    if not isinstance(place, str):
        return
    location = Location.parse(place)
    if not location.is_file:
        return
    source, folder = location.path.resolve(), out.resolve()
    if folder == source or folder.is_relative_to(source):
        raise InputError(
            f"OUT {out} is the {name}, or lies in it",
            why="what is registered is only read",
            fix="choose another OUT",
        )


def landmark_pairs(frames: tuple[Frame, Frame], landmarks: tuple[str, str]) -> Pairs:
    """The landmarks of two files that have one name, in atlas and target.

    Raises
    ------
    NotFoundError, InputError
    """
    atlas, target = (
        read_landmarks(place, voxel_size=frame.voxel_size) for place, frame in zip(landmarks, frames, strict=True)
    )
    for found, frame in zip((atlas, target), frames, strict=True):
        _require_micrometres(found, frame)
    return paired(atlas, target)


def _require_micrometres(landmarks: Landmarks, frame: Frame) -> None:
    """Refuse voxel numbers and millimetres, which would all lie in one corner."""
    farthest = np.abs(landmarks.positions).max()
    if farthest < _CORNER * max(frame.extent):
        edges = " × ".join(f"{edge:g}" for edge in frame.voxel_size)
        raise InputError(
            f"{landmarks.source}: all landmarks lie within {farthest:.3g} µm of 0, in a volume of "
            f"{in_mm(frame.extent)} (x, y, z)",
            why="x, y, z are in µm; these are voxels or millimetres",
            fix=f"multiply them by the voxel size, {edges} µm, or by 1000",
        )


def _require_overlap(atlas: Frame, target: Frame, choice: Choice) -> None:
    """Refuse a translation that lays the atlas beside the target: nothing would pull it back."""
    if choice.translation is None:
        return
    start = initial_affine(
        atlas.orientation,
        target.orientation,
        translation=choice.translation,
        rotation=choice.rotation,
        scale=choice.scale,
    )
    half = np.array(target.extent) / 2
    corners = start.apply(np.array(list(product((-0.5, 0.5), repeat=3))) * atlas.extent)
    if (corners.min(axis=0) > half).any() or (corners.max(axis=0) < -half).any():
        raise InputError(
            f"--translation {' '.join(f'{t:g}' for t in choice.translation)} lays the atlas beside the target, "
            f"which is {in_mm(target.extent)} (x, y, z)",
            fix="give µm along the target's axes; without it the centres of mass of the tissue meet",
        )


def _require_landmarks(frames: tuple[Frame, Frame], choice: Choice, landmarks: tuple[str, str]) -> None:
    """Refuse landmarks that would be found useless when there has been work."""
    pairs = landmark_pairs(frames, landmarks)
    if choice.landmarks_for != "cost":
        start = initial_affine(*(frame.orientation for frame in frames), scale=choice.scale)
        fitted_affine(pairs, *frames, start, AffineMode(choice.affine_mode))


def _require_comparable(target: Frame, atlas: Image) -> None:
    """Refuse volumes so much larger or smaller than the atlas that reading them makes no sense."""
    axes, _ = atlas.orientation.permutation_to(target.orientation)
    extent = [atlas.mip0.extent[axis] for axis in axes]
    if not 1 / _INCOMPARABLE < max(target.extent) / max(extent) < _INCOMPARABLE:
        voxel_size = tuple(target.voxel_size)
        judged(target.extent, extent, extent, voxel_size, target.name, target.orientation.code).require()
