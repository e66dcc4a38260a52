"""Pictures: three planes through the target, with the atlas and its labels before and after registration.

Only the data; `cloudreg_viz` draws them. The planes lie at the middle of the tissue, at the voxels that were
registered.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.space import Bounds, Grid
from cloudreg_register.images.image import Image
from cloudreg_register.images.tissue import Tissue
from cloudreg_register.transforms.sources import ArraySource, Source
from cloudreg_register.transforms.transform import Transform
from cloudreg_register.transforms.warp import Warp


def picture_planes(
    target: Image, atlas: Image, labels: Source | None, maps: Mapping[str, Transform]
) -> dict[str, NDArray[Any]]:
    """The planes across x, y and z.

    Parameters
    ----------
    target, atlas : Image
    labels : Source, optional
        Of the atlas.
    maps : mapping of str to Transform
        Such as "before" and "after".

    Returns
    -------
    dict
        `target_x`: the plane [z, y] across x, `atlas_before_x`, `labels_before_x`, …; `index` (x, y, z) of the
        planes, `spacing_um` (x, y, z).
    """
    index = _middle(target)
    made: dict[str, NDArray[Any]] = {"index": np.array(index), "spacing_um": np.array(target.grid.spacing)}
    sources: dict[str, Source] = {"atlas": ArraySource(atlas.array, atlas.grid)}
    if labels is not None:
        sources["labels"] = labels
    for axis, letter in enumerate("xyz"):
        box = _plane(target.grid, axis, index[axis])
        made[f"target_{letter}"] = target.array[box.slices()].squeeze(2 - axis)
        for when, transform in maps.items():
            for name, source in sources.items():
                warp = Warp(transform, source, target.grid, to="target", labels=name == "labels")
                made[f"{name}_{when}_{letter}"] = warp.block(box).squeeze(2 - axis)
    return made


def as_npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of an .npz file; the same for the same arrays, since zip files of numpy hold no time."""
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def _middle(target: Image) -> list[int]:
    centred = target.centred_grid
    found = np.rint(centred.index_of([Tissue.of(target).centre])[0]).astype(int)
    return [int(np.clip(i, 0, n - 1)) for i, n in zip(found, centred.size, strict=True)]


def _plane(grid: Grid, axis: int, index: int) -> Bounds:
    lower, upper = [0, 0, 0], list(grid.size)
    lower[axis], upper[axis] = index, index + 1
    return Bounds((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))
