"""Files and stores: where things live, how they are written whole, the image formats of the field."""

from cloudreg_io.files.atomic import atomic_path, write_bytes, write_json
from cloudreg_io.files.location import Location

__all__ = ["Location", "atomic_path", "write_bytes", "write_json"]
