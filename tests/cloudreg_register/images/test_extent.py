"""The extent check: which mistake explains a brain that has not the size of the atlas."""

from dataclasses import replace

import numpy as np
import pytest

from cloudreg_io.errors import InputError
from cloudreg_io.synthetic import make_phantom
from cloudreg_register.images.extent import check_extent, judged
from cloudreg_register.images.image import Image, load_image

ATLAS = (13200.0, 8000.0, 11400.0)


@pytest.mark.parametrize(
    ("target", "voxel_size", "verdict", "fitting"),
    [
        ((13000, 8100, 11000), (4.7, 4.7, 4.7), "fits", (4.7, 4.7, 4.7)),
        ((31000, 18800, 26800), (4.7, 4.7, 4.7), "voxel size", (2, 2, 2)),
        ((6600, 4000, 5700), (10, 10, 20), "voxel size", (20, 20, 40)),
        ((13.2, 8, 11.4), (0.0047, 0.0047, 0.0047), "voxel size", (4.7, 4.7, 4.7)),
        ((13.2e6, 8e6, 11.4e6), (470, 470, 470), "voxel size", (0.47, 0.47, 0.47)),
        ((13200, 8000, 28500), (4, 4, 5), "one axis", (4, 4, 2)),
        ((8000, 13200, 11400), (5, 5, 5), "axes exchanged", (5, 5, 5)),
        ((13200, 8000, 5700), (5, 5, 5), "partial", (5, 5, 5)),
        ((9500, 8000, 5700), (5, 5, 5), "partial", (5, 5, 5)),
    ],
)
def test_what_lengths_mean(target, voxel_size, verdict, fitting):
    check = judged(target, ATLAS, ATLAS, voxel_size, "brain", "LPS")
    assert check.verdict == verdict
    assert check.voxel_size == pytest.approx(fitting)


def test_the_message_proposes_the_voxel_size():
    check = judged((31000, 18800, 26800), ATLAS, ATLAS, (4.7, 4.7, 4.7), "brain.tif", "LPS")
    with pytest.raises(InputError) as caught:
        check.require()
    assert "brain.tif: your brain would be 31 mm long; the atlas is 13.2 mm" in str(caught.value)
    assert "did you mean 2 instead of 4.7 µm?" in str(caught.value)


@pytest.mark.parametrize(
    ("edge", "unit", "meant"), [(0.025, "millimetres", "25 25 25"), (25000, "nanometres", "25 25 25")]
)
def test_units_are_recognised(edge, unit, meant):
    of_a_larger_animal = [1.1 * a * edge / 25 for a in ATLAS]
    check = judged(of_a_larger_animal, ATLAS, ATLAS, (edge,) * 3, "brain", "LPS")
    assert unit in check.fix
    assert f"--voxel-size {meant}," in check.fix


def test_a_part_of_a_brain_is_a_warning(caplog):
    judged((13200, 8000, 5700), ATLAS, ATLAS, (5, 5, 5), "brain", "LPS").require()
    assert "short along z" in caplog.text
    caplog.clear()
    judged(ATLAS, ATLAS, ATLAS, (5, 5, 5), "brain", "LPS").require()
    assert not caplog.text


def test_the_message_proposes_the_orientation():
    # x is as long as the atlas is along y, y as along z, z as along x
    check = judged((8000, 11400, 13200), ATLAS, ATLAS, (5, 5, 5), "brain", "PIR")
    assert "--orientation PIR may be exchanged: the lengths would fit IRP" in check.fix


def test_a_stated_scale_is_expected():
    check = judged([2 * a for a in ATLAS], ATLAS, [2 * a for a in ATLAS], (5, 5, 5), "rat", "LPS")
    assert check.verdict == "fits"


def phantoms():
    phantom = make_phantom((60, 44, 36), (200, 200, 200))
    atlas = Image.of_array(phantom.atlas(), (200, 200, 200), phantom.orientation, "atlas")
    other = make_phantom((60, 44, 36), (200, 200, 200), seed=3)
    return atlas, Image.of_array(other.atlas(), (200, 200, 200), phantom.orientation, "target")


def test_images_are_compared_along_the_same_anatomical_axes():
    atlas, target = phantoms()
    assert check_extent(target, atlas).verdict == "fits"
    code = atlas.orientation
    turned_code = type(code)(code.code[::-1])
    turned = Image.of_array(code.reorient(target.array, turned_code), (200, 200, 200), turned_code)
    check = check_extent(turned, atlas)
    assert check.verdict == "fits"
    assert check.ratios == pytest.approx(check_extent(target, atlas).ratios[::-1], rel=0.02)
    wrong = replace(turned, orientation=code)
    assert check_extent(wrong, atlas).verdict != "fits"


def test_a_wrong_voxel_size_of_an_image_is_found():
    atlas, target = phantoms()
    large = Image.of_array(target.array, (470, 470, 470), target.orientation)
    check = check_extent(large, atlas)
    assert check.verdict == "voxel size"
    assert check.voxel_size == pytest.approx((200, 200, 200), rel=0.15)


@pytest.mark.needs("shared")
def test_a_real_brain_has_the_size_of_the_allen_template(shared_data):
    atlas = load_image(shared_data / "average_template_200.nrrd", resolution_um=None, orientation="PIR")
    options = {"resolution_um": 200, "orientation": "IRA"}
    brain = load_image(shared_data / "real_brain_50um.tif", voxel_size=(50, 50, 50), **options)
    check = check_extent(brain, atlas)
    assert check.verdict == "fits"
    np.testing.assert_allclose(check.ratios, 1, atol=0.06)
    wrong = load_image(shared_data / "real_brain_50um.tif", voxel_size=(20, 20, 20), **options)
    assert check_extent(wrong, atlas).voxel_size == pytest.approx((50, 50, 50), rel=0.05)
    exchanged = load_image(
        shared_data / "real_brain_50um.tif", voxel_size=(50,) * 3, **options | {"orientation": "RIA"}
    )
    assert check_extent(exchanged, atlas).verdict == "axes exchanged"
