"""Which displacements agree with one another: a start for the robust solution.

Displacements around a closed loop add up to nothing. A loop that a wrong displacement is part of hardly ever
closes by chance; so tiles are joined into rigid groups along the loops that do close: first loops of two
(two displacements between the same two groups) and of four, then longer ones, for as long as there are any.
What no loop confirms is joined last, the surest first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# links of a loop, and voxels by which it may fail to close: of long loops there are many, some closed by chance
_LOOPS = ((2, 1.0), (4, 1.0), (6, 0.4))
_SAME = 1.5  # voxels by which a displacement may depart from the groups and still be believed at first

_Edge = tuple[int, int, NDArray[np.float64]]  # link, the group it leads to, that group's frame in this one's


def agreeing(
    count: int, ends: NDArray[np.intp], displacements: NDArray[np.float64], trust: Sequence[float]
) -> NDArray[np.bool_]:
    """Find the displacements to start from.

    Parameters
    ----------
    count : int
        Number of tiles.
    ends : int array [link, 2]
        Tiles a, b of every displacement.
    displacements : array [link, 3]
        position(b) − position(a).
    trust : sequence of float
        The higher, the earlier a displacement that nothing confirms is believed.

    Returns
    -------
    bool array [link]
    """
    groups = _Groups(count)
    stage = 0
    while stage < len(_LOOPS):
        stage = 0 if _join_loops(groups, ends, displacements, *_LOOPS[stage]) else stage + 1
    for i in sorted(range(len(ends)), key=lambda i: (-trust[i], i)):
        groups.join(ends[i, 0], ends[i, 1], displacements[i])
    departure = displacements - (groups.offset[ends[:, 1]] - groups.offset[ends[:, 0]])
    result: NDArray[np.bool_] = np.abs(departure).max(axis=1) <= _SAME
    return result


class _Groups:
    """Rigid groups of tiles; each tile knows its group and its offset in it."""

    def __init__(self, count: int) -> None:
        self.group = np.arange(count)
        self.offset = np.zeros((count, 3))
        self._members = {i: [i] for i in range(count)}

    def join(self, a: int, b: int, displacement: NDArray[np.float64]) -> None:
        """Make one group of those of a and b, so that offset(b) − offset(a) is the displacement."""
        keep, other = int(self.group[a]), int(self.group[b])
        if keep == other:
            return
        move = self.offset[a] + displacement - self.offset[b]
        if len(self._members[keep]) < len(self._members[other]):
            keep, other, move = other, keep, -move
        moved = self._members.pop(other)
        self.offset[moved] += move
        self.group[moved] = keep
        self._members[keep] += moved


def _join_loops(
    groups: _Groups, ends: NDArray[np.intp], displacements: NDArray[np.float64], length: int, gap: float
) -> bool:
    """Join the groups along closed loops of at most `length` links; whether there were any."""
    edges = _edges(groups, ends, displacements)
    loops = []
    for start in sorted(edges):
        for link, group, move in edges[start]:
            if group > start and (rest := _way_back(edges, start, [group], [link], move, length, gap)):
                loops.append(rest)
    for loop in loops:
        for i in loop:
            groups.join(int(ends[i, 0]), int(ends[i, 1]), displacements[i])
    return bool(loops)


def _edges(groups: _Groups, ends: NDArray[np.intp], displacements: NDArray[np.float64]) -> dict[int, list[_Edge]]:
    """The links between groups, as seen from either."""
    edges: dict[int, list[_Edge]] = {}
    moves = groups.offset[ends[:, 0]] + displacements - groups.offset[ends[:, 1]]
    for i, (a, b) in enumerate(groups.group[ends].tolist()):
        if a != b:
            edges.setdefault(a, []).append((i, b, moves[i]))
            edges.setdefault(b, []).append((i, a, -moves[i]))
    return edges


def _way_back(
    edges: dict[int, list[_Edge]],
    start: int,
    passed: list[int],
    links: list[int],
    moved: NDArray[np.float64],
    length: int,
    gap: float,
) -> list[int] | None:
    """Links of a loop through `links` that leads back to `start` with nothing left over."""
    for link, group, move in edges[passed[-1]]:
        if link in links or group in passed:
            continue
        total = moved + move
        if group == start:
            if max(abs(total[0]), abs(total[1]), abs(total[2])) <= gap:
                return [*links, link]
        elif len(links) + 1 < length:
            found = _way_back(edges, start, [*passed, group], [*links, link], total, length, gap)
            if found:
                return found
    return None
