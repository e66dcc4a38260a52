import sys

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from cloudreg_io.errors import InputError, NotFoundError, ToolError
from cloudreg_io.space import Orientation, VoxelSize
from cloudreg_register.images.frame import Frame
from cloudreg_register.transforms.matlab import import_matlab

ATLAS = Frame((20, 15, 18), VoxelSize(100, 100, 100), Orientation("PIR"), "atlas")
TARGET = Frame((60, 45, 40), VoxelSize(40, 40, 50), Orientation("LPS"), "target")
A = np.array([[0, 0, 1.0, 120], [1, 0, 0, -40], [0, -1, 0, 7], [0, 0, 0, 1]])
EDGE = VoxelSize(100, 100, 100)


def velocity(parts=3, size=(24, 19, 22)):
    """vtx, vty, vtz as MATLAB has them: [row y, column x, slice z, t], each a ramp that no other axis has."""
    x, y, z = size
    shape = (y, x, z, parts)
    row, column, plane, time = np.meshgrid(*(np.arange(n, dtype=float) for n in shape), indexing="ij")
    return {"vtx": 10 * column + time, "vty": 20 * row - time, "vtz": 30 * plane + 2 * time}


def write_v73(path, variables):
    """HDF5 with MATLAB's header in front and the axes in reverse, which is how version 7.3 stores arrays."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in variables.items():
            file.create_dataset(name, data=np.asarray(array).T)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


@pytest.fixture
def files(tmp_path):
    savemat(tmp_path / "A.mat", {"A": A})
    write_v73(tmp_path / "v.mat", velocity())
    return tmp_path / "A.mat", tmp_path / "v.mat"


def test_axes_components_and_times_find_their_places(files):
    transform = import_matlab(*files, EDGE, ATLAS, TARGET)
    assert transform.velocity.shape == (3, 3, 22, 19, 24)
    t, z, y, x = 2, 5, 7, 11
    np.testing.assert_array_equal(transform.velocity[t, :, z, y, x], [10 * x + t, 20 * y - t, 30 * z + 2 * t])
    np.testing.assert_array_equal(transform.affine.matrix, A)
    np.testing.assert_allclose(transform.velocity_grid.centre, 0, atol=1e-9)
    assert transform.velocity_grid.spacing == (100, 100, 100)


def test_points_go_where_the_older_programs_steps_take_them(files, tmp_path):
    # a velocity that is the same everywhere: first-order steps are exact
    constant = {
        name: np.full((19, 24, 22, 4), value) for name, value in (("vtx", 30.0), ("vty", -20), ("vtz", 50))
    }
    write_v73(tmp_path / "v.mat", constant)
    transform = import_matlab(files[0], tmp_path / "v.mat", EDGE, ATLAS, TARGET)
    point = np.array([300.0, 500, 700])
    centred = point - [950, 700, 850]  # (n − 1) / 2 · 100
    expected = A[:3, :3] @ (centred + np.array([30, -20, 50])) + A[:3, 3] + [1180, 880, 975]
    np.testing.assert_allclose(transform.to_target([point])[0][0], expected, atol=0.01)
    transform.save(tmp_path / "transform")
    np.testing.assert_allclose(
        transform.load(tmp_path / "transform").to_target([point])[0][0], expected, atol=0.01
    )


def test_both_formats_hold_both_files(tmp_path, files):
    write_v73(tmp_path / "A73.mat", {"A": A})
    savemat(tmp_path / "v7.mat", velocity())
    one = import_matlab(*files, EDGE, ATLAS, TARGET)
    two = import_matlab(tmp_path / "A73.mat", tmp_path / "v7.mat", EDGE, ATLAS, TARGET)
    assert one.affine == two.affine
    np.testing.assert_array_equal(one.velocity, two.velocity)
    savemat(tmp_path / "still.mat", {name: array[..., 0] for name, array in velocity().items()})
    assert len(import_matlab(files[0], tmp_path / "still.mat", EDGE, ATLAS, TARGET).velocity) == 1


def test_what_is_wrong_is_named(tmp_path, files):
    a, v = files
    with pytest.raises(NotFoundError, match="no such file"):
        import_matlab(tmp_path / "none.mat", v, EDGE, ATLAS, TARGET)
    with pytest.raises(InputError, match=r"has no variable A"):
        import_matlab(v, a, EDGE, ATLAS, TARGET)
    with pytest.raises(InputError, match=r"span 1\.2 × 0\.95 × 1\.1 mm; the atlas is 2"):
        import_matlab(a, v, VoxelSize(50, 50, 50), ATLAS, TARGET)
    savemat(tmp_path / "A3.mat", {"A": np.eye(3)})
    with pytest.raises(InputError, match=r"A is \[3, 3\]"):
        import_matlab(tmp_path / "A3.mat", v, EDGE, ATLAS, TARGET)
    odd = velocity()
    odd["vty"] = odd["vty"][:-1]
    write_v73(tmp_path / "odd.mat", odd)
    with pytest.raises(InputError, match="not arrays of one shape"):
        import_matlab(a, tmp_path / "odd.mat", EDGE, ATLAS, TARGET)
    (tmp_path / "text.mat").write_text(
        "not MATLAB at all, but a text that is long enough to be read as a header" * 9
    )
    with pytest.raises(InputError, match="not a MATLAB file"):
        import_matlab(tmp_path / "text.mat", v, EDGE, ATLAS, TARGET)
    (tmp_path / "cut.mat").write_bytes(v.read_bytes()[:2000])
    with pytest.raises(InputError, match="is damaged"):
        import_matlab(a, tmp_path / "cut.mat", EDGE, ATLAS, TARGET)


def test_without_the_extra_it_is_named(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ToolError, match="need h5py") as caught:
        import_matlab(*files, EDGE, ATLAS, TARGET)
    assert "cloudreg-register[matlab]" in caught.value.fix
