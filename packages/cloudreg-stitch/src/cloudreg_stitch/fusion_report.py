"""What a fusion made, told in short to the caller and in full to `OUT/qc/fusion.<channel>.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudreg_io.files.atomic import write_json
from cloudreg_io.run import Run
from cloudreg_io.space import VoxelSize
from cloudreg_io.volumes.volume import Volume
from cloudreg_stitch import coverage, seams
from cloudreg_stitch.bands import Counts, Scene


@dataclass(frozen=True, slots=True)
class FusionReport:
    """What fusion made, in short; all of it is in `qc`.

    Attributes
    ----------
    channel : str
    url : str
        Of the volume.
    size : (x, y, z) int
    voxel_size : VoxelSize
    uncovered : int
        Output voxels that no tile covers; they are 0.
    coverage : mapping
        Source voxels: "input", "alone", "blended", "dropped", "cropped".
    seams : mapping
        Median and worst figures over all seams, see `cloudreg_stitch.seams`.
    decodes : float
        How often a plane was read by plan.
    qc : Path
        `OUT/qc/fusion.<channel>.json`.
    """

    channel: str
    url: str
    size: tuple[int, int, int]
    voxel_size: VoxelSize
    uncovered: int
    coverage: dict[str, int]
    seams: dict[str, Any]
    decodes: float
    qc: Path


def write_report(
    run: Run, scene: Scene, volume: Volume, counts: Counts, *, options: Mapping[str, Any], decodes: float
) -> FusionReport:
    """Account for everything, warn of what is odd, and write `OUT/qc/fusion.<channel>.json`.

    Parameters
    ----------
    run : Run
    scene : Scene
    volume : Volume
    counts : Counts
        Of the whole volume.
    options : mapping
        "interpolation", "blend" and "bounds", as JSON values.
    decodes : float
        How often a plane was read by plan.

    Raises
    ------
    CloudRegError
        Voxels of the input are not accounted for.
    """
    spec = volume.spec
    layout, names = scene.layout, [tile.tile.name for tile in scene.layout.footprints]
    tiles = coverage.report(layout, counts.tiles)
    totals = {key: sum(row[key] for row in tiles) for key in ("input", *coverage.COUNTS, "cropped")}
    pairs = [
        {"a": names[seam.a], "b": names[seam.b], "axis": seam.axis} | seams.report(row, seam)
        for row, seam in zip(counts.seams, scene.seams, strict=True)
    ]
    summary = seams.summary(pairs)
    channel = scene.source.channel
    if summary["without_overlap"]:
        run.warn(f"{channel}: {summary['without_overlap']} pair(s) of neighbouring tiles do not overlap")
    if totals["cropped"] and options["bounds"] is None:
        run.warn(f"{channel}: {totals['cropped']} voxels lie outside the volume, moved there by the channel shift")
    path = run.out / "qc" / f"fusion.{channel}.json"
    content = {
        "channel": channel,
        "size": list(spec.size),
        "voxel_size_um": list(spec.voxel_size),
        **options,
        "voxels": layout.volume.voxels,
        "uncovered": counts.uncovered,
        "coverage": totals,
        "seams": summary,
        "tiles": tiles,
        "pairs": pairs,
    }
    path.parent.mkdir(exist_ok=True)
    write_json(path, content)
    return FusionReport(
        channel, volume.url, spec.size, spec.voxel_size, counts.uncovered, totals, summary, decodes, path
    )
