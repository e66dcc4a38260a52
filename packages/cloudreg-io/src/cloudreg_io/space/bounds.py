"""Bounds: a half-open box of voxels, ordered x, y, z."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from cloudreg_io.errors import InputError
from cloudreg_io.space.vector import Vector3i, vector3i


@dataclass(frozen=True, slots=True)
class Bounds:
    """The voxels v with lower <= v < upper on each axis (x, y, z). An empty box is allowed."""

    lower: Vector3i
    upper: Vector3i

    def __post_init__(self) -> None:
        object.__setattr__(self, "lower", vector3i(self.lower))
        object.__setattr__(self, "upper", vector3i(self.upper))
        if any(u < low for low, u in zip(self.lower, self.upper, strict=True)):
            raise InputError(
                f"bounds {self} end before they begin", fix="first the lower corner x, y, z, then the upper"
            )

    def __str__(self) -> str:
        return f"{self.lower}..{self.upper}"

    @classmethod
    def of_size(cls, size: Sequence[int], lower: Sequence[int] = (0, 0, 0)) -> Bounds:
        """The box of `size` (x, y, z) that begins at `lower`."""
        start = vector3i(lower)
        x, y, z = (low + int(n) for low, n in zip(start, size, strict=True))
        return cls(start, (x, y, z))

    @property
    def size(self) -> Vector3i:
        """Extent x, y, z in voxels."""
        return vector3i([u - low for low, u in zip(self.lower, self.upper, strict=True)])

    @property
    def shape(self) -> Vector3i:
        """Shape of the array [z, y, x] that holds the box."""
        x, y, z = self.size
        return (z, y, x)

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        x, y, z = self.size
        return x * y * z

    @property
    def is_empty(self) -> bool:
        """Whether the box holds no voxel."""
        return self.voxels == 0

    def intersection(self, other: Bounds) -> Bounds:
        """The common box; empty (of size 0 on some axis) when there is none."""
        lower = [max(a, b) for a, b in zip(self.lower, other.lower, strict=True)]
        upper = [min(a, b) for a, b in zip(self.upper, other.upper, strict=True)]
        return Bounds(vector3i(lower), vector3i([max(u, low) for low, u in zip(lower, upper, strict=True)]))

    def union(self, other: Bounds) -> Bounds:
        """The smallest box that holds both."""
        lower = [min(a, b) for a, b in zip(self.lower, other.lower, strict=True)]
        upper = [max(a, b) for a, b in zip(self.upper, other.upper, strict=True)]
        return Bounds(vector3i(lower), vector3i(upper))

    def contains(self, other: Bounds) -> bool:
        """Whether every voxel of `other` lies in this box."""
        return other.is_empty or self.intersection(other) == other

    def translate(self, offset: Sequence[int]) -> Bounds:
        """The box moved by `offset` (x, y, z)."""
        move = vector3i(offset)
        return Bounds(
            vector3i([low + m for low, m in zip(self.lower, move, strict=True)]),
            vector3i([u + m for u, m in zip(self.upper, move, strict=True)]),
        )

    def slices(self, origin: Sequence[int] = (0, 0, 0)) -> tuple[slice, slice, slice]:
        """Slices [z, y, x] of this box in an array whose voxel 0 lies at `origin` (x, y, z)."""
        x, y, z = (
            slice(low - o, u - o) for low, u, o in zip(self.lower, self.upper, vector3i(origin), strict=True)
        )
        return (z, y, x)

    def chunks(self, chunk: Sequence[int]) -> Iterator[Bounds]:
        """The boxes of a chunk grid at 0 that meet this box, clipped to it; x fastest."""
        size = vector3i(chunk)
        ranges = [
            range(low // c * c, u, c) if u > low else range(0)
            for low, u, c in zip(self.lower, self.upper, size, strict=True)
        ]
        for z, y, x in product(*reversed(ranges)):
            yield Bounds.of_size(size, (x, y, z)).intersection(self)
