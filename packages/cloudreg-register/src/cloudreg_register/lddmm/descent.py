"""Descent: steps at one level until they no longer matter.

Levenberg-Marquardt: the regulariser of the *step* is raised when a step did not lower the energy, which is then
taken back, and lowered again after steps that did. A step is never longer than the images' linear model is worth.

Contrast and map are found in turns, and what both could explain (cortex that slides along itself) settles slowly.
So most of the last move is added to each step, more the longer it went well (Nesterov, Dokl. Akad. Nauk SSSR
269:543, 1983), and is dropped when the energy rises (O'Donoghue and Candès, Found. Comput. Math. 15:715, 2015).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cloudreg_register.lddmm.affine import stepped
from cloudreg_register.lddmm.levels import Level
from cloudreg_register.lddmm.newton import Quadratic
from cloudreg_register.lddmm.objective import Belief, Evaluation, Map, Objective

_CONJUGATE_GRADIENTS = 20
_LONGEST_STEP = 2.25  # voxels
_FIRST_DAMPING = 1.0
_NO_DAMPING = 0.1
_FACTOR = 4.0
_MOST_DAMPING = 1e3
_PATIENCE = 2  # small steps in a row
_SLACK = 1e-4  # of the energy: maximisation in between is not exact
_MOST_MOMENTUM = 0.8


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a registration's history. Lengths in µm."""

    level: int
    voxel_size: float
    iteration: int
    energy: float
    regularisation: float
    moved: float
    tissue: float
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """A change of the map: of the velocity [3, z, y, x] in µm, and parameters [k] of the affine generators."""

    velocity: Tensor
    affine: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """All that the next iteration depends on.

    Attributes
    ----------
    level, iteration : int
        Of `levels`, and the iterations done at it.
    at : Map
        The best map so far.
    belief : Belief or None
        What was believed before `at` was evaluated; None when a level begins.
    damping : float
    small : int
        How many steps in a row were small.
    last : Move or None
        How `at` came from the map before, while steps go well.
    streak : int
        How many went well in a row.
    history : tuple of Step
    """

    level: int
    iteration: int
    at: Map
    belief: Belief | None = None
    damping: float = 0.0
    small: int = 0
    last: Move | None = None
    streak: int = 0
    history: tuple[Step, ...] = ()

    def next_level(self) -> State:
        """The state with which the next level begins."""
        return State(self.level + 1, 0, self.at, history=self.history)


def descend(
    objective: Objective,
    level: Level,
    state: State,
    tolerance: float,
    kept: Callable[[State], None],
) -> State:
    """Iterate at one level.

    Parameters
    ----------
    objective : Objective
    level : Level
    state : State
        At this level; its map on this level's grid.
    tolerance : float
        In voxels; see `RegisterOptions`.
    kept : callable
        Told of every state that may be gone on from.
    """
    began = time.monotonic() - (state.history[-1].seconds if state.history else 0.0)
    belief = state.belief or objective.start()
    current = objective.evaluate(state.at, belief)
    if state.belief is None:  # the contrast of a level's first evaluation knew nothing of damage
        belief = current.belief
        current = objective.evaluate(state.at, belief)
        state = replace(state, belief=belief)  # also when every step of the level is taken back
    while state.iteration < level.iterations and state.small < _PATIENCE:
        affine_only = state.iteration < level.affine_only
        step = _step(objective, current.model, state.damping, affine_only=affine_only)
        move = _carried_on(step.move, state)
        trial = _moved(objective, state.at, move)
        found = objective.evaluate(trial, current.belief)
        better = found.energy <= current.energy + _SLACK * abs(current.energy)
        state = replace(state, iteration=state.iteration + 1)
        if better or state.damping >= _MOST_DAMPING:
            small = step.mean / objective.on_sample.grid.spacing[0] < tolerance and not affine_only
            line = _line(objective, state, found, step, time.monotonic() - began)
            state = replace(
                state,
                at=trial,
                belief=current.belief,
                small=state.small + 1 if small else 0,
                damping=state.damping / _FACTOR if state.damping > _NO_DAMPING else 0.0,
                last=move,
                streak=state.streak + 1,
                history=(*state.history, line),
            )
            current = found
        elif state.last is not None:
            state = replace(state, last=None, streak=0)
        else:
            state = replace(state, damping=max(_FIRST_DAMPING, state.damping * _FACTOR))
        kept(state)
    return state


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    move: Move
    mean: float  # µm, over what the images say something about


def _step(objective: Objective, model: Quadratic, damping: float, *, affine_only: bool) -> _Step:
    if affine_only:
        velocity, affine = torch.zeros_like(model.by_velocity), model.affine_minimum()
    else:
        damped = replace(model, smoothness=model.smoothness * (1 + damping))
        velocity, affine = damped.minimum(_CONJUGATE_GRADIENTS)
    known = model.curvature[0] + model.curvature[3] + model.curvature[5]
    length = model.moved(velocity, affine).norm(dim=0)
    longest = float((length * (known > 0)).max()) / objective.on_sample.grid.spacing[0]
    share = min(1.0, _LONGEST_STEP / max(longest, 1e-12))
    mean = float((length * known).sum(dtype=torch.float64) / known.sum(dtype=torch.float64).clamp(min=1e-30))
    return _Step(Move(share * velocity, share * affine), share * mean)


def _carried_on(move: Move, state: State) -> Move:
    """A step with the momentum of the last move."""
    if state.last is None:
        return move
    share = min(_MOST_MOMENTUM, state.streak / (state.streak + 3))
    return Move(move.velocity + share * state.last.velocity, move.affine + share * state.last.affine)


def _moved(objective: Objective, at: Map, move: Move) -> Map:
    return Map(at.velocity + move.velocity, stepped(at.affine, objective.generators, move.affine))


def _line(objective: Objective, state: State, found: Evaluation, step: _Step, seconds: float) -> Step:
    tissue = float((found.belief.tissue * objective.imaged).sum(dtype=torch.float64) / objective.imaged.sum())
    return Step(
        level=state.level,
        voxel_size=objective.on_sample.grid.spacing[0],
        iteration=state.iteration,
        energy=found.energy,
        regularisation=found.regularisation,
        moved=step.mean,
        tissue=tissue,
        seconds=seconds,
    )
