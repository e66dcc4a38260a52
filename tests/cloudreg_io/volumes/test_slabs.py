"""Slabs in, a whole volume out: every voxel of every mip, however the bands and strips were cut."""

import subprocess

import numpy as np
import pytest
import tensorstore as ts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cloudreg_io.errors import InputError, ToolError
from cloudreg_io.files.atomic import is_temporary
from cloudreg_io.volumes import SlabWriter, VolumeSpec, create_volume, open_volume, strip_alignment
from cloudreg_io.volumes.rows import Rows
from support.small_volumes import means, modes, write_volume
from support.trees import contents

relaxed = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
VOXELS = [(1, 1, 1), (1, 1, 4), (2, 2, 1), (1, 2, 4)]


def random_array(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(100, 50, shape).astype(dtype)
    bounds = np.iinfo(dtype)
    return rng.integers(bounds.min, bounds.max, shape, dtype, endpoint=True)


def check_mips(volume, array):
    """Compare with brute force; labels are pooled level by level."""
    labels = array
    for mip, factor in enumerate(volume.spec.mips):
        got = volume.read(mip=mip)
        if volume.spec.layer == "segmentation":
            before = volume.spec.mips[max(mip - 1, 0)]
            labels = modes(labels, [f // b for f, b in zip(factor, before, strict=True)])
            np.testing.assert_array_equal(got, labels)
        elif array.dtype.kind == "f":
            np.testing.assert_allclose(got, means(array, factor), rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_array_equal(got, means(array, factor))


@given(
    shape=hnp.array_shapes(min_dims=3, max_dims=3, max_side=23),
    dtype=st.sampled_from(["uint8", "int16", "uint16"]),
    voxel_size=st.sampled_from(VOXELS),
    chunk=st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([2, 4, 6])),
    band=st.integers(1, 30),
    sharded=st.booleans(),
)
@relaxed
def test_what_is_written_reads_back(tmp_path_factory, shape, dtype, voxel_size, chunk, band, sharded):
    folder = tmp_path_factory.mktemp("v")
    array = random_array(shape, dtype, seed=sum(shape))
    volume = write_volume(folder, array, voxel_size, chunk=chunk, smallest=3, band=band, sharded=sharded)
    assert open_volume(volume.url) == volume
    check_mips(volume, array)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32"])
def test_every_type(tmp_path, dtype):
    array = random_array((9, 20, 33), dtype)
    check_mips(write_volume(tmp_path, array, (1, 1, 2), chunk=(8, 8, 4), smallest=4, band=7), array)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
def test_labels(tmp_path, dtype):
    top = int(np.iinfo(dtype).max)
    array = np.random.default_rng(0).choice(np.array([0, 1, top - 1, top], dtype), (9, 20, 33))
    volume = write_volume(tmp_path, array, (1, 1, 2), chunk=(8, 8, 4), smallest=4, band=7, layer="segmentation")
    check_mips(volume, array)


@pytest.mark.parametrize(
    ("compression", "suffix"), [("gzip", ".gz"), ("zstd", ".zstd"), ("br", ".br"), ("none", "")]
)
def test_compressions(tmp_path, compression, suffix):
    array = random_array((9, 20, 33), "uint16")
    volume = write_volume(tmp_path, array, chunk=(8, 8, 4), smallest=16, compression=compression)
    check_mips(volume, array)
    names = [name for name in contents(volume.location.path) if name != "info"]
    assert all(name.endswith(suffix) and (suffix or "." not in name) for name in names)
    assert len(names) == 5 * 3 * 3 + 3 * 2 * 2 + 2
    assert open_volume(volume.url).spec.compression == compression


@pytest.mark.parametrize("sharded", [False, True])
def test_bands_and_strips_do_not_show(tmp_path, sharded):
    array = random_array((9, 31, 70), "uint16")
    plan = {"chunk": (8, 8, 4), "smallest": 4, "sharded": sharded}
    step = strip_alignment(VolumeSpec.plan((70, 31, 9), (1, 1, 4), "uint16", **plan))
    assert step == 32
    wanted = None
    for i, (band, strip) in enumerate([(0, 0), (1, 0), (8, step), (7, step), (30, 2 * step)]):
        volume = write_volume(tmp_path / str(i), array, (1, 1, 4), band=band, strip=strip, **plan)
        got = contents(volume.location.path)
        assert got == (wanted or got)
        wanted = got
    assert len(wanted) > 5


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("shape", [(9, 31, 70), (1, 40, 33), (40, 1, 1), (5, 5, 5)])
def test_tensorstore_reads_the_same(tmp_path, shape, sharded):
    array = random_array(shape, "uint16")
    # without shards tensorstore finds chunks by name only, so they must not carry a suffix
    compression = "gzip" if sharded else "none"
    volume = write_volume(tmp_path, array, chunk=(8, 8, 4), smallest=4, sharded=sharded, compression=compression)
    for mip in range(len(volume.spec.scales)):
        store = {"driver": "neuroglancer_precomputed", "kvstore": volume.url, "scale_index": mip}
        other = ts.open(store).result()
        np.testing.assert_array_equal(other.read().result()[..., 0].T, volume.read(mip=mip))


def test_a_band_may_be_reused_and_may_be_a_view(tmp_path):
    array = random_array((4, 21, 20), "uint16")
    volume = create_volume(
        tmp_path / "v", VolumeSpec.plan((20, 21, 4), (1, 1, 1), "uint16", chunk=(8, 8, 4), mips=1)
    )
    buffer = np.empty((5, 4, 40), np.uint16)
    with SlabWriter(volume, tmp_path / "s", (0, 4)) as writer:
        for y in range(0, 21, 5):
            band = buffer.transpose(1, 0, 2)[:, : min(5, 21 - y), ::2]
            band[...] = array[:, y : y + 5]
            writer.write(band, uncovered=3)
            buffer[...] = 7
    np.testing.assert_array_equal(volume.read(), array)
    assert writer.result() == {"bytes": writer.result()["bytes"], "chunks": 9, "uncovered": 15}
    assert writer.result()["bytes"] == sum(len(d) for n, d in contents(tmp_path / "v").items() if n != "info")


def test_zeros_are_written_too(tmp_path):
    volume = write_volume(tmp_path, np.zeros((4, 20, 20), np.uint8), chunk=(8, 8, 4))
    assert not volume.read().any()
    assert len(contents(volume.location.path)) == 1 + 9


@pytest.fixture
def volume(tmp_path):
    spec = VolumeSpec.plan((40, 21, 9), (1, 1, 1), "uint16", chunk=(8, 8, 4), smallest=8)
    return create_volume(tmp_path / "v", spec)


@pytest.mark.parametrize("z", [(0, 8), (1, 5), (8, 12)])
def test_other_slabs_are_refused(volume, tmp_path, z):
    with pytest.raises(InputError, match="not a slab"):
        SlabWriter(volume, tmp_path / "s", z)


@pytest.mark.parametrize("x", [(0, 41), (4, 40), (8, 8), (0, 12), (16, 8)])
def test_other_strips_are_refused(volume, tmp_path, x):
    with pytest.raises(InputError, match="a strip of x must"):
        SlabWriter(volume, tmp_path / "s", (0, 4), x)


def test_deep_enough_chunks(tmp_path):
    spec = VolumeSpec.plan((40, 21, 9), (1, 1, 1), "uint16", chunk=(8, 8, 1), smallest=8)
    with pytest.raises(InputError, match="choose an even chunk depth"):
        SlabWriter(create_volume(tmp_path / "v", spec), tmp_path / "s", (0, 1))


@pytest.mark.parametrize(
    ("band", "reason"),
    [
        (np.zeros((4, 5, 40), np.uint8), "uint8"),
        (np.zeros((4, 5, 39), np.uint16), "does not fit"),
        (np.zeros((3, 5, 40), np.uint16), "does not fit"),
        (np.zeros((4, 40), np.uint16), "does not fit"),
        (np.zeros((4, 22, 40), np.uint16), "more than 21 rows"),
        (np.zeros((4, 20, 40), np.uint16), "20 of 21 rows"),
    ],
)
def test_bands_that_do_not_fit(volume, tmp_path, band, reason):
    def write():
        with SlabWriter(volume, tmp_path / "s", (0, 4)) as writer:
            writer.write(band)

    with pytest.raises(InputError, match=reason):
        write()
    assert not list((tmp_path / "s").rglob("*.npy"))
    assert not [p for p in tmp_path.rglob("*") if is_temporary(p)]


@given(st.integers(1, 6), st.lists(st.integers(0, 9), max_size=8), st.booleans())
def test_rows(count, heights, exact):
    array = np.arange(2 * sum(heights) * 3).reshape(2, sum(heights), 3)
    rows, blocks, begin = Rows(count, exact=exact), [], 0
    for height in heights:
        band = array[:, begin : begin + height].copy()
        blocks += [block.copy() for block in rows.add(band)]
        band[...] = -1
        begin += height
    assert all(b.shape[1] == count if exact else b.shape[1] % count == 0 for b in blocks)
    blocks += list(rows.rest())
    assert list(rows.rest()) == []
    np.testing.assert_array_equal(np.concatenate([array[:, :0], *blocks], axis=1), array)
    assert not any(b.shape[1] == 0 for b in blocks)


@pytest.mark.needs("root")
@pytest.mark.parametrize("sharded", [False, True])
def test_a_full_disk_is_named_and_nothing_half_stays(tmp_path, sharded):
    disk = tmp_path / "small"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], check=False).returncode:
        pytest.skip("needs the right to mount")
    array = random_array((4, 1000, 1000), "uint16")

    def write():
        with SlabWriter(volume, disk / "s", (0, 4)) as writer:
            writer.write(array)

    try:
        spec = VolumeSpec.plan((1000, 1000, 8), (1, 1, 1), "uint16", chunk=(64, 64, 4), sharded=sharded)
        volume = create_volume(disk / "v", spec)
        with pytest.raises(ToolError, match=r"disk full: needs .* free on .*small"):
            write()
        assert not [p for p in disk.rglob("*") if is_temporary(p)]
    finally:
        subprocess.run(["umount", disk], check=True)
