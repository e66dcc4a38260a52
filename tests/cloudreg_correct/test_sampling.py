import numpy as np
import pytest

from cloudreg_correct.sampling import choose_sample, overlaps_of
from cloudreg_io.errors import InputError
from cloudreg_io.space import VoxelSize
from cloudreg_io.tiles import Tile, TileGrid


class Source:
    """Planes that are there or not; the sample is chosen without reading any."""

    channel = "CHN00"
    dtype = np.dtype("uint16")

    def __init__(self, rows, columns, planes, unscanned=(), absent=()):
        tiles = tuple(
            Tile(f"t{r}{c}", r, c, (85.0 * c, 90.0 * r, 0.0), (r, c) not in unscanned)
            for r in range(rows)
            for c in range(columns)
        )
        self.grid = TileGrid(rows, columns, (100, 100, planes), VoxelSize(1, 1, 5), tiles)
        self.absent = set(absent)

    def present(self, tile):
        there = [tile.scanned and (tile.name, z) not in self.absent for z in range(self.grid.planes)]
        return np.array(there)


@pytest.mark.parametrize(
    ("rows", "columns", "planes", "expected"), [(3, 4, 50, 120), (10, 10, 100, 200), (2, 2, 10, 20), (1, 1, 7, 7)]
)
def test_default_number(rows, columns, planes, expected):
    sample = choose_sample(Source(rows, columns, planes))
    assert len(sample) == len(set(sample)) == expected


def test_spread_over_tiles_and_depth_in_pairs():
    source = Source(4, 5, 80, unscanned={(0, 0)})
    sample = choose_sample(source, 120)
    names, depths = zip(*sample, strict=True)
    assert set(names) == {tile.name for tile in source.grid.scanned}
    quarters = np.histogram(depths, bins=4, range=(0, 80))[0]
    assert quarters.min() >= 20
    overlaps = overlaps_of(source.grid, sample)
    assert len(overlaps) >= 50
    assert {overlap.shift for overlap in overlaps} == {(85.0, 0.0), (0.0, 90.0)}
    for overlap in overlaps:
        a, b = (source.grid.tile(sample[i][0]) for i in (overlap.a, overlap.b))
        assert sample[overlap.a][1] == sample[overlap.b][1]
        assert (b.row - a.row, b.column - a.column) in {(0, 1), (1, 0)}


def test_placed_tiles_pair_the_same_depth_of_the_tissue():
    source = Source(1, 2, 40)
    positions = {"t00": (0.0, 0.0, 0.0), "t01": (83.5, 1.0, 3.2)}
    sample = choose_sample(source, 20, positions=positions)
    overlaps = overlaps_of(source.grid, sample, positions)
    assert len(overlaps) == 10
    for overlap in overlaps:
        assert sample[overlap.a][1] - sample[overlap.b][1] == 3
        assert overlap.shift == (83.5, 1.0)


def test_absent_planes_are_never_chosen():
    absent = {("t00", z) for z in range(0, 30, 2)} | {("t01", z) for z in range(20)}
    source = Source(1, 3, 30, absent=absent)
    everything = choose_sample(source, 1000)
    assert len(everything) == 90 - len(absent)
    assert not absent & set(everything)
    assert not absent & set(choose_sample(source, 20))


def test_same_seed_same_sample():
    source = Source(3, 3, 40)
    assert choose_sample(source, 40, seed=1) == choose_sample(source, 40, seed=1)
    assert choose_sample(source, 40, seed=1) != choose_sample(source, 40, seed=2)


def test_nothing_to_choose_from():
    with pytest.raises(InputError, match="no planes"):
        choose_sample(Source(1, 1, 5, absent={("t00", z) for z in range(5)}))
    with pytest.raises(InputError, match="sample of 0"):
        choose_sample(Source(1, 1, 5), 0)
