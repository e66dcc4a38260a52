import numpy as np
import pytest
import SimpleITK as sitk

from cloudreg_io.errors import InputError, ToolError
from cloudreg_io.space import Orientation, VoxelSize
from cloudreg_register.images.frame import Frame
from cloudreg_register.transforms.itk import export_field
from cloudreg_register.transforms.maps import write_maps
from cloudreg_register.transforms.warp import warp
from support.velocities import transform_of

ATLAS = Frame((20, 15, 18), VoxelSize(100, 100, 100), Orientation("PIR"))
TARGET = Frame((60, 45, 40), VoxelSize(40, 40, 50), Orientation("LPS"))
TRANSFORM = transform_of(ATLAS, TARGET, fastest=400.0, spacing=300.0)


def applied(path):
    return sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))


@pytest.mark.parametrize("to", ["target", "atlas"])
def test_simpleitk_moves_the_same_points_to_the_same_places(tmp_path, to):
    report = export_field(TRANSFORM, tmp_path / "field.nrrd", to=to, voxel_size=VoxelSize(30, 30, 30))
    frame = ATLAS if to == "target" else TARGET
    points = np.random.default_rng(0).uniform(0, 1, (300, 3)) * frame.extent + frame.grid().corner
    field = applied(report.file)
    found = np.array([field.TransformPoint(point) for point in points.tolist()])
    expected = (TRANSFORM.to_target if to == "target" else TRANSFORM.to_atlas)(points)[0]
    error = np.linalg.norm(found - expected, axis=1)
    assert np.linalg.norm(expected - points, axis=1).mean() > 100
    assert error.max() < 1.0
    assert error.mean() == pytest.approx(report.error_mean_um, rel=0.6)  # of other points
    # at the field's own samples nothing is interpolated
    samples = report.grid.points()[1:-1:9, 1:-1:9, 1:-1:9].reshape(-1, 3)
    at = np.array([field.TransformPoint(point) for point in samples.tolist()])
    exact = (TRANSFORM.to_target if to == "target" else TRANSFORM.to_atlas)(samples)[0]
    np.testing.assert_allclose(at, exact, atol=1e-3)


def test_simpleitk_resamples_a_target_as_we_do(tmp_path):
    z, y, x = (np.arange(n) for n in TARGET.grid().shape)
    image = (100 + 40 * np.sin(x / 9) + 30 * np.cos(y[:, None] / 7) + z[:, None, None]).astype(np.float32)
    moving = sitk.GetImageFromArray(image)
    moving.SetSpacing(tuple(TARGET.voxel_size))
    fixed = sitk.Image(*ATLAS.size, sitk.sitkFloat32)
    fixed.SetSpacing(tuple(ATLAS.voxel_size))
    report = export_field(TRANSFORM, tmp_path / "field.nrrd")
    theirs = sitk.GetArrayFromImage(sitk.Resample(moving, fixed, applied(report.file), sitk.sitkLinear, 0.0))
    # our voxels are averaged over; ask for single places, as ITK takes them
    fine = ATLAS.grid()
    places = TRANSFORM.to_target(fine.points().reshape(-1, 3))[0]
    inside = TARGET.contains(places).reshape(fine.shape)
    ours = warp(TRANSFORM, image, TARGET.grid(), fine, to="atlas")
    inner = inside & (theirs > 50) & (ours > 50)
    assert inner.mean() > 0.5
    assert np.median(np.abs(theirs - ours)[inner]) < 1.0


def test_only_nrrd_is_written_and_equal_transforms_give_equal_bytes(tmp_path):
    with pytest.raises(InputError, match=r"written as \.nrrd"):
        export_field(TRANSFORM, tmp_path / "field.mha")
    one = export_field(TRANSFORM, tmp_path / "a" / "one.nrrd", voxel_size=VoxelSize(150, 150, 150))
    two = export_field(TRANSFORM, tmp_path / "two.nrrd", voxel_size=VoxelSize(150, 150, 150))
    assert one.file.read_bytes() == two.file.read_bytes()
    assert one.to_json()["spacing_um"] == [150, 150, 150]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "two.nrrd"]


def test_voxels_that_the_memory_does_not_hold_are_refused_with_a_size_that_does(tmp_path, monkeypatch):
    monkeypatch.setattr("cloudreg_register.memory.machine_memory", lambda: 10_000_000)
    TRANSFORM.save(tmp_path / "transform")
    with pytest.raises(ToolError, match="voxels of 5 µm take") as caught:
        export_field(TRANSFORM, tmp_path / "field.nrrd", voxel_size=VoxelSize(5, 5, 5))
    edge = float(caught.value.fix.split()[1])
    assert export_field(TRANSFORM, tmp_path / "field.nrrd", voxel_size=VoxelSize(edge, edge, edge)).file.exists()
    with pytest.raises(ToolError, match="voxels of 20 µm take") as caught:
        write_maps(tmp_path / "transform", tmp_path / "maps", voxel_size=20)
    assert not (tmp_path / "maps").exists()
    assert write_maps(
        tmp_path / "transform", tmp_path / "maps", voxel_size=float(caught.value.fix.split()[1])
    ).files
