"""Registration: a diffeomorphic map from an atlas to a sample that may be damaged, stained otherwise, incomplete.

EM-LDDMM (Tward et al., Front. Neurosci. 14:52, 2020) with Gauss-Newton steps: expectation and maximisation say
what each voxel shows and how bright the atlas looks there (`objective`), a quadratic model of the energy gives a
step of velocity and affine map together (`newton`), a damped step that does not lower the energy is taken back.
Coarse to fine (`levels`). Nothing is random: the same input gives the same map, to the bit, for the same number of
threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cloudreg_io.run import NO_PROGRESS, Progress, digest
from cloudreg_io.space import Affine
from cloudreg_register.images.image import Image
from cloudreg_register.lddmm import checkpoint as checkpoints
from cloudreg_register.lddmm.confidence import confidence_map
from cloudreg_register.lddmm.descent import State, Step, descend
from cloudreg_register.lddmm.device import chosen_device
from cloudreg_register.lddmm.landmark_term import LandmarkTerm
from cloudreg_register.lddmm.levels import default_levels, unit_length, velocity_grid
from cloudreg_register.lddmm.objective import Map, Objective
from cloudreg_register.lddmm.options import RegisterOptions
from cloudreg_register.lddmm.problem import Problem
from cloudreg_register.start.initial import initial_affine
from cloudreg_register.transforms.transform import Transform

__all__ = ["RegisterOptions", "Registration", "register"]

Watch = Callable[[State, Objective], None]


@dataclass(frozen=True, slots=True, eq=False)
class Registration:
    """What `register` gives: the transform, and one `Step` for each accepted step."""

    transform: Transform
    history: tuple[Step, ...]


def register(  # noqa: PLR0913 -- two images; the rest is seldom given
    target: Image,
    atlas: Image,
    options: RegisterOptions | None = None,
    *,
    start: Affine | None = None,
    landmarks: LandmarkTerm | None = None,
    checkpoint: Path | None = None,
    key: str = "",
    progress: Progress = NO_PROGRESS,
    watch: Watch | None = None,
) -> Registration:
    """Find the map from an atlas to a target.

    Parameters
    ----------
    target, atlas : Image
        At any voxel size; reduced to `options.resolution` where they are finer.
    options : RegisterOptions, optional
    start : Affine, optional
        From the centred atlas to the centred target, in µm. Default: what the orientation codes say.
    landmarks : LandmarkTerm, optional
        Pairs of points that should meet.
    checkpoint : Path, optional
        A file in which the work is kept; one of the same `key` is gone on with, to the same bits.
    key : str
        What the result depends on, as the caller sees it: a digest of the inputs.
    progress : Progress
    watch : callable, optional
        Called with each state and the level's objective.

    Raises
    ------
    InputError
        The checkpoint is damaged.
    ToolError
        There is no such device.
    """
    options = options or RegisterOptions()
    torch.set_num_threads(options.threads)
    device = chosen_device(options.device)
    problem = Problem.of(target, atlas, options, device=device, landmarks=landmarks)
    start = start or initial_affine(atlas.orientation, target.orientation)
    levels = default_levels(problem.atlas_grid, problem.resolution, options.iterations)
    key = digest([key, repr(options), device.type, start.matrix.tolist(), [repr(level) for level in levels]])
    key = digest([key, landmarks.to_json()]) if landmarks else key
    state = checkpoints.load(checkpoint, key, device) if checkpoint else None
    if state is None:
        begin = torch.from_numpy(start.matrix.copy())
        state = State(0, 0, Map(torch.zeros((1, 3, 2, 2, 2)), begin))
    objective = problem.objective(levels[min(state.level, len(levels) - 1)])
    progress.start("register", sum(level.iterations for level in levels), len(state.history))
    while state.level < len(levels):
        level = levels[state.level]
        objective = problem.objective(level)
        if state.iteration == 0:
            before = velocity_grid(problem.atlas_grid, levels[state.level - 1].velocity_spacing)
            state = replace(state, at=problem.brought(state.at, before if state.level else None, level))

        def kept(reached: State, objective: Objective = objective) -> None:
            if checkpoint is not None:
                checkpoints.save(checkpoint, reached, key)
            if watch is not None:
                watch(reached, objective)
            progress.advance()

        state = descend(objective, level, state, options.tolerance, kept)
        last = state
        state = state.next_level()
    progress.finish()
    return Registration(_transform(problem, objective, last, target, atlas), state.history)


def _transform(problem: Problem, objective: Objective, state: State, target: Image, atlas: Image) -> Transform:
    assert state.belief is not None
    confidence, grid = confidence_map(objective, state.at, state.belief, unit_length(problem.atlas_grid))
    return Transform(
        Affine(state.at.affine.numpy()),
        state.at.velocity.float().cpu().numpy(),
        objective.on_velocity.grid,
        atlas.frame,
        target.frame,
        confidence,
        grid,
    )
