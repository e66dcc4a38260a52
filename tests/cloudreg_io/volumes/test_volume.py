"""Volumes made, opened and read; nothing missing or damaged is ever read as zeros."""

import logging
import pickle

import numpy as np
import pytest
from cloudvolume import CloudVolume

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.space import Bounds, VoxelSize
from cloudreg_io.space.grid import Grid
from cloudreg_io.volumes import SlabWriter, VolumeSpec, create_volume, open_volume
from cloudreg_io.volumes.volume import chunk_name
from support.small_volumes import write_volume


@pytest.fixture
def array():
    return np.random.default_rng(5).integers(1, 60000, (20, 50, 70), np.uint16)


@pytest.fixture
def volume(tmp_path, array):
    return write_volume(tmp_path, array, (1, 1, 4), chunk=(32, 32, 8), smallest=16)


def test_make_and_open(tmp_path):
    spec = VolumeSpec.plan((70, 50, 20), (1, 1, 4), "uint16")
    volume = create_volume(tmp_path / "a b" / "ü", spec)
    before = (tmp_path / "a b" / "ü" / "info").read_bytes()
    assert open_volume(volume.url) == volume == create_volume(volume.url, spec)
    assert (tmp_path / "a b" / "ü" / "info").read_bytes() == before
    assert pickle.loads(pickle.dumps(volume)) == volume
    assert len(pickle.dumps(volume)) < 4000
    with pytest.raises(InputError, match=r"holds another volume: data_type(.|\n)*--overwrite"):
        create_volume(volume.url, VolumeSpec.plan((70, 50, 20), (1, 1, 4), "uint8"))
    assert (tmp_path / "a b" / "ü" / "info").read_bytes() == before
    with pytest.raises(NotFoundError, match="has no info"):
        open_volume(tmp_path)


def test_read_any_box(volume, array):
    np.testing.assert_array_equal(volume.read(), array)
    rng = np.random.default_rng(0)
    for _ in range(20):
        low, up = np.sort(rng.integers(0, np.array([70, 50, 20]) + 1, (2, 3)), axis=0)
        box = Bounds(tuple(low), tuple(up))
        got = volume.read(box)
        assert got.shape == box.shape
        assert got.flags.c_contiguous
        assert got.dtype == np.uint16
        np.testing.assert_array_equal(got, array[box.slices()])
    np.testing.assert_array_equal(volume.read(Bounds((69, 49, 19), (70, 50, 20))), array[-1:, -1:, -1:])


def test_reading_outside_is_refused(volume):
    for box in (Bounds((0, 0, 0), (71, 1, 1)), Bounds((-1, 0, 0), (1, 1, 1))):
        with pytest.raises(InputError, match="reaches outside"):
            volume.read(box)
    with pytest.raises(InputError, match="reaches outside"):
        volume.read(Bounds.of_size((36, 1, 1)), mip=1)
    with pytest.raises(InputError, match=r"no mip 9(.|\n)*0: \(70, 50, 20\) at 1 × 1 × 4 µm; 1: \(35, 25, 20\)"):
        volume.read(mip=9)
    with pytest.raises(InputError, match="1 channels"):
        volume.read(channel=1)


def test_levels(volume, caplog):
    assert volume.spec.mips == ((1, 1, 1), (2, 2, 1), (4, 4, 1), (8, 8, 2))
    assert volume.size(1) == (35, 25, 20)
    assert volume.slabs() == ((0, 8), (8, 16), (16, 20))
    assert volume.slabs(3) == ((0, 8), (8, 10))
    assert volume.grid(2) == Grid.of_mip((70, 50, 20), VoxelSize(1, 1, 4), (4, 4, 1))
    assert volume.grid(0).origin == (0, 0, 0)
    assert volume.mip_at(4) == (2, VoxelSize(4, 4, 4))
    assert volume.mip_at(7.99) == (2, VoxelSize(4, 4, 4))
    assert volume.mip_at((2, 3, 4)) == (1, VoxelSize(2, 2, 4))
    assert volume.mip_at(1000) == (3, VoxelSize(8, 8, 8))
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        assert volume.mip_at(2) == (0, VoxelSize(1, 1, 4))
    assert "finer than mip 0" in caplog.text


@pytest.mark.parametrize("sharded", [False, True])
def test_damage_is_named(tmp_path, array, sharded):
    volume = write_volume(tmp_path, array, (1, 1, 4), chunk=(32, 32, 8), smallest=16, sharded=sharded)
    folder = volume.location.path / volume.spec.scales[1].key
    for path in sorted(folder.iterdir()):
        data = bytearray(path.read_bytes())
        middle = len(data) // 2
        for bad in (data[:middle], data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :], b""):
            path.write_bytes(bad)
            with pytest.raises((InputError, NotFoundError), match=r"chunk \d+-.* of mip 1 \(2000_2000_4000\)"):
                volume.read(mip=1)
        path.unlink()
        with pytest.raises(NotFoundError, match=r"chunk \d+-.* of mip 1 \(2000_2000_4000\) is missing"):
            volume.read(mip=1)
        path.write_bytes(data)
        if sharded and path != sorted(folder.iterdir())[0]:
            break
    assert volume.read(mip=1).shape == (20, 25, 35)


def test_the_right_chunk_is_named(volume):
    name = "32-64_0-32_8-16"
    path = volume.location.path / volume.spec.scales[0].key / f"{name}.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=f"chunk {name} of mip 0 .* is damaged"):
        volume.read()
    path.unlink()
    with pytest.raises(NotFoundError, match=f"chunk {name} of mip 0 .* is missing"):
        volume.read(Bounds((60, 30, 10), (70, 40, 18)))
    assert volume.read(Bounds((0, 0, 8), (32, 32, 16))).any()


@pytest.mark.parametrize(("encoding", "channels"), [("raw", 2), ("compressed_segmentation", 1)])
def test_volumes_from_elsewhere_have_offsets_channels_and_encodings(tmp_path, encoding, channels):
    labels = np.random.default_rng(1).integers(0, 2**40, (9, 17, 33, channels), np.uint64)  # [x, y, z, channel]
    voxel_size = np.array([0.1, 0.2, 0.3])
    info = CloudVolume.create_new_info(
        channels,
        "segmentation",
        "uint64",
        encoding,
        list(voxel_size * 1000),
        [7, -5, 40],
        [9, 17, 33],
        chunk_size=[8, 8, 8],
    )
    other = CloudVolume(f"file://{tmp_path}/v", info=info, progress=False)
    other.add_scale((2, 2, 1))
    other.commit_info()
    other[7:16, -5:12, 40:73] = labels
    volume = open_volume(tmp_path / "v")
    assert volume.bounds() == Bounds((7, -5, 40), (16, 12, 73))
    np.testing.assert_array_equal(volume.read(channel=channels - 1), labels[..., -1].T)
    box = Bounds((8, -3, 41), (15, 12, 73))
    np.testing.assert_array_equal(volume.read(box), labels[1:8, 2:, 1:, 0].T)
    assert volume.spec.mips == ((1, 1, 1), (2, 2, 1))
    assert volume.slabs()[0] == (40, 48)
    # the frame begins at index 0, also when no voxel is stored there
    assert volume.grid(0).origin == pytest.approx((0.7, -1.0, 12.0))
    offset = np.array(volume.spec.scales[1].offset)
    assert volume.grid(1).origin == pytest.approx(((offset + 0.5) * (2, 2, 1) - 0.5) * voxel_size)
    (volume.location.path / volume.spec.scales[0].key / "15-16_3-11_48-56.gz").unlink()
    with pytest.raises(NotFoundError, match="chunk 15-16_3-11_48-56 of mip 0"):
        volume.read()
    with pytest.raises(InputError, match="made by another program"):
        SlabWriter(volume, tmp_path / "scratch", (40, 48))


def test_names_of_chunks():
    assert chunk_name(Bounds((0, 128, 32), (128, 200, 64))) == "0-128_128-200_32-64"
