"""Precomputed volumes: planned, written slab by slab with their pyramid, read box by box."""

from cloudreg_io.volumes.build import finish_volume
from cloudreg_io.volumes.cascade import strip_alignment
from cloudreg_io.volumes.mips import mip_factors
from cloudreg_io.volumes.slabs import SlabWriter
from cloudreg_io.volumes.spec import Scale, VolumeSpec
from cloudreg_io.volumes.volume import Volume, create_volume, open_volume

__all__ = [
    "Scale",
    "SlabWriter",
    "Volume",
    "VolumeSpec",
    "create_volume",
    "finish_volume",
    "mip_factors",
    "open_volume",
    "strip_alignment",
]
