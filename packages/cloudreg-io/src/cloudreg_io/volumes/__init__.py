"""Precomputed volumes: planned, written slab by slab with their pyramid, read box by box."""

from cloudreg_io.volumes.spec import Scale, VolumeSpec
from cloudreg_io.volumes.volume import Volume, create_volume, open_volume

__all__ = ["Scale", "Volume", "VolumeSpec", "create_volume", "open_volume"]
