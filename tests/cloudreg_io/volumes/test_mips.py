"""Mip factors: voxels become cubes and stay so."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudreg_io.errors import InputError
from cloudreg_io.space import VoxelSize
from cloudreg_io.volumes.mips import mip_factors, scaled_size


def anisotropy(voxel_size, factor):
    edges = [v * f for v, f in zip(voxel_size, factor, strict=True)]
    return max(edges) / min(edges)


@pytest.mark.parametrize(
    ("voxel_size", "factors"),
    [
        ((1.46, 1.46, 5), [(1, 1, 1), (2, 2, 1), (4, 4, 1), (8, 8, 2), (16, 16, 4)]),
        ((0.585, 0.585, 5), [(1, 1, 1), (2, 2, 1), (4, 4, 1), (8, 8, 1), (16, 16, 2)]),
        ((4, 4, 4), [(1, 1, 1), (2, 2, 2), (4, 4, 4), (8, 8, 8), (16, 16, 16)]),
        ((5, 5, 1), [(1, 1, 1), (1, 1, 2), (1, 1, 4), (2, 2, 8), (4, 4, 16)]),
        ((1, 1.9, 4), [(1, 1, 1), (2, 2, 1), (4, 2, 1), (8, 4, 2), (16, 8, 4)]),
    ],
)
def test_known(voxel_size, factors):
    assert list(mip_factors((4096, 4096, 4096), VoxelSize(*voxel_size), levels=5)) == factors


@given(
    st.tuples(*[st.integers(1, 5000)] * 3),
    st.tuples(*[st.floats(0.1, 30)] * 3),
    st.integers(1, 300),
)
def test_never_less_isotropic_and_small_enough_at_the_end(size, edges, smallest):
    voxel_size = VoxelSize(*edges)
    factors = mip_factors(size, voxel_size, smallest=smallest)
    assert factors[0] == (1, 1, 1)
    for finer, coarser in pairwise(factors):
        assert coarser != finer
        assert all(c in (f, 2 * f) for f, c in zip(finer, coarser, strict=True))
        assert max(scaled_size(size, finer)) > smallest
        if min(scaled_size(size, finer)) > 1:
            assert anisotropy(voxel_size, coarser) <= anisotropy(voxel_size, finer) * (1 + 1e-6)
    largest_voxel = max(v * f for v, f in zip(voxel_size, factors[-1], strict=True))
    assert max(scaled_size(size, factors[-1])) <= smallest or largest_voxel > 500


@given(st.tuples(*[st.floats(0.05, 2)] * 3))
def test_tends_to_a_cube(edges):
    size = (1 << 20,) * 3
    x, _, z = edges
    three = VoxelSize(*edges)
    assert anisotropy(three, mip_factors(size, three, levels=9)[-1]) <= 2 ** (2 / 3) * (1 + 1e-6)
    two = VoxelSize(x, x, z)  # the pixels of a camera
    assert anisotropy(two, mip_factors(size, two, levels=9)[-1]) <= 2**0.5 * (1 + 1e-6)


def test_a_single_plane_is_never_halved_in_z():
    assert {f[2] for f in mip_factors((4000, 3000, 1), VoxelSize(1, 1, 1))} == {1}


def test_levels_that_cannot_be():
    with pytest.raises(InputError, match=r"9 mips asked for(.|\n)*at most --mips 4"):
        mip_factors((5, 3, 1), VoxelSize(1, 1, 1), levels=9)
    with pytest.raises(InputError, match="positive"):
        mip_factors((5, 3, 1), VoxelSize(1, 1, 1), levels=0)
