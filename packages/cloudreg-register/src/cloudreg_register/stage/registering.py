"""Registering: the command `register`, from what was typed to what is in OUT."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cloudreg_io.files.image import read_image_header
from cloudreg_io.files.location import Location
from cloudreg_io.run import NO_PROGRESS, Progress, Run, executor, open_run
from cloudreg_io.run.memory import VOLUMES, Budget
from cloudreg_io.space import Grid, VoxelSize
from cloudreg_io.volumes import Volume, open_volume
from cloudreg_io.volumes.ingest import IngestOptions, ingest
from cloudreg_register.analysis.measurement import images_in
from cloudreg_register.images.places import grid_of, is_file
from cloudreg_register.layout import TARGET
from cloudreg_register.memory import PROGRAMS
from cloudreg_register.stage.choice import Choice
from cloudreg_register.stage.inputs import Inputs, load_atlas, load_inputs
from cloudreg_register.stage.memory import needs, reading_need
from cloudreg_register.stage.possible import require_apart
from cloudreg_register.stage.stages import Registered, register_stages
from cloudreg_register.stage.starting import Person


def register_target(
    place: str,
    out: Path,
    choice: Choice,
    *,
    jobs: int = 1,
    memory: int | None = None,
    overwrite: bool = False,
    progress: Progress = NO_PROGRESS,
    person: Person | None = None,
) -> Registered | None:
    """Register a target to an atlas; None on the worker ranks of an MPI job.

    Parameters
    ----------
    place : str
        A precomputed volume, or a NRRD, NIfTI or TIFF file.
    out : Path
        Folder of the results; one that an earlier command left is gone on with.
    choice : Choice
    jobs, memory, overwrite, progress
        As for the other commands.
    person : Person, optional
        Who is shown the start, and asked.

    Raises
    ------
    NotFoundError, InputError, ToolError
        Before any work: what is wrong with target, atlas, labels, options, or the memory.
    """
    with executor(jobs) as pool:
        if pool is None:
            return None
        require_apart("target", place, out)
        of_atlas = load_atlas(choice, memory)
        require_apart("atlas", of_atlas.atlas.template, out)
        require_apart("labels", of_atlas.atlas.labels, out)
        budget = Budget.of(memory, jobs, PROGRAMS)
        needed = needs(_target_grid(place, choice), of_atlas, classic=choice.classic is not None)
        budget.require(*needed, *filter(None, [reading_need(place)]))
        inputs = load_inputs(place, choice, of_atlas, memory)
        with open_run(
            out,
            command="register",
            options=choice.to_json(),
            inputs={"target": place, "atlas": of_atlas.atlas.name, **inputs.identity()},
            pool=pool,
            jobs=jobs,
            overwrite=overwrite,
            progress=progress,
        ) as run:
            target = _target_volume(run, inputs, memory)
            return register_stages(run, inputs, choice, target, _channels(run.out, target, choice), person)


def _target_grid(place: str, choice: Choice) -> Grid:
    return grid_of(place, None if choice.voxel_size is None else VoxelSize.of(choice.voxel_size))


def _target_volume(run: Run, inputs: Inputs, memory: int | None) -> Volume:
    """The target as a precomputed volume: a file is copied to OUT/target, for regions and viewer to read."""
    if not is_file(inputs.place):
        return open_volume(inputs.place)
    path = Location.parse(inputs.place).path
    stored = np.dtype(read_image_header(path).dtype)
    options = IngestOptions(
        voxel_size=VoxelSize.of(inputs.target.frame.voxel_size),
        layer="image",
        dtype="float32" if stored.itemsize == 8 else None,
    )
    if memory is not None:  # ingest counts fewer programs than are loaded here
        memory -= Budget.of(memory, run.jobs, PROGRAMS).fixed - Budget.of(memory, run.jobs, VOLUMES).fixed
    return ingest(run, path, run.out / TARGET, options, memory=memory, channel=TARGET).volume


def _channels(out: Path, target: Volume, choice: Choice) -> Mapping[str, Volume]:
    """What is measured: the images of OUT where the target is one of them, else the target."""
    if choice.voxel_size is not None and VoxelSize.of(choice.voxel_size) != target.voxel_size():
        return {}  # its own voxel size is wrong
    location = target.location
    if location.is_file and location.path.resolve().parent == out.resolve():
        return {name: open_volume(folder) for name, folder in images_in(out).items()}
    return {location.name or location.bucket: target}
