"""Maps: what shows, voxel by voxel, how good a transform is, as files to look at.

`jacobian` (by how much a volume grows; at or below 0 space is folded), `inverse_error` (µm between a point and
where it comes back) and `confidence` (how far the images say where things are), all on one grid of the volume that
is mapped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudreg_io.errors import InputError
from cloudreg_io.files.image import write_image
from cloudreg_io.space import Grid, VoxelSize
from cloudreg_register.memory import require_samples
from cloudreg_register.transforms.apply import refuse_existing, refuse_inside
from cloudreg_register.transforms.jacobian import Regularity, inverse_consistency_map, jacobian_map
from cloudreg_register.transforms.transform import Space, Transform

_VOXEL_BYTES = 300  # of the maps and of the points at which the confidence is looked up
_OF_THE_VELOCITY = 0.5  # spacings of the velocity are a voxel, where none is named


@dataclass(frozen=True, slots=True)
class MapsReport:
    """Maps that were written.

    Attributes
    ----------
    files : tuple of Path
    grid : Grid
        In the physical frame of the volume that is mapped.
    regularity : Regularity
    """

    files: tuple[Path, ...]
    grid: Grid
    regularity: Regularity

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "files": [str(file) for file in self.files],
            **self.grid.to_json(),
            **self.regularity.to_json(),
        }


def write_maps(
    folder: Path, out: Path, *, to: Space = "target", voxel_size: float | None = None, overwrite: bool = False
) -> MapsReport:
    """Write the maps of a transform as NRRD files, each atomically.

    Parameters
    ----------
    folder : Path
        Of the transform.
    out : Path
        Folder of the files; made when absent.
    to : "target" or "atlas"
        Where points are mapped: the maps lie on the other volume.
    voxel_size : float, optional
        In µm; by default half of the velocity's spacing.
    overwrite : bool

    Raises
    ------
    ToolError
        Voxels so small that the machine's memory does not hold them.
    InputError
        A file is there, `out` is no folder, or voxels so large that an axis has only one.
    """
    refuse_inside(out, folder)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; the maps go into a folder", fix="name another OUT")
    transform = Transform.load(folder)
    source = transform.mapper(to).source
    edge = voxel_size or _OF_THE_VELOCITY * min(transform.velocity_grid.spacing)
    grid = source.grid().with_spacing(VoxelSize(edge, edge, edge))
    require_samples(edge, math.prod(grid.size), _VOXEL_BYTES, axes=3)
    names = ["jacobian", "inverse_error"] + ([] if transform.confidence is None else ["confidence"])
    files = {name: out / f"{name}.nrrd" for name in names}
    for file in files.values():
        refuse_existing(file, overwrite=overwrite)
    jacobian = jacobian_map(transform, grid, to)
    errors = inverse_consistency_map(transform, grid, to)
    maps = {"jacobian": jacobian, "inverse_error": errors}
    if transform.confidence is not None:
        points = grid.points().reshape(-1, 3)
        at = transform.mapper("target").mapped(points) if to == "target" else points
        maps["confidence"] = transform.confidence_at(at).reshape(grid.shape)
    for name, file in files.items():
        write_image(file, maps[name], grid.voxel_size)
    return MapsReport(tuple(files.values()), grid, Regularity.of_maps(jacobian, errors))
