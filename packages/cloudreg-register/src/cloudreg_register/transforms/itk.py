"""Export for ITK: a displacement field that SimpleITK, ANTs or 3D Slicer apply to the same points.

The field is a NRRD of vectors d(x) = y − x on a grid around the volume that is mapped, in µm, in the physical
frames that the rest of CloudReg uses: origin 0 at the centre of voxel 0, axes along x, y, z. Images that ITK reads
from our files lie in the same frames, so no axis is turned. In Python::

    field = sitk.ReadImage("to_target.nrrd", sitk.sitkVectorFloat64)
    transform = sitk.DisplacementFieldTransform(field)
    transform.TransformPoint((1200.0, 800.0, 950.0))     # a point of the atlas, in µm → the target

ITK resamples by mapping points of the result to the image. So the field *to the target* is the one that pulls a
target onto the atlas: ``sitk.Resample(target, atlas, transform)``; the field *to the atlas* pulls the atlas and
its labels onto the target.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.files.atomic import atomic_path
from cloudreg_io.space import Bounds, Grid, VoxelSize
from cloudreg_register.memory import require_samples
from cloudreg_register.transforms.transform import Mapper, Space, Transform

_GZIP = 31  # zlib's window for the gzip format
_PER_SAMPLE = 4  # samples of the field per sample of the velocity, along an axis
_PROBES = 5_000
_SAMPLE_BYTES = 200  # of a plane: its points, where they go, and what is in between


@dataclass(frozen=True, slots=True)
class FieldReport:
    """A field that was written.

    Attributes
    ----------
    file : Path
    grid : Grid
    error_mean_um, error_max_um : float
        How far linear interpolation of the field, which is what ITK does, is from the transform, at random points.
    """

    file: Path
    grid: Grid
    error_mean_um: float
    error_max_um: float

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "file": str(self.file),
            **self.grid.to_json(),
            "error_mean_um": self.error_mean_um,
            "error_max_um": self.error_max_um,
        }


def export_field(
    transform: Transform, file: Path | str, *, to: Space = "target", voxel_size: VoxelSize | None = None
) -> FieldReport:
    """Write one direction of a transform as a displacement field for ITK, atomically.

    Parameters
    ----------
    transform : Transform
    file : Path
        Ends in `.nrrd`; its folder is made when absent.
    to : "target" or "atlas"
        Where points are mapped.
    voxel_size : VoxelSize, optional
        Of the field; by default a quarter of the velocity's spacing. Halving it divides the error by four and
        multiplies the file by eight.

    Raises
    ------
    InputError
        Another suffix, or `to` is unknown.
    ToolError
        Voxels so small that the machine's memory does not hold a plane.
    """
    file = Path(file)
    if file.suffix.lower() != ".nrrd":
        raise InputError(f"{file}: displacement fields are written as .nrrd", fix=f"{file.with_suffix('.nrrd')}")
    mapper = transform.mapper(to)
    grid = field_grid(transform, mapper, voxel_size)
    require_samples(grid.spacing[0], grid.size[0] * grid.size[1], _SAMPLE_BYTES, axes=2)
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as temporary:
        _write(temporary, mapper, grid)
    mean, largest = _interpolation_error(mapper, grid)
    return FieldReport(file, grid, mean, largest)


def field_grid(transform: Transform, mapper: Mapper, voxel_size: VoxelSize | None = None) -> Grid:
    """The samples of a field: from the centre of the first voxel's outer corner to beyond the last's."""
    frame = mapper.source.grid()
    if voxel_size is None:
        edge = min(1000.0, min(transform.velocity_grid.spacing) / _PER_SAMPLE)
        voxel_size = VoxelSize(edge, edge, edge)
    # the first and the last samples lie at the outer corners or beyond: ITK moves nothing outside of the field
    size = [int(np.ceil(e / s)) + 1 for e, s in zip(frame.extent, voxel_size, strict=True)]
    return Grid((size[0], size[1], size[2]), (voxel_size.x, voxel_size.y, voxel_size.z), frame.corner)


def _planes(mapper: Mapper, grid: Grid) -> Iterator[NDArray[np.float64]]:
    """The vectors [y · x, 3] of each plane, little-endian as the file has them."""
    for z in range(grid.size[2]):
        points = grid.crop(Bounds((0, 0, z), (grid.size[0], grid.size[1], z + 1))).points().reshape(-1, 3)
        yield (mapper.mapped(points) - points).astype("<f8")


def _write(path: Path, mapper: Mapper, grid: Grid) -> None:
    x, y, z = grid.size
    ex, ey, ez = (repr(edge) for edge in grid.spacing)
    origin = ",".join(repr(value) for value in grid.origin)
    header = [
        "NRRD0004",
        "type: double",
        "dimension: 4",
        "space: left-posterior-superior",  # ITK's own: its axes are taken as they are
        f"sizes: 3 {x} {y} {z}",
        f"space directions: none ({ex},0,0) (0,{ey},0) (0,0,{ez})",
        "kinds: vector domain domain domain",
        "endian: little",
        "encoding: gzip",
        f"space origin: ({origin})",
    ]
    stream = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
    with path.open("wb") as out:
        out.write(("\n".join(header) + "\n\n").encode("ascii"))
        for plane in _planes(mapper, grid):
            out.write(stream.compress(plane.data))
        out.write(stream.flush())


def _interpolation_error(mapper: Mapper, grid: Grid) -> tuple[float, float]:
    """Mean and maximum distance in µm of linearly interpolated positions from exact ones, at random points."""
    rng = np.random.default_rng(0)
    points = rng.uniform(grid.origin, np.add(grid.origin, np.subtract(grid.extent, grid.spacing)), (_PROBES, 3))
    low = np.floor(grid.index_of(points))
    weight = grid.index_of(points) - low
    interpolated: NDArray[np.float64] = np.zeros_like(points)
    for corner in np.ndindex(2, 2, 2):
        share = np.where(corner, weight, 1 - weight).prod(axis=1, keepdims=True)
        interpolated += share * mapper.mapped((low + corner) * grid.spacing + grid.origin)
    error = np.linalg.norm(interpolated - mapper.mapped(points), axis=1)
    return float(error.mean()), float(error.max())
