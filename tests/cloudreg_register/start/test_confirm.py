"""The dialogue before a registration, and what it shows."""

import numpy as np
import pytest

from cloudreg_io.errors import InputError
from cloudreg_io.space import Affine
from cloudreg_register.images.image import Image
from cloudreg_register.stage.start_picture import in_text, start_planes, write_start_picture
from cloudreg_register.start.confirm import Pose, confirm, parsed_answer


def make(pose):
    return Affine.from_parameters(rotation=pose.rotation, translation=pose.translation or (7, 0, 0))


def dialogue(*answers):
    """The confirmed start, what was shown, and what was asked."""
    shown, asked, given = [], [], iter(answers)

    def ask(question):
        asked.append(question)
        return next(given)

    return confirm(Pose(), make, ask, shown.append), shown, asked


def test_yes_takes_what_was_shown():
    confirmed, shown, _ = dialogue(" Y ")
    assert shown == [make(Pose())]
    assert confirmed.start == shown[0]
    assert confirmed.pose == Pose()


def test_new_numbers_are_shown_and_kept_beside_each_other():
    confirmed, shown, _ = dialogue("--rotation 0 0 90", "--translation 1 -2 3e2", "yes")
    turned = Pose((0.0, 0.0, 90.0))
    moved = Pose((0.0, 0.0, 90.0), (1.0, -2.0, 300.0))
    assert shown == [make(Pose()), make(turned), make(moved)]
    assert confirmed.pose == moved
    assert confirmed.start == make(moved)


def test_no_ends_it():
    with pytest.raises(InputError, match="not confirmed"):
        dialogue("n")


@pytest.mark.parametrize(
    "answer", ["", "maybe", "--rotation 1 2", "--rotation a b c", "--scale 1 1 1", "'", "--rotation 1 2 nan"]
)
def test_what_is_no_answer_is_asked_again(answer):
    confirmed, shown, asked = dialogue(answer, "y")
    assert confirmed.pose == Pose()
    assert len(shown) == 1
    assert len(asked) == 2
    assert len(asked[1]) > len(asked[0])  # what was wrong is said


def test_both_in_one_answer():
    pose = parsed_answer("--translation 1 2 3 --rotation 4 5 6", Pose())
    assert pose == Pose((4.0, 5.0, 6.0), (1.0, 2.0, 3.0))


def test_nobody_to_ask():
    def ask(_):
        raise EOFError

    with pytest.raises(InputError, match="not a terminal"):
        confirm(Pose(), make, ask, lambda _: None)


def bars():
    """A target whose tissue is its lower x half, and an atlas that lies there after a shift of 800 µm."""
    target, atlas = np.zeros((8, 12, 16), np.float32), np.zeros((8, 12, 16), np.float32)
    target[2:6, 3:9, 1:7], atlas[2:6, 3:9, 9:15] = 1, 1
    return (Image.of_array(array, (100.0,) * 3, "LPS") for array in (target, atlas))


def test_characters_show_where_target_and_atlas_lie():
    target, atlas = bars()
    apart = in_text(start_planes(target, atlas, Affine.identity())).partition("across z")[2]
    # the planes lie at the middle of the target's tissue
    assert "." in apart
    assert "+" in apart
    assert "#" not in apart
    assert apart.index(".") < apart.index("+")
    there = Affine.from_parameters(translation=(-800, 0, 0))
    together = in_text(start_planes(target, atlas, there)).partition("across z")[2]
    assert "#" in together
    assert "." not in together.partition("across")[0]


def test_the_planes_are_kept_for_a_picture(tmp_path):
    target, atlas = bars()
    path = write_start_picture(tmp_path, start_planes(target, atlas, Affine.identity()))
    assert path == tmp_path / "qc" / "start.npz"
    with np.load(path) as planes:
        assert planes["target_z"].shape == planes["atlas_start_z"].shape == (12, 16)
        np.testing.assert_array_equal(planes["target_z"], target.array[planes["index"][2]])
