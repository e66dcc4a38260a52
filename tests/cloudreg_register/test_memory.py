"""`--memory`: too little is refused before any work, with the smallest amount that will do, which is held then."""

import re

import numpy as np
import pytest

from cloudreg_io.console import memory_bytes
from cloudreg_io.errors import ToolError
from cloudreg_io.space import Grid
from cloudreg_register.memory import PROGRAMS
from cloudreg_register.stage.inputs import load_atlas
from cloudreg_register.stage.memory import needs, reading_need
from cloudreg_register.stage.registering import register_target
from support.brains import make_brain
from support.command import command
from support.memory_curve import watched

pytestmark = pytest.mark.xdist_group("register")


@pytest.fixture(scope="module")
def brain(tmp_path_factory):
    return make_brain(tmp_path_factory.mktemp("memory"))


def test_the_least_memory_is_enough_and_held(brain, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ToolError, match="--memory 1MB is too little") as refused:
        register_target(brain.place("target"), out, brain.choice(), jobs=2, memory=1_000_000)
    assert not out.exists()
    enough = re.search(r"--memory (\S+),", refused.value.fix)[1]
    words = ("register", brain.place("target"), out, *brain.words(), "--jobs", 2, "--memory", enough)
    curve = watched(command(*map(str, words)), out)
    assert curve.status == 0, curve.errors
    assert curve.peak <= memory_bytes(enough), curve.stages()


def of_map(needed):
    """Bytes that the map itself takes."""
    (one,) = [need for need in needed if need.doing.startswith("registering")]
    return one.command


def test_what_is_asked_for_is_what_was_measured(brain):
    """MB of whole processes by benchmarks/register_memory.py; the target there, an atlas that is smaller."""
    of_atlas = load_atlas(brain.choice(resolution=None), None)
    unit = max(of_atlas.image.mip0.extent) / 26.4
    size = tuple(round(1.1 * n * 5) for n in (26.4, 16.0, 22.8))
    for factor, ours, classic in ((0.5, 528, 563), (1.0, 1160, 1838)):
        grid = Grid(tuple(round(n * factor) for n in size), (0.2 * unit / factor,) * 3)
        found = needs(grid, with_resolution(of_atlas, 0.2 * unit / factor))
        other = needs(grid, with_resolution(of_atlas, 0.2 * unit / factor), classic=True)
        programs = PROGRAMS.first + PROGRAMS.each
        assert 1.05 * ours < (of_map(found) + programs) / 1e6 < 1.3 * ours
        assert 1.05 * classic < (of_map(other) + programs) / 1e6 < 1.3 * classic


def with_resolution(of_atlas, resolution):
    from dataclasses import replace

    return replace(of_atlas, resolution=resolution)


def test_a_file_is_read_whole(brain, tmp_path):
    need = reading_need(brain.place("target"))
    voxels = brain.case.target.size
    assert need.command == pytest.approx(voxels * (2.5 * brain.case.target.itemsize + 8), abs=1)
    assert reading_need(str(tmp_path)) is None
    of_atlas = load_atlas(brain.choice(), None)
    grid = Grid(brain.case.target_grid.size, brain.case.target_grid.spacing)
    assert sum(one.doing.startswith("reading") for one in needs(grid, of_atlas)) == 2
    (labels,) = [one for one in needs(grid, of_atlas) if "labels on the target" in one.doing]
    assert labels.command == max(brain.case.atlas.nbytes, brain.case.labels.nbytes)
    assert np.dtype(brain.case.labels.dtype).itemsize == 4
