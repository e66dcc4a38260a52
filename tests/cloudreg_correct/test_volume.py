import json

import numpy as np
import pytest

from cloudreg_correct import volume as module
from cloudreg_correct.apply import BiasOfPlane, correct_plane
from cloudreg_correct.bias import BiasOptions
from cloudreg_correct.steps import correct_slice, correct_stitched
from cloudreg_correct.volume import VolumeOptions
from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.fields import Bias
from cloudreg_io.space.grid import Grid
from cloudreg_io.volumes import open_volume
from support.small_volumes import means, write_volume
from support.trees import difference, tree

QUICK = VolumeOptions(voxel_size=25.0, bias=BiasOptions((20, 20)))
FACTORS = {"flat": [(1, 1, 1), (2, 2, 1), (4, 4, 1)], "isotropic": [(1, 1, 1), (2, 2, 2), (4, 4, 4)]}


def brain(shape=(36, 90, 110)):
    """A bright ellipsoid with texture, seen through a slow field: (image, field, inside)."""
    z, y, x = (np.linspace(-1, 1, n) for n in shape)
    inside = z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2 < 0.85
    field = np.exp(0.4 * x[None, None, :] + 0.3 * z[:, None, None] - 0.2 * y[None, :, None] ** 2)
    field = np.broadcast_to(field, shape)
    rng = np.random.default_rng(0)
    image = np.where(inside, 800 * field * rng.normal(1, 0.05, shape), 10) + rng.normal(0, 2, shape)
    return np.clip(np.rint(image), 0, 65535).astype(np.uint16), field, inside


@pytest.fixture(scope="module", params=FACTORS)
def source(request, tmp_path_factory):
    image, _, _ = brain()
    folder = tmp_path_factory.mktemp("volume")
    return write_volume(folder, image, (10, 10, 10), mips=FACTORS[request.param], chunk=(64, 64, 16))


def test_every_slice_of_every_mip_is_corrected(source, tmp_path):
    image, _, inside = brain()
    report = correct_stitched(source.url, tmp_path / "new", QUICK)
    new = open_volume(tmp_path / "new")
    assert new.spec.mips == source.spec.mips
    assert new.voxel_size() == source.voxel_size()
    corrected = new.read()
    bias = Bias.load(report.bias)
    for z in range(len(image)):
        place = BiasOfPlane.at(bias, (0, 0, z), (10.0, 10.0, 10.0), image.shape[1:])
        np.testing.assert_array_equal(corrected[z], correct_plane(image[z], None, place)[0])
    for mip, factor in enumerate(new.spec.mips[1:], start=1):
        np.testing.assert_array_equal(new.read(mip=mip), means(corrected, factor))
    # near and far slices alike come out even
    flat = np.where(inside, corrected, np.nan)
    levels = np.array([np.nanmean(flat[z]) for z in range(4, 32)])
    before = np.array([image[z][inside[z]].mean() for z in range(4, 32)])
    assert np.ptp(levels) / levels.mean() < 0.3 * np.ptp(before) / before.mean()
    assert not (corrected[inside] == 0).any()
    np.testing.assert_array_equal(source.read(), image)


def test_jobs_and_a_second_run_give_the_same_bytes(tmp_path):
    image, _, _ = brain((20, 40, 50))
    old = write_volume(tmp_path, image, (10, 10, 10), chunk=(32, 32, 8), smallest=32)
    one, two = tmp_path / "one", tmp_path / "two"
    correct_stitched(old.url, one, QUICK)
    first = tree(one)
    correct_stitched(old.url, one, QUICK)
    correct_stitched(old.url, two, QUICK, jobs=2)
    assert difference(first, tree(one)) == []
    assert difference(first, tree(two)) == []
    with pytest.raises(InputError, match=r"voxel_size was 25\.0, now 50\.0"):
        correct_stitched(old.url, one, VolumeOptions(50.0))


def test_interrupted_and_started_again(tmp_path, monkeypatch):
    image, _, _ = brain((70, 30, 30))
    old = write_volume(tmp_path, image, (10, 10, 10), chunk=(32, 32, 8), smallest=32)
    correct_stitched(old.url, tmp_path / "whole", QUICK)
    real, left = module.correct_box, iter(range(2))

    def fails(*args):
        if next(left, None) is None:
            raise RuntimeError("stopped")
        return real(*args)

    monkeypatch.setattr(module, "correct_box", fails)
    with pytest.raises(RuntimeError, match="stopped"):
        correct_stitched(old.url, tmp_path / "broken", QUICK)
    monkeypatch.undo()
    correct_stitched(old.url, tmp_path / "broken", QUICK)
    assert difference(tree(tmp_path / "whole"), tree(tmp_path / "broken")) == []


def test_given_bias_is_applied_and_clipping_counted(tmp_path):
    image = np.full((8, 32, 32), 40000, np.uint16)
    image[4:] = 100
    old = write_volume(tmp_path, image, (10, 10, 10), chunk=(32, 32, 8))
    Bias(np.full((1, 1, 1), 0.5, np.float32), Grid((1, 1, 1), (10.0, 10.0, 10.0))).save(tmp_path / "b.tif")
    report = correct_stitched(old.url, tmp_path / "new", VolumeOptions(bias_file=tmp_path / "b.tif"))
    found = open_volume(tmp_path / "new").read()
    assert (report.low, report.high) == (0, 4 * 32 * 32)
    assert set(found[:4].ravel()) == {65535}
    assert set(found[4:].ravel()) == {200}
    assert json.loads((tmp_path / "new" / "provenance.json").read_text())["commands"]


def test_slice_of_an_array_and_of_a_volume(tmp_path):
    image, _, _ = brain((8, 20, 24))
    old = write_volume(tmp_path, image, (10, 10, 10), chunk=(32, 32, 8))
    grid = Grid((3, 2, 2), (90.0, 90.0, 50.0))
    bias = Bias(np.random.default_rng(0).uniform(0.5, 2, grid.shape).astype(np.float32), grid)
    one = correct_slice(old, 3, bias)
    np.testing.assert_array_equal(one, correct_slice(image, 3, bias, Grid.of_array(image, (10, 10, 10))))
    place = BiasOfPlane.at(bias, (0, 0, 3), (10.0, 10.0, 10.0), (20, 24))
    np.testing.assert_array_equal(one, correct_plane(image[3], None, place)[0])
    with pytest.raises(InputError, match="no slice 8"):
        correct_slice(old, 8, bias)
    with pytest.raises(InputError, match="not known"):
        correct_slice(image, 0, bias)


def test_refusals(tmp_path):
    image, _, _ = brain((8, 20, 24))
    old = write_volume(tmp_path, image, (10, 10, 10), chunk=(32, 32, 8))
    for target in (old.url, f"{old.url}/inside", str(tmp_path)):
        with pytest.raises(InputError, match="lie in one another"):
            correct_stitched(old.url, target)
    labels = write_volume(tmp_path / "labels", image, layer="segmentation", chunk=(32, 32, 8))
    with pytest.raises(InputError, match="cannot be corrected"):
        correct_stitched(labels.url, tmp_path / "new")
    with pytest.raises(NotFoundError, match="no bias field"):
        correct_stitched(old.url, tmp_path / "new", VolumeOptions(bias_file=tmp_path / "none.tif"))
    with pytest.raises(InputError, match="cannot hold the journal"):
        correct_stitched(old.url, "s3://bucket/new")
    assert not (tmp_path / "new").exists()
