"""Fingerprints of arrays, volumes and transforms: short digests by which a stage knows another input."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.run import digest
from cloudreg_io.volumes import Volume
from cloudreg_io.volumes.info import to_info
from cloudreg_register.transforms.transform import Transform


def identity_of(transform: Transform) -> str:
    """Fingerprint of a transform: equal for equal maps between equal volumes."""
    return digest(
        {
            "affine": transform.affine.matrix.tolist(),
            "velocity": digest_of_array(transform.velocity),
            "grid": transform.velocity_grid.to_json(),
            "atlas": transform.atlas.to_json(),
            "target": transform.target.to_json(),
        }
    )


def place_of(volume: Volume, out: Path | None) -> str:
    """The address of a volume; of one in OUT its place there, since the folder may be moved."""
    location = volume.location
    if out is None or not location.is_file or not location.path.is_relative_to(out.absolute()):
        return volume.url
    return str(location.path.relative_to(out.absolute()))


def digest_of_volume(volume: Volume, out: Path | None = None, **which: int) -> str:
    """Fingerprint of a precomputed volume by its place and its info; `which` says what of it is meant."""
    return digest({"url": place_of(volume, out), "info": to_info(volume.spec), **which})


def digest_of_array(array: NDArray[Any]) -> str:
    """Fingerprint of an array's type, shape and values."""
    whole = np.ascontiguousarray(array)
    state = hashlib.sha256(f"{whole.dtype.str}{whole.shape}".encode())
    state.update(whole.data)
    return state.hexdigest()[:16]
