"""Plans of volumes, and `info` to and from them."""

import json

import pytest
from cloudvolume import CloudVolume
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudreg_io.errors import InputError
from cloudreg_io.space import VoxelSize
from cloudreg_io.volumes.info import differences, parse_info, to_info
from cloudreg_io.volumes.spec import DTYPES, Scale, Sharding, VolumeSpec

SPEC = VolumeSpec.plan((1000, 900, 300), (1.46, 1.46, 5), "uint16")


def test_a_plan():
    assert SPEC.mips == ((1, 1, 1), (2, 2, 1), (4, 4, 1), (8, 8, 2), (16, 16, 4))
    assert [s.size for s in SPEC.scales] == [
        (1000, 900, 300),
        (500, 450, 300),
        (250, 225, 300),
        (125, 113, 150),
        (63, 57, 75),
    ]
    assert [s.key for s in SPEC.scales][::4] == ["1460_1460_5000", "23360_23360_20000"]
    assert SPEC.scales[3].voxel_size == VoxelSize(11.68, 11.68, 10)
    assert (SPEC.chunk, SPEC.layer, SPEC.compression, SPEC.sharded) == ((128, 128, 32), "image", "gzip", False)
    assert VolumeSpec.plan((1000, 900, 300), (1.46, 1.46, 5), "uint16", mips=2).mips == SPEC.mips[:2]
    given_factors = VolumeSpec.plan((100, 90, 30), (1, 1, 1), "uint8", mips=[(1, 1, 1), (3, 3, 1)])
    assert given_factors.scales[1].size == (34, 30, 30)


def test_many_chunks_are_sharded():
    big = VolumeSpec.plan((25000, 18000, 1500), (1.46, 1.46, 5), "uint16")
    assert big.sharded
    assert all(s.sharding.preshift_bits + s.sharding.minishard_bits <= 9 for s in big.scales)
    assert not VolumeSpec.plan((25000, 18000, 1500), (1.46, 1.46, 5), "uint16", compression="zstd").sharded
    assert not VolumeSpec.plan((25000, 18000, 1500), (1.46, 1.46, 5), "uint16", sharded=False).sharded


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dtype": "float64"}, "float64 has no place"),
        ({"dtype": "bool"}, "bool has no place"),
        ({"dtype": "int64"}, "int64 has no place"),
        ({"dtype": "uint64"}, "uint64 cannot be averaged"),
        ({"dtype": "float32", "layer": "segmentation"}, "labels are integers"),
        ({"layer": "labels"}, "not 'labels'"),
        ({"size": (0, 5, 5)}, "holds nothing"),
        ({"chunk": (8, 0, 8)}, "holds nothing"),
        ({"compression": "lzma"}, "unknown compression"),
        ({"compression": "zstd", "sharded": True}, "shards hold gzip"),
        ({"voxel_size": (1, 0, 1)}, "not a positive number"),
        ({"voxel_size": (1460, 1460, 5000)}, "did you mean"),
        ({"mips": 40}, "40 mips asked for"),
        ({"mips": [(1, 1, 1), (2, 2, 1), (3, 2, 1)]}, "not a multiple"),
        ({"mips": [(2, 2, 1)]}, "begin with"),
        ({"mips": [(1, 1, 1), (1, 1, 1)]}, "differ"),
        ({"mips": []}, "begin with"),
    ],
)
def test_plans_that_are_refused(change, reason):
    with pytest.raises(InputError, match=reason):
        VolumeSpec.plan(**{"size": (50, 50, 50), "voxel_size": (1, 1, 1), "dtype": "uint8"} | change)


def layer_of(dtype, labels):
    return "segmentation" if dtype == "uint64" or (labels and dtype != "float32") else "image"


specs = st.builds(
    lambda size, voxel, chunk, dtype, labels, smallest, sharded: VolumeSpec.plan(
        size, voxel, dtype, layer=layer_of(dtype, labels),
        chunk=chunk, smallest=smallest, sharded=sharded,
    ),
    st.tuples(*[st.integers(1, 5000)] * 3),
    st.tuples(*[st.floats(0.05, 30)] * 3),
    st.tuples(*[st.integers(1, 200)] * 3),
    st.sampled_from(DTYPES),
    st.booleans(),
    st.integers(8, 200),
    st.booleans(),
)  # fmt: skip


@given(specs)
@settings(deadline=None)
def test_info_reads_back(spec):
    assert parse_info(json.dumps(to_info(spec)).encode(), "info") == spec
    assert differences(spec, spec) == []
    assert len({s.key for s in spec.scales}) == len(spec.scales)


@given(specs)
@settings(max_examples=25, deadline=None)
def test_cloud_volume_accepts_every_info(spec):
    volume = CloudVolume("precomputed://mem://bucket/volume", info=to_info(spec), provenance={})
    assert volume.dtype == spec.dtype
    for mip, scale in enumerate(spec.scales):
        assert tuple(volume.mip_volume_size(mip)) == scale.size
        assert tuple(volume.mip_chunk_size(mip)) == scale.chunk
        assert tuple(volume.mip_resolution(mip)) == pytest.approx(scale.resolution)


def test_an_info_from_elsewhere():
    info = {
        "data_type": "UINT8", "num_channels": 2, "type": "image", "mesh": "mesh", "scales": [
            {"key": "8_8_33", "size": [10, 20, 30], "resolution": [8, 8, 33.5], "voxel_offset": [5, -6, 7],
             "chunk_sizes": [[64, 64, 64], [32, 32, 32]], "encoding": "jpeg", "jpeg_quality": 80,
             "sharding": {"@type": "neuroglancer_uint64_sharded_v1", "hash": "murmurhash3_x86_128",
                          "preshift_bits": 1, "minishard_bits": 2, "shard_bits": 3}}],
    }  # fmt: skip
    sharding = Sharding(1, 2, 3, "murmurhash3_x86_128", "raw", "raw")
    scale = Scale("8_8_33", (10, 20, 30), (8, 8, 33.5), (64, 64, 64), (5, -6, 7), "jpeg", sharding)
    assert parse_info(json.dumps(info).encode(), "x") == VolumeSpec((scale,), "uint8", channels=2)


def damaged(path, value):
    info = to_info(VolumeSpec.plan((10, 10, 10), (1, 1, 1), "uint8", smallest=5, sharded=True))
    place = info
    for key in path[:-1]:
        place = place[key]
    if value is KeyError:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(info).encode()


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        (["scales"], KeyError, "scales: the key is missing"),
        (["scales"], [], "scales: a list"),
        (["scales"], {}, "scales: a list"),
        (["scales", 1], 7, r"scales\[1\]: a JSON object"),
        (["data_type"], KeyError, "data_type: the key is missing"),
        (["data_type"], 5, "data_type: a text"),
        (["data_type"], "float64", "float64 has no place"),
        (["type"], "mesh", "type: 'mesh' is not one of"),
        (["@type"], "neuroglancer_skeletons", "@type: 'neuroglancer_skeletons'"),
        (["num_channels"], 0, "num_channels: a whole number"),
        (["cloudreg"], {"compression": "lzw"}, r"cloudreg\.compression: 'lzw'"),
        (["scales", 0, "size"], [1, 2], r"scales\[0\]\.size: three whole numbers"),
        (["scales", 0, "size"], [1, 2, 0], r"scales\[0\]\.size: three whole numbers"),
        (["scales", 0, "size"], [1, 2, 2.5], r"scales\[0\]\.size"),
        (["scales", 0, "size"], [1, True, 2], r"scales\[0\]\.size"),
        (["scales", 0, "resolution"], [1, 2, float("nan")], r"scales\[0\]\.resolution: three positive"),
        (["scales", 0, "resolution"], [1, 2, -1], r"scales\[0\]\.resolution: three positive"),
        (["scales", 0, "voxel_offset"], "000", r"scales\[0\]\.voxel_offset"),
        (["scales", 0, "chunk_sizes"], [], r"scales\[0\]\.chunk_sizes: a list"),
        (["scales", 0, "chunk_sizes"], [[0, 1, 1]], r"scales\[0\]\.chunk_sizes\[0\]: three"),
        (["scales", 0, "encoding"], "gif", r"scales\[0\]\.encoding: 'gif' is not one of raw"),
        (["scales", 0, "encoding"], KeyError, r"scales\[0\]\.encoding: the key is missing"),
        (["scales", 1, "key"], "1000_1000_1000", "share a key"),
        (["scales", 1, "key"], "../other", r"scales\[1\]\.key: unsafe object name"),
        (["scales", 1, "key"], "/etc", r"scales\[1\]\.key: unsafe object name"),
        (["scales", 1, "sharding", "@type"], "x", r"scales\[1\]\.sharding\.@type"),
        (["scales", 1, "sharding", "shard_bits"], 70, r"scales\[1\]\.sharding\.shard_bits: the bits"),
        (["scales", 1, "sharding", "hash"], "md5", r"scales\[1\]\.sharding\.hash: 'md5'"),
    ],
)
def test_damaged_info_is_named(path, value, key):
    with pytest.raises(InputError, match=f"^/data/info: .*{key}"):
        parse_info(damaged(path, value), "/data/info")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"<html>", b"[" * 100000, b"[]", b"null"])
def test_no_json_is_named(data):
    with pytest.raises(InputError, match=r"^/data/info: "):
        parse_info(data, "/data/info")


def test_differences_are_told_key_by_key():
    other = VolumeSpec.plan((1000, 901, 300), (1.46, 1.46, 5), "uint8", compression="zstd", mips=1)
    told = differences(SPEC, other)
    assert 'cloudreg.compression: "gzip" there, "zstd" wanted' in told
    assert 'data_type: "uint16" there, "uint8" wanted' in told
    assert "scales[0].size: [1000, 900, 300] there, [1000, 901, 300] wanted" in told
    assert "scales[4].size: [63, 57, 75] there, absent wanted" in told
