"""Tiles that show the same place: copies of files, or a stage that did not move."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cloudreg_stitch.survey import Survey

_SAME = 0.8  # correlation of the changes from plane to plane of two small copies


def find_duplicates(survey: Survey) -> dict[int, dict[int, str]]:
    """For each tile that resembles others, those others and what speaks for it.

    Equal content is looked for among all tiles. Equal places imaged twice are looked for among tiles that
    follow each other in the grid, where a stage that is stuck leaves them.
    """
    found: dict[int, dict[int, str]] = {}
    for a, b, reason in (*_equal(survey), *_alike(survey)):
        found.setdefault(a, {}).setdefault(b, reason)
        found.setdefault(b, {}).setdefault(a, reason)
    return found


def _equal(survey: Survey) -> Iterator[tuple[int, int, str]]:
    first: dict[str, int] = {}
    for index, tile in enumerate(survey.tiles):
        if tile is None or tile.contrast == 0:  # all constant tiles are equal, and blank
            continue
        original = first.setdefault(tile.digest, index)
        if original != index:
            yield original, index, "the planes are equal"


def _alike(survey: Survey) -> Iterator[tuple[int, int, str]]:
    grid = survey.plan.grid
    at = {(tile.row, tile.column): i for i, tile in enumerate(grid.tiles)}
    kept: dict[int, NDArray[np.float32]] = {}
    for index, tile in enumerate(grid.tiles):
        statistics = survey.tiles[index]
        if statistics is None or statistics.blank:
            continue
        kept[index] = _changes(survey.small(index))
        for row, column in ((tile.row, tile.column - 1), (tile.row - 1, tile.column)):
            other = at.get((row, column))
            if other is not None and other in kept:
                likeness = _correlation(kept[other], kept[index])
                if likeness > _SAME:
                    yield other, index, f"their planes change alike (correlation {likeness:.2f})"
        # only the row above is looked at again
        for old in [i for i in kept if grid.tiles[i].row < tile.row - 1]:
            del kept[old]


def _changes(small: NDArray[np.float32]) -> NDArray[np.float32]:
    """What changes from plane to plane: dust and vignetting, which all tiles share, do not."""
    changes = np.diff(small, axis=0)
    changes -= changes.mean(axis=(1, 2), keepdims=True)
    return changes


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    norm = float(np.sqrt(np.sum(a * a, dtype=np.float64) * np.sum(b * b, dtype=np.float64)))
    return float(np.sum(a * b, dtype=np.float64)) / norm if norm > 0 else 0.0
