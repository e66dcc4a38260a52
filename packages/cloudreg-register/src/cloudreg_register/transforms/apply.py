"""Apply: the points of a file through a transform, and the transform itself as a file for other programs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.space import VoxelSize
from cloudreg_register.images.frame import Frame
from cloudreg_register.transforms.itk import FieldReport, export_field
from cloudreg_register.transforms.points import Points, read_blocks, write_points
from cloudreg_register.transforms.transform import Mapper, Space, Transform

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PointsReport:
    """What became of a file of points.

    Attributes
    ----------
    points : int
    outside : int
        Of them, those that lie in neither or only one of the volumes.
    """

    points: int
    outside: int

    def to_json(self) -> dict[str, int]:
        """As JSON."""
        return asdict(self)


def transform_points(
    source: Path, target: Path, folder: Path, *, to: Space, voxels: bool = False, overwrite: bool = False
) -> PointsReport:
    """Move the points of a CSV file, block by block, in order.

    Parameters
    ----------
    source, target : Path
        CSV files, see `points`.
    folder : Path
        Of the transform.
    to : "atlas" or "target"
        Where the result lives.
    voxels : bool
        The points are given in voxels of mip 0, not in µm.
    overwrite : bool
        Replace `target`.

    Raises
    ------
    InputError
        `target` exists or is `source`, or what `read_blocks` and `Transform.load` raise.
    """
    refuse_inside(target, folder)
    if source.resolve() == target.resolve():
        raise InputError(f"{target} would replace the points it is made from", fix="choose another OUT.csv")
    refuse_existing(target, overwrite=overwrite)
    mapper = Transform.load(folder).mapper(to)
    outside = 0

    def moved() -> Iterator[Points]:
        nonlocal outside
        for number, block in enumerate(read_blocks(source)):
            positions = block.positions
            if voxels:
                positions = positions * np.array(tuple(mapper.source.voxel_size))
            elif not number and looks_like_voxels(positions, mapper.source):
                _warn_of_voxels(source, mapper)
            places, inside = mapper.located(positions)
            outside += int((~inside).sum())
            yield block.moved(places).with_column("inside", ["1" if one else "0" for one in inside.tolist()])

    count = write_points(target, moved())
    if count and outside == count:
        _logger.warning(
            "%s: not one of the %d points lies in both volumes; --to %s takes points of %s, in µm: of x, y, z "
            "from 0 to %s",
            source,
            count,
            to,
            "the target" if to == "atlas" else "the atlas",
            ", ".join(f"{edge:.0f}" for edge in mapper.source.extent),
        )
    return PointsReport(count, outside)


def looks_like_voxels(positions: NDArray[np.float64], frame: Frame) -> bool:
    """Whether points that should be in µm are probably voxel indices of a volume.

    They are when all are whole numbers that fit the volume's voxels, and in µm would fill a small corner only.
    """
    if len(positions) < 3 or not (positions == np.rint(positions)).all():
        return False
    high = positions.max(axis=0)
    as_voxels = bool((positions >= 0).all() and (high < frame.size).all())
    share_of_voxels = (high / frame.size).max()
    share_of_um = (high / frame.extent).max()
    return as_voxels and bool(share_of_voxels > 0.4 and share_of_um < 0.75 * share_of_voxels)


def export_transform(
    folder: Path, file: Path, *, to: Space = "target", voxel_size: float | None = None, overwrite: bool = False
) -> FieldReport:
    """Write a transform as displacement field for ITK."""
    refuse_inside(file, folder)
    refuse_existing(file, overwrite=overwrite)
    edges = None if voxel_size is None else VoxelSize(voxel_size, voxel_size, voxel_size)
    return export_field(Transform.load(folder), file, to=to, voxel_size=edges)


def refuse_device(path: Path) -> None:
    """Raise when something is there that is neither file nor folder: a rename would put a file in its place."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise InputError(f"{path} is a device, which would be replaced by a file", fix="name a file")


def refuse_inside(path: Path, transform: Path) -> None:
    """Raise when a result would lie in the folder of a transform, which holds nothing else."""
    if path.resolve().is_relative_to(transform.resolve()):
        raise InputError(f"{path} would lie in the transform {transform}", fix="choose another place for it")


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise when something is there that was not to be replaced."""
    refuse_device(path)
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists", fix="add --overwrite to replace it")


def _warn_of_voxels(source: Path, mapper: Mapper) -> None:
    _logger.warning(
        "%s: all of x,y,z are whole numbers that fill the %s voxels of %s: they look like voxels, and are taken "
        "as µm. If they are voxels, add --voxels",
        source,
        " × ".join(map(str, mapper.source.size)),
        mapper.source.name or "the volume",
    )
