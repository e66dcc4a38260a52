"""Classic: the original's registration, for comparison. One scale, small steps, thousands of them.

EM-LDDMM with the cost, the parameters and the order of steps of CloudReg's MATLAB program (Tward et al., Front.
Neurosci. 14:52, 2020): ten parts of velocity on the atlas's grid, gradient steps of fixed size clipped at a
voxel, rotation by damped Gauss-Newton steps with the scale of the start, coefficient fields of a cubic
contrast. Mended: weights of missing data count everywhere, responsibilities in logarithms, the printed energy
is the negative log-likelihood, no step is 0 / 0, the ends of the sample are not tied together, and lengths are
relative to the atlas (the figures are those of a mouse brain at its size).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import torch

from cloudreg_io.errors import InputError
from cloudreg_io.run import NO_PROGRESS, Progress, digest
from cloudreg_io.space import Affine
from cloudreg_register.classic import checkpoint as checkpoints
from cloudreg_register.classic.images import ClassicImages
from cloudreg_register.classic.schedule import ClassicState, Schedule
from cloudreg_register.classic.strength import SIGMA_R, require_strength
from cloudreg_register.images.image import Image
from cloudreg_register.lddmm.affine import AffineMode
from cloudreg_register.lddmm.device import chosen_device
from cloudreg_register.lddmm.options import RegisterOptions
from cloudreg_register.lddmm.registration import Registration
from cloudreg_register.start.initial import initial_affine
from cloudreg_register.transforms.transform import Transform

__all__ = ["ITERATIONS", "register_classic"]

ITERATIONS = 3000
_KEPT_EVERY = 10.0  # seconds: a state takes 120 bytes a voxel, and often less time to find than to write
_FOREIGN = ("iterations", "contrast_order", "local_contrast", "tolerance")  # options of what the original lacks


def register_classic(  # noqa: PLR0913 -- two images; the rest is seldom given
    target: Image,
    atlas: Image,
    options: RegisterOptions | None = None,
    *,
    start: Affine | None = None,
    iterations: int = ITERATIONS,
    checkpoint: Path | None = None,
    key: str = "",
    progress: Progress = NO_PROGRESS,
    watch: Callable[[ClassicState], None] | None = None,
) -> Registration:
    """Find the map from an atlas to a target as the original does.

    Parameters
    ----------
    target, atlas : Image
    options : RegisterOptions, optional
        Its mode is fixed-scale by default, its regularization σR: 5000.
    start : Affine, optional
        As of `register`; its scale is the one that stays.
    iterations : int
        All of them are done.
    checkpoint, key, progress
        As of `register`; a state is kept every ten seconds.
    watch : callable, optional
        Called with each state.

    Raises
    ------
    InputError
        An option that the original's schedule cannot obey; a damaged checkpoint.
    ToolError
        There is no such device.
    """
    options = options or RegisterOptions()
    mode, sigma = options.mode or AffineMode.FIXED_SCALE, options.regularization or SIGMA_R
    _require_obeyed(options)
    require_strength(sigma)
    torch.set_num_threads(options.threads)
    device = chosen_device(options.device)
    images = ClassicImages.of(target, atlas, options, device)
    start = start or initial_affine(atlas.orientation, target.orientation)
    schedule = Schedule(images, torch.from_numpy(start.matrix.copy()), mode, sigma)
    key = digest([key, "classic", repr(options), device.type, start.matrix.tolist()])
    state = schedule.start()
    if checkpoint is not None:
        state = checkpoints.load(checkpoint, key, state) or state
    progress.start("register", iterations, len(state.history))
    kept = time.monotonic()
    began = kept - (state.history[-1].seconds if state.history else 0.0)
    while len(state.history) < iterations:
        state = schedule.iterated(state, began)
        if checkpoint is not None and time.monotonic() - kept >= _KEPT_EVERY:
            checkpoints.save(checkpoint, state, key)
            kept = time.monotonic()
        if watch is not None:
            watch(state)
        progress.advance()
    progress.finish()
    return Registration(_transform(state, images, target, atlas), state.history)


def _require_obeyed(options: RegisterOptions) -> None:
    """Refuse options that would be left out silently."""
    usual = {field.name: field.default for field in fields(options)}
    for name in _FOREIGN:
        if getattr(options, name) != usual[name]:
            raise InputError(
                f"{name} = {getattr(options, name)}: the original's schedule has no such option",
                fix=f"leave {name} out, or register without the classic schedule",
            )


def _transform(state: ClassicState, images: ClassicImages, target: Image, atlas: Image) -> Transform:
    velocity = state.velocity.float().cpu().numpy()
    return Transform(Affine(state.affine.numpy()), velocity, images.on_atlas.grid, atlas.frame, target.frame)
