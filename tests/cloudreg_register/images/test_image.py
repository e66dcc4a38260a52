"""Volumes as they arrive in registration: voxel sizes, positions, types, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudreg_io.errors import CloudRegError, InputError, NotFoundError, ToolError
from cloudreg_io.files.image import write_image
from cloudreg_io.space import Grid, VoxelSize
from cloudreg_register.images.blocks import block_factors, block_reduced
from cloudreg_register.images.image import Image, load_image
from cloudreg_register.images.plausible import as_label_ids, require_larger_than, require_same_extent
from support.small_volumes import means, write_volume


def noise(shape=(12, 14, 16), dtype="uint16"):
    return np.random.default_rng(0).integers(0, 2000, shape).astype(dtype)


def ramps(grid):
    """A linear function of position: resampling that shifts nothing keeps it, away from the borders."""
    points = grid.points()
    return (points @ [1.0, 2.0, 4.0]).astype(np.float32)


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".tif"])
def test_a_file_at_its_own_voxel_size(tmp_path, suffix):
    path = tmp_path / f"brain{suffix}"
    write_image(path, noise(), VoxelSize(50, 60, 70))
    image = load_image(path, resolution_um=None, orientation="LPS")
    np.testing.assert_array_equal(image.array, noise())
    assert image.array.dtype == np.float32
    assert tuple(image.voxel_size) == pytest.approx((50, 60, 70))
    assert image.grid == image.mip0
    assert image.name == str(path)


def test_negative_floats_in_millimetres(tmp_path):
    import nibabel

    array = -noise().astype(np.float32) / 1000
    header = nibabel.Nifti1Header()
    header.set_xyzt_units("mm")
    nibabel.save(nibabel.Nifti1Image(array.T, np.diag([0.05, 0.05, 0.05, 1]), header), tmp_path / "mm.nii")
    image = load_image(tmp_path / "mm.nii", resolution_um=50, orientation="RAS")
    assert tuple(image.voxel_size) == pytest.approx((50, 50, 50))
    np.testing.assert_allclose(image.array, array)


@settings(max_examples=40, deadline=None)
@given(
    voxel_size=st.tuples(*[st.floats(3, 60)] * 3),
    size=st.tuples(*[st.integers(8, 24)] * 3),
    resolution=st.floats(20, 120),
)
def test_resampling_shifts_nothing_and_is_fine_enough(voxel_size, size, resolution):
    grid = Grid(size, voxel_size)
    image = Image(ramps(grid), grid, grid, *[load_orientation()])
    coarse = image.resampled(resolution)
    for edge, own in zip(coarse.voxel_size, voxel_size, strict=True):
        assert edge <= max(resolution, own) * (1 + 1e-9)
        assert edge * 1.1 >= min(resolution, max(resolution, own)) or edge == own
    np.testing.assert_allclose(coarse.grid.corner, grid.corner, atol=1e-9)
    if min(coarse.array.shape) >= 7:
        inner = (slice(2, -3),) * 3
        np.testing.assert_allclose(
            coarse.array[inner], ramps(coarse.grid)[inner], rtol=1e-4, atol=1e-4 * np.abs(image.array).max()
        )


def load_orientation():
    from cloudreg_io.space import Orientation

    return Orientation("LPS")


def test_the_coarsest_mip_that_is_fine_enough_is_read_and_positions_refer_to_mip_0(tmp_path):
    array = noise((30, 33, 37))
    volume = write_volume(tmp_path, array, (10, 10, 10), mips=3, chunk=(16, 16, 16))
    image = load_image(volume.url, resolution_um=42, orientation="LPS")
    np.testing.assert_array_equal(image.array, volume.read(mip=2))
    assert tuple(image.voxel_size) == (40, 40, 40)
    assert image.grid.origin == (15, 15, 15)
    assert image.mip0 == Grid((37, 33, 30), (10, 10, 10))
    # the centre is that of mip 0, though the level's own last voxel is partly empty
    assert image.centred_grid.origin == (15 - 180, 15 - 160, 15 - 145)


def test_a_level_that_is_too_fine_is_reduced_box_by_box(tmp_path, monkeypatch):
    array = noise((30, 33, 37))
    volume = write_volume(tmp_path, array, (10, 10, 10), mips=1, chunk=(16, 16, 16))
    monkeypatch.setattr("cloudreg_register.images.blocks._BOX", (12, 9, 6))
    image = load_image(volume.url, resolution_um=32, orientation="LPS")
    np.testing.assert_allclose(image.array, means(array.astype(float), (3, 3, 3)), rtol=1e-6)
    assert image.grid == Grid((37, 33, 30), (10, 10, 10)).with_spacing((30, 30, 30))


def test_a_stated_voxel_size_replaces_that_of_the_volume(tmp_path):
    volume = write_volume(tmp_path, noise((32, 32, 32)), (1, 1, 1), mips=3, chunk=(16, 16, 16))
    image = load_image(volume.url, resolution_um=20, orientation="LPS", voxel_size=(10, 10, 10))
    assert tuple(image.voxel_size) == (20, 20, 20)
    assert image.grid.origin == (5, 5, 5)
    assert image.mip0.spacing == (10, 10, 10)


@pytest.mark.parametrize("dtype", ["uint32", "uint64"])
def test_labels_keep_their_type_and_their_ids(tmp_path, dtype):
    ids = np.array([0, 614454277, 2**63 + 1 if dtype == "uint64" else 2**32 - 1], dtype)
    array = ids[np.random.default_rng(1).integers(0, 3, (12, 12, 12))]
    write_image(tmp_path / "labels.nrrd", array, VoxelSize(10, 10, 10))
    image = load_image(tmp_path / "labels.nrrd", resolution_um=25, orientation="PIR", labels=True)
    assert image.array.dtype == dtype
    assert set(np.unique(image.array)) <= set(ids)
    assert tuple(image.voxel_size) == (25, 25, 25)


def test_labels_written_as_floats_are_exact_or_refused():
    whole = np.array([[[0.0, 2.0**24]]], np.float32)
    assert as_label_ids(whole, "l").dtype == np.uint32
    with pytest.raises(InputError, match="rounded already"):
        as_label_ids(np.array([[[614454277]]], np.float32), "l")
    assert as_label_ids(np.array([[[614454277.0]]]), "l")[0, 0, 0] == 614454277
    with pytest.raises(InputError, match="fractions"):
        as_label_ids(whole / 3, "l")
    with pytest.raises(InputError, match="wrapped"):
        as_label_ids(np.array([[[-5]]], np.int16), "l")


def bad_file(tmp_path, name):
    array = noise().astype(np.float32)
    voxel_size = VoxelSize(50, 50, 50)
    if name == "nan":
        array[3, 4, 5] = np.nan
    elif name == "constant":
        array[:] = 7
    elif name == "empty":
        array[:] = 0
    elif name == "plane":
        array = array[:1]
    write_image(tmp_path / "bad.nrrd", array, voxel_size)
    return tmp_path / "bad.nrrd"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nan", r"1 of 2688 voxels are not a number.*\(5, 4, 3\)"),
        ("constant", "constant: every voxel is 7"),
        ("empty", "empty: every voxel is 0"),
        ("plane", "too few"),
    ],
)
def test_an_image_without_something_to_register_is_refused(tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        load_image(bad_file(tmp_path, name), resolution_um=None, orientation="LPS")


def test_a_file_without_voxel_size_asks_for_it(tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "plain.tif", noise())
    with pytest.raises(InputError, match="does not say how large") as caught:
        load_image(tmp_path / "plain.tif", resolution_um=100, orientation="LPS")
    assert "--voxel-size" in caught.value.fix
    image = load_image(tmp_path / "plain.tif", resolution_um=100, orientation="LPS", voxel_size=(50, 50, 50))
    assert image.array.shape == (6, 7, 8)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"orientation": "LLS"}, InputError),
        ({"orientation": "lps"}, InputError),
        ({"voxel_size": (0, 1, 1)}, InputError),
        ({"voxel_size": (5000.0, 1, 1)}, InputError),
        ({"memory": 1000}, ToolError),
    ],
)
def test_bad_options(tmp_path, options, error):
    write_image(tmp_path / "brain.nrrd", noise(), VoxelSize(50, 50, 50))
    with pytest.raises(error):
        load_image(tmp_path / "brain.nrrd", **{"resolution_um": 50, "orientation": "LPS"} | options)


@pytest.mark.parametrize("name", ["absent.nrrd", "absent"])
def test_what_is_not_there(tmp_path, name):
    with pytest.raises(NotFoundError):
        load_image(tmp_path / name, resolution_um=50, orientation="LPS")


def test_other_suffixes_are_named(tmp_path):
    (tmp_path / "brain.czi").write_bytes(b"x")
    with pytest.raises(CloudRegError):
        load_image(tmp_path / "brain.czi", resolution_um=50, orientation="LPS")


def test_labels_of_another_extent_are_refused_but_rounding_is_not():
    atlas = Grid((132, 80, 114), (100, 100, 100))
    require_same_extent(atlas, Grid((528, 320, 456), (25, 25, 25)), "a", "l")
    require_same_extent(atlas, Grid((1316, 796, 1137), (10, 10, 10)), "a", "l")
    with pytest.raises(InputError, match="another atlas"):
        require_same_extent(atlas, Grid((132, 80, 100), (100, 100, 100)), "a", "l")
    with pytest.raises(InputError, match="axes in another order"):
        require_same_extent(atlas, Grid((114, 80, 132), (100, 100, 100)), "a", "l")


def test_a_volume_smaller_than_a_kernel_is_refused():
    require_larger_than(Grid((10, 10, 10), (100, 100, 100)), 900, "brain")
    with pytest.raises(InputError, match="smaller than"):
        require_larger_than(Grid((10, 10, 10), (100, 100, 50)), 900, "brain")


def test_block_means_of_wide_integers():
    array = np.full((4, 4, 4), 2**62, np.uint64)
    np.testing.assert_allclose(block_reduced(array, (3, 2, 4)), 2.0**62)
    assert block_factors(VoxelSize(10, 33.3, 200), 100) == (10, 3, 1)
