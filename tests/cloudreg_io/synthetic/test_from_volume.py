from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudreg_io.errors import InputError
from cloudreg_io.space import Bounds
from cloudreg_io.synthetic import AcquisitionSpec, inverted, make_from_volume
from cloudreg_io.synthetic.from_volume import _tile_edge


def paste(truth, channel):
    """The fused volume, by plain pasting."""
    fused = np.zeros(truth.size[::-1], np.uint16)
    for name in truth.positions:
        files = sorted((truth.folder / "VW0" / name).glob(f"*_{channel}_*.tif"))
        fused[truth.tile_bounds(name).slices()] = np.stack([tifffile.imread(file) for file in files])
    return fused


def check(truth, volume, channel):
    fused = paste(truth, channel)
    covered = truth.covering(Bounds.of_size(truth.size)) > 0
    source = volume[Bounds.of_size(truth.size, truth.scene_offset).slices()]
    assert source.shape == fused.shape  # inside the volume
    np.testing.assert_array_equal(fused[covered], source[covered])
    assert not fused[~covered].any()
    return covered.sum() / volume.size


def test_tiles_make_up_the_volume_again(tmp_path):
    rng = np.random.default_rng(0)
    volume = rng.integers(0, 65536, (12, 90, 130), dtype=np.uint16)
    truth = make_from_volume(
        tmp_path / "a", [volume, inverted(volume)], unscanned=frozenset({(2, 2)}), z_step_um=50.0
    )
    assert len(truth.scanned) == 8
    assert truth.channels == ("CHN00", "CHN01")
    assert truth.voxel_size.z == 50
    assert check(truth, volume, "CHN00") > 0.6
    check(truth, inverted(volume), "CHN01")
    jitter = np.array([np.subtract(tile.position, tile.nominal) for tile in truth.scanned])
    assert (np.ptp(jitter, axis=0) > 0).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(40, 300), st.integers(1, 4), st.floats(10, 40), st.integers(0, 3), st.integers(0, 99))
def test_tiles_stay_inside_the_volume(size, count, overlap, jitter, seed):
    try:
        edge = _tile_edge(size, count, overlap, jitter, "x")
    except InputError:
        return
    spec = AcquisitionSpec(
        rows=1,
        columns=count,
        tile_size=(edge, 8),
        planes=1,
        overlap=(overlap, 0.0),
        jitter=(jitter, 0, 0),
        whole_voxels=True,
        seed=seed,
    )
    starts = [x for x, _, _ in spec.scene_positions((size, 8, 1)).values()]
    assert min(starts) >= 0
    assert max(starts) + edge <= size
    assert all(b - a <= edge for a, b in pairwise(starts))  # no gap


def test_optics_can_be_switched_on(tmp_path):
    volume = np.full((4, 60, 60), 1000, np.uint16)
    truth = make_from_volume(
        tmp_path / "a", [volume], rows=2, columns=2, vignetting=("lens",), strength=0.5, background=50.0
    )
    plane = tifffile.imread(truth.folder / "VW0/LOC000/VW0_LOC000_CM0_CHN00_PLN0000.tif").astype(float) - 50
    assert plane.min() / plane.max() == pytest.approx(0.5, abs=0.01)


def test_volumes_that_cannot_be_cut_are_named(tmp_path):
    volume = np.zeros((4, 60, 60), np.uint16)
    with pytest.raises(InputError, match="too few"):
        make_from_volume(tmp_path / "a", [volume], columns=20)
    with pytest.raises(InputError, match="uint16"):
        make_from_volume(tmp_path / "a", [volume.astype(np.float32)])
    with pytest.raises(InputError, match="one shape"):
        make_from_volume(tmp_path / "a", [volume, volume[1:]])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.needs("shared")
def test_a_real_brain(tmp_path, shared_data):
    volume = tifffile.imread(shared_data / "real_brain_50um.tif")[100:130]
    truth = make_from_volume(
        tmp_path / "a", [volume, inverted(volume)], unscanned=frozenset({(0, 0)}), magnification=4
    )
    check(truth, volume, "CHN00")
    check(truth, inverted(volume), "CHN01")
