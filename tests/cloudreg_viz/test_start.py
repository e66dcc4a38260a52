import numpy as np
import pytest

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_viz.start import draw_start


def write_planes(path, **changed):
    path.parent.mkdir(parents=True, exist_ok=True)
    shapes = {"x": (30, 40), "y": (30, 50), "z": (40, 50)}
    planes = {"spacing_um": np.array([100.0, 100.0, 100.0])}
    for letter, shape in shapes.items():
        left, right = np.zeros(shape), np.zeros(shape)
        left[:, : shape[1] // 3], right[:, -shape[1] // 3 :] = 1, 1
        planes |= {f"target_{letter}": left, f"atlas_start_{letter}": right}
    np.savez(path, **(planes | changed))


def test_target_and_atlas_have_colours_of_their_own(tmp_path):
    image = pytest.importorskip("PIL.Image")
    write_planes(tmp_path / "qc" / "start.npz")
    draw_start(tmp_path, tmp_path / "start.png", width=600)
    drawn = image.open(tmp_path / "start.png").convert("RGB")
    assert drawn.width == 600
    colours = {colour for _, colour in drawn.getcolors(1 << 20)}
    assert (255, 0, 255) in colours
    assert (0, 255, 0) in colours
    before = (tmp_path / "start.png").read_bytes()
    draw_start(tmp_path / "qc" / "start.npz", tmp_path / "start.png", width=600)
    assert (tmp_path / "start.png").read_bytes() == before


def test_what_cannot_be_drawn(tmp_path):
    with pytest.raises(NotFoundError, match=r"start\.npz"):
        draw_start(tmp_path, tmp_path / "a.png")
    write_planes(tmp_path / "start.npz")
    with pytest.raises(InputError, match="PNG"):
        draw_start(tmp_path / "start.npz", tmp_path / "a.jpg")


@pytest.mark.parametrize("changed", [{"target_x": np.zeros((2, 2))}, {"spacing_um": np.zeros(2)}])
def test_planes_that_do_not_fit(tmp_path, changed):
    write_planes(tmp_path / "start.npz", **changed)
    with pytest.raises(InputError, match="no planes of a start"):
        draw_start(tmp_path / "start.npz", tmp_path / "a.png")


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "start.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(InputError, match=r"start\.npz"):
        draw_start(tmp_path / "start.npz", tmp_path / "a.png")
