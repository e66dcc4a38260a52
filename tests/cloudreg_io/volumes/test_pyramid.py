"""The pyramid's arithmetic against exact fractions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cloudreg_io.errors import InputError
from cloudreg_io.volumes.pyramid import downsample_mode, downsample_sums, mean_from_sums, sums_dtype
from support.small_volumes import means, modes

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32"]
shapes = hnp.array_shapes(min_dims=3, max_dims=3, max_side=7)
factors = st.tuples(*[st.integers(1, 3)] * 3)


def mean(array, *steps):
    """Means after several steps of pooling, as the writer takes them."""
    total = (1, 1, 1)
    sums = array
    for step in steps:
        total = tuple(t * s for t, s in zip(total, step, strict=True))
        sums = downsample_sums(sums, step, sums_dtype(array.dtype, int(np.prod(total))))
    return mean_from_sums(sums, array.dtype, factor=total, size=array.shape[::-1]), total


@given(st.data(), st.sampled_from(INTEGERS), factors, factors)
@settings(max_examples=60, deadline=None)
def test_means_are_exact(data, dtype, one, two):
    array = data.draw(hnp.arrays(dtype, shapes))
    got, total = mean(array, one, two)
    assert got.dtype == array.dtype
    np.testing.assert_array_equal(got, means(array, total))


@given(hnp.arrays("float32", shapes, elements=st.floats(-1e6, 1e6, width=32)), factors)
@settings(max_examples=30, deadline=None)
def test_means_of_floats(array, factor):
    got, total = mean(array, factor)
    np.testing.assert_allclose(got, means(array, total), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_the_largest_values_do_not_overflow(dtype):
    for value in (np.iinfo(dtype).max, np.iinfo(dtype).min):
        array = np.full((4, 6, 10), value, dtype)
        got, _ = mean(array, (2, 2, 2), (2, 2, 2), (2, 2, 1))
        assert (got == value).all()


def test_halves_go_to_the_even_neighbour():
    array = np.array([[[0, 1], [0, 0]], [[1, 1], [0, 1]]], np.uint8)  # 0.25 and 0.75 in z; 0.5 in all
    got, _ = mean(array, (2, 2, 2))
    assert got.item() == 0
    assert mean(array + 1, (2, 2, 2))[0].item() == 2


def test_a_part_of_a_level_is_divided_as_the_whole():
    array = np.random.default_rng(0).integers(0, 65536, (5, 9, 11), np.uint16)
    sums = downsample_sums(array, (2, 4, 2), np.uint32)
    whole = mean_from_sums(sums, "uint16", factor=(2, 4, 2), size=(11, 9, 5))
    part = mean_from_sums(sums[1:, 1:, 2:], "uint16", factor=(2, 4, 2), size=(11, 9, 5), lower=(2, 1, 1))
    np.testing.assert_array_equal(part, whole[1:, 1:, 2:])


def test_no_level_is_biased():
    # truncating at every level, as common downsamplers do, loses half a grey level; nothing may be lost here
    rng = np.random.default_rng(3)
    array = rng.poisson(300, (16, 512, 512)).astype(np.uint16)
    truth = array.mean()
    sums, truncated, factor = array, array, 1
    for _ in range(4):
        factor *= 2
        sums = downsample_sums(sums, (2, 2, 1), np.uint32)
        got = mean_from_sums(sums, "uint16", factor=(factor, factor, 1), size=(512, 512, 16))
        truncated = (downsample_sums(truncated, (2, 2, 1), np.uint32) // 4).astype(np.uint16)
        exact = sums / factor**2
        assert abs((got - exact).mean()) <= 0.01
        assert np.abs(got - exact).max() <= 0.5
        assert truncated.mean() - truth < -0.3


@pytest.mark.parametrize(("dtype", "voxels", "wanted"), [
    ("uint16", 65536, "uint32"), ("uint16", 65537, "uint64"), ("uint8", 1 << 24, "uint32"),
    ("int16", 1 << 16, "int32"), ("uint32", 2, "uint64"), ("float32", 8, "float64"),
])  # fmt: skip
def test_the_type_of_sums(dtype, voxels, wanted):
    assert sums_dtype(dtype, voxels) == wanted


def test_what_cannot_be_added_exactly():
    with pytest.raises(InputError, match="cannot be added exactly"):
        sums_dtype("uint64", 2)


@given(st.data(), st.sampled_from(["uint8", "uint16", "uint32", "uint64"]), factors)
@settings(max_examples=60, deadline=None)
def test_modes(data, dtype, factor):
    top = np.iinfo(dtype).max  # labels that a float would confuse
    labels = data.draw(hnp.arrays(dtype, shapes, elements=st.sampled_from([0, 1, top - 1, top])))
    got = downsample_mode(labels, factor)
    assert got.dtype == labels.dtype
    np.testing.assert_array_equal(got, modes(labels, factor))
