"""Registration in a run: what is checked before it, and what is done after the fusion of its channel.

Nothing of cloudreg-register is imported unless a registration is wanted: torch takes seconds and memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cloudreg_cli.forecast import Forecast
from cloudreg_cli.prepare import PROGRAMS, Raw, RunOptions, fusion
from cloudreg_io.errors import InputError
from cloudreg_io.run import Run
from cloudreg_io.run.memory import Budget, Programs
from cloudreg_io.space import Grid, vector3
from cloudreg_io.volumes import VolumeSpec, open_volume
from cloudreg_stitch.fusion import FusionReport, lay_out
from cloudreg_stitch.placement import Placement

if TYPE_CHECKING:
    from cloudreg_register.stage.choice import Choice
    from cloudreg_register.stage.inputs import AtlasInputs
    from cloudreg_register.stage.starting import Person

_TORCH = Programs(200_000_000, 120_000_000)  # beside what the other stages load (estimated)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedRegistration:
    """A registration that will be possible.

    Attributes
    ----------
    channel : str
        The one that is registered.
    choice : Choice
    of_atlas : AtlasInputs
    memory : int
        Bytes that all processes take at least.
    """

    channel: str
    choice: Choice
    of_atlas: AtlasInputs
    memory: int


def prepared_registration(options: RunOptions, raw: Raw, out: Path, jobs: int) -> PreparedRegistration | None:
    """Read and check the atlas, before hours are spent on the volume; None where no registration is wanted.

    Raises
    ------
    CloudRegError
        What is wrong with channel, atlas, labels, orientations, or the memory.
    """
    wanted = options.autofluorescence_channel
    if options.registration is None:
        if wanted:
            raise InputError(
                f"--autofluorescence-channel {wanted} is the one to register, but nothing is registered",
                fix="name an atlas: --atlas PLACE, or --register for the default one",
            )
        return None
    from cloudreg_io.space import Orientation
    from cloudreg_register.images.plausible import require_larger_than
    from cloudreg_register.lddmm.levels import unit_length
    from cloudreg_register.stage.inputs import load_atlas
    from cloudreg_register.stage.memory import needs
    from cloudreg_register.stage.possible import require_apart, require_possible

    channel = raw.data.channel(wanted) if wanted else raw.aligned
    if channel not in raw.channels:
        raise InputError(
            f"{channel} is to be registered, but is not among the channels that are fused",
            fix=f"add it to --channels, or --autofluorescence-channel {raw.channels[0]}",
        )
    Orientation(options.registration.orientation)
    of_atlas = load_atlas(options.registration, options.memory)
    require_apart("atlas", of_atlas.atlas.template, out)
    require_apart("labels", of_atlas.atlas.labels, out)
    programs = Programs(PROGRAMS.first + _TORCH.first, PROGRAMS.each + _TORCH.each)
    budget = Budget.of(options.memory, jobs, programs)
    spec = _volume(options, raw, channel)
    grid = Grid(spec.size, vector3(spec.voxel_size))
    needed = needs(grid, of_atlas, classic=options.registration.classic is not None)
    budget.require(*needed)
    require_possible(channel, grid, options.registration, of_atlas)
    require_larger_than(grid, unit_length(of_atlas.image.mip0), channel)
    return PreparedRegistration(channel, options.registration, of_atlas, max(map(budget.least, needed)))


def with_registration(
    forecast: Forecast, registration: PreparedRegistration, options: RunOptions, raw: Raw
) -> Forecast:
    """The forecast of a run whose volumes are registered in the end."""
    from cloudreg_register.stage.forecast import foretell_registration

    volumes = {channel: _volume(options, raw, channel) for channel in raw.channels}
    voxels = sum(
        np.dtype(spec.dtype).itemsize * math.prod(scale.size) for spec in volumes.values() for scale in spec.scales
    )
    told = foretell_registration(
        registration.of_atlas,
        registration.choice,
        registration.channel,
        volumes,
        forecast.volume_bytes / voxels,
    )
    memory = max(forecast.memory, registration.memory)
    return replace(forecast.then(told.expenses, told.scratch_bytes), memory=memory)


def register_brain(
    run: Run,
    registration: PreparedRegistration,
    fusions: Sequence[FusionReport],
    memory: int | None,
    person: Person | None = None,
) -> dict[str, Any]:
    """Register the channel, bring labels and atlas to it, measure all channels; what was made, as a JSON value."""
    from cloudreg_register.stage.inputs import load_inputs
    from cloudreg_register.stage.stages import register_stages

    channels = {fused.channel: open_volume(fused.url) for fused in fusions}
    target = channels[registration.channel]
    inputs = load_inputs(target.url, registration.choice, registration.of_atlas, memory)
    done = register_stages(run, inputs, registration.choice, target, channels, person)
    return {"channel": registration.channel, "atlas": registration.of_atlas.atlas.name, **done.to_json()}


def _volume(options: RunOptions, raw: Raw, channel: str) -> VolumeSpec:
    """About the volume that will be fused."""
    source = raw.part.source(channel, fill_missing=options.missing == "fill")
    return lay_out(source, Placement.by_stage(source.grid), fusion(options, source.grid, {}))[1]
