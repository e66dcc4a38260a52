"""Atlases from files, from BrainGlobe's folders and package; parts of an atlas."""

import json
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import tifffile

from cloudreg_io.errors import InputError, NotFoundError, ToolError
from cloudreg_io.files.image import write_image
from cloudreg_io.files.structures import Structure, StructureTree, structures_csv
from cloudreg_io.space import VoxelSize
from cloudreg_io.synthetic import make_phantom
from cloudreg_register.atlases.atlas import find_atlas, is_brainglobe_name
from cloudreg_register.atlases.atlas_part import AtlasPart
from cloudreg_register.atlases.brainglobe import brainglobe_folder
from cloudreg_register.images.image import Image

PHANTOM = make_phantom((40, 32, 24), (100, 100, 100), seed=1)
TEMPLATE = np.rint(PHANTOM.atlas() * 100).astype(np.uint16)
LABELS = PHANTOM.labels()
TREE = StructureTree(tuple(Structure(s.id, s.acronym, s.name, s.parent) for s in PHANTOM.structures))
NAME = "test_mouse_100um"


def brainglobe_layout(root, version="1.2", template=TEMPLATE):
    """An atlas as brainglobe-atlasapi keeps it: all in the order of the array, origin anterior superior right."""
    folder = root / f"{NAME}_v{version}"
    folder.mkdir(parents=True)
    metadata = {"name": "test_mouse", "resolution": [90.0, 100.0, 110.0], "orientation": "asr", "version": version}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    tifffile.imwrite(folder / "reference.tiff", template)
    tifffile.imwrite(folder / "annotation.tiff", LABELS)
    (folder / "structures.json").write_text(json.dumps(rows()))
    return folder


def rows():
    return [
        {
            "acronym": s.acronym,
            "id": s.id,
            "name": s.name,
            "structure_id_path": [*reversed(TREE.ancestors(s.id)), s.id],
            "rgb_triplet": [255, 0, 0],
        }
        for s in TREE
    ]


def test_a_brainglobe_folder(tmp_path):
    brainglobe_layout(tmp_path)
    atlas = find_atlas(NAME, brainglobe_folder=tmp_path)
    template = atlas.load_template(None)
    labels = atlas.load_labels(None, template)
    # "asr" names the corner where the array begins: z grows posterior, y inferior, x left
    assert template.orientation.code == "LIP"
    assert tuple(template.voxel_size) == (110, 100, 90)
    np.testing.assert_array_equal(template.array, TEMPLATE)
    np.testing.assert_array_equal(labels.array, LABELS)
    assert labels.array.dtype == np.uint32
    assert atlas.structures == TREE


def test_the_newest_version_of_a_brainglobe_folder(tmp_path):
    brainglobe_layout(tmp_path, "1.9", TEMPLATE // 2)
    brainglobe_layout(tmp_path, "1.10")
    brainglobe_layout(tmp_path, "1.2", TEMPLATE // 2)
    atlas = find_atlas(f"brainglobe:{NAME}", brainglobe_folder=tmp_path)
    assert atlas.name == f"{NAME}_v1.10"
    np.testing.assert_array_equal(atlas.load_template(None).array, TEMPLATE)


def test_where_brainglobe_keeps_its_atlases(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINGLOBE_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert brainglobe_folder() == tmp_path / "home/.brainglobe"
    (tmp_path / "bg_config.conf").write_text("[default_dirs]\nbrainglobe_dir = /data/atlases\n")
    assert str(brainglobe_folder()) == "/data/atlases"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"remove": "annotation.tiff"}, "lacks annotation.tiff"),
        ({"metadata": "{}"}, "has no 'orientation'"),
        ({"metadata": "{"}, "not JSON"),
        ({"metadata": '{"orientation": "asr", "resolution": 25}'}, "not three numbers"),
        ({"metadata": '{"orientation": "xyz", "resolution": [1, 1, 1]}'}, "orientation code of BrainGlobe"),
    ],
)
def test_damaged_brainglobe_folders(tmp_path, change, message):
    folder = brainglobe_layout(tmp_path)
    if "remove" in change:
        (folder / change["remove"]).unlink()
    else:
        (folder / "metadata.json").write_text(change["metadata"])
    with pytest.raises(InputError, match=message):
        find_atlas(NAME, brainglobe_folder=tmp_path)


def test_what_is_not_here_is_asked_of_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "brainglobe_atlasapi", None)
    with pytest.raises(ToolError, match=f"{NAME} is not in") as caught:
        find_atlas(NAME, brainglobe_folder=tmp_path)
    assert "cloudreg-register[brainglobe]" in caught.value.fix

    asked = {}

    def package(name, **options):
        asked.update(options, name=name)
        return SimpleNamespace(
            template=TEMPLATE,
            annotation=LABELS,
            structures_list=rows(),
            orientation="asr",
            resolution=(90, 100, 110),
        )

    module = ModuleType("brainglobe_atlasapi")
    module.BrainGlobeAtlas = package
    monkeypatch.setitem(sys.modules, "brainglobe_atlasapi", module)
    atlas = find_atlas(NAME, brainglobe_folder=tmp_path)
    assert asked == {"name": NAME, "brainglobe_dir": tmp_path, "check_latest": False}
    assert atlas.structures == TREE
    template = atlas.load_template(120)
    assert (template.array.dtype, template.orientation.code) == (np.float32, "LIP")
    np.testing.assert_array_equal(atlas.load_labels(None, template).array, LABELS)

    module.BrainGlobeAtlas = lambda *_, **__: 1 / 0
    with pytest.raises(ToolError, match="cannot give the atlas"):
        find_atlas(NAME, brainglobe_folder=tmp_path)


def test_names_and_places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_brainglobe_name("allen_mouse_25um")
    (tmp_path / "allen_mouse_25um").mkdir()
    assert not is_brainglobe_name("allen_mouse_25um")
    assert is_brainglobe_name("brainglobe:allen_mouse_25um")
    for place in ("atlas.nrrd", "a/allen_mouse_25um", "s3://b/allen_mouse_25um", "kim"):
        assert not is_brainglobe_name(place)


def files(tmp_path, labels=LABELS):
    write_image(tmp_path / "template.nrrd", TEMPLATE, VoxelSize(100, 100, 100))
    write_image(tmp_path / "labels.nrrd", labels, VoxelSize(100, 100, 100))
    (tmp_path / "structures.csv").write_text(structures_csv(TREE))
    return {"labels": str(tmp_path / "labels.nrrd"), "structures": str(tmp_path / "structures.csv")}


def test_files(tmp_path):
    atlas = find_atlas(str(tmp_path / "template.nrrd"), orientation="RAS", **files(tmp_path))
    template = atlas.load_template(200)
    assert template.array.shape == (12, 16, 20)
    assert atlas.load_labels(None, template).array.dtype == np.uint32
    assert len(atlas.structures) == len(TREE)


def test_files_need_an_orientation_and_fitting_labels(tmp_path):
    options = files(tmp_path, LABELS[:, :, :30])
    with pytest.raises(InputError, match="which way do the axes") as caught:
        find_atlas(str(tmp_path / "template.nrrd"))
    assert "--atlas-orientation" in caught.value.fix
    atlas = find_atlas(str(tmp_path / "template.nrrd"), orientation="RAS", **options)
    with pytest.raises(InputError, match="another atlas"):
        atlas.load_labels(None, atlas.load_template(200))
    with pytest.raises(InputError, match="has no labels"):
        find_atlas(str(tmp_path / "template.nrrd"), orientation="RAS").load_labels(None)
    with pytest.raises(NotFoundError):
        find_atlas(str(tmp_path / "absent.nrrd"), orientation="RAS").load_template(None)


def images():
    orientation = PHANTOM.orientation
    return (
        Image.of_array(TEMPLATE.astype(np.float32), (100, 100, 100), orientation, "template"),
        Image.of_array(LABELS, (100, 100, 100), orientation, "labels"),
    )


@pytest.mark.parametrize("hemisphere", ["left", "right"])
def test_a_hemisphere(hemisphere):
    template, labels = images()
    part = AtlasPart.of(hemisphere)
    axis = next(k for k, letter in enumerate(PHANTOM.orientation) if letter in "LR")
    grows_right = PHANTOM.orientation[axis] == "R"
    beyond = np.moveaxis(np.indices(LABELS.shape)[2 - axis], 0, 0) >= LABELS.shape[2 - axis] / 2
    expected = beyond == (grows_right == (hemisphere == "right"))
    np.testing.assert_array_equal(part.weights(template), expected)
    cropped = part.cropped(template, labels)
    np.testing.assert_array_equal(cropped.array, np.where(expected, LABELS, 0))
    assert cropped.array.dtype == LABELS.dtype


def test_regions_with_their_parts():
    template, labels = images()
    part = AtlasPart.of(None, ["CTX", "INJ"], TREE)
    ids = [*TREE.descendants(TREE.by_acronym("CTX").id), *TREE.descendants(TREE.by_acronym("INJ").id)]
    expected = np.isin(LABELS, ids)
    assert expected.any()
    np.testing.assert_array_equal(part.weights(template, labels), expected)
    both = AtlasPart.of("left", ["CTX"], TREE).weights(template, labels)
    assert 0 < both.sum() < np.isin(LABELS, TREE.descendants(TREE.by_acronym("CTX").id)).sum()
    assert AtlasPart.of().is_all


def test_labels_of_another_voxel_size_align_by_the_corner():
    template, _ = images()
    fine = Image.of_array(LABELS.repeat(2, 0).repeat(2, 1).repeat(2, 2), (50, 50, 50), PHANTOM.orientation, "fine")
    part = AtlasPart.of(None, ["CTX"], TREE)
    expected = np.isin(LABELS, TREE.descendants(TREE.by_acronym("CTX").id))
    np.testing.assert_array_equal(part.weights(template, fine), expected)
    assert (part.cropped(template, fine).array > 0).sum() == 8 * expected.sum()


def test_parts_that_cannot_be_cut_out():
    template, labels = images()
    with pytest.raises(InputError, match="needs the atlas's table"):
        AtlasPart.of(None, ["CTX"])
    with pytest.raises(InputError, match="no structure has the acronym"):
        AtlasPart.of(None, ["nowhere"], TREE)
    with pytest.raises(InputError, match="cut out by its labels"):
        AtlasPart.of(None, ["CTX"], TREE).weights(template)
    with pytest.raises(InputError, match="holds no voxel"):
        AtlasPart(None, frozenset({999})).weights(template, labels)
