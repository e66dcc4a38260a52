"""Landmarks and their errors; agreement of labels."""

import json

import numpy as np
import pytest

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files.structures import Structure, StructureTree
from cloudreg_io.space import Affine, Orientation
from cloudreg_register.analysis.accuracy import COLUMNS, Summary, accuracy, printed
from cloudreg_register.analysis.dice import overlaps, overlaps_csv, weighted
from cloudreg_register.images.frame import Frame
from cloudreg_register.images.image import Image
from cloudreg_register.start.landmarks import Landmarks, paired, read_landmarks
from cloudreg_register.transforms.transform import Transform

ATLAS = Frame((20, 22, 24), (100, 100, 100), Orientation("PIR"), "atlas")
TARGET = Frame((40, 44, 50), (50, 50, 50), Orientation("IRA"), "target")


def landmarks(names, positions, source="points"):
    return Landmarks(tuple(names), np.array(positions, float).reshape(-1, 3), source)


def shifted(x, y, z):
    """The transform that the orientation codes give, then a shift."""
    from cloudreg_register.start.initial import initial_affine

    start = initial_affine(ATLAS.orientation, TARGET.orientation)
    return Transform.of_affine(Affine.from_parameters(translation=(x, y, z)) @ start, ATLAS, TARGET)


POINTS = np.random.default_rng(0).uniform(200, 1700, (6, 3))
NAMES = ("a", "b", "c", "d", "e", "f")


def test_errors_of_a_known_shift():
    """The truth is a shift of (30, 0, 40) µm; the transform knows (30, 0, 0) of it."""
    truth, transform = shifted(30, 0, 40), shifted(30, 0, 0)
    target = truth.to_target(POINTS)[0]
    pairs = paired(landmarks(NAMES, POINTS), landmarks(NAMES[::-1], target[::-1]))
    result = accuracy(transform, pairs)
    np.testing.assert_allclose(result.before, np.tile([-30, 0, -40], (6, 1)), atol=1e-6)
    np.testing.assert_allclose(result.after, np.tile([0, 0, -40], (6, 1)), atol=1e-6)
    assert result.summary("before").mean == pytest.approx(50)
    assert result.summary().max == pytest.approx(40)
    better = accuracy(transform, pairs, start=shifted(0, 0, 40).affine)
    assert better.summary("before").mean == pytest.approx(30)
    # PIR to IRA: the atlas's x runs against the target's z
    in_atlas = accuracy(transform, pairs, space="atlas")
    np.testing.assert_allclose(in_atlas.after, np.tile([-40, 0, 0], (6, 1)), atol=1e-6)


def test_what_is_written():
    truth = shifted(0, 0, 40)
    target = truth.to_target(POINTS)[0]
    far = np.array([[9e4, 0, 0]])
    pairs = paired(
        landmarks([*NAMES, "far", "mine"], np.vstack([POINTS, far, far])),
        landmarks([*NAMES, "far", "yours", "twice", "twice"], np.vstack([target, far, far, far, far])),
    )
    result = accuracy(shifted(0, 0, 0), pairs)
    document = json.loads(json.dumps(result.to_json()))
    assert document["after"]["points"] == 7
    assert document["only_in_atlas"] == ["mine"]
    assert document["only_in_target"] == ["twice", "yours"]
    assert document["repeated"] == ["twice"]
    assert [entry["name"] for entry in document["landmarks"]] == [*NAMES, "far"]
    assert [entry["inside"] for entry in document["landmarks"]] == [True] * 6 + [False]
    lines = result.to_csv().splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert lines[1] == "a,0.000,0.000,-40.000,40.000,40.000,True"
    text = "\n".join(printed(result))
    assert "only in the target: twice, yours" in text
    assert "named more than once, not used: twice" in text


def test_of_many_names_a_few_are_printed():
    names = [f"n{k:03}" for k in range(100)]
    target = landmarks([*NAMES, *names], np.vstack([POINTS, np.zeros((100, 3))]))
    text = printed(accuracy(shifted(0, 0, 0), paired(landmarks(NAMES, POINTS), target)))[-1]
    assert text == f"only in the target: {', '.join(names[:8])} and 92 more"


def test_the_summary():
    summary = Summary.of(np.arange(101.0))
    assert (summary.points, summary.mean, summary.median, summary.p95, summary.max) == (101, 50, 50, 95, 100)


def test_names_match_without_case_and_blanks():
    pairs = paired(landmarks([" Left  DG ", "x"], [[1, 2, 3], [4, 5, 6]]), landmarks(["left dg"], [[7, 8, 9]]))
    assert pairs.names == ("Left  DG",)
    np.testing.assert_array_equal(pairs.target, [[7, 8, 9]])
    assert pairs.only_atlas == ("x",)


@pytest.mark.parametrize(
    ("atlas", "target", "why"),
    [
        (["a", "b"], ["c"], "the names there: 'a', 'b'"),
        (["a", "a"], ["a"], "more than once: 'a'"),
        ([""], [""], "''"),
    ],
)
def test_no_common_name(atlas, target, why):
    with pytest.raises(InputError, match="no landmark has one name") as caught:
        paired(landmarks(atlas, np.ones((len(atlas), 3))), landmarks(target, np.ones((len(target), 3))))
    assert why in caught.value.why


def test_landmarks_in_files(tmp_path):
    (tmp_path / "a.csv").write_text("name,x,y,z\nDG,1,2,3\n")
    found = read_landmarks(tmp_path / "a.csv")
    assert found.names == ("DG",)
    np.testing.assert_array_equal(found.positions, [[1, 2, 3]])
    state = {
        "dimensions": {"x": [5e-6, "m"], "y": [5e-6, "m"], "z": [5e-6, "m"]},
        "layers": [
            {
                "type": "annotation",
                "name": "marks",
                "source": "local://annotations",
                "annotations": [{"type": "point", "point": [1.5, 2.5, 3.5], "description": "DG"}],
            }
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(state))
    same = read_landmarks(tmp_path / "a.json", voxel_size=(5, 5, 5))
    np.testing.assert_allclose(same.positions, [[5, 10, 15]])
    with pytest.raises(InputError, match="need the voxel size"):
        read_landmarks(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "message"), [("x,y,z\n1,2,3\n", "no column name"), ("x,y,z,name\n", "no landmarks"), ("", "header")]
)
def test_files_without_landmarks(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_landmarks(tmp_path / "a.csv")
    with pytest.raises(NotFoundError):
        read_landmarks(tmp_path / "absent.csv")


def labels(array, edge=100.0, orientation="PIR", name="labels"):
    return Image.of_array(np.asarray(array), (edge,) * 3, orientation, name)


def test_dice_of_known_overlap():
    first = np.zeros((4, 4, 8), np.uint32)
    second = np.zeros((4, 4, 8), np.uint64)
    first[:, :, :4], second[:, :, 2:6] = 614454277, 614454277
    first[0, 0, 7], second[1, 0, 7] = 3, 9
    found = overlaps(labels(first), labels(second))
    assert set(found) == {3, 9, 614454277}
    assert found[614454277].dice == pytest.approx(0.5)
    assert found[3].dice == 0
    assert weighted(found) == pytest.approx(2 * 32 / (64 + 64 + 2))
    same = overlaps(labels(first), labels(first))
    assert {overlap.dice for overlap in same.values()} == {1.0}
    tree = StructureTree((Structure(614454277, "ORB", "Orbital area"),))
    assert overlaps_csv(found, tree).splitlines()[1:] == [
        "3,,,0.000000,1,0",
        "9,,,0.000000,0,1",
        "614454277,ORB,Orbital area,0.500000,64,64",
    ]


def test_dice_of_labels_of_another_voxel_size():
    coarse = np.random.default_rng(0).integers(0, 4, (6, 6, 6)).astype(np.uint32)
    fine = coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    assert weighted(overlaps(labels(coarse), labels(fine, 50.0))) == 1
    assert weighted(overlaps(labels(fine, 50.0), labels(coarse))) == 1


def test_labels_that_cannot_be_compared():
    array = np.ones((4, 4, 4), np.uint32)
    with pytest.raises(InputError, match="oriented"):
        overlaps(labels(array), labels(array, orientation="LPS"))
    with pytest.raises(InputError, match="not two views of one space"):
        overlaps(labels(array), labels(np.ones((4, 4, 9), np.uint32)))
    with pytest.raises(InputError, match="holds a label"):
        overlaps(labels(0 * array), labels(0 * array))
