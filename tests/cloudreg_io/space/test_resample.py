import sys

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudreg_io.errors import InputError
from cloudreg_io.space import Grid, resample

CASES = [
    # up, down, moved beyond the border on both sides, another origin of the input, sizes that do not divide
    (Grid((9, 8, 7), (1.0, 2.0, 5.0)), Grid((21, 15, 30), (0.45, 1.1, 1.3), (-0.9, -0.5, 0.3))),
    (Grid((30, 20, 10), (0.5, 0.7, 3.0), (4.0, -3.0, 11.0)), Grid((7, 9, 11), (2.3, 1.9, 2.8), (3.1, -4.0, 9.0))),
    (Grid((5, 4, 1), (1.0, 1.0, 4.0)), Grid((9, 9, 3), (0.6, 0.6, 1.7), (-0.4, 0.1, -1.6))),
]


def by_simpleitk(array, grid, onto, method, outside):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    sampler = sitk.ResampleImageFilter()
    sampler.SetSize(onto.size)
    sampler.SetOutputSpacing(onto.spacing)
    sampler.SetOutputOrigin(onto.origin)
    sampler.SetInterpolator(method)
    sampler.SetDefaultPixelValue(outside)
    return sitk.GetArrayFromImage(sampler.Execute(image))


@pytest.mark.parametrize(("grid", "onto"), CASES)
def test_linear_is_simpleitk(grid, onto):
    array = np.random.default_rng(1).normal(100, 50, grid.shape)
    expected = by_simpleitk(array, grid, onto, sitk.sitkLinear, -7.25)
    assert (expected == -7.25).any()
    np.testing.assert_allclose(resample(array, grid, onto, outside=-7.25), expected, rtol=1e-9)
    single = array.astype(np.float32)
    np.testing.assert_allclose(
        resample(single, grid, onto, outside=-7.25),
        by_simpleitk(single, grid, onto, sitk.sitkLinear, -7.25),
        rtol=1e-4,
    )


@pytest.mark.parametrize(("grid", "onto"), CASES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint64, np.float32])
def test_nearest_is_simpleitk(grid, onto, dtype):
    array = np.random.default_rng(2).integers(1, 200, grid.shape).astype(dtype)
    expected = by_simpleitk(array, grid, onto, sitk.sitkNearestNeighbor, 0)
    result = resample(array, grid, onto, order=0)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, expected)


def test_labels_beyond_the_reach_of_floats_stay_what_they_are():
    array = np.array([[[2**63 + 1, 2**53 + 1], [614454277, 2**64 - 1]]], dtype=np.uint64)
    grid = Grid.of_array(array, (1, 1, 1))
    fine = resample(array, grid, grid.with_spacing((0.5, 0.5, 0.5)), order=0)
    np.testing.assert_array_equal(fine, array.repeat(2, 0).repeat(2, 1).repeat(2, 2))


def ramp(grid, slope=(1.0, -2.0, 0.5)):
    return grid.points() @ np.array(slope)


def well_inside(grid, onto, reach):
    """Which samples of `onto` lie at least `reach` samples of `grid` away from its border, as an index."""
    keep = []
    for axis in (2, 1, 0):
        index = (onto.axes()[axis] - grid.origin[axis]) / grid.spacing[axis]
        keep.append((index >= reach) & (index <= grid.size[axis] - 1 - reach))
    assert all(axis.any() for axis in keep)
    return np.ix_(*keep)


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.floats(0.3, 2.5)] * 3), st.sampled_from([1, 3]))
def test_a_ramp_in_space_stays_that_ramp_on_any_grid(spacing, order):
    # a shift of half a voxel anywhere would show
    grid = Grid((24, 22, 30), (1.0, 1.5, 0.8), (5.0, 0.0, -3.0))
    onto = grid.with_spacing(spacing)
    inner = well_inside(grid, onto, order)
    np.testing.assert_allclose(resample(ramp(grid), grid, onto, order=order)[inner], ramp(onto)[inner], atol=1e-9)


@pytest.mark.parametrize("ratio", [1.01, 1.25, 2, 3.3, 5])
@pytest.mark.parametrize("order", [1, 3])
def test_antialiasing_does_not_shift(ratio, order):
    grid = Grid((40, 40, 40), (1.0, 1.5, 0.8))
    onto = grid.with_spacing([ratio * edge for edge in grid.spacing])
    inner = well_inside(grid, onto, order + ratio)
    result = resample(ramp(grid), grid, onto, order=order, antialias=True)
    np.testing.assert_allclose(result[inner], ramp(onto)[inner], atol=1e-9)


def test_cubic_keeps_a_parabola():
    grid = Grid((30, 1, 1), (1, 1, 1))
    onto = Grid((40, 1, 1), (0.5, 1, 1), (4.0, 0, 0))
    array = (grid.axes()[0] ** 2)[None, None, :]
    np.testing.assert_allclose(resample(array, grid, onto, order=3)[0, 0], onto.axes()[0] ** 2, atol=1e-9)


def test_antialiasing_keeps_the_mean_of_noise_that_sampling_would_fold():
    array = np.random.default_rng(3).normal(0, 1, (32, 32, 32))
    grid = Grid.of_array(array, (1, 1, 1))
    onto = grid.with_spacing((4, 4, 4))
    assert resample(array, grid, onto, antialias=True).std() < 0.5 * resample(array, grid, onto).std()


def test_integers_are_rounded_and_clipped():
    array = np.array([[[0, 65535, 0, 65535]]], dtype=np.uint16)
    grid = Grid.of_array(array, (1, 1, 1))
    middle = Grid((3, 1, 1), (1, 1, 1), (0.25, 0, 0))
    np.testing.assert_array_equal(resample(array, grid, middle)[0, 0], [16384, 49151, 16384])
    cubic = resample(array, grid, Grid((9, 1, 1), (0.25, 1, 1), (0.5, 0, 0)), order=3)
    assert cubic.max() == 65535  # the overshoot does not wrap
    assert cubic.dtype == np.uint16


@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.uint64])
def test_the_largest_integers_do_not_wrap(dtype):
    array = np.full((1, 1, 4), np.iinfo(dtype).max, dtype=dtype)
    grid = Grid.of_array(array, (1, 1, 1))
    result = resample(array, grid, Grid((3, 1, 1), (1, 1, 1), (0.5, 0, 0)))
    assert (result > np.iinfo(dtype).max * 0.999).all()


def test_the_input_is_never_changed_nor_shared():
    array = np.ones((3, 3, 3))
    grid = Grid.of_array(array, (1, 1, 1))
    result = resample(array, grid, grid)
    result[:] = 5
    assert (array == 1).all()


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("edge", [0.6, 3.3])
def test_blocks_of_planes_change_nothing(monkeypatch, order, edge):
    array = np.random.default_rng(5).integers(0, 60000, (90, 8, 9), dtype=np.uint16)
    grid = Grid.of_array(array, (1, 1, 1))
    onto = grid.with_spacing((edge, edge, edge))
    whole = resample(array, grid, onto, order=order, antialias=True)
    module = sys.modules["cloudreg_io.space.resample"]
    monkeypatch.setattr(module, "_BLOCK_VOXELS", 1)
    np.testing.assert_array_equal(resample(array, grid, onto, order=order, antialias=True), whole)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_without_an_outside_value_the_border_continues(order):
    array = np.arange(4, dtype=np.uint16).reshape(1, 1, 4) * 10
    grid = Grid.of_array(array, (1, 1, 1))
    beyond = Grid((6, 1, 1), (2, 1, 1), (-5, 0.4, 9))
    np.testing.assert_array_equal(
        resample(array, grid, beyond, order=order, outside=None)[0, 0], [0, 0, 0, 10, 30, 30]
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"grid": Grid((1, 1, 1), (1, 1, 1))}, "does not fit its grid"),
        ({"order": 2}, "order 2"),
        ({"outside": -1}, "outside value"),
        ({"outside": float("nan")}, "outside value"),
        ({"array": np.zeros((2, 2, 2), bool)}, "cannot be interpolated"),
    ],
)
def test_what_cannot_be_done_is_refused(change, named):
    array = np.zeros((2, 2, 2), np.uint16)
    grid = Grid.of_array(array, (1, 1, 1))
    arguments = {"array": array, "grid": grid, "onto": grid, "order": 1, "outside": 0} | change
    with pytest.raises(InputError, match=named):
        resample(arguments.pop("array"), arguments.pop("grid"), arguments.pop("onto"), **arguments)
