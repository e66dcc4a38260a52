"""The demonstration: a phantom brain, imaged with known faults, through the whole pipeline, against the truth."""

from __future__ import annotations

import shlex
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np

from cloudreg_cli.demo_atlas import LANDMARKS, atlas_choice, make_atlas, registration_errors
from cloudreg_cli.pipeline import RunOptions, run_in_pool
from cloudreg_io.fields import Shading
from cloudreg_io.files.location import Location
from cloudreg_io.run import NO_PROGRESS, Progress, executor
from cloudreg_io.space import vector3i
from cloudreg_io.synthetic import AcquisitionSpec, Phantom, Truth, make_acquisition, make_phantom
from cloudreg_stitch.placement import Placement

SEED = 2026
SPEC = AcquisitionSpec(
    rows=3,
    columns=3,
    tile_size=(400, 400),
    planes=72,
    overlap=(15.0, 15.0),
    jitter=(8.0, 8.0, 3.0),
    channels=2,
    z_step_um=5.0,
    strength=0.45,
    dust=6,
    unscanned=frozenset({(0, 0)}),
    seed=SEED,
)


def run_demo(out: Path, *, jobs: int = 2, progress: Progress = NO_PROGRESS) -> dict[str, Any] | None:
    """Make the tiles in `OUT/raw` unless they are there, and the brain in `OUT/brain`; compare with the truth.

    Parameters
    ----------
    out : Path
    jobs : int
    progress : Progress

    Returns
    -------
    dict or None
        Volumes and errors; None on the worker ranks of an MPI job.
    """
    with executor(jobs) as pool:
        if pool is None:
            return None
        return _demo(out, pool, jobs, progress)


def _demo(out: Path, pool: Executor, jobs: int, progress: Progress) -> dict[str, Any]:
    Location.parse(out)  # an address is refused before tiles are made
    raw, atlas, brain = out / "raw", out / "atlas", out / "brain"
    phantom = _phantom()
    if not raw.exists():
        _make_tiles(raw, phantom, jobs, progress)
    if not (atlas / LANDMARKS).exists():
        make_atlas(atlas, phantom, SEED)
    options = RunOptions(registration=atlas_choice(atlas, phantom.orientation))
    summary = run_in_pool(raw, brain, options, pool=pool, jobs=jobs, progress=progress)
    truth = Truth.load(raw)
    picture = _draw(brain, out / "picture.png")
    return {
        **summary,
        "raw": str(raw),
        "view": f"cloudreg viz serve {shlex.quote(str(brain))}",  # as the user typed it
        "picture": str(picture),
        "placement_error_voxels": placement_errors(truth, brain),
        "shading_rmse_percent": {channel: shading_error(truth, brain, channel) for channel in truth.channels},
        "registration_error": registration_errors(atlas, truth, brain),
    }


def _phantom() -> Phantom:
    return make_phantom(vector3i(np.ceil(SPEC.span).astype(int)), SPEC.voxel_size, SEED)


def _make_tiles(raw: Path, phantom: Phantom, jobs: int, progress: Progress) -> None:
    progress.start("making tiles", 1)
    scenes = [phantom.scene(channel) for channel in range(SPEC.channels)]
    make_acquisition(raw, scenes, SPEC, scene_size=phantom.grid.size, jobs=jobs)
    progress.advance()
    progress.finish()


def placement_errors(truth: Truth, out: Path) -> dict[str, float]:
    """Mean and largest distance, in voxels, of the textured tiles' positions from the truth, one shift removed."""
    placement = Placement.load(out / "placement.json")
    names = [tile.name for tile in truth.tiles if tile.textured]
    errors = np.array(list(truth.placement_errors(placement.positions, names).values()))
    stage = np.array(list(truth.placement_errors({t.name: t.nominal for t in truth.tiles}, names).values()))
    return {
        "mean": float(errors.mean()),
        "max": float(errors.max()),
        "mean_of_stage": float(stage.mean()),
        "max_of_stage": float(stage.max()),
    }


def shading_error(truth: Truth, out: Path, channel: str) -> dict[str, float]:
    """RMSE of the flat-field over all pixels after scale, in percent, beside that of no correction."""
    true = Shading.load(truth.shading_file(channel)).flat.astype(np.float64)
    found = Shading.load(out / "shading" / f"{channel}.tif").flat.astype(np.float64)
    return {"corrected": _rmse_percent(found / true), "uncorrected": _rmse_percent(1 / true)}


def _rmse_percent(ratio: np.ndarray) -> float:
    return float(100 * np.std(ratio / ratio.mean()))


def _draw(brain: Path, file: Path) -> Path:
    from cloudreg_viz.picture import draw

    draw(str(brain), file)
    return file


def in_words(result: dict[str, Any]) -> str:
    """The result for a person, and what to look at next."""
    placement = result["placement_error_voxels"]
    lines = [f"tiles with known truth   {result['raw']}"]
    for volume in result["volumes"]:
        size = " × ".join(map(str, volume["size"]))
        lines.append(f"{'volume ' + volume['channel']:<24} {volume['url']}   {size} voxels")
    lines.append(
        f"placement error          {placement['mean']:.3f} voxels mean, {placement['max']:.3f} max"
        f"   (stage: {placement['mean_of_stage']:.2f}, {placement['max_of_stage']:.2f})"
    )
    for channel, rmse in result["shading_rmse_percent"].items():
        found, before = rmse["corrected"], rmse["uncorrected"]
        lines.append(f"{'shading error ' + channel:<24} {found:.2f} % RMSE   (no correction: {before:.2f} %)")
    error = result["registration_error"]
    before, after = (error["landmarks"][when] for when in ("before", "after"))
    lines += [
        f"landmarks                {after['mean_um']:.1f} µm mean, {after['p95_um']:.1f} for 95 %"
        f"   (before registration: {before['mean_um']:.1f}, {before['p95_um']:.1f})",
        f"volumes of regions       {error['volume_error_percent']:.1f} % off in the mean",
        f"table of regions         {result['registration']['regions']}",
        f"picture                  {result['picture']}",
        "",
        "Look at it:              " + result["view"],
        "With data of your own:   cloudreg inspect ACQ, then cloudreg run ACQ OUT",
    ]
    return "\n".join(lines)
