"""The end of writing a volume: coarser mips from sums, shards from their pieces, scratch removed.

Mip 0 is never read again. Every stage is resumable; its units are slabs of the mips that share a z factor.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cloudreg_io.files.atomic import remove_temporaries
from cloudreg_io.run.digest import digest
from cloudreg_io.run.units import Unit
from cloudreg_io.volumes.cascade import Cascade, mip_groups, require_writable
from cloudreg_io.volumes.info import to_info
from cloudreg_io.volumes.shards import ShardTask, assemble_shard, shard_name, shard_sizes
from cloudreg_io.volumes.spec import VolumeSpec
from cloudreg_io.volumes.sums import SumsReader, sums_folder
from cloudreg_io.volumes.volume import Volume

_ROWS_OF_SUMS = 4  # as read, put together, pooled, and divided


class Stages(Protocol):
    """The part of `cloudreg_io.run.Run` that is needed here."""

    def stage(
        self, name: str, function: Any, units: Any, *, channel: str = "", options: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Perform units."""
        ...


@dataclass(frozen=True, slots=True)
class SlabTask:
    """A slab of a group of mips, to be made from sums.

    Attributes
    ----------
    volume : Volume
    scratch : Path
    group : tuple of int
        The mips; the sums are of the first.
    z : (int, int)
        In voxels of the first.
    """

    volume: Volume
    scratch: Path
    group: tuple[int, ...]
    z: tuple[int, int]


def finish_volume(
    run: Stages,
    volume: Volume,
    scratch: Path,
    *,
    channel: str,
    options: Mapping[str, Any] | None = None,
) -> dict[str, int]:
    """Finish a volume whose slabs have all been written by `SlabWriter`.

    Parameters
    ----------
    run : Run
    volume : Volume
    scratch : Path
        The folder that all its `SlabWriter` were given; removed at the end.
    channel : str
        For the journal.
    options : mapping, optional
        What determined mip 0 (JSON values, digests): when it changes, these stages are done again too.

    Returns
    -------
    dict
        {"bytes", "chunks"} of what was written here.
    """
    require_writable(volume.spec)
    keyed = {"volume": digest(to_info(volume.spec)), **(options or {})}
    results: list[dict[str, int]] = []
    for group in mip_groups(volume.spec)[1:]:
        units = [Unit(f"z{z[0]}-{z[1]}", SlabTask(volume, scratch, group, z)) for z in volume.slabs(group[0])]
        done = run.stage(f"mip {group[0]}", build_slab, units, channel=channel, options=keyed)
        results.extend(done.values())
        shutil.rmtree(sums_folder(scratch, group[0]), ignore_errors=True)
    if volume.spec.sharded:
        done = run.stage("shards", assemble_shard, _shard_units(volume, scratch), channel=channel, options=keyed)
        results = list(done.values())
    if volume.location.is_file:
        for scale in volume.spec.scales:
            remove_temporaries(volume.location.path / scale.key)
    shutil.rmtree(scratch, ignore_errors=True)
    return {name: sum(result[name] for result in results) for name in ("bytes", "chunks")}


def build_bytes(spec: VolumeSpec) -> int:
    """Memory of a worker that builds the coarser mips: rows of sums of 8 bytes at most, in the making."""
    groups = mip_groups(spec)[1:]
    rows = [spec.scales[group[0]].size[0] * math.prod(spec.scales[group[0]].chunk[1:]) for group in groups]
    return _ROWS_OF_SUMS * 8 * max(rows, default=0)


def build_slab(task: SlabTask) -> dict[str, int]:
    """Write the chunks of a slab of some mips from their sums, and the sums of the mip after them."""
    mip = task.group[0]
    width, height, _ = task.volume.size(mip)
    reader = SumsReader(task.scratch, mip, task.z, width)
    with Cascade(task.volume, task.scratch, task.group, task.z, (0, width)) as cascade:
        for band in reader.bands(task.volume.scale(mip).chunk[1], height):
            cascade.write(band)
    return {"bytes": cascade.bytes, "chunks": cascade.chunks}


def _shard_units(volume: Volume, scratch: Path) -> list[Unit]:
    return [
        Unit(f"{scale.key}/{shard_name(scale.sharding, shard)}", ShardTask(volume, scratch, mip, shard, chunks))
        for mip, scale in enumerate(volume.spec.scales)
        if scale.sharding is not None
        for shard, chunks in shard_sizes(scale).items()
    ]
