"""Voxel sizes: what is one, and what is nanometres given for µm."""

import pytest

from cloudreg_io.errors import InputError
from cloudreg_io.space import VoxelSize


@pytest.mark.parametrize("edge", [0, -1, float("nan"), float("inf")])
def test_edges_are_positive(edge):
    with pytest.raises(InputError, match=r"voxel size y = .* is not a positive number"):
        VoxelSize(1, edge, 1)


def test_images_of_magnetic_resonance_have_voxels_of_millimetres():
    assert tuple(VoxelSize(3000, 3000, 3500)) == (3000, 3000, 3500)


@pytest.mark.parametrize("values", [(5e3, 1, 1), (585, 585, 5000), (5e9, 5e9, 5e9)])
def test_beyond_are_nanometres(values):
    with pytest.raises(InputError, match="larger than 4 mm") as caught:
        VoxelSize(*values)
    assert f"{values[0] / 1000:g}" in caught.value.fix


def test_a_microscope_has_none_of_a_millimetre():
    assert VoxelSize.of_microscope((585, 585, 1000)) == VoxelSize(585, 585, 1000)
    with pytest.raises(InputError, match="larger than a millimetre") as caught:
        VoxelSize.of_microscope((585, 585, 3500))
    assert caught.value.fix == "did you mean 0.585 × 0.585 × 3.5 µm?"
