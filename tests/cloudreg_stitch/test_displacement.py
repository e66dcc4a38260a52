import numpy as np
import pytest
from scipy import ndimage

from cloudreg_stitch.block_kernels import block_sums, moved
from cloudreg_stitch.correlation import correlate
from cloudreg_stitch.displacement import Measurement
from cloudreg_stitch.highpass import highpass, summed_volume
from cloudreg_stitch.null import confidence, evidence_against, normal_level, threshold
from cloudreg_stitch.peak import TAPS, fraction_taps, quadratic_peak


def overlap(a, b, shift):
    """The parts of a and b that lie on each other when a[i] meets b[i - shift]."""
    here = tuple(slice(max(0, k), min(n, m + k)) for k, n, m in zip(shift, a.shape, b.shape, strict=True))
    there = tuple(slice(max(0, -k), min(m, n - k)) for k, n, m in zip(shift, a.shape, b.shape, strict=True))
    return a[here].ravel(), b[there].ravel()


def test_correlation_at_every_shift_is_that_of_the_common_region():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(6, 12, 9)).astype(np.float32), rng.normal(size=(7, 11, 8)).astype(np.float32)
    found = correlate(a, b, ((-2, 3), (-4, 2), (-3, 3)))
    mirrored = b[::-1, ::-1, ::-1]
    for index in np.ndindex(found.ncc.shape):
        shift = np.add(index, found.first)
        assert np.corrcoef(*overlap(a, b, shift))[0, 1] == pytest.approx(found.ncc[index], abs=1e-5)
        assert np.corrcoef(*overlap(a, mirrored, shift))[0, 1] == pytest.approx(found.null[index], abs=1e-5)
        assert len(overlap(a, b, shift)[0]) / b.size == pytest.approx(found.weight[index] ** 2, abs=1e-5)


def test_strips_without_texture_correlate_with_nothing():
    flat = np.full((4, 8, 8), 100, np.float32)
    found = correlate(flat, flat, ((-1, 1), (-2, 2), (-2, 2)))
    assert not found.ncc.any()


def test_shifts_with_too_little_in_common_are_left_out():
    rng = np.random.default_rng(2)
    a = rng.normal(size=(4, 16, 6)).astype(np.float32)
    found = correlate(a, a, ((0, 0), (0, 0), (-9, 9)))
    assert found.weight[0, 0, 9] == pytest.approx(1)
    assert not found.weight[0, 0, :3].any()
    assert not found.ncc[0, 0, :3].any()


@pytest.mark.parametrize("shape", [(3, 40, 30), (2, 9, 40), (1, 5, 4)])
def test_highpass_subtracts_the_mean_of_the_square(shape):
    values = np.random.default_rng(3).normal(500, 30, shape).astype(np.float32)
    size = (1, 13, 13)
    inside = ndimage.uniform_filter(np.ones(shape), size, mode="constant")
    expected = values - ndimage.uniform_filter(values.astype(float), size, mode="constant") / inside
    assert np.allclose(highpass(values, 6), expected, atol=5e-3)


def test_summed_volume():
    values = np.random.default_rng(4).normal(size=(4, 5, 6)).astype(np.float32)
    assert summed_volume(values, 1)[3, 2, 5] == pytest.approx(values[:3, :2, :5].sum(), abs=1e-5)
    assert summed_volume(values, 2)[-1, -1, -1] == pytest.approx(np.square(values).sum(), rel=1e-5)


def test_block_sums_are_those_of_every_place_in_the_window():
    rng = np.random.default_rng(5)
    block = rng.normal(size=(4, 6, 7)).astype(np.float32)
    window = rng.normal(size=(6, 8, 11)).astype(np.float32)
    energy, cross, there = block_sums(block, window)
    assert cross.shape == there.shape == (3, 3, 5)
    assert energy == pytest.approx(np.square(block).sum(), rel=1e-5)
    for k, j, i in np.ndindex(cross.shape):
        part = window[k : k + 4, j : j + 6, i : i + 7]
        assert cross[k, j, i] == pytest.approx((block * part).sum(), abs=1e-3)
        assert there[k, j, i] == pytest.approx(part.var(dtype=float) * part.size, rel=1e-4)


def test_a_block_is_moved_by_a_fraction_of_a_voxel():
    def wave(z, y, x):
        return np.cos(0.9 * z + 0.5 * y - 0.7 * x + 1)

    offset = np.array([0.3, -0.45, 0.2])
    z, y, x = np.meshgrid(*(np.arange(n) for n in (16, 17, 18)), indexing="ij")
    found = moved(wave(z, y, x).astype(np.float32), fraction_taps(offset))
    inner = (slice(TAPS, -TAPS),) * 3
    expected = wave(z - offset[0], y - offset[1], x - offset[2])[inner]
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 0.02


def test_quadratic_peak():
    z, y, x = np.meshgrid(*(np.arange(-1.0, 2),) * 3, indexing="ij")
    values = 1 - 0.1 * (z - 0.3) ** 2 - 0.2 * (y + 0.4) ** 2 - 0.3 * x**2
    assert np.allclose(quadratic_peak(values), (0.3, -0.4, 0))
    assert not quadratic_peak(np.ones((3, 3, 3))).any()


def measurement(score, null, blocks=12, agreeing=12, lowest=-3.0, ncc=0.3):
    vector = (0.0, 0.0, 0.0)
    return Measurement(True, vector, vector, score, null, 5000, lowest, ncc, blocks, agreeing)


def test_the_level_follows_the_null_where_there_are_enough_pairs():
    few = [measurement(50, 4.0 + 0.2 * i) for i in range(4)]
    assert threshold(few) == normal_level(few)
    assert 5 < normal_level(few) < 6.5
    calm = [measurement(50, 3.8 + 0.05 * (i % 5)) for i in range(40)]
    wild = [measurement(50, 4.0 + 1.5 * (i % 5)) for i in range(40)]
    assert threshold(calm) == normal_level(calm)
    assert threshold(wild) > 12
    assert threshold([]) == np.inf


def test_what_is_believed_and_what_is_not():
    assert confidence(measurement(30, 4), 6.0) > 0.9
    assert confidence(measurement(5, 4), 6.0) == 0
    assert confidence(measurement(30, 28), 6.0) == 0
    assert confidence(measurement(30, 4, agreeing=2), 6.0) == 0
    # small tiles of coarse structure: low peaks, but every block agrees and correlates well
    assert confidence(measurement(5, 3, ncc=0.9), 6.0) > 0.5
    assert confidence(measurement(5, 4.5, ncc=0.9), 6.0) == 0
    assert confidence(measurement(5, 3, ncc=0.9, agreeing=9), 6.0) == 0
    # above the bound of normal noise, below the level of this set: only if nearly all blocks agree
    assert confidence(measurement(8, 4), 12.0) > 0
    assert confidence(measurement(8, 4, agreeing=6), 12.0) == 0
    assert confidence(measurement(8, 4, blocks=0, agreeing=0), 12.0) == 0


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (measurement(5, 4), "5.0 standard deviations may be chance"),
        (measurement(30, 28), "mirrored strip"),
        (measurement(30, 4, agreeing=2), "only 2 of 12 blocks agree"),
        (measurement(5, 4, lowest=-20), "anticorrelates"),
        (Measurement(False, (0, 0, 0), (0, 0, 0)), "nothing to correlate"),
    ],
)
def test_evidence_is_in_words(found, words):
    assert words in evidence_against(found, 6.0)
