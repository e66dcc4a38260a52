"""Frame: where the coordinates of a volume are.

Physical 0 is the centre of the volume's mip-0 voxel 0; the *centred* frame, in which transforms are written, has
its 0 midway between the volume's outer corners. The centre is computed from mip 0 alone, since a level of a
pyramid whose last voxel is partly empty has a centre of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.space import Grid, Orientation, Vector3, Vector3i, VoxelSize, vector3, vector3i
from cloudreg_io.volumes import Volume

_TOLERANCE = 1e-6  # of a voxel: the outer corner itself is inside


@dataclass(frozen=True, slots=True)
class Frame:
    """Size, voxel size and orientation of a volume, and which volume it is.

    Attributes
    ----------
    size : (x, y, z) int
        Voxels of mip 0.
    voxel_size : VoxelSize
        Of mip 0, in µm.
    orientation : Orientation
        In which direction in the animal x, y and z grow.
    name : str
        Its address, or the name of an atlas.
    digest : str
        Fingerprint of its content, where one is known.
    """

    size: Vector3i
    voxel_size: VoxelSize
    orientation: Orientation
    name: str = ""
    digest: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", vector3i(self.size))
        object.__setattr__(self, "voxel_size", VoxelSize.of(self.voxel_size))
        if min(self.size) < 1:
            raise InputError(f"a volume of {self.size} voxels (x, y, z) holds nothing")

    @classmethod
    def of_volume(cls, volume: Volume, orientation: Orientation, name: str = "", digest: str = "") -> Frame:
        """The frame of a precomputed volume.

        Raises
        ------
        InputError
            When the volume begins at another voxel than 0.
        """
        if any(offset := volume.scale().offset):
            raise InputError(
                f"{volume.url} begins at voxel {offset}; volumes that are registered begin at 0",
                fix="ingest it anew, or set voxel_offset to 0 in a copy",
            )
        return cls(volume.size(), volume.voxel_size(), orientation, name or volume.url, digest)

    @property
    def centre(self) -> Vector3:
        """Position of the volume's centre (x, y, z) in µm from the centre of voxel 0."""
        return vector3([(n - 1) / 2 * edge for n, edge in zip(self.size, self.voxel_size, strict=True)])

    @property
    def extent(self) -> Vector3:
        """Distance between the outer corners (x, y, z) in µm."""
        return self.grid().extent

    def grid(self, *, centred: bool = False) -> Grid:
        """The voxels of mip 0, in the physical or in the centred frame."""
        grid = Grid(self.size, vector3(self.voxel_size))
        return grid.centred() if centred else grid

    def aligned(self, size: Sequence[int], voxel_size: Sequence[float] | VoxelSize, what: str = "volume") -> Grid:
        """Where the voxels of another volume of the same space lie: by their common lower outer corner.

        Parameters
        ----------
        size, voxel_size : (x, y, z)
            Of labels, or of the same image at another voxel size.
        what : str
            How an error calls it.

        Returns
        -------
        Grid
            In the physical frame.

        Raises
        ------
        InputError
            The extents differ by more than a voxel of the coarser volume.
        """
        grid = self.grid().with_spacing(VoxelSize.of(vector3(voxel_size)), size)
        slack = [max(a, b) * (1 + _TOLERANCE) for a, b in zip(self.voxel_size, grid.spacing, strict=True)]
        differ = [abs(a - b) > s for a, b, s in zip(self.extent, grid.extent, slack, strict=True)]
        if any(differ):
            raise InputError(
                f"the {what} extends over {in_mm(grid.extent)}, "
                f"{self.name or 'its frame'} over {in_mm(self.extent)}",
                why="they are not two views of one space, or a voxel size is wrong",
                fix=f"check the voxel size of the {what}: it has {' × '.join(map(str, grid.size))} voxels",
            )
        return grid

    def holds(self, size: Sequence[int], voxel_size: Sequence[float] | VoxelSize) -> bool:
        """Whether a volume has the extent of this one, as `aligned` wants it."""
        try:
            self.aligned(size, voxel_size)
        except InputError:
            return False
        return True

    def contains(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Which points [n, 3] of the physical frame (µm) lie between the outer corners."""
        index = self.grid().index_of(points)
        upper = np.asarray(self.size) - 0.5
        within = (index >= -0.5 - _TOLERANCE) & (index <= upper + _TOLERANCE)
        return np.asarray(within.all(axis=-1))

    def to_json(self) -> dict[str, Any]:
        """The frame as JSON; the centre is stored too, so that no reader computes one of his own."""
        return {
            "name": self.name,
            "digest": self.digest,
            "size": list(self.size),
            "voxel_size_um": list(self.voxel_size),
            "orientation": self.orientation.code,
            "centre_um": list(self.centre),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Frame:
        """The frame that `to_json` described.

        Raises
        ------
        InputError
            When a key is missing or has an impossible value, or the stored centre is not the volume's.
        """
        try:
            frame = cls(
                vector3i(value["size"]),
                VoxelSize.of([float(edge) for edge in value["voxel_size_um"]]),
                Orientation(str(value["orientation"])),
                str(value["name"]),
                str(value["digest"]),
            )
            centre = vector3(value["centre_um"])
        except KeyError as error:
            raise InputError(f"a frame needs the key {error}; found: {', '.join(map(str, value))}") from error
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{value} does not describe a frame", why=str(error)) from error
        if not np.allclose(centre, frame.centre, rtol=1e-9, atol=1e-6):
            raise InputError(
                f"the stored centre {centre} of {frame.name!r} is not that of its voxels, {frame.centre}",
                why="the file was edited, or written with another convention",
            )
        return frame


def in_mm(lengths: Sequence[float], digits: int = 3) -> str:
    """Lengths in µm as messages say them, such as 13.2 × 8 × 11.4 mm."""
    return " × ".join(f"{length / 1000:.{digits}g}" for length in lengths) + " mm"
