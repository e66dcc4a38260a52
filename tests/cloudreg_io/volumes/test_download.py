import logging

import numpy as np
import pytest
import SimpleITK as sitk

from cloudreg_io.errors import InputError, NotFoundError, ToolError
from cloudreg_io.files.image import read_image
from cloudreg_io.space import Bounds, Grid, VoxelSize
from cloudreg_io.volumes.download import download
from support.small_volumes import write_volume

VOXEL_SIZE = (2.0, 2.0, 5.0)


def ramp(shape=(11, 40, 50), slope=(3.0, 2.0, 7.0)):
    """Values that say where they are: 100 + slope · position."""
    points = Grid(shape[::-1], VOXEL_SIZE).points()
    return (100 + points @ np.array(slope)).astype(np.float32)


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    return write_volume(tmp_path_factory.mktemp("ramp"), ramp(), VOXEL_SIZE, chunk=(16, 16, 8), smallest=8)


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    ids = np.array([2**63 + 1, 2**53 + 1, 7], np.uint64)
    array = ids[np.random.default_rng(0).integers(0, 3, (5, 20, 20))]
    return write_volume(
        tmp_path_factory.mktemp("labels"), array, VOXEL_SIZE, chunk=(16, 16, 8), mips=2, layer="segmentation"
    )


@pytest.mark.parametrize("suffix", [".tif", ".nrrd", ".nii.gz"])
def test_the_coarsest_mip_that_is_fine_enough_with_its_spacing(tmp_path, volume, suffix):
    report = download(volume.url, tmp_path / f"brain{suffix}", voxel_size=10)
    assert report.mip == 2
    array, voxel_size = read_image(report.file)
    np.testing.assert_array_equal(array, volume.read(mip=2))
    assert voxel_size == report.voxel_size == volume.voxel_size(2) == VoxelSize(8, 8, 10)
    assert report.size == array.shape[::-1]


def test_each_mip_is_taken_at_its_own_voxel_size(tmp_path, volume):
    for mip in range(len(volume.spec.mips)):
        size = volume.voxel_size(mip)
        assert download(volume.url, tmp_path / f"{mip}.nrrd", voxel_size=tuple(size)).mip == mip


def test_finer_than_mip_0_is_mip_0_and_a_warning(tmp_path, volume, caplog):
    with caplog.at_level(logging.WARNING):
        report = download(volume.url, tmp_path / "brain.tif", voxel_size=1)
    assert report.mip == 0
    assert "finer than mip 0" in caplog.text


def test_isotropic_is_a_cube_at_the_right_place(tmp_path, volume):
    # the ramp shows every shift; the mip's own half-voxel offset is part of it
    report = download(volume.url, tmp_path / "brain.nrrd", voxel_size=10, isotropic=True)
    array, voxel_size = read_image(report.file)
    assert voxel_size == VoxelSize(10, 10, 10)
    assert report.size == (10, 8, 6)  # 100 × 80 × 55 µm
    grid = Grid(report.size, tuple(report.voxel_size), report.origin)
    expected = 100 + grid.points() @ np.array([3.0, 2.0, 7.0])
    inner = (slice(2, -2),) * 3
    np.testing.assert_allclose(array[inner], expected[inner], rtol=1e-5)
    assert grid.corner == pytest.approx((-1, -1, -2.5))
    assert (array > 0).all()  # no black rim


def test_isotropic_agrees_with_simpleitk_where_that_only_interpolates(tmp_path, volume):
    report = download(volume.url, tmp_path / "brain.nrrd", voxel_size=2, isotropic=True)  # finer in z: no low-pass
    image = sitk.GetImageFromArray(volume.read())
    image.SetSpacing(VOXEL_SIZE)
    sampler = sitk.ResampleImageFilter()
    sampler.SetSize(report.size)
    sampler.SetOutputSpacing((2.0, 2.0, 2.0))
    sampler.SetOutputOrigin(report.origin)
    expected = sitk.GetArrayFromImage(sampler.Execute(image))
    array, _ = read_image(report.file)
    np.testing.assert_allclose(array[:-1], expected[:-1], rtol=1e-5)  # the last plane may reach beyond the volume


def test_labels_are_never_averaged(tmp_path, labels):
    report = download(labels.url, tmp_path / "labels.nrrd", voxel_size=3, isotropic=True)
    array, _ = read_image(report.file)
    assert array.dtype == np.uint64
    assert set(np.unique(array)) <= {2**63 + 1, 2**53 + 1, 7}
    # each voxel is the one whose box holds its centre
    index = np.floor(Grid(report.size, (3, 3, 3), report.origin).points() / VOXEL_SIZE + 0.5).astype(int)
    index = np.minimum(index, np.array(labels.size()) - 1)
    np.testing.assert_array_equal(array, labels.read()[index[..., 2], index[..., 1], index[..., 0]])


def test_bounds_are_mip_0_voxels_widened_to_the_mip(tmp_path, volume):
    report = download(volume.url, tmp_path / "part.tif", voxel_size=10, bounds=Bounds((5, 8, 2), (21, 24, 7)))
    array, _ = read_image(report.file)
    np.testing.assert_array_equal(array, volume.read(mip=2)[1:4, 2:6, 1:6])
    assert report.origin == pytest.approx(volume.grid(2).crop(Bounds((1, 2, 1), (6, 6, 4))).origin)
    with pytest.raises(InputError, match="miss the volume"):
        download(volume.url, tmp_path / "none.tif", voxel_size=10, bounds=Bounds((50, 0, 0), (60, 9, 9)))


@pytest.mark.parametrize("suffix", [".tif", ".nrrd", ".nii"])
@pytest.mark.parametrize("isotropic", [False, True])
def test_a_z_of_1_stays(tmp_path, suffix, isotropic):
    array = np.random.default_rng(0).integers(1, 1000, (1, 20, 24), dtype=np.uint16)
    made = write_volume(tmp_path, array, (2, 2, 5), mips=1)
    report = download(
        made.url, tmp_path / f"plane{suffix}", voxel_size=40 if isotropic else 5, isotropic=isotropic
    )
    again, _ = read_image(report.file)
    assert again.shape == ((1, 1, 2) if isotropic else (1, 20, 24))
    assert again.min() > 0


def test_what_does_not_fit_into_memory_is_refused_before_reading(tmp_path, volume):
    with pytest.raises(ToolError, match="too little"):
        download(volume.url, tmp_path / "brain.tif", voxel_size=2, memory=50_000)
    assert not list(tmp_path.iterdir())


def test_what_is_in_the_way_or_absent_is_said_so(tmp_path, volume):
    (tmp_path / "brain.tif").write_text("mine")
    with pytest.raises(InputError, match=r"brain.tif exists"):
        download(volume.url, tmp_path / "brain.tif", voxel_size=10)
    assert (tmp_path / "brain.tif").read_text() == "mine"
    assert download(volume.url, tmp_path / "brain.tif", voxel_size=10, overwrite=True).mip == 2
    with pytest.raises(InputError, match="unknown suffix"):
        download(volume.url, tmp_path / "brain.mha", voxel_size=10)
    with pytest.raises(NotFoundError, match="not a precomputed volume"):
        download(tmp_path, tmp_path / "other.tif", voxel_size=10)
