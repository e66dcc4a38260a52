"""Volumes written by cloud-volume, by tensorstore and by CloudReg, and the viewer as a user starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest


def _cloud_volume(path, array, voxel_um, *, layer="image", compress="gzip", chunk=(64, 64, 32), mips=1):
    from cloudvolume import CloudVolume

    nm = [edge * 1000 for edge in voxel_um]
    info = CloudVolume.create_new_info(
        num_channels=1,
        layer_type=layer,
        data_type=array.dtype.name,
        encoding="raw",
        resolution=nm,
        voxel_offset=(0, 0, 0),
        volume_size=array.shape[::-1],
        chunk_size=chunk,
    )
    volume = CloudVolume(f"file://{path}", info=info, compress=compress, progress=False)
    for mip in range(1, mips):
        volume.add_scale((2**mip,) * 3, chunk_size=chunk)
    volume.commit_info()
    for mip in range(mips):
        volume.mip = mip
        step = 2**mip
        volume[:] = np.ascontiguousarray(array[::step, ::step, ::step]).T[..., None]


def _tensorstore_sharded(path, array, voxel_um, *, chunk=(64, 64, 32)):
    import tensorstore

    store = tensorstore.open(
        {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": f"{path}/"},
            "multiscale_metadata": {"type": "image", "data_type": array.dtype.name, "num_channels": 1},
            "scale_metadata": {
                "key": "s0",
                "size": array.shape[::-1],
                "resolution": [edge * 1000 for edge in voxel_um],
                "chunk_size": chunk,
                "encoding": "raw",
                "sharding": {
                    "@type": "neuroglancer_uint64_sharded_v1",
                    "preshift_bits": 1,
                    "minishard_bits": 1,
                    "shard_bits": 1,
                    "hash": "identity",
                    "minishard_index_encoding": "gzip",
                    "data_encoding": "gzip",
                },
            },
            "create": True,
        }
    ).result()
    store[...] = array.T[..., None]


def _cloudreg(path, array, voxel_um, *, chunk=(64, 64, 32), compress="gzip", sharded=False):
    """As `cloudreg stitch` writes it."""
    from cloudreg_io.run import open_run
    from cloudreg_io.volumes import VolumeSpec, create_volume
    from cloudreg_io.volumes.build import finish_volume
    from cloudreg_io.volumes.slabs import SlabWriter

    spec = VolumeSpec.plan(
        array.shape[::-1],
        voxel_um,
        array.dtype,
        chunk=chunk,
        smallest=16,
        compression=compress,
        sharded=sharded,
    )
    volume = create_volume(path, spec)
    with open_run(path.parent, command="write") as run:
        scratch = run.scratch / path.name
        for low, high in volume.slabs():
            with SlabWriter(volume, scratch, (low, high)) as slab:
                slab.write(array[low:high])
        finish_volume(run, volume, scratch, channel=path.name)


_WRITERS = {"cloud-volume": _cloud_volume, "tensorstore, sharded": _tensorstore_sharded, "cloudreg": _cloudreg}


@pytest.fixture(scope="session")
def write_volume():
    """write_volume(path, array [z, y, x], voxel size µm, by="cloud-volume", chunk=, and options of the writer)."""

    def write(path, array, voxel_um, *, by="cloud-volume", **options):
        _WRITERS[by](path, array, voxel_um, **options)
        return path

    return write


@pytest.fixture(scope="session")
def viz_serve():
    """Context manager that runs `viz serve` in a process; gives the link and the process, then ends it."""

    @contextmanager
    def run(out, *options):
        command = [sys.executable, "-m", "cloudreg_viz", "serve", str(out), "--no-open", *options]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=os.environ) as process:
            try:
                line = process.stdout.readline().strip()
                if not line:
                    pytest.fail(f"no link: {process.stderr.read()}")
                yield line, process
            finally:
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=20) == 0

    return run


@pytest.fixture(scope="session")
def ramp():
    """A small image [z, y, x] whose values say where they are."""
    z, y, x = np.indices((20, 30, 40))
    return (10000 + 900 * z + 40 * y + x).astype(np.uint16)
