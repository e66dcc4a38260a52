"""Wrong axes are found, with the options that put them right; dark, sparse, tiny or good data are not refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from align_scenes import scene
from cloudreg_io.errors import InputError
from cloudreg_io.tiles import StageAxes, TileGrid
from cloudreg_io.tiles.stage import AS_TOLD, all_axes
from cloudreg_stitch.options import AlignOptions
from cloudreg_stitch.stage_check import check_stage
from cloudreg_stitch.stage_evidence import AxisEvidence, simplest_change

WAYS = list(all_axes())
NAMES = [str(axes) or "as told" for axes in WAYS]


@dataclass
class Told:
    """A source whose grid is told wrong: planes are those of the true one."""

    true: object
    axes: StageAxes

    @property
    def grid(self) -> TileGrid:
        return self.axes.of(self.true.grid)

    channel = "CHN00"
    dtype = np.dtype(np.uint16)

    def present(self, tile):
        return self.true.present(self.true.grid.tile(tile.name))

    def read(self, tile, z, out=None):
        return self.true.read(self.true.grid.tile(tile.name), z, out)


def report(source, axes=AS_TOLD):
    told = Told(source, axes)
    return check_stage(told, AlignOptions().search_of(told.grid))


@pytest.mark.parametrize("axes", WAYS, ids=NAMES)
def test_each_of_the_eight_is_put_right(axes):
    found = report(scene(2, 2, tile=128, planes=24, overlap=0.2, jitter=(5, 5, 2), waves=60, seed=5), axes)
    assert str(axes.then(found.better)) == ""
    assert found.confirmed == (str(axes) == "")
    assert 0 < found.planes <= 2 * 6 * 2 * 24


@pytest.mark.parametrize(
    "what",
    [
        {"rows": 2, "columns": 3},
        {"rows": 1, "columns": 1},
        {"rows": 1, "columns": 3},
        {"rows": 3, "columns": 1},
        {"rows": 2, "columns": 2, "planes": 1},
        {"rows": 2, "columns": 2, "overlap": 0.03},
        {"rows": 2, "columns": 2, "overlap": 0.6},
        {"rows": 2, "columns": 2, "signal": 0.0},
        {"rows": 2, "columns": 2, "signal": 10.0, "noise": 12.0},
        {"rows": 2, "columns": 3, "unscanned": ((0, 0), (0, 2), (1, 1))},
        {"rows": 2, "columns": 2, "blank": frozenset({"LOC000", "LOC001"})},
        {"rows": 2, "columns": 2, "copies": {"LOC001": "LOC000", "LOC003": "LOC000"}},
        {"rows": 2, "columns": 2, "missing": {"LOC000": range(24), "LOC001": range(0, 24, 2)}},
        {"rows": 2, "columns": 2, "jitter": (40, 40, 12)},
    ],
    # a set's order differs between the workers of xdist
    ids=lambda what: ", ".join(f"{k} {sorted(v) if isinstance(v, frozenset) else v}" for k, v in what.items()),
)
def test_what_is_told_right_is_never_refused(what):
    for seed in range(2):
        found = report(scene(**{"tile": 128, "planes": 24, "waves": 60, "seed": seed, **what}))
        assert str(found.better) == ""
        found.require()


@pytest.mark.parametrize("axes", WAYS[1:], ids=NAMES[1:])
def test_what_shows_nothing_is_not_refused_however_wrong(axes):
    found = report(scene(2, 2, tile=96, planes=8, signal=0.0, waves=10), axes)
    assert not found.better
    assert found.silent == ("x", "y")
    assert "cannot be told" in found.in_words()
    found.require(axes)


def test_the_refusal_names_the_options_and_the_evidence():
    source = scene(1, 2, tile=128, planes=24, overlap=0.2, jitter=(5, 5, 2), waves=60, seed=1)
    found = report(source, StageAxes(flip_x=True))
    with pytest.raises(InputError) as caught:
        found.require()
    assert "x correlates 0." in caught.value.what
    assert "at opposite edges" in caught.value.what
    assert caught.value.fix.startswith("--flip-x: the overlaps then correlate 0.")
    assert "--no-check-stage" in caught.value.fix
    with pytest.raises(InputError) as caught:
        found.require(StageAxes(flip_x=True))
    assert caught.value.fix.startswith("leave --flip-x out")
    with pytest.raises(InputError) as caught:
        found.require(StageAxes(swap_xy=True))
    assert caught.value.fix.startswith("--flip-x --swap-xy:")
    assert found.to_json()["better"] == "--flip-x"


def test_axes_that_contradict_each_other_say_nothing():
    turned, told = StageAxes(swap_xy=True), StageAxes()
    evidence = (AxisEvidence("x", 3, {turned: (0.8, 0.8, 0.8)}), AxisEvidence("y", 3, {told: (0.8,)}))
    assert simplest_change(evidence) == AS_TOLD
    assert simplest_change(evidence[:1]) == turned
