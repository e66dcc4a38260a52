"""Volumes in S3: written, read, refused, on a server on loopback."""

import numpy as np
import pytest
import tensorstore as ts

from cloudreg_io.errors import InputError, NotFoundError, RemoteError
from cloudreg_io.files import Location, store
from cloudreg_io.space import Bounds
from cloudreg_io.volumes import SlabWriter, VolumeSpec, create_volume, open_volume
from support.small_volumes import means, write_volume

ARRAY = np.random.default_rng(0).integers(0, 60000, (9, 20, 33), np.uint16)


@pytest.mark.parametrize(
    ("sharded", "compression"), [(False, "gzip"), (False, "zstd"), (False, "br"), (True, "gzip")]
)
def test_write_and_read(s3, tmp_path, sharded, compression):
    url = f"s3://{s3}/brain 1/CHN00"
    volume = write_volume(
        tmp_path, ARRAY, url=url, chunk=(16, 16, 8), smallest=16, sharded=sharded, compression=compression
    )
    assert open_volume(f"precomputed://{url}") == volume
    for mip, factor in enumerate(volume.spec.mips):
        np.testing.assert_array_equal(volume.read(mip=mip), means(ARRAY, factor))
    keys = list(store.list_keys(Location.parse(url)))
    assert len(keys) == (1 + 3 if sharded else 1 + 12 + 2 + 1)
    head = store.client().head_object(Bucket=s3, Key=f"brain 1/CHN00/{keys[0]}")
    assert head.get("ContentEncoding") == (None if sharded else compression)
    assert not [key for key in keys if ".tmp" in key]


@pytest.mark.parametrize("sharded", [False, True])
def test_a_public_volume_needs_no_credentials(s3, tmp_path, monkeypatch, sharded):
    url = f"s3://{s3}/brain 1/CHN00"
    write_volume(tmp_path, ARRAY, url=url, chunk=(16, 16, 8), mips=1, sharded=sharded)
    for key in store.list_keys(Location.parse(url)):
        store.client().put_object_acl(Bucket=s3, Key=f"brain 1/CHN00/{key}", ACL="public-read")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    volume = open_volume(url)
    np.testing.assert_array_equal(volume.read(), ARRAY)
    with pytest.raises(RemoteError, match="no AWS credentials"):
        store.put(volume.location / "x", b"")


def test_missing_and_damaged_chunks_are_named(s3, tmp_path):
    volume = write_volume(tmp_path, ARRAY, url=f"s3://{s3}/v", chunk=(16, 16, 8), mips=1)
    place = volume.location / "1000_1000_1000/16-32_0-16_8-9"
    data = store.get(place)
    store.put(place, data[:-7], content_encoding="gzip")
    with pytest.raises(InputError, match=r"chunk 16-32_0-16_8-9 of mip 0 .* is damaged"):
        volume.read()
    store.delete(place)
    with pytest.raises(NotFoundError, match=r"chunk 16-32_0-16_8-9 of mip 0 .* is missing"):
        volume.read()
    assert volume.read(Bounds((0, 0, 0), (16, 20, 9))).any()


def test_another_volume_is_not_overwritten(s3):
    spec = VolumeSpec.plan((33, 20, 9), (1, 1, 1), "uint16")
    create_volume(f"s3://{s3}/v", spec)
    create_volume(f"https://{s3}.s3.us-east-1.amazonaws.com/v", spec)
    with pytest.raises(InputError, match="holds another volume"):
        create_volume(f"s3://{s3}/v", VolumeSpec.plan((33, 20, 8), (1, 1, 1), "uint16"))
    with pytest.raises(NotFoundError, match="there is no bucket nowhere"):
        create_volume("s3://nowhere/v", spec)


def test_an_upload_that_fails_ends_the_slab(s3, tmp_path, monkeypatch):
    volume = create_volume(f"s3://{s3}/v", VolumeSpec.plan((33, 20, 9), (1, 1, 1), "uint16", chunk=(8, 8, 4)))
    original = store.put

    def put(location, data, **options):
        if "16-24" in location.name:
            raise RemoteError("S3 failed")
        original(location, data, **options)

    def write():
        with SlabWriter(volume, tmp_path / "s", (0, 4)) as writer:
            writer.write(ARRAY[:4])

    monkeypatch.setattr(store, "put", put)
    with pytest.raises(RemoteError, match="S3 failed"):
        write()
    monkeypatch.setattr(store, "put", original)
    write()
    np.testing.assert_array_equal(volume.read(Bounds((0, 0, 0), (33, 20, 4))), ARRAY[:4])


def test_tensorstore_reads_our_shards_there(s3, s3_endpoint, tmp_path):
    volume = write_volume(tmp_path, ARRAY, url=f"s3://{s3}/v", chunk=(16, 16, 8), mips=1, sharded=True)
    kvstore = {
        "driver": "s3",
        "bucket": s3,
        "path": "v/",
        "endpoint": s3_endpoint,
        "aws_region": "us-east-1",
        "aws_credentials": {"type": "environment"},
    }
    other = ts.open({"driver": "neuroglancer_precomputed", "kvstore": kvstore}).result()
    np.testing.assert_array_equal(other.read().result()[..., 0].T, volume.read())
