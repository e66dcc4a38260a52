"""Landmark fit: the affine map that takes the landmarks of an atlas best to those of a target.

Least squares, in closed form for rigid maps and similarities (Umeyama, IEEE Trans. PAMI 13:376, 1991). The map is
found as what must follow the start of the orientation codes, so that it never mirrors what they do not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.space import Affine
from cloudreg_register.images.frame import Frame
from cloudreg_register.lddmm.affine import AffineMode
from cloudreg_register.start.landmarks import Pairs

Points = NDArray[np.float64]

_FLAT = 0.1  # points as near to a plane as this do not show whether they are mirrored
_SPREAD = 0.02  # smallest extent across, over the largest, of points that are not in one line or plane


def fitted_affine(pairs: Pairs, atlas: Frame, target: Frame, start: Affine, mode: AffineMode) -> Affine:
    """The map from the centred atlas to the centred target.

    Parameters
    ----------
    pairs : Pairs
        In the frames of their volumes.
    atlas, target : Frame
    start : Affine
        What orientation codes and a given scale say; rigid and fixed-scale maps keep its scale.
    mode : AffineMode

    Raises
    ------
    InputError
        Too few landmarks; in one line, or one plane; a map that would mirror the brain.
    """
    begin, end = start.apply(pairs.atlas - atlas.centre), pairs.target - target.centre
    affine = mode is AffineMode.AFFINE
    _require_spread(begin, end, mode)
    further = _affine(begin, end) if affine else _similarity(begin, end, scaled=mode is AffineMode.SIMILARITY)
    if further.determinant <= 0:
        raise _mirrored()
    return further @ start


def _require_spread(begin: Points, end: Points, mode: AffineMode) -> None:
    """Refuse points that leave the map open."""
    fewest, dimensions = (4, 3) if mode is AffineMode.AFFINE else (3, 2)
    other = ", or --mode similarity, which needs 3" if mode is AffineMode.AFFINE else ""
    if len(begin) < fewest:
        raise InputError(
            f"{len(begin)} landmarks do not determine the start: this needs {fewest}",
            fix=f"set more landmarks{other}",
        )
    for points in (begin, end):
        lengths = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
        if lengths[dimensions - 1] <= _SPREAD * lengths[0]:
            shape = "plane" if dimensions > 2 else "line"
            raise InputError(
                f"the {len(points)} landmarks lie in one {shape}: they do not determine the start",
                fix=f"set landmarks away from that {shape}{other}",
            )


def _similarity(begin: Points, end: Points, *, scaled: bool) -> Affine:
    centre, onto = begin.mean(axis=0), end.mean(axis=0)
    left, values, right = np.linalg.svd((end - onto).T @ (begin - centre))
    proper = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    if proper[2] < 0 and values[2] > _FLAT * values[1]:
        raise _mirrored()
    scale = float(values @ proper) / float(((begin - centre) ** 2).sum()) if scaled else 1.0
    linear = scale * (left * proper) @ right
    return Affine(np.column_stack([linear, onto - linear @ centre]))


def _affine(begin: Points, end: Points) -> Affine:
    design = np.column_stack([begin, np.ones(len(begin))])
    solved = np.linalg.lstsq(design, end, rcond=None)[0]
    return Affine(np.asarray(solved.T, np.float64))


def _mirrored() -> InputError:
    return InputError(
        "the landmarks describe a mirrored brain",
        why="names are exchanged between points, or an orientation code is wrong",
        fix="if left is left in the landmarks, exchange L and R in --orientation or in --atlas-orientation",
    )
