"""Start picture: the target and the atlas where a registration would start, in three planes.

The data for `cloudreg_viz` to draw, and the same in characters for a terminal without pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.files.atomic import write_bytes
from cloudreg_io.space import Affine
from cloudreg_register.images.image import Image
from cloudreg_register.images.tissue import otsu
from cloudreg_register.layout import START_PICTURE
from cloudreg_register.stage.pictures import as_npz, picture_planes
from cloudreg_register.transforms.transform import Transform

_COLUMNS = 36  # characters of a plane's longer side
_BRIGHT = 0.98  # quantile beyond which values are clipped: glare must not set the threshold
_NOTHING, _TARGET, _ATLAS, _BOTH = " ", ".", "+", "#"


def start_planes(target: Image, atlas: Image, start: Affine) -> dict[str, NDArray[Any]]:
    """Planes through the target, and through the atlas as a start lays it there.

    Parameters
    ----------
    target, atlas : Image
    start : Affine
        From the centred atlas to the centred target, in µm.

    Returns
    -------
    dict
        `target_x`, `atlas_start_x`: the planes [z, y] across x, and so for y and z; `index`, `spacing_um`.
    """
    return picture_planes(target, atlas, None, {"start": Transform.of_affine(start, atlas.frame, target.frame)})


def write_start_picture(out: Path, planes: Mapping[str, NDArray[Any]]) -> Path:
    """Write planes to OUT/qc/start.npz; gives its path."""
    path = out / START_PICTURE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, as_npz(planes))
    return path


def in_text(planes: Mapping[str, NDArray[Any]]) -> str:
    """Three planes as characters, for a terminal without pictures.

    Parameters
    ----------
    planes : mapping
        As `start_planes` makes them.
    """
    x, y, z = (float(edge) for edge in planes["spacing_um"])
    sections = (
        ("z", "x right, y down", (y, x)),
        ("y", "x right, z down", (z, x)),
        ("x", "y right, z down", (z, y)),
    )
    parts = [f"'{_TARGET}' target, '{_ATLAS}' atlas, '{_BOTH}' both"]
    for letter, title, edges in sections:
        target, atlas = planes[f"target_{letter}"], planes[f"atlas_start_{letter}"]
        parts.append(f"across {letter} ({title})\n{_characters(target, atlas, edges)}")
    return "\n\n".join(parts)


def _characters(target: NDArray[Any], atlas: NDArray[Any], edges: tuple[float, float]) -> str:
    """Which of two planes shows tissue where; characters are twice as high as wide."""
    height, width = (n * edge for n, edge in zip(target.shape, edges, strict=True))
    column = max(width, height) / _COLUMNS
    columns, rows = max(1, round(width / column)), max(1, round(height / (2 * column)))
    masks = [_reduced(_tissue(plane), (rows, columns)) for plane in (target, atlas)]
    letters = np.array([[_NOTHING, _ATLAS], [_TARGET, _BOTH]])[masks[0].astype(int), masks[1].astype(int)]
    return "\n".join("".join(row).rstrip() for row in letters)


def _tissue(plane: NDArray[Any]) -> NDArray[np.bool_]:
    values = np.nan_to_num(plane.astype(np.float64))
    clipped = np.minimum(values, np.quantile(values, _BRIGHT))
    return np.asarray(clipped > otsu(clipped))


def _reduced(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    rows, columns = ((np.arange(n) + 0.5) * m // n for n, m in zip(shape, mask.shape, strict=True))
    return mask[np.ix_(rows.astype(int), columns.astype(int))]
