"""Vectors x, y, z as plain tuples: of floats, or of whole voxels."""

from __future__ import annotations

from collections.abc import Iterable

Vector3 = tuple[float, float, float]
Vector3i = tuple[int, int, int]


def vector3(values: Iterable[float]) -> Vector3:
    """Three floats x, y, z as a tuple."""
    x, y, z = (float(value) for value in values)
    return (x, y, z)


def vector3i(values: Iterable[int]) -> Vector3i:
    """Three integers x, y, z as a tuple."""
    x, y, z = (int(value) for value in values)
    return (x, y, z)
