"""The orientation of the Allen template, seen from its shape."""

import json
from itertools import permutations, product

import numpy as np
import pytest

from cloudreg_io.errors import InputError
from cloudreg_io.files.image import read_image
from cloudreg_io.space import Orientation, VoxelSize
from cloudreg_io.synthetic import make_phantom
from cloudreg_register.atlases import allen
from cloudreg_register.atlases.atlas import ALLEN_LABELS, ALLEN_TEMPLATE, find_atlas
from cloudreg_register.images.image import Image
from support.small_volumes import write_volume

CODES = ["".join(code) for pairs in permutations(["LR", "PA", "SI"]) for code in product(*pairs)]


def twin(orientation="PIR"):
    """A body whose sections have the areas and the heights that the module knows: its synthetic twin."""
    area, below = np.array(allen._AREA), np.array(allen._BELOW)
    size, edge = (132, 80, 114), 100.0
    z, y, x = np.indices(size[::-1])
    section = np.clip((x - 5) / 122 * 16 - 0.5, 0, 15)
    radius = np.sqrt(np.interp(section, range(16), area) / area.max())
    middle = 40 + 66 * np.interp(section, range(16), below)
    inside = ((y - middle) / 33) ** 2 + ((z - 56.5) / 47) ** 2 < radius**2
    inside &= (x >= 5) & (x < 127)
    array = np.where(inside, 100.0, 0.0).astype(np.float32)
    own = Image.of_array(array, (edge,) * 3, "PIR")
    code = Orientation(orientation)
    return Image.of_array(own.orientation.reorient(array, code), (edge,) * 3, code, "twin")


@pytest.mark.parametrize("code", CODES[::5])
def test_the_twin_in_any_orientation(code):
    assert allen.template_orientation(twin(code)) == code
    allen.require_template_orientation(twin(code))


def test_a_wrong_code_is_named_with_the_right_one():
    image = twin("PIR")
    wrong = Image(image.array, image.grid, image.mip0, Orientation("ASR"), "ara")
    with pytest.raises(InputError, match="should be oriented ASR, but its shape is that of PIR"):
        allen.require_template_orientation(wrong)


def test_another_brain_is_not_the_template():
    phantom = make_phantom((60, 44, 36), (200, 200, 200))
    other = Image.of_array(phantom.atlas(), (200, 200, 200), phantom.orientation)
    assert allen.template_orientation(other) is None
    with pytest.raises(InputError, match="does not look like the Allen template"):
        allen.require_template_orientation(other)


def test_the_default_is_the_bucket_of_the_older_cloudreg():
    atlas = find_atlas()
    assert (atlas.template, atlas.labels) == (ALLEN_TEMPLATE, ALLEN_LABELS)
    assert (atlas.orientation.code, atlas.is_allen) == ("PIR", True)
    # who states another orientation has looked
    assert not find_atlas(orientation="LPS").is_allen


@pytest.mark.needs("shared")
@pytest.mark.parametrize("code", CODES[::7])
def test_the_real_template_in_any_orientation(shared_data, code):
    array, voxel_size = read_image(shared_data / "average_template_200.nrrd")
    turned = Orientation("PIR").reorient(array, Orientation(code)).astype(np.float32)
    assert allen.template_orientation(Image.of_array(turned, voxel_size, code)) == code


@pytest.mark.needs("shared")
def test_the_default_atlas_through_a_local_copy(shared_data, tmp_path, monkeypatch):
    """The layout of the bucket: a template and labels of another voxel size, both precomputed."""
    template, _ = read_image(shared_data / "average_template_200.nrrd")
    labels, _ = read_image(shared_data / "annotation_100.nrrd")
    chunk = (64, 64, 64)
    first = write_volume(tmp_path / "a", template.astype(np.uint16), (200, 200, 200), chunk=chunk, mips=1)
    second = write_volume(tmp_path / "l", labels, (100, 100, 100), layer="segmentation", chunk=chunk, mips=1)
    assert json.loads((tmp_path / "l/volume/info").read_text())["data_type"] == "uint32"
    monkeypatch.setattr("cloudreg_register.atlases.atlas.ALLEN_TEMPLATE", first.url)
    monkeypatch.setattr("cloudreg_register.atlases.atlas.ALLEN_LABELS", second.url)
    atlas = find_atlas()
    image = atlas.load_template(200)
    ids = atlas.load_labels(None, image)
    assert image.voxel_size == VoxelSize(200, 200, 200)
    assert ids.array.dtype == np.uint32
    assert ids.array.max() == labels.max() > 2**24
    monkeypatch.setattr("cloudreg_register.atlases.atlas.ALLEN_ORIENTATION", "AIR")
    with pytest.raises(InputError, match="its shape is that of PIR"):
        find_atlas().load_template(200)
