from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from cloudreg_io.errors import InputError
from cloudreg_io.space import Bounds
from cloudreg_io.synthetic import AcquisitionSpec, IndexCode, check_coverage, make_index_acquisition
from cloudreg_io.synthetic.index import expected

SPEC = AcquisitionSpec(
    rows=2,
    columns=3,
    tile_size=(40, 32),
    planes=9,
    overlap=(25.0, 25.0),
    jitter=(2.0, 2.0, 2.0),
    whole_voxels=True,
    unscanned=frozenset({(1, 2)}),
    seed=5,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_index_acquisition(tmp_path_factory.mktemp("index") / "a", SPEC, (4, 4))


def stack(truth, name):
    files = sorted((truth.folder / "VW0" / name).glob("*.tif"))
    return np.stack([tifffile.imread(file) for file in files])


@pytest.fixture(scope="module")
def fused(made):
    """The mean of the tiles, written here and not by any fusion."""
    truth, _ = made
    total = np.zeros(truth.size[::-1])
    for name in truth.positions:
        total[truth.tile_bounds(name).slices()] += stack(truth, name)
    return np.rint(total / np.maximum(truth.covering(Bounds.of_size(truth.size)), 1)).astype(np.uint16)


def coverage(volume, made):
    return check_coverage(lambda bounds: volume[bounds.slices()], *made, slab=4)


def test_every_index_is_its_own(made):
    truth, code = made
    values = np.concatenate([stack(truth, name).ravel() for name in code.tiles])
    assert sorted(set(values.tolist())) == list(range(1, code.count + 1))
    assert code.count == 5 * 9 * 16
    assert IndexCode.of(truth, (4, 4)) == code
    assert code.describe(int(stack(truth, "LOC001")[7, 31, 0])) == "tile LOC001 plane 7 block x 0 y 3"


def test_a_complete_volume_is_complete(made, fused):
    _, code = made
    result = coverage(fused, made)
    assert result.complete
    assert result.found + len(result.blended) == code.count
    assert result.found > 0.6 * code.count
    # outer corner blocks of the middle of the grid lie in overlaps altogether
    assert all("block" in code.describe(index) for index in result.blended)


def test_a_lost_plane_is_named(made, fused):
    truth, code = made
    damaged = fused.copy()
    z = truth.tile_bounds("LOC004").lower[2] + 3
    box = truth.tile_bounds("LOC004").slices()
    damaged[z, box[1], box[2]] = 0
    result = coverage(damaged, made)
    assert not result.complete
    names = {code.describe(index).rsplit(" block", 1)[0] for index in result.lost}
    assert "tile LOC004 plane 3" in names
    assert result.wrong_blends > 0


def test_a_shift_by_one_plane_is_seen(made, fused):
    result = coverage(np.roll(fused, 1, axis=0), made)
    assert len(result.lost) > 100


def test_one_wrong_voxel_is_seen(made, fused):
    truth, _ = made
    count = truth.covering(Bounds.of_size(truth.size))
    for covered, field in ((0, "invented"), (1, "lost"), (2, "wrong_blends")):
        damaged = fused.copy()
        damaged[tuple(np.argwhere(count == covered)[50])] = 65535
        result = coverage(damaged, made)
        value = getattr(result, field)
        assert (len(value) if field == "lost" else value) == 1
        assert not result.complete


def test_expected_bounds_by_hand(made):
    truth, code = made
    low, high = expected(truth, code, Bounds.of_size(truth.size))
    count = truth.covering(Bounds.of_size(truth.size))
    np.testing.assert_array_equal(high == 0, count == 0)
    np.testing.assert_array_equal((low == high)[count == 1], True)
    box = truth.tile_bounds("LOC000").slices()
    inside = low[box] <= stack(truth, "LOC000")
    assert (inside & (stack(truth, "LOC000") <= high[box])).all()


def test_what_cannot_be_indexed_is_refused(tmp_path):
    with pytest.raises(InputError, match="interpolated"):
        make_index_acquisition(tmp_path / "a", replace(SPEC, whole_voxels=False))
    with pytest.raises(InputError, match="uint16"):
        make_index_acquisition(tmp_path / "a", replace(SPEC, planes=200), (16, 16))
    assert list(tmp_path.iterdir()) == []
