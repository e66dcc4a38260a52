"""Atlas part: a hemisphere or some regions of an atlas, for a sample that is not a whole brain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.files.structures import StructureTree
from cloudreg_io.space import Grid, resample
from cloudreg_register.atlases.midplane import Midplane
from cloudreg_register.images.image import Image

Hemisphere = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class AtlasPart:
    """Which voxels of an atlas the sample has.

    Attributes
    ----------
    hemisphere : "left", "right" or None
        None for both.
    ids : frozenset of int, optional
        Labels that belong to it; None for all of the atlas.
    """

    hemisphere: Hemisphere | None = None
    ids: frozenset[int] | None = None

    @classmethod
    def of(
        cls,
        hemisphere: Hemisphere | None = None,
        regions: Sequence[str] = (),
        structures: StructureTree | None = None,
    ) -> AtlasPart:
        """The part that a user names: regions by their acronyms, with all their parts.

        Raises
        ------
        InputError
            Regions without a table of structures, or that are not in it.
        """
        if not regions:
            return cls(hemisphere)
        if structures is None:
            raise InputError(
                f"--region {' '.join(regions)} needs the atlas's table of structures",
                fix="--structures FILE: Allen or BrainGlobe JSON, or CSV with id,acronym,name,parent",
            )
        found = (structures.descendants(structures.by_acronym(acronym).id) for acronym in regions)
        return cls(hemisphere, frozenset(number for ids in found for number in ids))

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out."""
        return self.hemisphere is None and self.ids is None

    def mask(self, grid: Grid, atlas: Image, labels: Image | None) -> NDArray[np.bool_]:
        """Which samples [z, y, x] of a grid in the atlas's physical frame belong to the part.

        Parameters
        ----------
        grid : Grid
        atlas : Image
            For its midplane.
        labels : Image, optional
            Needed where regions were chosen.

        Raises
        ------
        InputError
            No labels, or no voxel is left.
        """
        mask = np.ones(grid.shape, bool)
        if self.hemisphere is not None:
            right = Midplane.of_atlas(atlas.frame).right_of(grid)
            mask = right if self.hemisphere == "right" else ~right
        if self.ids is not None:
            if labels is None:
                raise InputError("regions of an atlas are cut out by its labels", fix="--labels PATH")
            mask = mask & np.isin(resample(labels.array, _aligned(labels, atlas), grid, order=0), list(self.ids))
        if not mask.any():
            raise InputError(
                "the chosen part of the atlas holds no voxel", why="its labels have none of these regions"
            )
        return mask

    def weights(self, atlas: Image, labels: Image | None = None) -> NDArray[np.float32]:
        """1 where a voxel [z, y, x] of the atlas belongs to the part, else 0."""
        return self.mask(atlas.grid, atlas, labels).astype(np.float32)

    def cropped(self, atlas: Image, labels: Image) -> Image:
        """The labels, 0 outside of the part."""
        grid = _aligned(labels, atlas)
        mask = self.mask(grid, atlas, labels)
        return replace(labels, array=np.where(mask, labels.array, labels.array.dtype.type(0)))


def _aligned(labels: Image, atlas: Image) -> Grid:
    """The samples of the labels in the atlas's physical frame: they align by their outer corners."""
    shift = [a - b for a, b in zip(atlas.mip0.corner, labels.mip0.corner, strict=True)]
    return labels.grid.moved(shift)
