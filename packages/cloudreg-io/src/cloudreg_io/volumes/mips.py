"""Mip levels: by which factors a volume is halved so that voxels become, and stay, nearly cubes."""

from __future__ import annotations

from collections.abc import Sequence

from cloudreg_io.errors import InputError
from cloudreg_io.space import Vector3i, VoxelSize, vector3i

_LARGEST_VOXEL_UM = 1000.0  # what VoxelSize takes
_ROUNDING = 1e-9


def scaled_size(size: Sequence[int], factor: Sequence[int]) -> Vector3i:
    """How many blocks of `factor` (x, y, z) cover `size`: the size of a level, or a number of chunks."""
    return vector3i([-(-n // f) for n, f in zip(size, factor, strict=True)])


def mip_factors(
    size: Sequence[int], voxel_size: VoxelSize, *, levels: int | None = None, smallest: int = 128
) -> tuple[Vector3i, ...]:
    """Factors x, y, z of each level from mip 0.

    From one level to the next the shortest edges of the voxel are doubled, as many as leave it nearest to a cube
    (all three, when that is as good). So no level is less isotropic than the one before, and edges end within a
    factor √2 of each other (∛4 when all three differ). An axis that is down to one voxel is left alone.

    Parameters
    ----------
    size : (x, y, z) int
    voxel_size : VoxelSize
    levels : int, optional
        How many levels, mip 0 included.
    smallest : int
        Without `levels`: go on until no axis has more voxels than this.

    Raises
    ------
    InputError
        When there cannot be that many levels.
    """
    if smallest < 1 or (levels is not None and levels < 1):
        raise InputError(f"{levels or smallest} is not a positive number of mips or voxels")
    factors: list[Vector3i] = [(1, 1, 1)]
    while len(factors) < levels if levels is not None else max(scaled_size(size, factors[-1])) > smallest:
        following = _next(size, voxel_size, factors[-1])
        if following is None:
            if levels is None:
                break
            raise InputError(
                f"{levels} mips asked for; a volume of {tuple(size)} voxels of {voxel_size} has {len(factors)}",
                fix=f"at most --mips {len(factors)}",
            )
        factors.append(following)
    return tuple(factors)


def _next(size: Sequence[int], voxel_size: VoxelSize, factor: Vector3i) -> Vector3i | None:
    edges = [v * f for v, f in zip(voxel_size, factor, strict=True)]
    free = [axis for axis in range(3) if -(-size[axis] // factor[axis]) > 1]
    free.sort(key=lambda axis: edges[axis])
    best: tuple[float, list[int]] | None = None
    for count in range(1, len(free) + 1):
        doubled = [edges[axis] * (2 if i < count else 1) for i, axis in enumerate(free)]
        anisotropy = max(doubled) / min(doubled)
        if best is None or anisotropy <= best[0] * (1 + _ROUNDING):
            best = (anisotropy, free[:count])
    if best is None or max(2 * edges[axis] for axis in best[1]) > _LARGEST_VOXEL_UM:
        return None
    return vector3i([f * 2 if axis in best[1] else f for axis, f in enumerate(factor)])
