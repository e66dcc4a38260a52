"""What alignment takes of the memory, at most; what cannot be made smaller is asked for before any work."""

from __future__ import annotations

import math

import numpy as np

from cloudreg_io.run.memory import Need, Programs
from cloudreg_io.tiles import TileSource
from cloudreg_stitch.options import AlignOptions
from cloudreg_stitch.strips import Strip, SurveyPlan, plan_survey
from cloudreg_stitch.survey import BATCH_BYTES

# Python, NumPy, SciPy's transforms, compiled kernels and their compiler, codecs (measured)
STITCH = Programs(200_000_000, 130_000_000)
_READ = 1 + 1  # in planes: the file as it is stored, and decoded
_FIELDS = 16  # bytes a pixel: shading while it is loaded
# Binned strips of a pair, their texture, transforms and tables of sums, in bytes a voxel of both strips (measured)
_SEARCH = 28
_BLOCKS = 64_000_000  # textured blocks of the fine search, cut out of both strips


def needs_to_align(source: TileSource, options: AlignOptions) -> tuple[Need, ...]:
    """What the survey and the search of a channel take."""
    plan = plan_survey(source.grid, options.search_of(source.grid), source.dtype.itemsize)
    return (
        Need("the survey of the tiles", survey_bytes(plan, source.dtype.itemsize)),
        Need("the search for displacements", displacement_bytes(plan)),
    )


def reading_bytes(size: tuple[int, int], item: int) -> int:
    """Memory of a worker that reads single corrected planes of `size` (x, y) pixels of `item` bytes."""
    return math.prod(size) * (_READ * item + _FIELDS)


def survey_bytes(plan: SurveyPlan, item: int) -> int:
    """Memory of a worker that surveys a tile."""
    width, height, planes = plan.grid.tile_size
    batch = max(2 * width * height * item, int(BATCH_BYTES))
    small = (width // plan.small) * (height // plan.small) * (planes // plan.small_z)
    sums = 4 * width * height // plan.bin**2
    return reading_bytes((width, height), item) + batch + 4 * sums + 2 * 4 * small + width * height // 2


def displacement_bytes(plan: SurveyPlan) -> int:
    """Memory of a worker that measures a pair."""
    pairs = [
        _binned(pair.strip_a, plan) + _binned(pair.strip_b, plan)
        for pair in plan.pairs
        if pair.strip_a is not None and pair.strip_b is not None
    ]
    return _SEARCH * max(pairs, default=0) + _BLOCKS


def _binned(strip: Strip, plan: SurveyPlan) -> int:
    rows, columns = strip.shape
    return int(np.prod([rows // plan.bin, columns // plan.bin, plan.bins_z]))
