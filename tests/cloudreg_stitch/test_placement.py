import json
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.space import VoxelSize
from cloudreg_stitch.placement import FLAGS, Displacement, PlacedTile, Placement

finite = st.floats(-1e6, 1e6, allow_nan=False)
vector = st.tuples(finite, finite, finite)
fraction = st.floats(0, 1)


def example():
    tiles = (
        PlacedTile("LOC000", 0, 0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 0.9),
        PlacedTile("LOC001", 0, 1, (90.25, -0.0, 2.5), (91.0, 0.0, 0.0), 0.0, ("stage_position", "blank")),
        PlacedTile("LOC002", 1, 0, (500.0, 500.0, 500.0), (0.0, 91.0, 0.0), 0.0, ("unscanned",)),
    )
    pair = Displacement("LOC000", "LOC001", "x", (90.25, 0.0, 2.5), 0.5, used=False)
    return Placement(tiles, (pair,), VoxelSize(0.585, 0.585, 5.0), "CHN00", {"CHN01": (0.5, 0.0, 0.0)})


@st.composite
def placements(draw):
    names = draw(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4, unique=True))
    tiles = tuple(
        PlacedTile(
            name,
            i,
            0,
            draw(vector),
            draw(vector),
            draw(fraction),
            tuple(draw(st.sets(st.sampled_from(FLAGS)))),
        )
        for i, name in enumerate(names)
    )
    pairs = tuple(
        Displacement(a, b, "y", draw(vector), draw(fraction), draw(st.booleans())) for a, b in pairwise(names)
    )
    return Placement(tiles, pairs, VoxelSize(0.6, 0.6, 3.0), draw(st.text(max_size=5)), {"CHN01": draw(vector)})


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(placements())
def test_a_saved_placement_loads_as_it_was(tmp_path, placement):
    path = tmp_path / "placement.json"
    placement.save(path)
    assert Placement.load(path) == placement
    first = path.read_bytes()
    Placement.load(path).save(path)
    assert path.read_bytes() == first


def test_the_file_has_the_keys_of_the_contract(tmp_path):
    example().save(tmp_path / "placement.json")
    content = json.loads((tmp_path / "placement.json").read_text())
    assert list(content) == [
        "version", "units", "voxel_size_um", "alignment_channel", "channel_shift", "tiles", "pairs"
    ]  # fmt: skip
    assert content["units"] == "voxels"
    assert content["tiles"][1] == {
        "name": "LOC001", "row": 0, "column": 1, "position": [90.25, 0.0, 2.5], "nominal": [91.0, 0.0, 0.0],
        "confidence": 0.0, "flags": ["stage_position", "blank"],
    }  # fmt: skip
    assert content["pairs"][0] == {
        "a": "LOC000", "b": "LOC001", "axis": "x", "displacement": [90.25, 0.0, 2.5],
        "confidence": 0.5, "used": False,
    }  # fmt: skip


def test_the_size_is_the_union_of_the_scanned_tiles():
    assert example().size((100, 80, 10)) == (190, 80, 13)


def test_an_unknown_tile_is_named():
    with pytest.raises(NotFoundError, match="LOC999"):
        example().tile("LOC999")


def _break(content, change):
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda c: c.pop("tiles"), "tiles is missing"),
        (lambda c: c.update(version=7), "version is 7"),
        (lambda c: c.update(units="um"), "units"),
        (lambda c: c.update(voxel_size_um=[1, 0, 1]), "voxel_size_um"),
        (lambda c: c["tiles"][1].update(position=[1, 2]), r"tiles\[1\].position"),
        (lambda c: c["tiles"][1].update(position=[1, 2, float("nan")]), r"tiles\[1\].position"),
        (lambda c: c["tiles"][1].update(position="here"), r"tiles\[1\].position"),
        (lambda c: c["tiles"][2].update(flags=["pined"]), "pined"),
        (lambda c: c["tiles"][2].update(name="LOC000"), r"tiles\[2\].name"),
        (lambda c: c["tiles"][0].update(confidence=1.5), r"tiles\[0\].confidence"),
        (lambda c: c["tiles"][0].update(row=True), r"tiles\[0\].row"),
        (lambda c: c["pairs"][0].update(b="LOC9"), r"pairs\[0\].b"),
        (lambda c: c["pairs"][0].update(axis="z"), r"pairs\[0\].axis"),
        (lambda c: c["pairs"][0].pop("used"), r"pairs\[0\].used is missing"),
        (lambda c: c.update(channel_shift={"CHN01": [1]}), "channel_shift.CHN01"),
        (lambda c: c.update(tiles=[]), "tiles is empty"),
        (lambda c: c.update(tiles=["LOC000"]), r"tiles\[0\]"),
    ],
)
def test_a_mistake_is_named_by_file_and_key(tmp_path, change, key):
    path = tmp_path / "edited.json"
    path.write_text(_break(example().to_json(), change))
    with pytest.raises(InputError, match=key) as caught:
        Placement.load(path)
    assert "edited.json" in str(caught.value)


def test_a_file_that_is_absent_or_not_json_is_named(tmp_path):
    with pytest.raises(NotFoundError, match=r"none\.json"):
        Placement.load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match=r"bad\.json: not valid JSON"):
        Placement.load(tmp_path / "bad.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(InputError, match=r"list\.json"):
        Placement.load(tmp_path / "list.json")
