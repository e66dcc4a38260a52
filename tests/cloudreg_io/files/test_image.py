"""Round trips and what headers mean, over all formats."""

import gzip

import nibabel
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files import image_tiff
from cloudreg_io.files.image import SUFFIXES, read_image, read_image_header, write_image
from cloudreg_io.space import VoxelSize

VOXEL_SIZE = VoxelSize(0.585, 0.7, 3.5)
DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]


def volume(dtype="uint16", shape=(4, 5, 6)):
    return np.random.default_rng(0).integers(0, 120, shape).astype(dtype)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("images")


arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        st.tuples(*[st.integers(1, 5)] * 3),
        elements=None if dtype[0] in "iu" else {"allow_nan": False},
    )
)
edges = st.integers(1, 999_999).map(lambda n: n / 1000)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=25, deadline=None)
@given(array=arrays, sizes=st.tuples(edges, edges, edges))
def test_round_trip_of_any_voxels_and_spacing(folder, suffix, array, sizes):
    path = folder / f"volume{suffix}"
    write_image(path, array, VoxelSize.of(sizes))
    again, voxel_size = read_image(path)
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)
    assert tuple(voxel_size) == pytest.approx(sizes, rel=1e-6)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_simpleitk_reads_the_same_voxels_and_spacing(tmp_path, suffix, dtype):
    array = volume(dtype)
    path = tmp_path / f"volume{suffix}"
    write_image(path, array, VOXEL_SIZE)
    image = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), array)
    if suffix == ".nrrd":
        assert image.GetSpacing() == pytest.approx(tuple(VOXEL_SIZE))
    elif suffix.startswith(".nii"):
        assert image.GetSpacing() == pytest.approx([edge / 1000 for edge in VOXEL_SIZE])


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz"])
def test_what_simpleitk_writes_is_read(tmp_path, suffix):
    array = volume()
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.025, 0.025, 0.05))  # its users mean millimetres
    image.SetOrigin((3, 4, 5))
    path = tmp_path / f"volume{suffix}"
    sitk.WriteImage(image, str(path))
    again, voxel_size = read_image(path)
    np.testing.assert_array_equal(again, array)
    assert voxel_size == VoxelSize(25, 25, 50)
    assert "origin" in read_image_header(path).notes[0]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_voxels_give_equal_bytes_and_no_part_is_left(tmp_path, suffix):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_image(tmp_path / name / f"volume{suffix}", volume(), VOXEL_SIZE)
    files = [tmp_path / name / f"volume{suffix}" for name in ("a", "b")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert [path.name for path in (tmp_path / "a").iterdir()] == [f"volume{suffix}"]
    if suffix == ".nii.gz":
        assert files[0].read_bytes()[4:8] == bytes(4)  # gzip's own time stamp


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failed_write_leaves_the_old_file(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"volume{suffix}"
    write_image(path, volume(), VOXEL_SIZE)
    before = path.read_bytes()
    with pytest.raises(InputError, match="complex64"):
        write_image(path, volume("complex64"), VOXEL_SIZE)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_labels_of_64_bits_keep_every_bit(tmp_path):
    array = np.array([[[2**53 + 1, 2**63 + 1, 2**64 - 1]]], dtype=np.uint64)
    for suffix in SUFFIXES:
        write_image(tmp_path / f"labels{suffix}", array, VOXEL_SIZE)
        np.testing.assert_array_equal(read_image(tmp_path / f"labels{suffix}")[0], array)


def test_unknown_suffixes_are_refused_with_the_known_ones(tmp_path):
    for call in (
        lambda: read_image(tmp_path / "a.mha"),
        lambda: write_image(tmp_path / "a.gz", volume(), VOXEL_SIZE),
    ):
        with pytest.raises(InputError, match=r"\.tif, \.tiff, \.nrrd, \.nii, \.nii\.gz"):
            call()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_absent_empty_and_foreign_files_are_named(tmp_path, suffix):
    path = tmp_path / f"volume{suffix}"
    with pytest.raises(NotFoundError, match="volume"):
        read_image(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="volume"):
        read_image(path)
    path.write_text("<html>proxy error</html>" * 100)
    with pytest.raises(InputError, match="volume"):
        read_image(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_truncated_files_are_refused(tmp_path, suffix):
    path = tmp_path / f"volume{suffix}"
    write_image(path, np.random.default_rng(1).integers(0, 60000, (20, 20, 20), dtype=np.uint16), VOXEL_SIZE)
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(InputError, match="volume"):
        read_image(path)


# -- TIFF


@pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m", "mm", "nm"])
def test_imagej_spacing_in_its_unit(tmp_path, unit):
    factor = {"mm": 1e-3, "nm": 1e3}.get(unit, 1.0)
    path = tmp_path / "stack.tif"
    tifffile.imwrite(
        path,
        volume(),
        imagej=True,
        resolution=(1 / (0.585 * factor), 1 / (0.7 * factor)),
        metadata={"axes": "ZYX", "spacing": 3.5 * factor, "unit": unit},
    )
    array, voxel_size = read_image(path)
    np.testing.assert_array_equal(array, volume())
    assert tuple(voxel_size) == pytest.approx(tuple(VOXEL_SIZE), rel=1e-6)


def test_ome_spacing(tmp_path):
    path = tmp_path / "stack.ome.tif"
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.585, "PhysicalSizeY": 700, "PhysicalSizeYUnit": "nm"}
    tifffile.imwrite(path, volume(), ome=True, metadata=metadata | {"PhysicalSizeZ": 3.5})
    assert read_image(path)[1] == VOXEL_SIZE
    tifffile.imwrite(path, volume(), ome=True, metadata=metadata)
    assert read_image(path)[1] is None  # z is unknown


def test_resolution_tags_alone_say_nothing_about_z(tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(
        path, volume(), photometric="minisblack", resolution=(72, 72), resolutionunit="INCH", metadata=None
    )
    assert read_image(path)[1] is None


@pytest.mark.parametrize(
    "options",
    [
        {"byteorder": ">"},
        {"byteorder": ">", "truncate": True},
        {"truncate": True},
        {"compression": "zlib", "byteorder": ">"},
        {"compression": "lzw", "predictor": True},
        {"compression": "lzw", "byteorder": ">", "rowsperstrip": 2},
        {"compression": "lzw", "bigtiff": True, "tile": (16, 16)},
        {"bigtiff": True, "tile": (16, 16), "compression": "zlib"},
        {"rowsperstrip": 2},
        {"imagej": True, "contiguous": True},
    ],
    ids=str,
)
def test_stacks_as_blocks_and_as_pages(tmp_path, options):
    path = tmp_path / "stack.tif"
    array = volume(shape=(7, 5, 6))
    tifffile.imwrite(path, array, photometric="minisblack", metadata={"axes": "ZYX"}, **options)
    np.testing.assert_array_equal(read_image(path)[0], array)
    header = read_image_header(path)
    np.testing.assert_array_equal(list(image_tiff.planes(header, 2, 5)), array[2:5])


def test_a_damaged_lzw_page_is_named(tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, volume(), photometric="minisblack", compression="lzw", metadata=None)
    with tifffile.TiffFile(path) as file:
        start = file.pages[2].dataoffsets[0]
    data = path.read_bytes()
    # clear, then a code that is no letter
    path.write_bytes(data[:start] + b"\x80\x4b\x08\x20" + data[start + 4 :])
    with pytest.raises(InputError, match="LZW data of page 2 do not decode"):
        read_image(path)


def test_one_plane_is_a_z_of_1(tmp_path):
    path = tmp_path / "plane.tif"
    tifffile.imwrite(path, volume()[0])
    np.testing.assert_array_equal(read_image(path)[0], volume()[:1])


@pytest.mark.parametrize(
    ("array", "options", "named"),
    [
        (volume(shape=(2, 3, 8, 8)), {"imagej": True, "metadata": {"axes": "ZCYX"}}, "several channels"),
        (volume(shape=(3, 8, 8)), {"imagej": True, "metadata": {"axes": "CYX"}}, "several channels"),
        (volume("uint8", (8, 8, 3)), {"photometric": "rgb"}, "colour"),
    ],
)
def test_channels_and_colours_are_refused(tmp_path, array, options, named):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, array, **options)
    with pytest.raises(InputError, match=named):
        read_image(path)


def test_pages_of_two_shapes_are_refused(tmp_path):
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(volume()[0], metadata=None)
        writer.write(volume(shape=(7, 8)), metadata=None)
    with pytest.raises(InputError, match="pages of one shape"):
        read_image(path)


# -- NRRD


@pytest.mark.parametrize("name", ["listing.raw", "LISTED.raw", "voxels.raw"])
def test_voxels_in_a_file_that_is_not_there_are_missed(tmp_path, name):
    path = tmp_path / "image.nrrd"
    path.write_text(f"NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: {name}\n\n")
    with pytest.raises(NotFoundError, match=f"{name}, and there is no such file"):
        read_image_header(path)


def save_nrrd(path, array, **fields):
    nrrd.write(str(path), array, fields, index_order="C")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"space directions": np.diag([10, 20, 25]), "space": "left-posterior-superior"}, (10, 20, 25)),
        ({"spacings": [10, 20, 25]}, (10, 20, 25)),
        ({"spacings": [0.01, 0.02, 0.025], "units": ["mm", "mm", "mm"]}, (10, 20, 25)),
        ({"spacings": [0.01, 0.02, 0.025]}, (10, 20, 25)),  # no light microscope has voxels of 10 nm
        ({"space directions": [[0, 0, 10], [20, 0, 0], [0, -25, 0]], "space dimension": 3}, (10, 20, 25)),
        ({"spacings": [10, 20, np.nan]}, None),
        ({}, None),
    ],
)
def test_nrrd_spacing(tmp_path, fields, expected):
    path = tmp_path / "volume.nrrd"
    save_nrrd(path, volume(), **fields)
    array, voxel_size = read_image(path)
    np.testing.assert_array_equal(array, volume())
    assert voxel_size == (expected and VoxelSize(*expected))


@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2", "ascii"])
def test_nrrd_encodings(tmp_path, encoding):
    path = tmp_path / "volume.nrrd"
    save_nrrd(path, volume(), encoding=encoding)
    np.testing.assert_array_equal(read_image(path)[0], volume())


def test_nrrd_that_is_no_scalar_volume_is_refused(tmp_path):
    path = tmp_path / "volume.nrrd"
    save_nrrd(path, volume(shape=(2, 3, 4, 5)))
    with pytest.raises(InputError, match="4 axes"):
        read_image(path)
    save_nrrd(path, volume(), kinds=["RGB-color", "domain", "domain"])
    with pytest.raises(InputError, match=r"kind 'rgb-color'"):
        read_image(path)
    save_nrrd(path, volume(), spacings=[1, 1, 1], units=["s", "s", "s"])
    with pytest.raises(InputError, match="not lengths"):
        read_image(path)


def test_nrrd_that_declares_more_than_it_holds_is_refused_before_allocating(tmp_path):
    path = tmp_path / "volume.nrrd"
    path.write_bytes(
        b"NRRD0004\ntype: uint16\ndimension: 3\nsizes: 60000 60000 60000\nencoding: gzip\nendian: little\n\n"
        + gzip.compress(b"x" * 100)
    )
    with pytest.raises(InputError, match="declares"):
        read_image(path)


# -- NIfTI


def save_nifti(path, array, zooms=(0.01, 0.02, 0.025), unit="mm", slope=None):
    image = nibabel.Nifti1Image(array.T, np.diag([*zooms, 1]), dtype=array.dtype)
    image.header.set_xyzt_units(unit)
    if slope:
        image.header.set_slope_inter(slope, 1)
    nibabel.save(image, path)


@pytest.mark.parametrize(
    ("zooms", "unit"), [((0.01, 0.02, 0.025), "mm"), ((10, 20, 25), "micron"), ((10, 20, 25), "unknown")]
)
def test_nifti_units(tmp_path, zooms, unit):
    path = tmp_path / "volume.nii"
    save_nifti(path, volume(), zooms, unit)
    array, voxel_size = read_image(path)
    np.testing.assert_array_equal(array, volume())
    assert voxel_size == VoxelSize(10, 20, 25)


def test_nifti_scaling_is_applied_and_announced(tmp_path):
    path = tmp_path / "volume.nii"
    image = nibabel.Nifti1Image(volume("int16").T, np.eye(4))
    image.header.set_slope_inter(0.5, 3)
    image.header.set_data_dtype(np.int16)
    nibabel.save(image, path)
    expected = np.asanyarray(nibabel.load(path).dataobj).T
    array, _ = read_image(path)
    np.testing.assert_array_equal(array, expected)
    assert read_image_header(path).dtype == array.dtype.name


def test_nifti_of_four_axes_is_refused_unless_the_fourth_is_1(tmp_path):
    path = tmp_path / "volume.nii"
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5, 2), np.uint8), np.eye(4)), path)
    with pytest.raises(InputError, match="4 axes"):
        read_image(path)
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5, 1), np.uint8), np.eye(4)), path)
    assert read_image(path)[0].shape == (5, 4, 3)


def test_a_spacing_that_no_image_has_names_the_file(tmp_path):
    path = tmp_path / "volume.nii"
    save_nifti(path, volume(), (5, 5, 5), "mm")
    with pytest.raises(InputError, match=r"volume\.nii: voxel size"):
        read_image(path)


@pytest.mark.needs("shared")
def test_the_allen_atlas_reads_as_its_readme_says(shared_data):
    template, voxel_size = read_image(shared_data / "average_template_200.nrrd")
    labels, _ = read_image(shared_data / "annotation_200.nrrd")
    assert voxel_size == VoxelSize(200, 200, 200)
    assert template.shape == labels.shape == (57, 40, 66)
    assert labels.dtype == np.uint32
    assert labels.max() == 614454277


@pytest.mark.needs("shared")
def test_the_real_brain_has_no_spacing(shared_data):
    brain, voxel_size = read_image(shared_data / "real_brain_50um.tif")
    assert voxel_size is None
    np.testing.assert_array_equal(brain, tifffile.imread(shared_data / "real_brain_50um.tif"))


def test_a_compressed_nifti_whose_checksum_does_not_agree_is_refused(tmp_path):
    path = tmp_path / "a.nii.gz"
    write_image(path, volume(shape=(40, 40, 40)), VOXEL_SIZE)  # not read to its end with the header
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="is damaged: CRC"):
        read_image(path)


def detached(path, name, encoding="raw"):
    head = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 3 2\nspacings: 1 1 1\n"
    path.write_text(f"{head}encoding: {encoding}\ndata file: {name}\n")
    return path


def test_nrrd_whose_voxels_are_in_a_file_of_their_own(tmp_path):
    path = detached(tmp_path / "a.nrrd", "a.raw")
    with pytest.raises(NotFoundError, match=r"its voxels are in .*a\.raw, and there is no such file"):
        read_image_header(path)
    (tmp_path / "a.raw").write_bytes(bytes(range(23)))
    with pytest.raises(InputError, match="declares 24 bytes of voxels and holds 23"):
        read_image_header(path)
    (tmp_path / "a.raw").write_bytes(bytes(range(24)))
    np.testing.assert_array_equal(read_image(path)[0].ravel(), np.arange(24))


def test_nrrd_that_is_empty_or_of_an_encoding_that_is_not_read(tmp_path):
    (tmp_path / "a.nrrd").touch()
    with pytest.raises(InputError, match="it ends within its first line"):
        read_image_header(tmp_path / "a.nrrd")
    with pytest.raises(InputError, match="written as 'hex'"):
        read_image_header(detached(tmp_path / "b.nrrd", "a.raw", "hex"))


def test_nifti_with_sheared_axes_is_read_with_a_warning(tmp_path, caplog):
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, :3] = [[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]
    nibabel.save(nibabel.Nifti1Image(volume(np.uint8).T, affine), tmp_path / "turned.nii")
    read_image_header(tmp_path / "turned.nii")
    assert "right angles" not in caplog.text
    affine[0, 1] += 0.1
    nibabel.save(nibabel.Nifti1Image(volume(np.uint8).T, affine), tmp_path / "sheared.nii")
    read_image_header(tmp_path / "sheared.nii")
    assert "sheared.nii: its axes are not at right angles" in caplog.text
