from __future__ import annotations

import numpy as np
import pytest

from cloudreg_io.errors import InputError
from cloudreg_io.space.grid import Grid
from cloudreg_io.synthetic import make_phantom

SIZE = (88, 104, 64)


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(SIZE, (100.0, 100.0, 100.0), seed=1)


@pytest.fixture(scope="module")
def labels(phantom):
    return phantom.labels()


def test_every_label_is_in_the_table_and_the_table_is_a_tree(phantom, labels):
    table = {structure.id: structure for structure in phantom.structures}
    assert len(table) == len(phantom.structures)
    assert len({structure.acronym for structure in phantom.structures}) == len(table)
    assert labels.dtype == np.uint32
    assert labels.shape == SIZE[::-1]
    present = set(np.unique(labels).tolist()) - {0}
    assert present <= set(table)
    parents = {structure.parent for structure in phantom.structures}
    leaves = set(table) - parents
    assert leaves <= present  # every leaf is somewhere
    seen: set[int | None] = {None}
    for structure in phantom.structures:
        assert structure.parent in seen
        seen.add(structure.id)


def test_some_id_does_not_fit_into_float32(labels):
    assert any(int(np.float32(value)) != value for value in np.unique(labels).tolist())


def test_sides_are_told_apart(phantom, labels):
    """Orientation LPS: x grows to the left."""
    ids = {structure.acronym: structure.id for structure in phantom.structures}
    middle = SIZE[0] / 2
    for region in ("STR", "HIP", "CTXc"):
        right = np.argwhere(labels == ids[f"{region}-r"])[:, 2].mean()
        left = np.argwhere(labels == ids[f"{region}-l"])[:, 2].mean()
        assert right < middle < left
    assert (labels == ids["STR-r"]).sum() != (labels == ids["STR-l"]).sum()
    assert "INJ-r" not in ids
    assert np.argwhere(labels == ids["OB-r"])[:, 1].mean() < np.argwhere(labels == ids["CB-r"])[:, 1].mean()


def test_labels_and_scene_show_the_same_anatomy(phantom, labels):
    image = phantom.scene(0).evaluate(0.0, 0.0, 0.0, SIZE[::-1])
    smooth = phantom.atlas()
    ids = {structure.acronym: structure.id for structure in phantom.structures}
    assert np.mean((image > 0.2) != (labels > 0)) < 0.02
    for side in "rl":
        assert np.median(image[labels == ids[f"VL-{side}"]]) < 0.3
        assert np.median(image[labels == ids[f"HIP-{side}"]]) > 1.1
        assert np.median(smooth[labels == ids[f"HIP-{side}"]]) > 1.2 * np.median(
            smooth[labels == ids[f"CTXd-{side}"]]
        )


def test_atlas_is_smooth_and_of_other_contrast(phantom, labels):
    image, atlas = phantom.scene(0).evaluate(0.0, 0.0, 0.0, SIZE[::-1]), phantom.atlas()
    assert atlas.dtype == np.float32
    ids = {structure.acronym: structure.id for structure in phantom.structures}
    deep = labels == ids["STR-r"]
    assert atlas[deep].std() < 0.3 * image[deep].std()
    inside = labels > 0
    assert 0.1 < np.corrcoef(image[inside], atlas[inside])[0, 1] < 0.9


def test_labels_on_a_coarser_grid_align_by_the_outer_corners(phantom, labels):
    grid = phantom.grid.with_spacing((200.0, 200.0, 200.0))
    coarse = phantom.labels(grid)
    assert coarse.shape == (32, 52, 44)
    # the centre of a coarse voxel is the corner of eight fine ones: some of them has its label
    blocks = labels.reshape(32, 2, 52, 2, 44, 2).transpose(0, 2, 4, 1, 3, 5).reshape(32, 52, 44, 8)
    assert (blocks == coarse[..., None]).any(axis=-1).mean() > 0.99
    wrong = np.mean((blocks != coarse[..., None]).all(axis=-1))
    for axis in range(3):
        shifted = np.roll(coarse, 1, axis=axis)
        assert np.mean((blocks != shifted[..., None]).all(axis=-1)) > 10 * wrong
    atlas = phantom.atlas(grid)
    averaged = phantom.atlas().reshape(32, 2, 52, 2, 44, 2).mean((1, 3, 5))
    wrong = np.abs(atlas - averaged).mean()
    assert wrong < 0.02
    assert np.abs(np.roll(atlas, 1, axis=0) - averaged).mean() > 3 * wrong


def test_grid_in_any_place(phantom, labels):
    part = Grid((10, 12, 8), phantom.grid.spacing, (2000.0, 3000.0, 2500.0))
    np.testing.assert_array_equal(phantom.labels(part), labels[25:33, 30:42, 20:30])


def test_a_phantom_follows_from_its_seed():
    one, same, other = (make_phantom((60, 60, 20), seed=seed) for seed in (4, 4, 5))
    at = (10.4, 8.2, 3.3, (8, 40, 40))
    np.testing.assert_array_equal(one.scene(1).evaluate(*at), same.scene(1).evaluate(*at))
    assert np.abs(one.scene(1).evaluate(*at) - other.scene(1).evaluate(*at)).max() > 0.3
    assert (one.labels() != other.labels()).mean() > 0.01


def test_size_scales_the_anatomy(phantom):
    twice = make_phantom((176, 208, 128), (50.0, 50.0, 50.0), seed=1)
    np.testing.assert_array_equal(twice.labels(phantom.grid.with_spacing((100.0,) * 3)).shape, SIZE[::-1])
    same = (twice.labels(Grid(SIZE, (100.0, 100.0, 100.0), (25.0, 25.0, 25.0))) == phantom.labels()).mean()
    assert same > 0.999


@pytest.mark.parametrize(
    "bad", [{"size": (4, 50, 50)}, {"seed": -1}, {"texture": 2.0}, {"cells": -1.0}, {"beacons": -1}]
)
def test_bad_input_is_named(bad):
    with pytest.raises(InputError, match="no phantom of"):
        make_phantom(**{"size": (50, 50, 50), **bad})
