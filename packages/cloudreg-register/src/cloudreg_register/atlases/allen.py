"""Allen: how the template of the Allen mouse brain atlas is oriented, found from the volume itself.

Volumes and files do not say reliably which way their axes grow. The brain does: its three lengths tell the axes
apart, the area of its coronal sections tells front from back, and whether a section's middle lies high or low
tells top from bottom. Left and right cannot be told: the template is its own mirror image. The figures below were
taken from the CCFv3 average template (Wang et al., Cell 181:936, 2020) with `section_profile`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.space import Orientation
from cloudreg_register.images.image import Image
from cloudreg_register.images.tissue import Tissue

_SECTIONS = 16
_LENGTHS = {"PA": 12215.0, "SI": 6585.0, "LR": 9480.0}  # of the tissue, µm
# from front to back: the area of sections relative to their mean, and how far below the brain's middle the middle
# of each section lies, relative to the brain's height
_AREA = (0.30, 0.34, 0.55, 0.82, 1.09, 1.27, 1.39, 1.50, 1.51, 1.48, 1.26, 1.02, 0.88, 0.94, 0.84, 0.64)
_BELOW = (
    0.079, 0.048, 0.005, 0.024, 0.045, 0.037, 0.027, 0.011, -0.008, -0.036, -0.071, -0.074, -0.025, 0.001, -0.009,
    0.037,
)  # fmt: skip
_LENGTH_TOLERANCE = 1.12
_SURE = 0.8  # correlation


def template_orientation(image: Image) -> str | None:
    """The orientation code that a volume of the template has by its shape; None for another brain.

    The letter of the left-right axis is the one that the image's own code would have there: it cannot be seen.
    """
    tissue = Tissue.of(image)
    axes = _axes(tissue)
    if axes is None:
        return None
    front_back, top_bottom, left_right = axes
    area, below = section_profile(tissue, front_back, top_bottom)
    backwards = _likeness(area, _AREA) < _likeness(area[::-1], _AREA)
    if backwards:
        area, below = area[::-1], below[::-1]
    likeness = _likeness(below, _BELOW)
    if _likeness(area, _AREA) < _SURE or abs(likeness) < _SURE:
        return None
    letters = {
        front_back: "A" if backwards else "P",
        top_bottom: "I" if likeness > 0 else "S",
        left_right: "LR"["R" in image.orientation.code],
    }
    return "".join(letters[axis] for axis in range(3))


def require_template_orientation(image: Image) -> None:
    """Check that a volume of the template is oriented as it says.

    Raises
    ------
    InputError
    """
    found = template_orientation(image)
    if found is None:
        raise InputError(
            f"{image.name} does not look like the Allen template",
            why="another volume lies there, or its voxel size is wrong",
            fix="give an atlas of your own: --atlas PATH --labels PATH --atlas-orientation CODE",
        )
    if found != image.orientation.code:
        raise InputError(
            f"{image.name} should be oriented {image.orientation}, but its shape is that of {found}",
            fix=f"give it with its orientation: --atlas {image.name} --atlas-orientation {Orientation(found)}",
        )


def section_profile(tissue: Tissue, along: int, across: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sections of tissue along an axis (0, 1, 2 for x, y, z).

    Returns
    -------
    area : [16]
        Relative to the mean.
    offset : [16]
        Where the middle of each section lies on the other axis, from the middle of the tissue, relative to its
        extent on that axis.
    """
    counts = np.moveaxis(tissue.mask.transpose(), (along, across), (0, 1)).sum(axis=2).astype(np.float64)
    share = np.concatenate([[0.0], np.cumsum(counts.sum(axis=1)) / counts.sum()])
    low, high = np.interp([0.005, 0.995], share, np.arange(share.size))
    edges = np.linspace(low, high, _SECTIONS + 1)
    # running sums, read between voxels: sections need not be whole voxels thick
    sums = np.concatenate([np.zeros((1, counts.shape[1])), np.cumsum(counts, axis=0)])
    at_edges = np.array([np.interp(edges, np.arange(len(sums)), column) for column in sums.T])
    sections = np.diff(at_edges, axis=1)
    area = sections.sum(axis=0)
    positions = np.arange(counts.shape[1])
    middles = positions @ sections / np.maximum(area, 1e-9)
    middle = positions @ counts.sum(axis=0) / counts.sum()
    height = tissue.extent[across] / tissue.grid.spacing[across]
    return area / area.mean(), (middles - middle) / height


def _axes(tissue: Tissue) -> tuple[int, int, int] | None:
    """Which of x, y, z run from front to back, from top to bottom and from left to right, by their lengths."""
    top_bottom, left_right, front_back = (int(axis) for axis in np.argsort(tissue.extent))
    expected = {front_back: _LENGTHS["PA"], top_bottom: _LENGTHS["SI"], left_right: _LENGTHS["LR"]}
    for axis, length in expected.items():
        if abs(math.log(tissue.extent[axis] / length)) > math.log(_LENGTH_TOLERANCE):
            return None
    return front_back, top_bottom, left_right


def _likeness(profile: NDArray[np.float64], known: tuple[float, ...]) -> float:
    return float(np.corrcoef(profile, known)[0, 1])
