"""Choice: what a user decides about the registration of a sample, in the words of the command line.

Plain values only, so that it goes into journal and provenance as it is, and nothing heavy is imported before there
is work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from cloudreg_io.errors import InputError
from cloudreg_io.space import Vector3, VoxelSize
from cloudreg_register.classic.strength import require_strength

if TYPE_CHECKING:
    from cloudreg_register.atlases.atlas import Atlas
    from cloudreg_register.atlases.atlas_part import AtlasPart
    from cloudreg_register.lddmm.options import RegisterOptions

Mode = Literal["rigid", "similarity", "affine", "fixed-scale"]
LandmarkUse = Literal["start", "cost", "both"]
DeviceName = Literal["auto", "cpu", "cuda"]

_POSITIVE = {
    "resolution": "give the edge of a voxel in µm, such as 100 for a mouse, or leave it out",
    "regularization": "give a number above 0: higher is less regularisation; or leave it out",
    "to_atlas": "give the edge of a voxel in µm, such as 50 for a mouse, or leave it out",
    "landmark_sigma": "give a distance in µm, such as 100 for a mouse, or leave it out",
}
_STRENGTHS = (1e-3, 1e6)  # beyond, sums in single precision overflow
_FINEST_SIGMA = 1e-3  # µm: nobody marks a point better


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a user decides; `cloudreg register --help` says what each means.

    Attributes
    ----------
    orientation : str
        Of the target.
    voxel_size : (x, y, z) float, optional
        Of the target, in µm, in place of what it says itself.
    atlas, labels, structures, atlas_orientation, atlas_voxel_size
        See `cloudreg_register.atlases.atlas.find_atlas`.
    hemisphere, regions
        See `cloudreg_register.atlases.atlas_part.AtlasPart`.
    rotation, translation, scale
        See `cloudreg_register.start.initial.initial_affine`; without `translation` the tissues' centres of mass
        meet.
    search : bool
        Try all ways round for the start.
    landmarks : (atlas, target) str, optional
        Files of named points.
    landmarks_for : "start", "cost" or "both"
        Whether they give the start, pull at the map, or both.
    landmark_sigma : float, optional
        How far they may be off, in µm.
    any_extent : bool
        Go on though the sample is much larger or smaller than the atlas.
    to_atlas : float, optional
        Voxel size in µm at which the target is put on the atlas too.
    resolution, mode, regularization, iterations, missing_data, grid_correction, bias_correction, device
        See `cloudreg_register.lddmm.options.RegisterOptions`.
    classic : int, optional
        Iterations of the original's schedule, in place of ours.
    """

    orientation: str
    voxel_size: Vector3 | None = None
    atlas: str | None = None
    labels: str | None = None
    structures: str | None = None
    atlas_orientation: str | None = None
    atlas_voxel_size: Vector3 | None = None
    hemisphere: Literal["left", "right"] | None = None
    regions: tuple[str, ...] = ()
    rotation: Vector3 = (0.0, 0.0, 0.0)
    translation: Vector3 | None = None
    scale: Vector3 = (1.0, 1.0, 1.0)
    search: bool = False
    landmarks: tuple[str, str] | None = None
    landmarks_for: LandmarkUse = "both"
    landmark_sigma: float | None = None
    any_extent: bool = False
    to_atlas: float | None = None
    resolution: float | None = None
    mode: Mode | None = None
    regularization: float | None = None
    iterations: tuple[int, int, int] | None = None
    missing_data: bool = True
    grid_correction: bool = False
    bias_correction: bool = False
    device: DeviceName = "auto"
    classic: int | None = None

    def __post_init__(self) -> None:
        self._require_numbers()
        for edge in (self.resolution, self.to_atlas):
            if edge is not None:
                VoxelSize.of((edge,) * 3)
        if self.iterations is not None and min(self.iterations) < 1:
            raise InputError(
                f"--iterations {_words(self.iterations)}: each level takes one or more", fix="1 or more for each"
            )
        if self.classic is not None:
            self._require_classic(self.classic)

    @property
    def affine_mode(self) -> Mode:
        """What the affine map may do: what was asked for, or what the method does by default."""
        return self.mode or ("affine" if self.classic is None else "fixed-scale")

    def to_json(self) -> dict[str, Any]:
        """All of it, for journal and provenance."""
        return asdict(self)

    def found_atlas(self) -> Atlas:
        """The atlas that is meant."""
        from cloudreg_register.atlases.atlas import find_atlas

        return find_atlas(
            self.atlas,
            labels=self.labels,
            structures=self.structures,
            orientation=self.atlas_orientation,
            voxel_size=self.atlas_voxel_size,
        )

    def part(self, atlas: Atlas) -> AtlasPart:
        """The part of it that the sample has."""
        from cloudreg_register.atlases.atlas_part import AtlasPart

        return AtlasPart.of(self.hemisphere, self.regions, atlas.structures)

    def options(self, resolution: float) -> RegisterOptions:
        """What `register` is told, at voxels of a size in µm."""
        from cloudreg_register.lddmm.affine import AffineMode
        from cloudreg_register.lddmm.device import Device
        from cloudreg_register.lddmm.options import RegisterOptions

        given: dict[str, Any] = {"regularization": self.regularization, "iterations": self.iterations}
        return RegisterOptions(
            resolution=resolution,
            mode=AffineMode(self.affine_mode),
            missing_data=self.missing_data,
            grid_correction=self.grid_correction,
            bias_correction=self.bias_correction,
            device=Device(self.device),
            **{name: value for name, value in given.items() if value is not None},
        )

    def _require_numbers(self) -> None:
        """Refuse numbers that nothing could be done with, before there has been work."""
        for name, value in self.to_json().items():
            values = value if isinstance(value, tuple) else (value,)
            if any(isinstance(one, float) and not math.isfinite(one) for one in values):
                raise InputError(f"{_option(name)} {_words(values)}: finite numbers are needed")
        for name, fix in _POSITIVE.items():
            if (number := getattr(self, name)) is not None and not number > 0:
                raise InputError(f"{_option(name)} {number:g} is not positive", fix=fix)
        if max(map(abs, self.rotation)) > 360:
            raise InputError(f"--rotation {_words(self.rotation)}: it takes degrees, from -360 to 360")
        if max(self.scale) > 100 or 0 < min(self.scale) < 0.01:
            raise InputError(f"--scale {_words(self.scale)}: from 0.01 to 100 can be computed")
        low, high = _STRENGTHS
        if self.regularization is not None and not low <= self.regularization <= high:
            raise InputError(
                f"--regularization {self.regularization:g}: from {low:g} to {high:g} can be computed",
                fix="leave it out for 4; higher is less regularisation",
            )
        if self.landmark_sigma is not None and self.landmark_sigma < _FINEST_SIGMA:
            raise InputError(
                f"--landmark-sigma {self.landmark_sigma:g} µm is less than anybody can mark",
                fix=_POSITIVE["landmark_sigma"],
            )

    def _require_classic(self, iterations: int) -> None:
        """Refuse what the original's schedule could not obey, rather than leave it out silently."""
        if iterations < 1:
            raise InputError(
                f"--classic {iterations}: it takes one iteration or more", fix="the original had 3000"
            )
        if self.regularization is not None:
            require_strength(self.regularization)
        if self.iterations is not None:
            raise InputError(
                f"--iterations {_words(self.iterations)} is for several levels; the original has one",
                fix=f"--classic {iterations} says how many iterations there are: leave --iterations out",
            )
        if self.landmarks is not None and self.landmarks_for != "start":
            raise InputError(
                f"--landmarks-for {self.landmarks_for}: landmarks cannot pull at the map with --classic",
                why="the original's cost has no landmarks",
                fix="--landmarks-for start uses them for the start alone; or leave --classic out",
            )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _words(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)
