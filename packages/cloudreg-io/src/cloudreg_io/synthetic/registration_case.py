"""A registration with known answer: an atlas, a sample made from it by a known deformation, landmarks in both.

The sample is the atlas seen through the inverse map by a cubic spline, either as it is with a little noise, or
with the contrast of another method and damaged. Both kinds of one seed share deformation and landmarks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files.atomic import write_json
from cloudreg_io.space import Grid, Orientation, VoxelSize, resample
from cloudreg_io.synthetic.damage import Damage, DamageSpec, foreign_contrast
from cloudreg_io.synthetic.deformation import Deformation, random_deformation
from cloudreg_io.synthetic.spline import Spline

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

VALID, MISSING, ARTIFACT = 0, 1, 2
LANDMARKS = 200
_TISSUE_POINTS = 10_000  # from which the damage learns where the tissue is
CASE_FILE = "case.json"
_IMAGES = ("atlas", "labels", "target", "target_labels", "condition")
_POINTS = ("landmarks_atlas", "landmarks_target", "landmarks_condition")
_WHITE = 99.5  # percentile of the atlas' tissue that counts as brightness 1
_PLAIN_NOISE = 0.01
_FINEST_WAVE = (
    0.55  # control points per radian of the shortest wave: the displacement between them errs by < 0.5 µm
)


@dataclass(frozen=True, slots=True, eq=False)
class RegistrationCase:
    """Images, the truth about them, and landmarks.

    Attributes
    ----------
    atlas, labels : [z, y, x]
    target, target_labels : [z, y, x]
        float32, and the ids that the truth brings there (nearest sample).
    condition : [z, y, x] uint8
        Of the target: 0 valid, 1 missing, 2 artifact.
    atlas_grid, target_grid : Grid
        Physical 0 is the centre of voxel 0, as everywhere.
    orientation : Orientation
        Of both.
    deformation : Deformation
        In coordinates whose 0 is the centre of each volume.
    landmarks_atlas, landmarks_target : [n, 3]
        x, y, z in µm in the frames of `atlas_grid` and `target_grid`.
    landmarks_condition : [n] uint8
        As `condition`, at the landmarks in the target.
    """

    atlas: NDArray[Any]
    labels: NDArray[Any]
    target: Float32
    target_labels: NDArray[Any]
    condition: NDArray[np.uint8]
    atlas_grid: Grid
    target_grid: Grid
    orientation: Orientation
    deformation: Deformation
    landmarks_atlas: Float64
    landmarks_target: Float64
    landmarks_condition: NDArray[np.uint8]

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Which landmarks lie in tissue that is there and not outshone."""
        return np.asarray(self.landmarks_condition == VALID)

    @property
    def voxel_size(self) -> VoxelSize:
        """Of the target."""
        return self.target_grid.voxel_size

    def to_target(self, points: ArrayLike) -> Float64:
        """Where points [..., 3] of the atlas truly lie in the target; both frames have 0 at voxel 0."""
        centred = np.asarray(points, np.float64) - self.atlas_grid.centre
        return self.deformation.to_target(centred) + self.target_grid.centre

    def to_atlas(self, points: ArrayLike) -> Float64:
        """Where points [..., 3] of the target truly lie in the atlas."""
        centred = np.asarray(points, np.float64) - self.target_grid.centre
        return self.deformation.to_atlas(centred) + self.atlas_grid.centre

    def save(self, folder: Path | str) -> None:
        """Write the case into a folder: NRRD images and `case.json`."""
        from cloudreg_io.files.image import write_image

        folder = Path(folder)
        for name in _IMAGES:
            grid = self.atlas_grid if name in ("atlas", "labels") else self.target_grid
            write_image(folder / f"{name}.nrrd", getattr(self, name), grid.voxel_size)
        value = {name: getattr(self, name).tolist() for name in _POINTS} | {
            "atlas_grid": self.atlas_grid.to_json(),
            "target_grid": self.target_grid.to_json(),
            "orientation": self.orientation.code,
            "deformation": self.deformation.to_json(),
        }
        write_json(folder / CASE_FILE, value)

    @classmethod
    def load(cls, folder: Path | str) -> RegistrationCase:
        """Read what `save` wrote.

        Raises
        ------
        NotFoundError, InputError
            When the folder holds no case, or a damaged one.
        """
        from cloudreg_io.files.image import read_image

        path = Path(folder) / CASE_FILE
        if not path.is_file():
            raise NotFoundError(f"{path}: no such file", why="no registration case was saved there")
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            known: dict[str, Any] = {
                "landmarks_atlas": np.array(value["landmarks_atlas"], np.float64),
                "landmarks_target": np.array(value["landmarks_target"], np.float64),
                "landmarks_condition": np.array(value["landmarks_condition"], np.uint8),
                "atlas_grid": Grid.from_json(value["atlas_grid"]),
                "target_grid": Grid.from_json(value["target_grid"]),
                "orientation": Orientation(value["orientation"]),
                "deformation": Deformation.from_json(value["deformation"]),
            }
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not a registration case", why=str(error)) from error
        known |= {name: read_image(path.parent / f"{name}.nrrd")[0] for name in _IMAGES}
        return cls(**known)


def make_registration_case(
    atlas: NDArray[Any],
    labels: NDArray[Any],
    voxel_size: VoxelSize | tuple[float, float, float],
    seed: int,
    *,
    orientation: Orientation | str = "PIR",
    damage: DamageSpec | None = None,
    deformation: Deformation | None = None,
    target_grid: Grid | None = None,
) -> RegistrationCase:
    """Make a sample of an atlas.

    Parameters
    ----------
    atlas, labels : [z, y, x]
        Image, and ids that are 0 outside of the tissue.
    voxel_size : VoxelSize or (x, y, z)
        Of both, in µm.
    seed : int
        Of deformation, landmarks, noise and damage.
    orientation : Orientation or str
        Of the atlas; the target has the same. It decides which end is anterior.
    damage : DamageSpec, optional
        Without it the target has the atlas' contrast and 1 % noise.
    deformation : Deformation, optional
        By default `random_deformation` with this seed.
    target_grid : Grid, optional
        Its position is ignored: its centre is point 0 of the deformation. By default the atlas grid with a
        margin of 1/24 of its extent on every side.

    Returns
    -------
    RegistrationCase
        With 200 landmarks: random places in the atlas' tissue that the target's grid holds.

    Raises
    ------
    InputError
        When labels and atlas differ in shape, or too little of the tissue lies in the target.
    """
    if atlas.shape != labels.shape or not labels.any():
        raise InputError(
            f"labels {list(labels.shape)} do not show the tissue of an atlas {list(atlas.shape)} [z, y, x]",
            fix="labels of the atlas' own shape, 0 outside of the tissue",
        )
    orientation = Orientation(str(orientation))
    atlas_grid = Grid.of_array(atlas, voxel_size)
    deformation = deformation or random_deformation(atlas_grid, seed)
    grid = _with_margin(atlas_grid) if target_grid is None else Grid(target_grid.size, target_grid.spacing)
    indices = atlas_grid.centred().index_of(atlas_positions(deformation, grid))
    target_labels = _nearest(labels, indices)
    at_atlas, at_target = _landmarks(labels, atlas_grid, grid, deformation, np.random.default_rng([seed, 32]))
    rng = np.random.default_rng([seed, 33])
    white = float(np.percentile(atlas[labels > 0], _WHITE))
    if damage is None:
        target = Spline.of(atlas).at(indices)
        target += rng.normal(0, _PLAIN_NOISE * white, target.shape).astype(np.float32)
        condition, at_landmarks = np.zeros(grid.shape, np.uint8), np.zeros(len(at_target), np.uint8)
    else:
        still = deformation.motion.inverse()  # damage belongs to the sample and moves with it
        points = still.apply(grid.centred().points())
        _, tissue = _tissue(labels, atlas_grid, deformation, _TISSUE_POINTS, rng)
        known = Damage.random(damage, still.apply(tissue), orientation, rng)
        intact = Spline.of(foreign_contrast(atlas, labels, white, damage, rng)).at(indices)
        target = known.apply(intact, points, rng)
        condition, at_landmarks = _condition(known, points), _condition(known, still.apply(at_target))
    return RegistrationCase(
        atlas=atlas,
        labels=labels,
        target=target,
        target_labels=target_labels,
        condition=condition,
        atlas_grid=atlas_grid,
        target_grid=grid,
        orientation=orientation,
        deformation=deformation,
        landmarks_atlas=at_atlas + atlas_grid.centre,
        landmarks_target=at_target + grid.centre,
        landmarks_condition=at_landmarks,
    )


def atlas_positions(deformation: Deformation, grid: Grid) -> Float64:
    """Where the samples of a target grid lie in the atlas, [z, y, x, 3] in µm, centred.

    The flow is integrated at control points; between them its displacement is interpolated by cubic convolution.
    """
    grid = grid.centred()
    shortest = np.linalg.norm(deformation.velocity.vectors, axis=1).max()
    spacing = [max(s, _FINEST_WAVE / shortest) for s in grid.spacing]
    size = [int(np.ceil(e / s)) + 4 for e, s in zip(grid.extent, spacing, strict=True)]
    x, y, z = (-(n - 1) / 2 * s for n, s in zip(size, spacing, strict=True))
    control = Grid((size[0], size[1], size[2]), (spacing[0], spacing[1], spacing[2]), (x, y, z))
    back = (deformation.motion @ deformation.affine).inverse()
    points = control.points()
    moved = deformation.to_atlas(points) - back.apply(points)
    positions = back.apply(grid.points())
    for axis in range(3):
        positions[..., axis] += resample(
            np.ascontiguousarray(moved[..., axis]), control, grid, order=3, outside=None
        )
    return positions


def _with_margin(grid: Grid) -> Grid:
    x, y, z = (n + 2 * max(1, round(n / 24)) for n in grid.size)
    return Grid((x, y, z), grid.spacing)


def _nearest(labels: NDArray[Any], indices: Float64) -> NDArray[Any]:
    """The labels at fractional indices x, y, z; 0 outside."""
    whole = np.rint(indices).astype(np.intp)
    inside = np.all((whole >= 0) & (whole < labels.shape[::-1]), axis=-1)
    x, y, z = np.moveaxis(np.where(inside[..., None], whole, 0), -1, 0)
    return np.asarray(np.where(inside, labels[z, y, x], labels.dtype.type(0)))


def _landmarks(
    labels: NDArray[Any],
    atlas_grid: Grid,
    target_grid: Grid,
    deformation: Deformation,
    rng: np.random.Generator,
) -> tuple[Float64, Float64]:
    """Landmarks in atlas and target; both centred."""
    points, moved = _tissue(labels, atlas_grid, deformation, 8 * LANDMARKS, rng)
    inside = np.all(np.abs(moved) < np.array(target_grid.extent) / 2, axis=1)
    if inside.sum() < LANDMARKS:
        raise InputError(
            f"only {inside.mean():.0%} of the tissue lies inside of the target",
            fix="a larger target_grid, or a deformation that moves less",
        )
    return points[inside][:LANDMARKS], moved[inside][:LANDMARKS]


def _tissue(
    labels: NDArray[Any], grid: Grid, deformation: Deformation, count: int, rng: np.random.Generator
) -> tuple[Float64, Float64]:
    """Random points of the tissue, and where they go; both centred."""
    tissue = np.argwhere(labels > 0)[:, ::-1]
    chosen = tissue[rng.integers(len(tissue), size=count)] + rng.uniform(-0.5, 0.5, (count, 3))
    points = chosen * grid.spacing + grid.centred().origin
    return points, deformation.to_target(points)


def _condition(damage: Damage, points: Float64) -> NDArray[np.uint8]:
    result = np.where(damage.artifact(points), ARTIFACT, VALID)
    return np.where(damage.missing(points), MISSING, result).astype(np.uint8)
