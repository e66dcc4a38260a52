"""The fingerprint of an acquisition, by which two runs know that they see the same input."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict

from cloudreg_io.tiles.acquisition import Acquisition


def fingerprint(acquisition: Acquisition, channels: Sequence[str | int]) -> str:
    """SHA-256 over the metadata and over name, size and modification time of every plane, as first looked at.

    Contents are not read. It does not depend on where the acquisition lies, so a copy that keeps the times has the
    same fingerprint.

    Parameters
    ----------
    acquisition : Acquisition
    channels : sequence of str or int
        Whose planes are taken.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    names = [acquisition.channel(channel) for channel in channels]
    metadata = [acquisition.reader, asdict(acquisition.grid), acquisition.dtype, names]
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in names:
        stamps = acquisition.stamps(name)
        for tile, planes in sorted(acquisition.files[name].items()):
            for z, (path, (size, modified)) in enumerate(zip(planes, stamps[tile].tolist(), strict=True)):
                if path is not None:
                    line = json.dumps([name, tile, z, path.name, size, modified])
                    digest.update(line.encode())
    return digest.hexdigest()
