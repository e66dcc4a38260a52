import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudreg_io.space import Affine, Bounds, Grid, Orientation, VoxelSize, resample
from cloudreg_register.images.frame import Frame
from cloudreg_register.transforms import warp as module
from cloudreg_register.transforms.lattice import Lattice, lattice_step
from cloudreg_register.transforms.sources import ArraySource, FileSource, VolumeSource
from cloudreg_register.transforms.transform import Transform
from cloudreg_register.transforms.warp import Warp, samples_per_voxel, warp, with_bits
from support.small_volumes import means, write_volume
from support.velocities import ATLAS, TARGET, transform_of

LABEL_GRID = ATLAS.aligned((164, 120, 144), VoxelSize(25, 25, 25))
IDS = np.array([0, 1, 997, 614454277, 2**31 + 5, 2**32 - 1])


@cache
def cells(grid):
    """The nearest of 300 random points, −1 outside of an ellipsoid."""
    from scipy.spatial import cKDTree

    points = grid.points()
    seeds = np.random.default_rng(0).uniform(0, 1, (300, 3)) * grid.extent
    nearest = cKDTree(seeds).query(points.reshape(-1, 3))[1].reshape(grid.shape)
    centred = (points - grid.centre) / (np.array(grid.extent) / 2)
    return np.where((centred**2).sum(axis=-1) < 0.9, nearest, -1)


def regions(grid, ids):
    """Labels in cells around random points, 0 outside of an ellipsoid."""
    nearest = cells(grid)
    return np.where(nearest < 0, 0, ids[1:][nearest % (len(ids) - 1)]).astype(ids.dtype)


def expected_labels(transform, labels, label_grid, grid, to):
    """Voxel by voxel, with the map evaluated at each."""
    points = grid.points().reshape(-1, 3)
    places = (transform.to_atlas if to == "target" else transform.to_target)(points)[0]
    index = np.floor(label_grid.index_of(places) + 0.5).astype(int)
    inside = ((index >= 0) & (index < label_grid.size)).all(axis=1)
    x, y, z = np.clip(index, 0, np.array(label_grid.size) - 1).T
    return np.where(inside, labels[z, y, x], labels.dtype.type(0)).reshape(grid.shape)


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_labels_are_those_of_the_place_voxels_come_from(dtype):
    ids = IDS.astype(dtype)
    if dtype == np.uint64:
        ids = np.array([0, 2**53 + 1, 2**53 + 2, 2**64 - 1, 614454277], np.uint64)
    labels = regions(LABEL_GRID, ids)
    transform = transform_of()
    grid = TARGET.grid().crop(Bounds((20, 30, 5), (100, 101, 38)))
    found = warp(transform, labels, LABEL_GRID, grid, to="target", labels=True)
    assert found.dtype == dtype
    assert set(np.unique(found)) == set(ids)
    expected = expected_labels(transform, labels, LABEL_GRID, grid, "target")
    # the lattice may move a border of 25 µm voxels by a fraction of a micrometre
    assert (found != expected).mean() < 0.01
    exact = Transform.of_affine(transform.affine, ATLAS, TARGET)
    np.testing.assert_array_equal(
        warp(exact, labels, LABEL_GRID, grid, to="target", labels=True) != 0,
        expected_labels(exact, labels, LABEL_GRID, grid, "target") != 0,
    )


def test_the_lattice_is_within_a_hundredth_of_the_velocitys_spacing():
    transform = transform_of(fastest=700.0)
    grid = Grid((120, 110, 60), (20, 20, 40), (400, 300, 200))
    step = lattice_step(transform, grid)
    assert step == (2, 2, 1)
    mapper = transform.mapper("atlas")
    bounds = Bounds((3, 5, 7), (97, 88, 51))
    lattice = Lattice.of(mapper, grid, bounds, Grid((1, 1, 1), (1, 1, 1)), step)
    exact = mapper.mapped(grid.crop(bounds).points().reshape(-1, 3))
    found = lattice.positions(bounds, np.zeros(3, int)).reshape(3, -1).T
    error = np.linalg.norm(found - exact, axis=1)
    assert error.mean() < 0.5
    assert error.max() < 2.0
    low, high = lattice.reach()
    assert (low <= exact.min(axis=0) + 2).all()
    assert (high >= exact.max(axis=0) - 2).all()


def test_parts_of_a_lattice_are_the_lattice_of_the_part():
    transform = transform_of()
    grid, mapper, onto = TARGET.grid(), transform.mapper("atlas"), ATLAS.grid()
    whole = Lattice.of(mapper, grid, Bounds((2, 3, 5), (90, 80, 70)), onto, (7, 5, 3))
    box = Bounds((30, 21, 40), (61, 43, 45))
    direct = Lattice.of(mapper, grid, box, onto, (7, 5, 3))
    part = whole.part(box)
    assert (part.lower, part.step) == (direct.lower, direct.step)
    np.testing.assert_allclose(part.nodes, direct.nodes, atol=1e-6)
    origin = np.array([10, 10, 10])
    np.testing.assert_allclose(part.positions(box, origin), whole.positions(box, origin), atol=1e-5)


def test_an_identity_gives_what_resample_gives():
    rng = np.random.default_rng(0)
    frame = Frame((30, 24, 20), VoxelSize(10, 10, 10), Orientation("LPS"))
    same = Transform.of_affine(Affine.identity(), frame, frame)
    onto = Grid((80, 70, 50), (4, 4, 4.5), (-13, -7, -8))
    for dtype in (np.uint8, np.uint16, np.int16, np.float32, np.float64, np.uint32):
        image = (rng.uniform(0, 1, frame.grid().shape) * 200).astype(dtype)
        found = warp(same, image, frame.grid(), onto, to="target")
        expected = resample(image, frame.grid(), onto)
        assert found.dtype == dtype
        assert np.abs(found.astype(float) - expected).max() <= (1 if dtype != np.float64 else 1e-3)
        ids = (image.astype(np.uint32)) * 3000000
        np.testing.assert_array_equal(
            warp(same, ids, frame.grid(), onto, to="target", labels=True),
            resample(ids, frame.grid(), onto, order=0),
        )


def test_every_sample_counts_where_voxels_grow():
    frame = Frame((48, 48, 48), VoxelSize(10, 10, 10), Orientation("LPS"))
    same = Transform.of_affine(Affine.identity(), frame, frame)
    image = np.zeros(frame.grid().shape, np.float32)
    image[::2] = image[:, 1::2] = 100  # stripes that single samples would miss
    coarse = frame.grid().with_spacing((40, 40, 40))
    assert samples_per_voxel(same.mapper("target"), coarse, frame.grid()) == (4, 4, 4)
    found = warp(same, image, frame.grid(), coarse, to="atlas")
    np.testing.assert_allclose(found, means(image, (4, 4, 4)), rtol=1e-4)


def test_both_directions_fit_together():
    transform = transform_of()
    z, y, x = (np.arange(n) for n in ATLAS.grid().shape)
    image = (100 + 50 * np.sin(x / 6) + 40 * np.cos(y[:, None] / 5) + z[:, None, None]).astype(np.float32)
    target = TARGET.grid().with_spacing((40, 40, 80))
    on_target = warp(transform, image, ATLAS.grid(), target, to="target")
    back = warp(transform, on_target, target, ATLAS.grid(), to="atlas")
    inner = (slice(8, -8),) * 3
    seen = back[inner] > 0
    assert seen.mean() > 0.9
    assert np.abs(back - image)[inner][seen].mean() < 1.5


def test_blocks_and_bounded_reads_change_nothing(monkeypatch, tmp_path):
    transform = transform_of()
    labels = regions(LABEL_GRID, IDS.astype(np.uint32))
    volume = write_volume(tmp_path, labels, (25, 25, 25), layer="segmentation", chunk=(64, 64, 32))
    sources = [
        ArraySource(labels, LABEL_GRID),
        FileSource.write(tmp_path / "labels.npy", labels, LABEL_GRID),
        VolumeSource.of_labels(volume, LABEL_GRID),
    ]
    grid = TARGET.grid().crop(Bounds((20, 30, 5), (100, 101, 38)))
    whole = [Warp(transform, source, grid, to="target", labels=True).whole() for source in sources]
    monkeypatch.setattr(module, "LARGEST_READ", 20000)
    monkeypatch.setattr(module, "_BLOCK", (64, 64, 64))
    whole += [Warp(transform, source, grid, to="target", labels=True).whole() for source in sources]
    for other in whole[1:]:
        np.testing.assert_array_equal(whole[0], other)


def test_an_image_that_is_averaged_is_made_in_pieces_that_fit(monkeypatch):
    transform = transform_of()
    image = np.random.default_rng(0).random(LABEL_GRID.shape, np.float32)
    warped = Warp(
        transform,
        ArraySource(image, LABEL_GRID),
        TARGET.grid().with_spacing((80, 80, 90)),
        to="target",
        labels=False,
    )
    assert math.prod(warped._samples) > 8
    whole, pulled = warped.whole(), []
    pull = Warp._pulled
    monkeypatch.setattr(module, "_LARGEST_FINE", 5000)
    monkeypatch.setattr(
        Warp, "_pulled", lambda self, box, dtype: pulled.append(box.voxels) or pull(self, box, dtype)
    )
    np.testing.assert_allclose(warped.whole(), whole, atol=1e-5)
    assert len(pulled) > 1
    assert max(pulled) <= 5000


def test_a_level_is_chosen_and_averaged_further(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 60000, (37, 66, 50), np.uint16)
    volume = write_volume(tmp_path, image, (5, 5, 10), mips=[(1, 1, 1), (2, 2, 1)], chunk=(32, 32, 16))
    cases = {(1, 1, 1): (0, (1, 1, 1)), (12, 12, 12): (1, (1, 1, 1)), (30, 21, 30): (1, (3, 2, 3))}
    for spacing, (mip, factor) in cases.items():
        source = VolumeSource.of_image(volume, spacing)
        assert (source.mip, source.factor) == (mip, factor)
        total = [a * b for a, b in zip(volume.spec.mips[mip], factor, strict=True)]
        assert source.grid == Grid.of_mip(volume.size(), (5, 5, 10), total)
        whole = source.read(Bounds.of_size(source.grid.size))
        np.testing.assert_array_equal(whole, means(volume.read(mip=mip), factor))
        box = Bounds((1, 1, 1), source.grid.size)
        np.testing.assert_array_equal(source.read(box), whole[1:, 1:, 1:])
        assert source.voxels_read(box) > 0


def test_an_atlas_far_away_leaves_zeros():
    transform = Transform.of_affine(Affine.from_parameters(translation=(1e5, 0, 0)), ATLAS, TARGET)
    labels = np.ones(ATLAS.grid().shape, np.uint32)
    found = warp(transform, labels, ATLAS.grid(), TARGET.grid(), to="target", labels=True)
    assert not found.any()


@given(st.floats(width=32), st.integers(2, 23))
def test_bits_are_the_nearest_value_with_so_many(value, bits):
    array = np.array([value], np.float32)
    kept = with_bits(array, bits)
    assert kept.dtype == np.float32
    if not np.isfinite(value):
        assert np.array_equal(kept, array, equal_nan=True)
    elif abs(value) > np.finfo(np.float32).tiny:
        assert not kept.view(np.uint32)[0] & ((1 << (24 - bits)) - 1)
        assert abs(float(kept[0]) - value) <= abs(value) * 2.0**-bits or not np.isfinite(kept[0])
    assert np.array_equal(with_bits(kept, bits), kept, equal_nan=True)


def test_whole_numbers_keep_their_bits():
    array = np.arange(5000, dtype=np.uint16)
    assert with_bits(array, 5) is array
