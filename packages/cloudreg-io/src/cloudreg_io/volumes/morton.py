"""Compressed Morton code: the number of a chunk in a sharded volume.

The bits of x, y and z are interleaved, x lowest; an axis whose chunks are all numbered drops out, so no bit is
wasted on an axis of few chunks.
Format: https://github.com/google/neuroglancer/blob/master/src/datasource/precomputed/volume.md
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def morton_codes(positions: NDArray[Any], chunks: Sequence[int]) -> NDArray[np.uint64]:
    """Codes of chunk positions.

    Parameters
    ----------
    positions : [..., 3] int
        x, y, z of each chunk, counted in chunks.
    chunks : (x, y, z) int
        Number of chunks along each axis.

    Returns
    -------
    array [...] of uint64
    """
    positions = np.asarray(positions, dtype=np.uint64)
    codes = np.zeros(positions.shape[:-1], np.uint64)
    one = np.uint64(1)
    for bit, (axis, level) in enumerate(_bits(chunks)):
        codes |= ((positions[..., axis] >> np.uint64(level)) & one) << np.uint64(bit)
    return codes


def _bits(chunks: Sequence[int]) -> list[tuple[int, int]]:
    """Which bit of which axis each bit of the code is, lowest first."""
    lengths = [(int(n) - 1).bit_length() for n in chunks]
    return [(axis, level) for level in range(max(lengths)) for axis in range(3) if level < lengths[axis]]
