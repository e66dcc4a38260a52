"""Positions from displacements: robust weighted least squares on the graph of tiles.

Each trusted displacement ties two tiles together; every tile is also tied, very weakly, to where the stage
says it is, which places parts of the graph that no displacement connects. The start is what most of the
displacements agree on (`consensus`); from there on disagreeing ones are switched off by iteratively
reweighted least squares (P. W. Holland and R. E. Welsch, Commun. Stat. Theory Methods 6, 1977) with the loss
of S. Geman and D. E. McClure (Bull. Int. Stat. Inst. 52, 1987), under which an outlier weighs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from cloudreg_io.space import Vector3
from cloudreg_stitch.consensus import agreeing

_STAGE_PRECISION = 1e-6  # of a tie to the stage, in units of the median precision of the displacements
_LEAST_WIDTH = 0.3  # voxels: displacements that disagree by less are all right
_TIMES = 4  # the typical disagreement: real stages are not perfect, and most links are right
_STEPS = 8
_USED = 0.1


@dataclass(frozen=True, slots=True)
class Link:
    """A displacement between the tiles of index a and b; vectors x, y, z in voxels."""

    a: int
    b: int
    displacement: Vector3
    sigma: Vector3


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Positions and how far each link was believed.

    Attributes
    ----------
    positions : array [tile, 3]
        x, y, z in voxels.
    weights : array [link]
        0 (switched off) to 1.
    residuals : array [link, 3]
        Displacement minus difference of positions, in voxels.
    component : array [tile] of int
        Tiles with the same number are connected by links that are used.
    """

    positions: NDArray[np.float64]
    weights: NDArray[np.float64]
    residuals: NDArray[np.float64]
    component: NDArray[np.int32]

    @property
    def used(self) -> NDArray[np.bool_]:
        """Which links the positions rest on."""
        return self.weights >= _USED


def solve(
    stage: NDArray[np.float64],
    links: Sequence[Link],
    fixed: NDArray[np.bool_] | None = None,
    trust: Sequence[float] | None = None,
) -> Solution:
    """Find the positions of all tiles.

    Parameters
    ----------
    stage : array [tile, 3]
        Positions that the stage gives, and those of fixed tiles; x, y, z in voxels.
    links : sequence of Link
    fixed : array [tile] of bool, optional
        Tiles that stay where `stage` has them.
    trust : sequence of float, optional
        Of each link; decides between two links that contradict each other where no third one can.
    """
    count = len(stage)
    fixed = np.zeros(count, bool) if fixed is None else fixed
    if not links:
        none = np.zeros((0, 3))
        return Solution(stage.copy(), np.zeros(0), none, np.arange(count, dtype=np.int32))
    ends = np.array([(link.a, link.b) for link in links])
    measured = np.array([link.displacement for link in links], np.float64)
    precision = 1 / np.square(np.maximum([link.sigma for link in links], 1e-3))
    trust = precision.sum(axis=1).tolist() if trust is None else trust
    weights = np.where(agreeing(count, ends, measured, trust), 1.0, 0.0)
    for _ in range(_STEPS):
        positions = _least_squares(stage, ends, measured, precision, weights, fixed)
        residuals = measured - _differences(positions, ends)
        size = np.sqrt(np.sum(residuals**2, axis=1))
        width = max(_LEAST_WIDTH, _TIMES * float(np.median(size[weights >= _USED])))
        weights = np.square(width**2 / (width**2 + size**2))
    used = weights >= _USED
    return Solution(positions, weights, residuals, _components(count, ends[used]))


def _differences(positions: NDArray[np.float64], ends: NDArray[np.intp]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = positions[ends[:, 1]] - positions[ends[:, 0]]
    return result


def _least_squares(
    stage: NDArray[np.float64],
    ends: NDArray[np.intp],
    measured: NDArray[np.float64],
    precision: NDArray[np.float64],
    weights: NDArray[np.float64],
    fixed: NDArray[np.bool_],
) -> NDArray[np.float64]:
    positions = stage.copy()
    free = np.flatnonzero(~fixed)
    if not free.size:
        return positions
    links, tiles = len(ends), len(stage)
    rows = np.arange(links)
    signs = np.repeat([1.0, -1.0], links)
    places = (np.tile(rows, 2), np.concatenate([ends[:, 1], ends[:, 0]]))
    incidence = sparse.csr_matrix((signs, places), (links, tiles))
    tie = _STAGE_PRECISION * float(np.median(precision))
    for axis in range(3):
        strength = sparse.diags(precision[:, axis] * weights)
        # solved for the departure from the stage, so that the tie pulls towards 0
        pull = incidence.T @ (strength @ (measured[:, axis] - incidence @ stage[:, axis]))
        matrix = (incidence.T @ strength @ incidence).tocsc() + tie * sparse.identity(tiles, format="csc")
        positions[free, axis] += splu(matrix[free][:, free].tocsc()).solve(pull[free])
    return positions


def _components(count: int, ends: NDArray[np.intp]) -> NDArray[np.int32]:
    graph = sparse.coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), (count, count))
    labels: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return labels
