import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_register.transforms.points import Points, read_blocks, read_points, write_points

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=8)
COORDINATES = st.floats(-1e6, 1e6).map(lambda value: round(value, 4))
ROWS = st.lists(st.tuples(COORDINATES, COORDINATES, COORDINATES, TEXTS, TEXTS), max_size=20)


def written(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "points.csv"
    path.write_bytes(text.encode(encoding))
    return path


@given(rows=ROWS, size=st.integers(1, 7))
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read_back_in_order(tmp_path_factory, rows, size):
    path = tmp_path_factory.mktemp("csv") / "points.csv"
    positions = np.array([row[:3] for row in rows]).reshape(-1, 3)
    others = tuple(tuple(row[k] for row in rows) for k in (3, 4))
    points = Points(positions, ("z", "name", "x", "note", "y"), others)
    assert write_points(path, points) == len(rows)
    blocks = list(read_blocks(path, size))
    assert all(len(block) <= size for block in blocks)
    assert len(blocks) == max(1, -(-len(rows) // size))
    found = read_points(path)
    np.testing.assert_array_equal(found.positions, positions)
    assert found.header == points.header
    assert found.column("name") == others[0]
    assert found.column("note") == others[1]


def test_a_byte_order_mark_empty_lines_spaces_and_capitals_are_taken(tmp_path):
    path = written(tmp_path, "\ufeffX, y ,Z,name\n1,2.5,-3,a\n\n4,5,6,b\n\n")
    points = read_points(path)
    np.testing.assert_array_equal(points.positions, [[1, 2.5, -3], [4, 5, 6]])
    assert points.column("name") == ("a", "b")


def test_a_header_alone_is_no_points(tmp_path):
    points = read_points(written(tmp_path, "x,y,z,name\n"))
    assert points.positions.shape == (0, 3)
    assert write_points(tmp_path / "out.csv", points) == 0
    assert (tmp_path / "out.csv").read_text() == "x,y,z,name\n"


def test_a_column_is_added_or_replaced():
    points = Points([[0, 0, 0], [1, 1, 1]], ("x", "y", "z", "name"), (("a", "b"),))
    added = points.with_column("inside", ("1", "0"))
    assert added.header == ("x", "y", "z", "name", "inside")
    again = added.moved([[2, 2, 2], [3, 3, 3]]).with_column("name", ("c", "d"))
    assert again.header == added.header
    assert (again.column("name"), again.column("inside")) == (("c", "d"), ("1", "0"))
    with pytest.raises(InputError, match="no column 'soma'"):
        points.column("soma")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the header '' has no column x nor y nor z\n  why: the file is empty"),
        ("x;y;z\n1;2;3\n", "semicolons or tabs"),
        ("1,2,3\n4,5,6\n", "it has no header"),
        ("x,y,name\n1,2,a\n", "has no column z"),
        ("x,y,z,name,name\n", "names name more than once"),
        ("x,y,z,X\n", "names x more than once"),
        ("x,y,z\n1,2,3\n\n1,two,3\n", "line 4, column y: 'two' is not a finite number"),
        ("x,y,z\n1,2,nan\n", "line 2, column z: 'nan' is not"),
        ("x,y,z\n1,2,3\n-inf,2,3\n", "line 3, column x: '-inf'"),
        ("x,y,z\n1,2,\n", "line 2, column z: ''"),
        ('x,y,z,name\n1,2,3,"a\n4,5,6,b\n', "line 3: not CSV: unexpected end of data\n  why: a quote was opened"),
        ("x,y,z\n1,2\n", "line 2: 2 fields, where the header has 3"),
        ("x,y,z\n1,2,3,4\n", "line 2: 4 fields, where the header has 3\n  why: a text that holds a comma"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, text, message):
    with pytest.raises(InputError) as caught:
        read_points(written(tmp_path, text))
    assert message in str(caught.value)


def test_other_encodings_and_absent_files_are_named(tmp_path):
    with pytest.raises(InputError, match="not text in UTF-8"):
        read_points(written(tmp_path, "x,y,z,name\n1,2,3,Hügel\n", "latin-1"))
    with pytest.raises(NotFoundError, match="no points at"):
        read_points(tmp_path / "absent.csv")


def test_nothing_is_left_when_writing_stops(tmp_path):
    def blocks():
        yield Points([[0, 0, 0]])
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_points(tmp_path / "out.csv", blocks())
    assert list(tmp_path.iterdir()) == []
