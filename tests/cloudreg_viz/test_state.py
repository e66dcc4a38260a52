import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudreg_io.errors import InputError
from cloudreg_io.space import Bounds, VoxelSize
from cloudreg_viz.layers import Layer, unique_names
from cloudreg_viz.state import viewer_state


def layer(name="CHN00", **changes):
    options = {
        "source": f"https://host/{name}",
        "voxel_size": VoxelSize(2, 2, 5),
        "bounds": Bounds.of_size((100, 61, 20)),
    }
    return Layer(name, **(options | changes))


def test_units_centre_and_scale():
    state = viewer_state([layer()])
    assert state["dimensions"] == {"x": [2e-6, "m"], "y": [2e-6, "m"], "z": [5e-6, "m"]}
    assert state["position"] == [50.5, 30.5, 10.5]
    assert (
        state["crossSectionScale"] == 100 / 340
    )  # the widest side, in smallest voxel edges, over a panel of 340 pixels
    assert state["layout"] == "4panel"


def test_the_middle_of_a_volume_with_an_offset():
    assert viewer_state([layer(bounds=Bounds((10, 20, 30), (20, 30, 31)))])["position"] == [15.5, 25.5, 30.5]


def test_focus_is_in_micrometres_from_the_centre_of_voxel_0():
    assert viewer_state([layer()], focus=(0, 2, 25))["position"] == [0.5, 1.5, 5.5]


def test_one_channel_is_white_and_several_are_told_apart():
    (only,) = viewer_state([layer()])["layers"]
    assert only["shaderControls"]["color"] == "#ffffff"
    several = viewer_state([layer(f"CHN{i:02d}") for i in range(5)])["layers"]
    assert len({each["shaderControls"]["color"] for each in several}) == 5
    assert all(each["blend"] == "additive" and each["opacity"] == 1 for each in several)


def test_contrast_reaches_the_shader():
    (shown,) = viewer_state([layer(contrast=(10.0, 250.0), window=(0.0, 900.0))])["layers"]
    assert shown["shaderControls"]["normalized"] == {"range": [10.0, 250.0], "window": [0.0, 900.0]}
    assert "invlerp normalized" in shown["shader"]


def test_a_segmentation_has_no_image_shader():
    labels = viewer_state([layer(), layer("labels", kind="segmentation")])["layers"][1]
    assert labels["type"] == "segmentation"
    assert not labels.keys() & {"shader", "shaderControls", "blend"}


def test_a_layer_without_affine_has_no_transform_and_one_with_it_has():
    plain, moved = viewer_state(
        [layer(), layer("atlas", affine=[*map(list, ((1, 0, 0, 7), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)))])]
    )["layers"]
    assert plain["source"] == {"url": "precomputed://https://host/CHN00"}
    assert moved["source"]["transform"]["matrix"] == [[1, 0, 0, 7], [0, 1, 0, 0], [0, 0, 1, 0]]
    assert moved["source"]["transform"]["outputDimensions"]["x"] == [1e-6, "m"]
    assert moved["source"]["transform"]["inputDimensions"]["z"] == [5e-6, "m"]


def test_layers_of_one_name_are_told_apart():
    names = [each["name"] for each in viewer_state([layer("a"), layer("a"), layer("b")])["layers"]]
    assert names == ["a", "a (2)", "b"]


@given(st.lists(st.sampled_from(["a", "a (2)", "b"])))
def test_unique_names(names):
    unique = unique_names(names)
    assert len(set(unique)) == len(unique) == len(names)
    assert all(new.startswith(old) for new, old in zip(unique, names, strict=True))


def test_the_package_neuroglancer_reads_the_state_as_meant():
    neuroglancer = pytest.importorskip("neuroglancer")
    state = viewer_state([layer(contrast=(1.0, 2.0)), layer("labels", kind="segmentation")])
    read = neuroglancer.ViewerState(state)
    assert read.to_json() == state
    assert read.dimensions.scales.tolist() == [2e-6, 2e-6, 5e-6]
    assert [each.layer.type for each in read.layers] == ["image", "segmentation"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: viewer_state([]),
        lambda: viewer_state([layer()], layout="5panel"),
        lambda: layer(kind="mesh"),
        lambda: layer(bounds=Bounds.of_size((3, 0, 3))),
        lambda: layer(contrast=(5.0, 5.0)),
    ],
)
def test_what_cannot_be_shown_is_refused(make):
    with pytest.raises(InputError):
        make()
