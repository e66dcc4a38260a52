"""The job on real data: tiles cut from a real brain; and on its twin that is made here."""

import numpy as np
import pytest

from cloudreg_io.files.tiff import write_plane
from cloudreg_io.space import Bounds, VoxelSize
from cloudreg_io.synthetic import Truth, inverted, make_from_volume, make_phantom
from cloudreg_io.volumes import open_volume
from cloudreg_stitch.placement import Placement
from support.inside import cloudreg_inside


def real_brain(shared_data):
    import tifffile

    return tifffile.imread(shared_data / "real_brain_50um.tif")[60:180]  # the middle


def phantom_brain():
    phantom = make_phantom((170, 200, 60), VoxelSize(50.0, 50.0, 50.0), seed=1)
    scene = phantom.scene(0).evaluate(0, 0, 0, (60, 200, 170))
    return np.clip(100 + 800 * scene, 0, 65535).astype(np.uint16)


@pytest.fixture(scope="module", params=[pytest.param("real", marks=pytest.mark.needs("shared")), "phantom"])
def brain(request, shared_data):
    return real_brain(shared_data) if request.param == "real" else phantom_brain()


def test_tiles_at_whole_voxels_fuse_to_the_source_voxel_for_voxel(brain, tmp_path):
    channels = [brain, inverted(brain)]
    truth = make_from_volume(
        tmp_path / "raw", channels, rows=3, columns=3, unscanned={(0, 0)}, overlap=(20.0, 20.0)
    )
    truth.save_placement(tmp_path / "placement.json")
    args = ("--fuse-only", "--placement", tmp_path / "placement.json")
    cloudreg_inside("stitch", tmp_path / "raw", tmp_path / "out", *args)
    for name, source in zip(truth.channels, channels, strict=True):
        volume = open_volume(str(tmp_path / "out" / name))
        fused = volume.read(Bounds.of_size(volume.spec.size))
        x, y, z = truth.scene_offset
        same = source[z : z + fused.shape[0], y : y + fused.shape[1], x : x + fused.shape[2]]
        covered = truth.covering(Bounds.of_size(volume.spec.size)) > 0
        assert covered.mean() > 0.8
        np.testing.assert_array_equal(fused[covered], same[covered])
        assert not fused[~covered].any()


def test_whole_job_with_two_channels_and_an_unscanned_corner(brain, tmp_path):
    make_from_volume(
        tmp_path / "raw", [brain, inverted(brain)], rows=3, columns=3, unscanned={(0, 0)}, overlap=(25.0, 25.0)
    )
    cloudreg_inside("run", tmp_path / "raw", tmp_path / "out", "--search", 6, 6, 4)
    truth = Truth.load(tmp_path / "raw")
    placement = Placement.load(tmp_path / "out" / "placement.json")
    trusted = [tile.name for tile in placement.scanned if not tile.flags]
    assert len(trusted) >= 6
    assert max(truth.placement_errors(placement.positions, trusted).values()) < 0.5
    for name in truth.channels:
        volume = open_volume(str(tmp_path / "out" / name))
        assert all(abs(a - b) <= 2 for a, b in zip(volume.spec.size, truth.size, strict=True))


def test_ingest_of_a_series_keeps_every_voxel(brain, tmp_path):
    (tmp_path / "series").mkdir()
    for z, plane in enumerate(brain):
        write_plane(tmp_path / "series" / f"brain_{z}.tif", plane)  # not zero-padded: 10 comes after 9
    cloudreg_inside("ingest", tmp_path / "series", tmp_path / "volume", "--voxel-size", 50, 50, 50)
    volume = open_volume(str(tmp_path / "volume"))
    np.testing.assert_array_equal(volume.read(Bounds.of_size(volume.spec.size)), brain)
