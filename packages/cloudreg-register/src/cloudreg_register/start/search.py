"""Search: which way round a brain lies, when its orientation code cannot be relied on.

The start that was given is composed with the 24 proper rotations that take axes to axes, and tissue is laid upon
tissue by its centre of mass. All take Gauss-Newton steps of a similarity at voxels of 1.6 units (800 µm on the
mouse), the most likely ones more of them, and are ranked by the likelihood of the sample (successive halving:
Jamieson and Talwalkar, AISTATS 2016). One contrast is fitted to the whole image: local ones could explain a brain
that lies the wrong way round.

Only proper rotations are tried, because no image can decide between a brain and its mirror image where the atlas
is its own mirror image, as the Allen template is: handedness comes from the orientation codes alone. How likely
mirror images of the target are, is reported beside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np
import torch
from numpy.typing import NDArray

from cloudreg_io.run import NO_PROGRESS, Progress
from cloudreg_io.space import Affine, Orientation
from cloudreg_register.images.image import Image
from cloudreg_register.images.tissue import Tissue
from cloudreg_register.lddmm.affine import AffineMode
from cloudreg_register.lddmm.descent import State, descend
from cloudreg_register.lddmm.levels import Level, unit_length
from cloudreg_register.lddmm.objective import Map, Objective
from cloudreg_register.lddmm.options import RegisterOptions
from cloudreg_register.lddmm.problem import Problem
from cloudreg_register.start.initial import centred_on_tissue

Matrix = NDArray[np.float64]

_RESOLUTION, _FACTOR = 0.8, 2  # units: voxels that are prepared, and how many of them become one along each axis
_SCATTER = 0.5  # smallest expected error of a voxel, in standard deviations of the image
_VELOCITY_SPACING = 2.0  # units: there is no velocity, only the moments of the curvature are kept on its grid
# steps of all starts, of the most likely; with fewer the mixture still moves more than the scores differ
_FIRST_STEPS, _FURTHER_STEPS = 8, 12
_LIKELY = 6
_SMALLEST = 8  # voxels of the thinnest axis that may be halved
_SAME_DEGREES = 15.0  # starts that end as near as this to each other are one
_DECIDES, _SHARE_OF_LEAD = 0.02, 0.5  # of a difference of scores that says which of two mirror images it is
_OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "S": "I", "I": "S"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A start, and how likely it is.

    Attributes
    ----------
    orientation : Orientation
        The code of the target with which it starts so without a quarter turn.
    affine : Affine
        From the centred atlas to the centred target, in µm.
    score : float
        Mean logarithm of the likelihood of a voxel, up to a constant that all starts share: higher is better.
    mirror_score : float or None
        The best that was found with left and right of the atlas exchanged; of the best start only.
    """

    orientation: Orientation
    affine: Affine
    score: float
    mirror_score: float | None = None


def search_start(
    target: Image,
    atlas: Image,
    start: Affine,
    options: RegisterOptions | None = None,
    progress: Progress = NO_PROGRESS,
) -> list[Candidate]:
    """Look for the start among the 24 proper rotations.

    Parameters
    ----------
    target, atlas : Image
    start : Affine
        From the centred atlas to the centred target: what the codes say, with a scale or turn that is known.
    options : RegisterOptions, optional
    progress : Progress

    Returns
    -------
    list of Candidate
        The most likely first; its affine map is what `register` may start from.
    """
    options = options or RegisterOptions()
    trial = _Trial.of(target, atlas, options)
    mirror = _mirror(atlas.orientation, trial.of_atlas)
    progress.start("search", 3)
    with _single_threaded(), ThreadPoolExecutor(options.threads) as threads:
        found = _distinct(threads.map(trial.refiner(_FIRST_STEPS), trial.turned(start)))
        progress.advance()
        likely = [affine for _, affine in found[:_LIKELY]]
        refine = trial.refiner(_FURTHER_STEPS)
        found = _distinct(threads.map(refine, likely))
        progress.advance()
        mirrored = max(score for score, _ in threads.map(refine, [affine @ mirror for affine in likely]))
        progress.advance()
    progress.finish()
    ranked = [Candidate(_code(a, atlas.orientation, target.orientation), a, score) for score, a in found]
    return [replace(ranked[0], mirror_score=mirrored), *ranked[1:]]


def better_start(
    target: Image, atlas: Image, start: Affine, options: RegisterOptions | None = None
) -> Candidate | None:
    """What fits clearly better than a start, if one of the 24 proper rotations of it does.

    Parameters
    ----------
    target, atlas, start, options
        As for `search_start`.
    """
    options = options or RegisterOptions()
    trial = _Trial.of(target, atlas, options)
    with _single_threaded(), ThreadPoolExecutor(options.threads) as threads:
        stated, *turned = threads.map(trial.refiner(_FIRST_STEPS), [start, *trial.turned(start)])
    score, affine = max(turned, key=lambda scored: scored[0])
    if score - stated[0] < _DECIDES or _degrees_between(affine, stated[1]) < _SAME_DEGREES:
        return None
    return Candidate(_code(affine, atlas.orientation, target.orientation), affine, score)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Let torch work in the calling thread: images as small as these cost more to divide than to do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def mirror_note(candidates: Sequence[Candidate]) -> str:
    """What mirror images of the target say about the handedness of the orientation codes."""
    best = candidates[0]
    if best.mirror_score is None:
        return ""
    gain = best.mirror_score - best.score
    lead = best.score - candidates[1].score if len(candidates) > 1 else 0.0
    decides = max(_DECIDES, _SHARE_OF_LEAD * lead)
    if gain > decides:
        return (
            "the mirror image of the target fits better: is it mirrored? "
            "Then exchange L and R in --orientation or in --atlas-orientation"
        )
    if gain < -decides:
        return "the mirror image of the target fits less well: left and right are as the orientation codes say"
    return (
        "left and right are taken from the orientation codes: the atlas is nearly its own mirror image, "
        "so that the images cannot tell"
    )


def quarter_turns() -> list[Affine]:
    """The 24 proper rotations that take axes to axes; the first is the identity."""
    signs = product((1.0, -1.0), repeat=3)
    matrices = (np.diag(s) @ np.eye(3)[list(axes)] for s, axes in product(signs, permutations(range(3))))
    return [_linear(matrix) for matrix in matrices if np.linalg.det(matrix) > 0]


Scored = tuple[float, Affine]


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """What starts are tried on."""

    problem: Problem
    unit: float
    of_atlas: Tissue
    of_target: Tissue

    @classmethod
    def of(cls, target: Image, atlas: Image, options: RegisterOptions) -> _Trial:
        unit = unit_length(atlas.centred_grid)
        problem = Problem.of(target, atlas, _search_options(options, _RESOLUTION * unit))
        return cls(problem, unit, Tissue.of(atlas), Tissue.of(target))

    def turned(self, start: Affine) -> list[Affine]:
        """The 24 ways round of a start, tissue upon tissue."""
        return [centred_on_tissue(turn @ start, self.of_atlas, self.of_target) for turn in quarter_turns()]

    def refiner(self, steps: int) -> Callable[[Affine], Scored]:
        """What takes a start to a better one nearby, and scores it."""
        factor = _FACTOR if min(self.problem.sample.shape) >= _SMALLEST else 1
        level = Level(factor, _VELOCITY_SPACING * self.unit, 1, _SCATTER, steps, steps)
        objective = replace(self.problem.objective(level), substeps=1)
        still = torch.zeros((1, 3, *objective.on_velocity.shape))
        counted = objective.per_voxel * float(objective.imaged.sum(dtype=torch.float64))

        def refined(start: Affine) -> Scored:
            at = Map(still, torch.from_numpy(start.matrix.copy()))
            reached = descend(objective, level, State(0, 0, at), 0.0, lambda _: None)
            # a step that was taken back left no line: without any line there was no better map nearby
            energy = reached.history[-1].energy if reached.history else _energy(objective, at)
            return -energy / counted, Affine(reached.at.affine.numpy())

        return refined


def _search_options(options: RegisterOptions, resolution: float) -> RegisterOptions:
    keeps_scale = options.mode in {AffineMode.RIGID, AffineMode.FIXED_SCALE}
    mode = AffineMode.RIGID if keeps_scale else AffineMode.SIMILARITY
    return replace(options, resolution=resolution, mode=mode, local_contrast=False)


def _energy(objective: Objective, at: Map) -> float:
    believed = objective.evaluate(at, objective.start()).belief
    return objective.evaluate(at, believed).energy


def _distinct(scored: Iterable[Scored]) -> list[Scored]:
    """The best first, without those that have come to the place of a better one."""
    kept: list[Scored] = []
    for score, affine in sorted(scored, key=lambda pair: -pair[0]):
        if all(_degrees_between(affine, other) > _SAME_DEGREES for _, other in kept):
            kept.append((score, affine))
    return kept


def _degrees_between(a: Affine, b: Affine) -> float:
    """Angle of the rotation that takes one map to the other."""
    turn = _rotation(a).T @ _rotation(b)
    return float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))))


def _rotation(affine: Affine) -> Matrix:
    """The nearest orthogonal matrix."""
    left, _, right = np.linalg.svd(affine.linear)
    nearest: Matrix = left @ right
    return nearest


def _code(affine: Affine, atlas: Orientation, target: Orientation) -> Orientation:
    """The code of a target that the atlas meets by this map, but for less than a quarter turn."""
    codes = atlas.centred_affine_to(target)
    nearest = max(
        (turn @ codes for turn in quarter_turns()), key=lambda m: float(np.sum(m.linear * affine.linear))
    )
    letters = [(atlas.code[int(np.argmax(np.abs(row)))], row.sum()) for row in nearest.linear]
    return Orientation("".join(letter if sign > 0 else _OPPOSITE[letter] for letter, sign in letters))


def _mirror(orientation: Orientation, tissue: Tissue) -> Affine:
    """Left and right exchanged, in the centred frame of a volume, about the middle of its tissue."""
    axis = next(i for i, letter in enumerate(orientation.code) if letter in "LR")
    matrix = np.eye(4)
    matrix[axis, axis], matrix[axis, 3] = -1, 2 * tissue.centre[axis]
    return Affine(matrix)


def _linear(matrix: Matrix) -> Affine:
    return Affine(np.column_stack([matrix, np.zeros(3)]))
