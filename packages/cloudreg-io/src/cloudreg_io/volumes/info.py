"""The file `info` of a precomputed volume, to and from a `VolumeSpec`. A complaint names file, key and reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from cloudreg_io.errors import CloudRegError, InputError
from cloudreg_io.files.location import Location
from cloudreg_io.space import Vector3i
from cloudreg_io.volumes.spec import COMPRESSIONS, LAYERS, Compression, Scale, Sharding, VolumeSpec

_SHARDED = "neuroglancer_uint64_sharded_v1"
# Of sizes in voxels and of edges in nm. What lies outside is damage, and would overflow.
_LARGEST = 1e15
_SMALLEST_NM = 1e-6
_AGAIN = "copy it again; or is this no precomputed volume?"
_HASHES = ("identity", "murmurhash3_x86_128")
_ENCODINGS = (
    "raw",
    "jpeg",
    "png",
    "jpegxl",
    "compressed_segmentation",
    "compresso",
    "crackle",
    "fpzip",
    "kempressed",
    "zfpc",
)


def to_info(spec: VolumeSpec) -> dict[str, Any]:
    """The content of `info`. How chunks are compressed is kept beside what the format asks for."""
    return {
        "@type": "neuroglancer_multiscale_volume",
        "type": spec.layer,
        "data_type": spec.dtype,
        "num_channels": spec.channels,
        "cloudreg": {"compression": spec.compression},
        "scales": [_scale_info(scale) for scale in spec.scales],
    }


def _scale_info(scale: Scale) -> dict[str, Any]:
    info: dict[str, Any] = {
        "key": scale.key,
        "size": list(scale.size),
        "resolution": [int(r) if float(r).is_integer() else r for r in scale.resolution],
        "voxel_offset": list(scale.offset),
        "chunk_sizes": [list(scale.chunk)],
        "encoding": scale.encoding,
    }
    if scale.sharding is not None:
        sharding = scale.sharding
        info["sharding"] = {
            "@type": _SHARDED,
            "hash": sharding.hash,
            "preshift_bits": sharding.preshift_bits,
            "minishard_bits": sharding.minishard_bits,
            "shard_bits": sharding.shard_bits,
            "minishard_index_encoding": sharding.minishard_index_encoding,
            "data_encoding": sharding.data_encoding,
        }
    return info


def parse_info(data: bytes, name: str) -> VolumeSpec:
    """Read the content of `info`.

    Parameters
    ----------
    data : bytes
    name : str
        The file, for messages.

    Raises
    ------
    InputError
        When it is not JSON, a key is missing or has an impossible value; names the file, the key and the reason.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: not JSON", why=str(error), fix=_AGAIN) from error
    return _Reader(name, "", document).volume()


class _Reader:
    """A JSON object inside the file, and the path of keys that leads to it."""

    def __init__(self, name: str, place: str, value: Any) -> None:
        self.name = name
        self.place = place
        if not isinstance(value, Mapping):
            self._refuse("", f"a JSON object is wanted here, not {value!r:.60}")
        self.value: Mapping[str, Any] = value

    def volume(self) -> VolumeSpec:
        if self.value.get("@type", "neuroglancer_multiscale_volume") != "neuroglancer_multiscale_volume":
            self._refuse("@type", f"{self.value['@type']!r} is not a volume")
        scales = self._get("scales")
        if not isinstance(scales, list) or not scales:
            self._refuse("scales", "a list of at least one level is wanted")
        levels = tuple(_Reader(self.name, f"scales[{i}].", scale).scale() for i, scale in enumerate(scales))
        keys = [level.key for level in levels]
        if len(set(keys)) < len(keys):
            self._refuse("scales", f"two levels share a key: {', '.join(keys)}")
        try:
            return VolumeSpec(
                levels,
                dtype=self._text("data_type").lower(),
                layer=self._one_of("type", LAYERS),
                compression=self._compression(),
                channels=self._whole("num_channels", least=1),
            )
        except CloudRegError as error:
            if error.what.startswith(self.name):
                raise
            raise InputError(f"{self.name}: {error.what}", why=error.why, fix=error.fix) from error

    def scale(self) -> Scale:
        size = self._three("size", least=1)
        chunks = self._get("chunk_sizes")
        if not isinstance(chunks, list) or not chunks:
            self._refuse("chunk_sizes", "a list of at least one chunk size is wanted")
        chunk = _Reader(self.name, self.place, {"chunk_sizes[0]": chunks[0]})._three("chunk_sizes[0]", least=1)
        offset = self._three("voxel_offset") if "voxel_offset" in self.value else (0, 0, 0)
        sharding = self.value.get("sharding")
        return Scale(
            key=self._key(),
            size=size,
            resolution=self._resolution(),
            chunk=chunk,
            offset=offset,
            encoding=self._one_of("encoding", _ENCODINGS),
            sharding=None
            if sharding is None
            else _Reader(self.name, f"{self.place}sharding.", sharding).sharding(),
        )

    def sharding(self) -> Sharding:
        self._one_of("@type", (_SHARDED,))
        bits = [self._whole(f"{part}_bits") for part in ("preshift", "minishard", "shard")]
        if bits[0] > 63 or bits[1] + bits[2] > 64:
            self._refuse("shard_bits", f"the bits {bits} do not fit 64")
        encodings = [
            self._one_of(key, ("raw", "gzip")) if key in self.value else "raw"
            for key in ("minishard_index_encoding", "data_encoding")
        ]
        return Sharding(bits[0], bits[1], bits[2], self._one_of("hash", _HASHES), encodings[0], encodings[1])

    def _compression(self) -> Compression:
        ours = self.value.get("cloudreg")
        if ours is None:
            return "gzip"
        name: Compression = _Reader(self.name, "cloudreg.", ours)._one_of("compression", COMPRESSIONS)
        return name

    def _key(self) -> str:
        key = self._text("key")
        try:
            _ = Location("s3", "bucket", "volume") / key
        except InputError as error:
            self._refuse("key", error.what)
        return key

    def _resolution(self) -> tuple[float, float, float]:
        values = self._get("resolution")
        if (
            not isinstance(values, list)
            or len(values) != 3
            or not all(_is_number(v) and _SMALLEST_NM <= v <= _LARGEST for v in values)
        ):
            self._refuse("resolution", f"three positive numbers of nm are wanted, not {values!r:.60}")
        return (float(values[0]), float(values[1]), float(values[2]))

    def _three(self, key: str, least: int | None = None) -> Vector3i:
        values = self._get(key)
        if (
            not isinstance(values, list)
            or len(values) != 3
            or not all(_is_whole(v) and (least is None or v >= least) for v in values)
        ):
            wanted = "three whole numbers" if least is None else f"three whole numbers of at least {least}"
            self._refuse(key, f"{wanted} are wanted, not {values!r:.60}")
        return (int(values[0]), int(values[1]), int(values[2]))

    def _whole(self, key: str, least: int = 0) -> int:
        value = self._get(key)
        if not _is_whole(value) or value < least:
            self._refuse(key, f"a whole number of at least {least} is wanted, not {value!r:.60}")
        return int(value)

    def _text(self, key: str) -> str:
        value = self._get(key)
        if not isinstance(value, str) or not value:
            self._refuse(key, f"a text is wanted, not {value!r:.60}")
        return value

    def _one_of(self, key: str, known: tuple[str, ...]) -> Any:
        value = self._get(key)
        if value not in known:
            self._refuse(key, f"{value!r:.60} is not one of {', '.join(known)}")
        return value

    def _get(self, key: str) -> Any:
        if key not in self.value:
            self._refuse(key, "the key is missing")
        return self.value[key]

    def _refuse(self, key: str, reason: str) -> NoReturn:
        place = f"{self.place}{key}".rstrip(".") or "top"
        raise InputError(f"{self.name}: {place}: {reason}", why="the description is damaged", fix=_AGAIN)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    # the bound comes first: no float holds every integer that JSON can write
    return _is_number(value) and abs(value) <= _LARGEST and value == int(value)


def differences(old: VolumeSpec, new: VolumeSpec) -> list[str]:
    """What differs between two specs, key by key: "scales[0].size: [1, 2, 3] there, [4, 5, 6] wanted"."""
    there, wanted = _flat(to_info(old)), _flat(to_info(new))
    return [
        f"{key}: {_shown(there, key)} there, {_shown(wanted, key)} wanted"
        for key in sorted(there.keys() | wanted.keys())
        if there.get(key) != wanted.get(key)
    ]


def _shown(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else "absent"


def _flat(value: Any, place: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        items = [(f"{place}.{key}".lstrip("."), part) for key, part in value.items()]
    elif isinstance(value, list) and value and isinstance(value[0], dict | list):
        items = [(f"{place}[{i}]", part) for i, part in enumerate(value)]
    else:
        return {place: value}
    return {key: leaf for name, part in items for key, leaf in _flat(part, name).items()}
