"""Points set in Neuroglancer: where they are in µm, whatever units, matrices and wrappings the state has."""

import json
from contextlib import suppress

import neuroglancer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files.annotations import points_of, read_annotations

VOXEL = (5.0, 6.0, 7.0)
POINTS = [(1.5, 2.5, 3.5), (0.0, 0.0, 0.0)]


def state(*, units="um", scales=VOXEL, matrix=None, names=("x", "y", "z"), points=POINTS, inputs=None):
    space = neuroglancer.CoordinateSpace(names=names, units=units, scales=scales)
    viewer = neuroglancer.ViewerState()
    viewer.dimensions = space
    transform = neuroglancer.CoordinateSpaceTransform(output_dimensions=space, matrix=matrix)
    if inputs is not None:
        transform.input_dimensions = inputs
    annotations = [neuroglancer.PointAnnotation(point=p, id=f"id{i}") for i, p in enumerate(points)]
    annotations[0].description = " hippocampus tip "
    source = neuroglancer.LayerDataSource(url="local://annotations", transform=transform)
    viewer.layers["marks"] = neuroglancer.AnnotationLayer(source=[source], annotations=annotations)
    return viewer


def test_the_centre_of_voxel_0_is_0():
    """Neuroglancer's (0.5, 0.5, 0.5) is the centre of voxel 0."""
    found = points_of(state(points=[(0.5, 0.5, 0.5), (1.5, 2.5, 3.5)]).to_json(), voxel_size=VOXEL)
    np.testing.assert_allclose(found.positions, [[0, 0, 0], [5, 12, 21]], atol=1e-9)
    assert found.names == ("hippocampus tip", "id1")
    assert found.layer == "marks"


def test_the_half_voxel_is_that_of_the_volume_not_of_the_unit():
    found = points_of(state(units="nm", scales=(1, 1, 1), points=[(2500, 3000, 3500)]).to_json(), voxel_size=VOXEL)
    np.testing.assert_allclose(found.positions, [[0, 0, 0]], atol=1e-9)


def test_a_matrix_maps_lengths_and_shifts_in_units_of_the_output():
    matrix = [[0, 1, 0, 10], [1, 0, 0, 0], [0, 0, -1, 0]]
    found = points_of(state(matrix=matrix, points=[(2, 3, 4)]).to_json(), voxel_size=VOXEL)
    # x: 3 voxels of 6 µm along y, and 10 units of 5 µm; y: 2 voxels of 5 µm; z: −4 voxels of 7 µm
    np.testing.assert_allclose(found.positions + np.array(VOXEL) / 2, [[18 + 50, 10, -28]], atol=1e-9)


def test_input_dimensions_are_units_of_the_points():
    inputs = neuroglancer.CoordinateSpace(names=["x", "y", "z"], units="um", scales=[1, 1, 1])
    found = points_of(state(inputs=inputs, points=[(20, 30, 40)]).to_json(), voxel_size=VOXEL)
    np.testing.assert_allclose(found.positions + np.array(VOXEL) / 2, [[20, 30, 40]], atol=1e-9)


def test_axes_are_found_by_name():
    found = points_of(
        state(names=("z", "y", "x"), scales=VOXEL[::-1], points=[(3.5, 2.5, 1.5)]).to_json(), voxel_size=VOXEL
    )
    np.testing.assert_allclose(found.positions, [[5, 12, 21]], atol=1e-9)


def test_a_layer_without_transform_has_the_units_of_the_state():
    viewer = state().to_json()
    viewer["layers"][0]["source"] = "local://annotations"
    np.testing.assert_allclose(points_of(viewer, voxel_size=VOXEL).positions[0], [5, 12, 21], atol=1e-9)


def wrapped(kind, viewer):
    link = neuroglancer.to_url(viewer)
    return {
        "json": json.dumps(viewer.to_json()),
        "link": link,
        "fragment": link[link.index("#") + 1 :],
        "shortcut": f"[InternetShortcut]\nURL={link}\n",
    }[kind]


@pytest.mark.parametrize("kind", ["json", "link", "fragment", "shortcut"])
def test_states_and_links_in_files(tmp_path, kind):
    (tmp_path / "marks").write_text(wrapped(kind, state()))
    found = read_annotations(tmp_path / "marks", voxel_size=VOXEL)
    np.testing.assert_allclose(found.positions[0], [5, 12, 21], atol=1e-9)


def test_a_link_itself():
    assert len(read_annotations(neuroglancer.to_url(state()), voxel_size=VOXEL)) == 2


def test_other_annotations_are_counted_and_named(caplog):
    viewer = state()
    viewer.layers["marks"].annotations.append(neuroglancer.LineAnnotation(point_a=[0, 0, 0], point_b=[1, 1, 1]))
    found = points_of(viewer.to_json(), voxel_size=VOXEL)
    assert (len(found), found.ignored) == (2, 1)
    assert "1 annotations are no points" in caplog.text


def two_layers():
    viewer = state().to_json()
    viewer["layers"].append({**viewer["layers"][0], "name": "others"})
    return viewer


def test_a_layer_by_name():
    assert points_of(two_layers(), voxel_size=VOXEL, layer="others").layer == "others"


def changed(**change):
    viewer = state().to_json()
    viewer["layers"][0].update(change)
    return viewer


@pytest.mark.parametrize(
    ("viewer", "message"),
    [
        (two_layers(), "2 layers hold annotations"),
        ({"layers": []}, "no layer holds annotations"),
        (changed(annotations=[{"type": "line", "pointA": [0, 0, 0]}]), "no points"),
        (changed(annotations=[{"type": "point", "point": [1, 2], "id": "p"}]), "'p' has no point of 3 numbers"),
        (changed(annotations=[{"type": "point", "point": [1, 2, float("nan")]}]), "no point of 3 numbers"),
        ({**changed(source="local://annotations"), "dimensions": None}, "no dimensions"),
        ({**changed(source="local://annotations"), "dimensions": {"x": [1, "m"]}}, "y, z is missing"),
        (
            {**changed(source="local://annotations"), "dimensions": {axis: [1, "s"] for axis in "xyz"}},
            "not a length",
        ),
    ],
)
def test_states_without_usable_points(viewer, message):
    with pytest.raises(InputError, match=message):
        points_of(viewer, voxel_size=VOXEL)
    with pytest.raises(InputError, match="no layer 'absent'"):
        points_of(viewer, voxel_size=VOXEL, layer="absent")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no viewer state"),
        ("{", "no viewer state"),
        ("[]", "a list"),
        ("https://viewer.org/#!https://states.org/1.json", "only names where its state is kept"),
    ],
)
def test_files_without_a_state(tmp_path, text, message):
    (tmp_path / "marks").write_text(text)
    with pytest.raises(InputError, match=message):
        read_annotations(tmp_path / "marks", voxel_size=VOXEL)


def test_an_absent_file(tmp_path):
    with pytest.raises(NotFoundError, match="no annotations"):
        read_annotations(tmp_path / "none.json", voxel_size=VOXEL)


KEYS = (
    *(
        "layers",
        "annotations",
        "source",
        "transform",
        "matrix",
        "dimensions",
        "outputDimensions",
        "inputDimensions",
    ),
    *("point", "type", "x", "y", "z", "name", "description", "id"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**19) | st.floats() | st.sampled_from(["m", "um", "point", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@settings(max_examples=80, deadline=None)
@given(layer=JSON, transform=JSON, dimensions=JSON, annotations=JSON)
def test_any_state_has_points_or_is_refused(layer, transform, dimensions, annotations):
    source = {"url": "local://annotations", "transform": transform}
    states = [
        {
            "dimensions": dimensions,
            "layers": [{"type": "annotation", "source": source, "annotations": annotations}],
        },
        {"layers": layer, "dimensions": dimensions},
        changed(annotations=annotations),
        changed(source=source),
    ]
    for viewer in states:
        with suppress(InputError):
            found = points_of(viewer, voxel_size=VOXEL)
            assert found.positions.shape == (len(found), 3)
