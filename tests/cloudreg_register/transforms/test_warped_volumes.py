from itertools import pairwise

import numpy as np
import pytest

from cloudreg_io.errors import InputError
from cloudreg_io.run import executor, open_run
from cloudreg_io.space import VoxelSize
from cloudreg_io.volumes import VolumeSpec, open_volume
from cloudreg_register.images.frame import Frame
from cloudreg_register.transforms import warped_volumes as module
from cloudreg_register.transforms.fingerprints import identity_of
from cloudreg_register.transforms.sources import FileSource
from cloudreg_register.transforms.warp import warp
from cloudreg_register.transforms.warped_volumes import (
    Warped,
    atlas_on_target,
    labels_on_target,
    memory_needed,
    strips,
    suited_source,
    target_on_atlas,
    warp_volume,
)
from support.small_volumes import modes, write_volume
from support.trees import difference, tree
from support.velocities import ATLAS, transform_of

TARGET = Frame((90, 115, 50), VoxelSize(40, 40, 80), ATLAS.orientation, "target")
LABELS = ATLAS.aligned((82, 60, 72), VoxelSize(50, 50, 50))
TRANSFORM = transform_of(target=TARGET, spacing=400.0)


def labels_array(dtype=np.uint32):
    z, y, x = np.indices(LABELS.shape)
    inside = np.indices(LABELS.shape).min(axis=0) > 6
    ids = np.array([614454277, 997, 2**32 - 1, 12], dtype)
    return np.where(inside, ids[(z // 24 + 2 * (x // 30) + y // 33) % 4], dtype(0))


def perform(out, warped, transform=TRANSFORM, name="labels", jobs=1):
    with executor(jobs) as pool, open_run(out, command="test", pool=pool, jobs=jobs) as run:
        return warp_volume(run, transform, warped, name=name)


@pytest.fixture
def label_file(tmp_path):
    return FileSource.write(tmp_path / "labels.npy", labels_array(), LABELS)


def test_labels_on_the_targets_own_grid(tmp_path, label_file):
    target = write_volume(
        tmp_path, np.zeros(TARGET.grid().shape, np.uint16), TARGET.voxel_size, mips=[(1, 1, 1), (2, 2, 1)]
    )
    report = perform(tmp_path / "out", labels_on_target(label_file, "id", tmp_path / "out", target))
    made = open_volume(tmp_path / "out" / "registration" / "labels")
    assert (made.spec.layer, made.dtype, made.spec.mips) == ("segmentation", np.uint32, target.spec.mips)
    assert made.grid() == target.grid()
    expected = warp(TRANSFORM, labels_array(), LABELS, TARGET.grid(), to="target", labels=True)
    np.testing.assert_array_equal(made.read(), expected)
    np.testing.assert_array_equal(made.read(mip=1), modes(expected, (2, 2, 1)))
    assert set(np.unique(expected)) == {0, 614454277, 997, 2**32 - 1, 12}
    assert report["size"] == list(TARGET.size)
    assert report["bytes"] > 0


def test_workers_strips_and_resumption_give_the_same_bytes(tmp_path, label_file, monkeypatch):
    target = write_volume(tmp_path, np.zeros(TARGET.grid().shape, np.uint16), TARGET.voxel_size)
    # chunks of 32 are more than this target needs, but make several parts
    plan = VolumeSpec.plan

    def small(*args, **kwargs):
        return plan(*args, **{**kwargs, "chunk": (32, 32, 16)})

    monkeypatch.setattr(module.VolumeSpec, "plan", small)
    one = labels_on_target(label_file, "id", tmp_path / "one", target)
    perform(tmp_path / "one", one)
    monkeypatch.setattr(module, "_STRIP", 32)
    assert len(strips(one.plan(TRANSFORM))) == 3
    perform(tmp_path / "two", labels_on_target(label_file, "id", tmp_path / "two", target), jobs=2)
    assert difference(tree(tmp_path / "one"), tree(tmp_path / "two")) == []

    real, left = module.SlabWriter.result, iter(range(4))

    def fails(self):
        if next(left, None) is None:
            raise RuntimeError("stopped")
        return real(self)

    three = labels_on_target(label_file, "id", tmp_path / "three", target)
    monkeypatch.setattr(module.SlabWriter, "result", fails)
    with pytest.raises(RuntimeError, match="stopped"):
        perform(tmp_path / "three", three)
    monkeypatch.setattr(module.SlabWriter, "result", real)
    perform(tmp_path / "three", three)
    assert difference(tree(tmp_path / "one"), tree(tmp_path / "three")) == []
    with pytest.raises(InputError, match="transform was"):
        perform(tmp_path / "three", three, transform_of(seed=1, target=TARGET, spacing=400.0))


def test_labels_of_a_precomputed_volume_and_of_64_bits(tmp_path):
    labels = labels_array(np.uint64)
    labels[labels == 12] = 2**53 + 1
    volume = write_volume(tmp_path, labels, (50, 50, 50), layer="segmentation", chunk=(32, 32, 32))
    source = suited_source(TRANSFORM, volume, TARGET.voxel_size, to="target", labels=True)
    assert source.grid == LABELS
    perform(tmp_path / "out", labels_on_target(source, "id", tmp_path / "out"))
    made = open_volume(tmp_path / "out" / "registration" / "labels")
    assert made.dtype == np.uint64
    assert 2**53 + 1 in made.read()
    expected = warp(TRANSFORM, labels, LABELS, TARGET.grid(), to="target", labels=True)
    np.testing.assert_array_equal(made.read(), expected)


def test_the_atlas_on_the_target(tmp_path):
    image = (labels_array() % 1000).astype(np.uint16)
    source = FileSource.write(tmp_path / "atlas.npy", image, LABELS)
    perform(tmp_path / "out", atlas_on_target(source, "id", tmp_path / "out"), name="atlas")
    made = open_volume(tmp_path / "out" / "registration" / "atlas_on_target")
    assert (made.spec.layer, made.dtype) == ("image", np.uint16)
    expected = warp(TRANSFORM, image, LABELS, TARGET.grid(), to="target")
    np.testing.assert_array_equal(made.read(), expected)
    assert expected.max() > 500


@pytest.mark.parametrize(("edge", "mip"), [(40.0, 0), (100.0, 1), (250.0, 1)])
def test_the_target_on_the_atlas_at_a_voxel_size(tmp_path, edge, mip):
    rng = np.random.default_rng(0)
    image = rng.integers(500, 600, TARGET.grid().shape, np.uint16)
    image += np.arange(TARGET.size[0], dtype=np.uint16) * 20
    volume = write_volume(tmp_path, image, TARGET.voxel_size, mips=[(1, 1, 1), (2, 2, 1)])
    warped = target_on_atlas(TRANSFORM, volume, str(tmp_path / "on_atlas"), VoxelSize(edge, edge, edge))
    assert warped.source.mip == mip
    perform(tmp_path / "out", warped, name="CHN00")
    made = open_volume(tmp_path / "on_atlas")
    grid = ATLAS.grid().with_spacing((edge,) * 3)
    assert (made.size(), made.voxel_size()) == (grid.size, VoxelSize(edge, edge, edge))
    # against the whole image at full resolution, evaluated at many places of each voxel
    expected = warp(TRANSFORM, image, TARGET.grid(), grid, to="atlas").astype(float)
    found = made.read().astype(float)
    both = (found > 400) & (expected > 400)
    assert both.mean() > 0.5
    # noise of ±50, a slope of 20 a voxel; at the border both average over what lies outside, each in its way
    assert np.median(np.abs(found - expected)[both]) < 25


def test_a_volume_of_another_extent_is_refused(tmp_path):
    volume = write_volume(tmp_path, np.zeros((20, 20, 20), np.uint16), (10, 10, 10))
    with pytest.raises(InputError, match="extends over"):
        target_on_atlas(TRANSFORM, volume, str(tmp_path / "new"), VoxelSize(50, 50, 50))
    with pytest.raises(InputError, match="neither atlas nor target"):
        Warped(None, "", "new", "brain", labels=True).grid(TRANSFORM)


def test_memory_does_not_depend_on_the_size_of_the_target():
    small, large = (
        VolumeSpec.plan(size, (2, 2, 2), "uint32", layer="segmentation")
        for size in ((4000, 3000, 500), (12000, 14000, 8000))
    )
    assert memory_needed(small) == memory_needed(large) < 1e9
    assert sum(b - a for a, b in strips(large)) == 12000


def test_foreign_levels_are_not_taken_over(tmp_path, label_file):
    for mips in ([(1, 1, 1), (3, 3, 3)], [(1, 1, 1), (4, 4, 4)]):
        warped = Warped(label_file, "id", str(tmp_path / "new"), "target", labels=True, mips=mips)
        factors = warped.plan(TRANSFORM).mips
        assert all(c in (f, 2 * f) for a, b in pairwise(factors) for f, c in zip(a, b, strict=True))


def test_the_identity_of_a_transform_is_that_of_what_it_does(tmp_path):
    again = transform_of(target=TARGET, spacing=400.0)
    assert identity_of(again) == identity_of(TRANSFORM)
    assert identity_of(transform_of(seed=3, target=TARGET, spacing=400.0)) != identity_of(TRANSFORM)
    TRANSFORM.save(tmp_path / "t")
    assert identity_of(TRANSFORM.load(tmp_path / "t")) == identity_of(TRANSFORM)
