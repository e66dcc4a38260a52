"""Shards: the code of a chunk, the cut into shards, pieces put together once and only once."""

import numpy as np
import pytest
from cloudvolume.datasource.precomputed.common import compressed_morton_code
from cloudvolume.datasource.precomputed.sharding import ShardingSpecification
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudreg_io.errors import CloudRegError, ToolError
from cloudreg_io.run import open_run
from cloudreg_io.volumes import VolumeSpec, create_volume, finish_volume
from cloudreg_io.volumes.info import to_info
from cloudreg_io.volumes.morton import morton_codes
from cloudreg_io.volumes.shards import ShardTask, assemble_shard, shard_name, shard_of, shard_sizes
from cloudreg_io.volumes.spec import Scale, Sharding
from support.small_volumes import write_slabs, write_volume
from support.trees import contents

grids = st.tuples(*[st.integers(1, 40)] * 3)


def positions(grid):
    return np.stack(np.meshgrid(*(np.arange(n) for n in grid), indexing="ij"), axis=-1).reshape(-1, 3)


@given(grids)
@settings(max_examples=30, deadline=None)
def test_codes_are_those_of_cloud_volume(grid):
    chunks = positions(grid)[:: max(1, np.prod(grid) // 500)]
    got = morton_codes(chunks, grid)
    np.testing.assert_array_equal(got, compressed_morton_code(chunks, np.array(grid)))


@given(grids)
@settings(max_examples=30, deadline=None)
def test_shards_are_bounded_and_hold_every_chunk_once(grid):
    scale = Scale("k", tuple(n * 4 for n in grid), (1, 1, 1), (4, 4, 4), sharding=Sharding.plan(grid))
    codes = morton_codes(positions(grid), grid)
    assert len(set(codes.tolist())) == np.prod(grid)
    sizes = shard_sizes(scale)
    assert sum(sizes.values()) == np.prod(grid)
    assert max(sizes.values()) <= 512
    wanted = {}
    for code in codes.tolist():
        shard = shard_of(scale.sharding, code)
        wanted[shard] = wanted.get(shard, 0) + 1
    assert sizes == dict(sorted(wanted.items()))
    info = to_info(VolumeSpec((scale,), "uint8"))["scales"][0]["sharding"]
    theirs = ShardingSpecification.from_dict(info)
    for code in codes.tolist()[::97]:
        name = theirs.compute_shard_location(code).shard_number
        assert shard_name(scale.sharding, shard_of(scale.sharding, code)) == f"{name}.shard"


ARRAY = np.random.default_rng(2).integers(0, 60000, (15, 46, 50), np.uint16)


@pytest.fixture
def begun(tmp_path):
    """A volume of 13 × 12 × 8 chunks whose slabs are written, before the shards are made."""
    volume = create_volume(
        tmp_path / "v", VolumeSpec.plan((50, 46, 15), (1, 1, 1), "uint16", mips=1, chunk=(4, 4, 2), sharded=True)
    )
    write_slabs(volume, tmp_path / "s", ARRAY, band=9)
    return volume


def tasks(volume, scratch):
    sizes = shard_sizes(volume.scale(0))
    return [ShardTask(volume, scratch, 0, shard, chunks) for shard, chunks in sizes.items()]


def test_many_shards(tmp_path, begun):
    done = [assemble_shard(task) for task in tasks(begun, tmp_path / "s")]
    assert len(done) == 4
    assert sum(result["chunks"] for result in done) == 13 * 12 * 8
    np.testing.assert_array_equal(begun.read(), ARRAY)
    assert not list((tmp_path / "s").rglob("*.pieces"))


def test_done_again_after_any_interruption(tmp_path, begun, monkeypatch):
    import shutil

    task = tasks(begun, tmp_path / "s")[0]

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)  # after the shard, before its pieces are removed
        with pytest.raises(KeyboardInterrupt):
            assemble_shard(task)
    content = contents(tmp_path / "v")
    next((tmp_path / "s").rglob("pieces/0/0/*.pieces")).unlink()  # half removed
    first = assemble_shard(task)
    assert (
        assemble_shard(task)
        == first
        == {
            "bytes": len(content["1000_1000_1000/0.shard"]),
            "chunks": task.chunks,
        }
    )
    assert contents(tmp_path / "v") == content


def test_a_slab_written_anew_makes_its_shards_anew(tmp_path, begun):
    everything = tasks(begun, tmp_path / "s")
    assemble_shard(everything[0])
    other = ARRAY[::-1].copy()
    write_slabs(begun, tmp_path / "s", other)
    for task in everything:
        assemble_shard(task)
    np.testing.assert_array_equal(begun.read(), other)


def test_missing_and_foreign_pieces_are_refused(tmp_path, begun):
    task = tasks(begun, tmp_path / "s")[0]
    pieces = sorted((tmp_path / "s" / "pieces" / "0" / "0").iterdir())
    twice = pieces[0].with_name("z0_x8.pieces")
    twice.write_bytes(pieces[0].read_bytes())
    with pytest.raises(ToolError, match=f"of a shard of {task.chunks}"):
        assemble_shard(task)
    twice.unlink()
    pieces[1].unlink()
    with pytest.raises(ToolError, match=f"of a shard of {task.chunks}"):
        assemble_shard(task)
    assert list(contents(tmp_path / "v")) == ["info"]


def test_a_flipped_bit_anywhere_is_seen(tmp_path):
    array = ARRAY[:9, :20, :30].copy()
    volume = write_volume(tmp_path, array, chunk=(8, 8, 4), sharded=True, mips=1)
    path = volume.location.path / volume.spec.scales[0].key / "0.shard"
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    seen = 0
    for position in [*range(0, 32, 5), *rng.integers(0, len(data), 40), *range(len(data) - 40, len(data), 5)]:
        bad = bytearray(data)
        bad[position] ^= 1 << rng.integers(8)
        path.write_bytes(bad)
        try:
            np.testing.assert_array_equal(volume.read(), array)  # a header byte that means nothing
        except CloudRegError:
            seen += 1
    assert seen > 40


def test_two_channels_in_one_run_do_not_mix(tmp_path):
    plan = VolumeSpec.plan((50, 46, 15), (1, 1, 2), "uint16", chunk=(16, 16, 4), smallest=16, sharded=True)
    with open_run(tmp_path / "out", command="test") as run:
        volumes = {}
        for name, array in {"CHN00": ARRAY, "CHN01": ARRAY // 2}.items():
            volumes[name] = create_volume(run.out / name, plan)
            write_slabs(volumes[name], run.scratch / name, array)
        for name, volume in volumes.items():
            finish_volume(run, volume, run.scratch / name, channel=name)
    np.testing.assert_array_equal(volumes["CHN00"].read(), ARRAY)
    np.testing.assert_array_equal(volumes["CHN01"].read(), ARRAY // 2)
