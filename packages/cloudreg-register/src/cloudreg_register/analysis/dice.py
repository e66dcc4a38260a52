"""Dice: how far two label volumes of one space agree, region by region (Dice, Ecology 26:297, 1945)."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.files.structures import StructureTree
from cloudreg_io.space import resample
from cloudreg_register.images.image import Image


@dataclass(frozen=True, slots=True)
class Overlap:
    """Voxels of a label in both volumes, in the first and in the second."""

    both: int
    first: int
    second: int

    @property
    def dice(self) -> float:
        """2 |A ∩ B| / (|A| + |B|)."""
        return 2 * self.both / (self.first + self.second)


def overlaps(first: Image, second: Image) -> dict[int, Overlap]:
    """Agreement of each label that either volume has; 0 is no label.

    Parameters
    ----------
    first, second : Image
        Labels of one extent and orientation; the second is looked up at the voxels of the first.

    Raises
    ------
    InputError
        They are not of one space, or hold no label.
    """
    if first.orientation != second.orientation:
        raise InputError(f"{first.name} is oriented {first.orientation}, {second.name} {second.orientation}")
    try:
        first.frame.aligned(second.mip0.size, second.mip0.spacing, f"volume {second.name}".strip())
    except InputError as error:
        raise InputError(
            error.what,
            why=error.why,
            fix="labels are compared in one space: `cloudreg transform volume --labels` brings them there",
        ) from error
    shift = [a - b for a, b in zip(first.mip0.corner, second.mip0.corner, strict=True)]
    other = second.array
    if second.grid.moved(shift) != first.grid:
        other = resample(second.array, second.grid.moved(shift), first.grid, order=0, outside=0)
    counts = [_counts(first.array), _counts(other), _counts(first.array[first.array == other])]
    ids = sorted((counts[0].keys() | counts[1].keys()) - {0})
    if not ids:
        raise InputError(f"neither {first.name} nor {second.name} holds a label")
    return {n: Overlap(counts[2].get(n, 0), counts[0].get(n, 0), counts[1].get(n, 0)) for n in ids}


def weighted(found: Mapping[int, Overlap]) -> float:
    """The mean of the labels' Dice, each weighted by its voxels in both volumes."""
    weights = np.array([o.first + o.second for o in found.values()], np.float64)
    return float(np.average([o.dice for o in found.values()], weights=weights))


def overlaps_csv(found: Mapping[int, Overlap], structures: StructureTree | None = None) -> str:
    """One row a label: id, acronym, name, dice, voxels of each."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("id", "acronym", "name", "dice", "voxels_first", "voxels_second"))
    for number, overlap in found.items():
        known = structures[number] if structures is not None and number in structures else None
        names = (known.acronym, known.name) if known is not None else ("", "")
        writer.writerow((number, *names, f"{overlap.dice:.6f}", overlap.first, overlap.second))
    return file.getvalue()


def _counts(labels: NDArray[Any]) -> dict[int, int]:
    ids, numbers = np.unique(labels, return_counts=True)
    return dict(zip(ids.tolist(), numbers.tolist(), strict=True))
