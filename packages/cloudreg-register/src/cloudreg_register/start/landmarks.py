"""Landmarks: named points that a person set in two volumes, and which of them belong together.

They come as CSV (x,y,z,name in µm) or as an annotation layer of Neuroglancer. Points of one name are one place;
names that are given twice, or in one volume only, are reported and not used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.files.annotations import read_annotations
from cloudreg_io.space import VoxelSize
from cloudreg_register.transforms.points import read_points


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """Named points of one volume.

    Attributes
    ----------
    names : tuple of str
    positions : [n, 3] float64
        x, y, z in µm of the volume's physical frame.
    source : str
        For messages.
    """

    names: tuple[str, ...]
    positions: NDArray[np.float64]
    source: str = ""

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Landmarks of an atlas and of a target that belong together, and those that do not.

    Attributes
    ----------
    names : tuple of str
        In the atlas's order.
    atlas, target : [n, 3] float64
    only_atlas, only_target : tuple of str
        Names that the other side lacks.
    repeated : tuple of str
        Names that one side has more than once.
    """

    names: tuple[str, ...]
    atlas: NDArray[np.float64]
    target: NDArray[np.float64]
    only_atlas: tuple[str, ...] = ()
    only_target: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)


def read_landmarks(
    place: str | Path, *, voxel_size: Sequence[float] | VoxelSize | None = None, layer: str = ""
) -> Landmarks:
    """Read named points.

    Parameters
    ----------
    place : str or Path
        A CSV file with the columns x, y, z, name; anything else is taken as a state or link of Neuroglancer.
    voxel_size : VoxelSize, optional
        Of mip 0 of the volume, in µm; needed for Neuroglancer's points.
    layer : str
        Name of the annotation layer, where there are several.

    Raises
    ------
    NotFoundError, InputError
        No such file; no names; no points.
    """
    if str(place).lower().endswith(".csv"):
        points = read_points(place)
        if "name" not in points.other_names:
            raise InputError(
                f"{place} has no column name: landmarks are matched by their names",
                fix="the first line is x,y,z,name",
            )
        found = Landmarks(points.column("name"), points.positions, str(place))
    else:
        if voxel_size is None:
            raise InputError(f"{place}: Neuroglancer's points need the voxel size of the volume", fix="use a CSV")
        named = read_annotations(place, voxel_size=voxel_size, layer=layer)
        found = Landmarks(named.names, named.positions, f"the layer {named.layer}")
    if not len(found):
        raise InputError(f"{place} holds no landmarks")
    return found


def paired(atlas: Landmarks, target: Landmarks) -> Pairs:
    """The landmarks that both have under one name; case and blanks do not matter.

    Raises
    ------
    InputError
        There is none.
    """
    keys = [[_key(name) for name in side.names] for side in (atlas, target)]
    counts = [Counter(key for key in side if key) for side in keys]
    known = set(counts[0]) & set(counts[1])
    repeated = {key for key in counts[0] | counts[1] if max(counts[0][key], counts[1][key]) > 1}
    used = [i for i, key in enumerate(keys[0]) if key in known - repeated]
    if not used:
        raise InputError(
            f"no landmark has one name in {atlas.source or 'the atlas'} and in {target.source or 'the target'}",
            why=f"the names there: {_some(atlas.names)}; here: {_some(target.names)}"
            + (f"; given more than once: {_some(sorted(repeated))}" if repeated else ""),
            fix="give the same place the same name in both",
        )
    there = [keys[1].index(keys[0][i]) for i in used]
    return Pairs(
        tuple(atlas.names[i].strip() for i in used),
        atlas.positions[used],
        target.positions[there],
        tuple(sorted(set(counts[0]) - known)),
        tuple(sorted(set(counts[1]) - known)),
        tuple(sorted(repeated)),
    )


def _key(name: str) -> str:
    return " ".join(name.casefold().split())


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:4])
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown
