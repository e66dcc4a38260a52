import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudreg_correct.apply import BiasOfPlane, Clipped, correct_plane
from cloudreg_correct.corrected import CorrectedTiles
from cloudreg_io.errors import InputError
from cloudreg_io.fields import Bias, Shading
from cloudreg_io.space import VoxelSize
from cloudreg_io.space.grid import Grid
from cloudreg_io.space.resample import resample
from cloudreg_io.synthetic import AcquisitionSpec, make_acquisition, make_phantom
from cloudreg_io.tiles import open_acquisition


def random_shading(shape, seed):
    rng = np.random.default_rng(seed)
    return Shading.normalised(rng.uniform(0.6, 1.4, shape), rng.uniform(0, 200, shape).astype(np.float32))


def by_numpy(raw, shading):
    value = (raw.astype(np.float32) - shading.background) / shading.flat
    if raw.dtype.kind == "f":
        return value, Clipped()
    top = np.float32(np.iinfo(raw.dtype).max)
    rounded = np.rint(value)
    clipped = Clipped(int((rounded < 0).sum()), int((rounded > top).sum()))
    return np.clip(rounded, 0, top).astype(raw.dtype), clipped


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["uint8", "uint16", "float32"]),
)
def test_kernel_equals_numpy(ny, nx, seed, dtype):
    rng = np.random.default_rng(seed)
    top = 1000 if dtype == "float32" else np.iinfo(dtype).max
    raw = rng.integers(0, top, (ny, nx), endpoint=True).astype(dtype)
    shading = random_shading((ny, nx), seed)
    expected, clipped = by_numpy(raw, shading)
    found, counted = correct_plane(raw, shading)
    np.testing.assert_array_equal(found, expected)
    assert (found.dtype, counted) == (raw.dtype, clipped)
    again, _ = correct_plane(raw, shading, out=raw)
    assert again is raw
    np.testing.assert_array_equal(raw, expected)


def test_bright_values_are_clipped_and_counted_not_wrapped():
    raw = np.full((4, 4), 60000, np.uint16)
    flat = np.array([[0.5, 1.5], [1.5, 0.5]]).repeat(2, 0).repeat(2, 1)
    found, clipped = correct_plane(raw, Shading.normalised(flat))
    assert set(found.ravel()) == {65535, 40000}
    assert clipped == Clipped(0, 8)


def a_bias():
    grid = Grid((5, 4, 3), (40.0, 30.0, 50.0), (-7.0, 11.0, 3.0))
    return Bias(np.random.default_rng(1).uniform(0.5, 2, grid.shape).astype(np.float32), grid)


def test_bias_of_a_plane_is_that_of_resampling():
    bias, voxel, position, shape = a_bias(), (2.0, 3.0, 4.0), (3.25, 6.5, 7.75), (20, 30)
    plane = BiasOfPlane.at(bias, position, voxel, shape)
    raw = np.full(shape, 1000, np.float32)
    found, _ = correct_plane(raw, None, plane)
    origin = tuple(p * v for p, v in zip(position, voxel, strict=True))
    expected = resample(bias.field, bias.grid, Grid((30, 20, 1), voxel, origin), outside=None)[0]
    np.testing.assert_allclose(1000 / found, expected, rtol=1e-5)


def test_bias_goes_on_beyond_its_grid():
    bias = a_bias()
    far = BiasOfPlane.at(bias, (1e4, 1e4, 1e4), (1.0, 1.0, 1.0), (2, 2))
    found, _ = correct_plane(np.ones((2, 2), np.float32), None, far)
    np.testing.assert_allclose(found, 1 / bias.field[-1, -1, -1], rtol=1e-6)


def test_shading_of_another_shape_is_refused():
    with pytest.raises(InputError, match="another size"):
        correct_plane(np.zeros((3, 4), np.uint16), random_shading((4, 3), 0))
    with pytest.raises(InputError, match="int64"):
        correct_plane(np.zeros((3, 4), np.int64), random_shading((3, 4), 0))


@pytest.fixture(scope="module")
def acquisition(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corrected") / "raw"
    spec = AcquisitionSpec(rows=1, columns=2, tile_size=(48, 40), planes=6, unscanned=frozenset(), seed=3)
    make_acquisition(folder, make_phantom((90, 40, 8), spec.voxel_size, 1).scene(0), spec)
    return open_acquisition(folder)


def test_corrected_tiles_are_a_source_that_corrects_what_is_there(acquisition):
    import dataclasses

    files = {k: dict(v) for k, v in acquisition.files.items()}
    tile = acquisition.grid.scanned[1]
    files["CHN00"][tile.name] = (*files["CHN00"][tile.name][:4], None, files["CHN00"][tile.name][5])
    holed = dataclasses.replace(acquisition, files=files)
    source = holed.source(0, fill_missing=True)
    shading = random_shading((40, 48), 5)
    positions = {t.name: (10.0 * i, 0.5, 0.25) for i, t in enumerate(acquisition.grid.tiles)}
    corrected = pickle.loads(pickle.dumps(CorrectedTiles(source, shading, a_bias(), positions)))
    raw, found = source.read(tile, slice(2, 6)), corrected.read(tile, slice(2, 6))
    assert not found[2].any()  # the missing plane stays 0
    voxel = tuple(VoxelSize.of(tuple(acquisition.grid.voxel_size)))
    for k in (0, 1, 3):
        x, y, z = positions[tile.name]
        plane = BiasOfPlane.at(a_bias(), (x, y, z + 2 + k), voxel, (40, 48))
        np.testing.assert_array_equal(found[k], correct_plane(raw[k], shading, plane)[0])
    np.testing.assert_array_equal(corrected.present(tile), source.present(tile))


def test_bias_without_positions_is_refused(acquisition):
    with pytest.raises(InputError, match="position of every tile"):
        CorrectedTiles(acquisition.source(0), None, a_bias())
