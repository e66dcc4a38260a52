"""Tables of structures: every layout gives the same tree, and what is no tree is named."""

import json
import pickle
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files.structures import Structure, StructureTree, read_structures, structures_csv


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("structures")


TREE = StructureTree(
    (
        Structure(997, "root", "root"),
        Structure(8, "grey", "Basic cell groups and regions", 997),
        Structure(614454277, "STR", "Striatum, dorsal", 8),
        Structure(567, "CH", "Cerebrum", 8),
        Structure(73, "VS", "ventricular systems", 997),
    )
)

NESTED = {
    "id": 997,
    "acronym": "root",
    "name": "root",
    "parent_structure_id": None,
    "children": [
        {
            "id": 8,
            "acronym": "grey",
            "name": "Basic cell groups and regions",
            "parent_structure_id": 997,
            "children": [
                {"id": 614454277, "acronym": "STR", "name": "Striatum, dorsal", "children": []},
                {"id": 567, "acronym": "CH", "name": "Cerebrum", "parent_structure_id": 8, "children": []},
            ],
        },
        {"id": 73, "acronym": "VS", "name": "ventricular systems", "parent_structure_id": 997, "children": []},
    ],
}

BRAINGLOBE = [
    {"acronym": s.acronym, "id": s.id, "name": s.name, "structure_id_path": path, "rgb_triplet": [1, 2, 3]}
    for s, path in zip(TREE, [[997], [997, 8], [997, 8, 614454277], [997, 8, 567], [997, 73]], strict=True)
]

LAYOUTS = {
    "nested.json": json.dumps(NESTED),
    "msg.json": json.dumps({"success": True, "msg": [NESTED]}),
    "brainglobe.json": json.dumps(BRAINGLOBE),
    "brainglobe.csv": "id,acronym,name,structure_id_path,parent_structure_id\n"
    "997,root,root,/997/,\n"
    "8,grey,Basic cell groups and regions,/997/8/,997.0\n"
    '614454277,STR,"Striatum, dorsal",/997/8/614454277/,8.0\n'
    "567,CH,Cerebrum,/997/8/567/,8.0\n"
    "73,VS,ventricular systems,/997/73/,997.0\n",
    "paths.csv": "acronym,id,structure_id_path,name\n"
    "root,997,/997/,root\n"
    "grey,8,/997/8/,Basic cell groups and regions\n"
    'STR,614454277,/997/8/614454277/,"Striatum, dorsal"\n'
    "CH,567,/997/8/567/,Cerebrum\n"
    "VS,73,/997/73/,ventricular systems\n",
    "own.csv": structures_csv(TREE),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_same_tree(tmp_path, name):
    (tmp_path / name).write_text(LAYOUTS[name], encoding="utf-8")
    assert read_structures(tmp_path / name) == TREE


def test_relations():
    assert TREE.ancestors(567) == (8, 997)
    assert TREE.descendants(8) == (8, 614454277, 567)
    assert TREE.children(997) == (8, 73)
    assert TREE.children(None) == (997,)
    assert TREE[73].name == "ventricular systems"
    assert 567 in TREE
    assert 1 not in TREE
    assert TREE.by_acronym("ch").id == 567
    assert pickle.loads(pickle.dumps(TREE)).ancestors(567) == (8, 997)


def test_the_order_is_that_of_the_tree_whatever_the_order_given():
    shuffled = StructureTree(tuple(sorted(TREE, key=lambda s: s.id)))
    ids = [s.id for s in shuffled]
    assert all(s.parent is None or ids.index(s.parent) < ids.index(s.id) for s in shuffled)


def test_sums_roll_up():
    totals = TREE.rolled_up({567: 5, 614454277: 7, 8: 1, 73: 100}, 0)
    assert totals == {997: 113, 8: 13, 614454277: 7, 567: 5, 73: 100}
    with pytest.raises(InputError, match="id 4"):
        TREE.rolled_up({4: 1}, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,acronym,name,parent\n1,a,a,\n1,b,b,\n", "one id"),
        ("id,acronym,name,parent\n1,a,a,7\n", "1 .a. is a part of 7"),
        ("id,acronym,name,parent\n1,a,a,2\n2,b,b,1\n", "part of itself"),
        ("id,acronym,name,parent\n1,a,a,1\n", "part of itself"),
        ("id,acronym,name,parent\n0,a,a,\n", "0 is what lies outside"),
        ("id,acronym,name,parent\n1.5,a,a,\n", "line 2: '1.5' is not an id"),
        ("id,acronym,name,parent\n1,,a,\n", "no acronym"),
        ("id,acronym,name,parent\n,a,a,\n", "no id"),
        ("id,acronym,name,parent\n", "no structure"),
        ("number,short\n1,a\n", "begins with the line"),
        ("", "begins with the line"),
        ("[1]", "is an object"),
        ("{", "not JSON"),
        ("{}", "no id"),
        (
            '{"id": 1, "acronym": "a", "children": [{"id": 2, "acronym": "b", "parent_structure_id": 3}]}',
            "names 3 as its parent",
        ),
    ],
)
def test_what_is_no_tree(tmp_path, text, message):
    path = tmp_path / "structures"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_structures(path)
    assert str(path) in str(caught.value)


def test_absent_and_binary_files(tmp_path):
    with pytest.raises(NotFoundError, match="no table of structures"):
        read_structures(tmp_path / "none.csv")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read_structures(tmp_path / "binary")


def test_unknown_and_ambiguous_acronyms():
    with pytest.raises(InputError, match="no structure has the acronym CX") as caught:
        TREE.by_acronym("CX")
    assert "acronyms are those of the table" in caught.value.fix
    with pytest.raises(InputError, match="2 structures"):
        StructureTree((Structure(1, "A", "a"), Structure(2, "A", "b"))).by_acronym("A")


@pytest.mark.needs("shared")
def test_the_allen_table(shared_data):
    tree = read_structures(shared_data / "allen_structures.json")
    assert len(tree) > 1300
    assert tree[614454277].acronym == "SSp-un5" or 614454277 in tree
    assert tree.children(None) == (997,)
    cortex = tree.by_acronym("Isocortex")
    assert 688 in tree.ancestors(cortex.id)
    assert len(tree.descendants(997)) == len(tree)


def test_a_path_counts_more_than_a_parent_that_another_program_wrote(tmp_path):
    rows = "1,a,a,/1/,<NA>\n70000,b,b,/1/70000/,4464\n"
    (tmp_path / "s.csv").write_text(f"id,acronym,name,structure_id_path,parent_structure_id\n{rows}")
    assert read_structures(tmp_path / "s.csv")[70000].parent == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**65) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "acronym", "name", "parent", "children", "msg", "structure_id_path"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(value=JSON)
def test_any_json_is_a_tree_or_is_refused(folder, value):
    (folder / "s.json").write_text(json.dumps(value))
    with suppress(InputError):
        assert len(read_structures(folder / "s.json")) > 0


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=60) | st.text('id,acronympt\n"0159.-/', max_size=80).map(str.encode))
def test_any_bytes_are_a_tree_or_are_refused(folder, data):
    (folder / "s.csv").write_bytes(b"id,acronym,name,parent\n" + data)
    with suppress(InputError):
        assert len(read_structures(folder / "s.csv")) > 0
