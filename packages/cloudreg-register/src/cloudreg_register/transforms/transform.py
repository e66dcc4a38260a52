"""Transform: the map y = A φ(x) between an atlas and a target, applied to points.

φ is the flow of a velocity at time 1, A an affine map; both work in centred frames. Points are given and returned
in the physical frames of their volumes, in µm. Both directions integrate the same velocity (`particles`), so that
a point comes back to where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.space import Affine, Grid
from cloudreg_register.images.frame import Frame
from cloudreg_register.transforms.particles import Particles

Space = Literal["atlas", "target"]  # the two volumes of a transform, wherever points or values are to live

_BLOCK = 1 << 20  # points: what is needed beside the result stays below 100 MB


@dataclass(frozen=True, slots=True, eq=False)
class Transform:
    """A diffeomorphism from an atlas to a target.

    Attributes
    ----------
    affine : Affine
        A: centred atlas to centred target, in µm. It holds the exchange of axes between the orientations too.
    velocity : [t, 3, z, y, x] float32
        Components x, y, z in µm per unit time, constant during each of the t equal parts of the time from 0 to 1.
    velocity_grid : Grid
        In the centred frame of the atlas.
    atlas, target : Frame
    confidence : [z, y, x] float32, optional
        0 to 1: how far the images say where things are, rather than the smoothness of the map.
    confidence_grid : Grid, optional
        In the centred frame of the target.

    Raises
    ------
    InputError
        When an array does not fit its grid or holds a number that is not finite.
    """

    affine: Affine
    velocity: NDArray[np.float32] = field(repr=False)
    velocity_grid: Grid
    atlas: Frame
    target: Frame
    confidence: NDArray[np.float32] | None = field(default=None, repr=False)
    confidence_grid: Grid | None = None

    def __post_init__(self) -> None:
        velocity = np.array(self.velocity, np.float32, order="C")
        if velocity.ndim != 5 or velocity.shape[1:] != (3, *self.velocity_grid.shape) or not len(velocity):
            raise InputError(
                f"a velocity {list(velocity.shape)} does not fit its grid: [t, 3, {_listed(self.velocity_grid)}]"
            )
        _require_finite(velocity, "velocity")
        object.__setattr__(self, "velocity", _read_only(velocity))
        if (self.confidence is None) != (self.confidence_grid is None):
            raise InputError("a confidence needs a grid, and a grid of confidence needs values")
        if self.confidence is not None and self.confidence_grid is not None:
            confidence = np.array(self.confidence, np.float32, order="C")
            if confidence.shape != self.confidence_grid.shape:
                shape = _listed(self.confidence_grid)
                raise InputError(f"a confidence {list(confidence.shape)} does not fit its grid [{shape}]")
            _require_finite(confidence, "confidence")
            object.__setattr__(self, "confidence", _read_only(confidence))

    @classmethod
    def of_affine(cls, affine: Affine, atlas: Frame, target: Frame) -> Transform:
        """The transform that is an affine map alone."""
        grid = Grid((2, 2, 2), atlas.extent).centred()
        return cls(affine, np.zeros((1, 3, 2, 2, 2), np.float32), grid, atlas, target)

    def to_target(self, points: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Where points of the atlas lie in the target.

        Parameters
        ----------
        points : [n, 3]
            x, y, z in µm in the physical frame of the atlas; any number.

        Returns
        -------
        positions : [n, 3] float64
            In the physical frame of the target, in the order of `points`.
        inside : [n] bool
            Whether the point lies in the atlas and its position in the target. Outside, the map continues
            smoothly, but no image says where things are.
        """
        return self.mapper("target").located(_checked(points))

    def to_atlas(self, points: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Where points of the target lie in the atlas: the inverse of `to_target`, with the frames exchanged."""
        return self.mapper("atlas").located(_checked(points))

    def confidence_at(self, points: ArrayLike) -> NDArray[np.float32]:
        """The confidence at points of the target: of the block in which each lies, 0 beyond all.

        Parameters
        ----------
        points : [n, 3]
            x, y, z in µm in the physical frame of the target.

        Raises
        ------
        InputError
            The transform has no confidence.
        """
        if self.confidence is None or self.confidence_grid is None:
            raise InputError("this transform has no confidence", why="it was not made by a registration")
        index = np.rint(self.confidence_grid.index_of(_checked(points) - self.target.centre)).astype(np.intp)
        inside = np.all((index >= 0) & (index < np.asarray(self.confidence_grid.size)), axis=1)
        x, y, z = np.where(inside[:, np.newaxis], index, 0).T
        found: NDArray[np.float32] = np.where(inside, self.confidence[z, y, x], np.float32(0))
        return found

    def mapper(self, to: Space) -> Mapper:
        """What maps points to "atlas" or "target", made ready for many calls.

        Raises
        ------
        InputError
            `to` is neither.
        """
        self.frame(to)  # refuses what is neither
        return Mapper(self, inverse=to == "atlas")

    def frame(self, of: Space) -> Frame:
        """The frame of "atlas" or "target".

        Raises
        ------
        InputError
            `of` is neither.
        """
        if of not in ("atlas", "target"):
            raise InputError(f"{of!r} is neither atlas nor target", fix="--to atlas or --to target")
        return self.atlas if of == "atlas" else self.target

    def save(self, folder: Path | str) -> None:
        """Write the transform to a folder, atomically; see `cloudreg_register.transforms.folder`."""
        from cloudreg_register.transforms.folder import save

        save(self, Path(folder))

    @classmethod
    def load(cls, folder: Path | str) -> Transform:
        """Read a transform from a folder.

        Raises
        ------
        NotFoundError, InputError
            There is none, or it is damaged: the message says how.
        """
        from cloudreg_register.transforms.folder import load

        return load(Path(folder))


class Mapper:
    """One direction of a transform, between physical frames.

    Parameters
    ----------
    transform : Transform
    inverse : bool
        From the target to the atlas.

    Attributes
    ----------
    source, destination : Frame
        Of the points, and of where they go.
    """

    def __init__(self, transform: Transform, *, inverse: bool) -> None:
        self.inverse = inverse
        self.source, self.destination = transform.atlas, transform.target
        self._affine = transform.affine
        if inverse:
            self.source, self.destination = self.destination, self.source
            self._affine = transform.affine.inverse()
        self._particles = Particles(transform.velocity, transform.velocity_grid)

    @property
    def linear(self) -> NDArray[np.float64]:
        """The 3×3 part of the affine map in this direction."""
        return self._affine.linear

    def mapped(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Positions [n, 3] of points [n, 3], each in µm in its volume's physical frame."""
        centred = points - self.source.centre
        if self.inverse:
            centred = self._particles.carried(self._affine.apply(centred), inverse=True)
        else:
            centred = self._affine.apply(self._particles.carried(centred))
        centred += self.destination.centre
        return centred

    def located(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Positions, and whether points and positions lie in their volumes; by blocks, for the memory's sake."""
        positions = np.empty_like(points)
        inside = np.empty(len(points), bool)
        for begin in range(0, len(points), _BLOCK):
            part = slice(begin, begin + _BLOCK)
            positions[part] = self.mapped(points[part])
            inside[part] = self.source.contains(points[part]) & self.destination.contains(positions[part])
        return positions, inside


def other(space: Space) -> Space:
    """Where values come from when they go to one of the volumes: the other one."""
    return "atlas" if space == "target" else "target"


def _checked(points: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(points, np.float64)
    if array.ndim != 2 or array.shape[1] != 3:
        raise InputError(f"points are an array [n, 3] of x, y, z in µm, not {list(array.shape)}")
    if not np.isfinite(array).all():
        raise InputError(f"point {int(np.argmin(np.isfinite(array).all(axis=1)))} is not finite")
    return array


def _require_finite(array: NDArray[np.float32], what: str) -> None:
    if not np.isfinite(array).all():
        raise InputError(f"the {what} holds numbers that are not finite")


def _read_only(array: NDArray[np.float32]) -> NDArray[np.float32]:
    array.flags.writeable = False
    return array


def _listed(grid: Grid) -> str:
    shape: Sequence[int] = grid.shape
    return ", ".join(map(str, shape))
