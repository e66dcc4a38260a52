"""What an acquisition is and whether it is complete, in words: `cloudreg inspect`."""

from __future__ import annotations

from typing import Any

import numpy as np

from cloudreg_io.tiles import Acquisition
from cloudreg_io.tiles.completeness import Report
from cloudreg_stitch.options import AlignOptions
from cloudreg_stitch.stage_check import check_stage
from cloudreg_stitch.stage_evidence import StageReport

_FORMATS = {"colm": "a COLM acquisition", "grid": "a grid list", "terastitcher": "a TeraStitcher import"}


def look_at_overlaps(acquisition: Acquisition, report: Report) -> StageReport | None:
    """Whether neighbours overlap as told, in the first channel; None where files are damaged."""
    if not acquisition.grid.scanned or report.stopping("fill"):
        return None
    source = acquisition.source(acquisition.channels[0], fill_missing=True)
    return check_stage(source, AlignOptions().search_of(acquisition.grid))


def describe(acquisition: Acquisition, report: Report, overlaps: StageReport | None = None) -> dict[str, Any]:
    """The facts of an acquisition as a JSON value."""
    grid = acquisition.grid
    planes = len(grid.scanned) * grid.planes * len(acquisition.channels)
    size = np.prod(grid.tile_size[:2]) * np.dtype(acquisition.dtype).itemsize
    return {
        "root": str(acquisition.root),
        "reader": acquisition.reader,
        "rows": grid.rows,
        "columns": grid.columns,
        "tiles_scanned": len(grid.scanned),
        "tile_size": list(grid.tile_size),
        "voxel_size_um": list(grid.voxel_size),
        "overlap_percent": [round(value, 2) for value in overlap(acquisition)],
        "mosaic_size": mosaic_size(acquisition),
        "overlaps": overlaps.to_json() if overlaps else None,
        "channels": list(acquisition.channels),
        "dtype": acquisition.dtype,
        "planes": planes,
        "bytes": int(planes * size),
        "problems": [str(problem) for problem in report.problems],
        "warnings": list(acquisition.warnings),
    }


def overlap(acquisition: Acquisition) -> tuple[float, float]:
    """Mean nominal overlap along x and y, in percent of a tile; 0 where no tile has a neighbour."""
    steps: dict[str, list[float]] = {"x": [], "y": []}
    for a, b, axis in acquisition.grid.neighbours():
        index = "xy".index(axis)
        steps[axis].append(1 - (b.nominal[index] - a.nominal[index]) / acquisition.grid.tile_size[index])
    x, y = (100 * float(np.mean(steps[axis])) if steps[axis] else 0.0 for axis in "xy")
    return (x, y)


def mosaic_size(acquisition: Acquisition) -> list[int]:
    """Extent x, y, z of all scanned tiles at their nominal positions, in voxels."""
    nominal = np.array([tile.nominal for tile in acquisition.grid.scanned])
    return [int(n) for n in np.ceil(np.ptp(nominal, axis=0) + acquisition.grid.tile_size)]


def picture(acquisition: Acquisition, report: Report) -> str:
    """The grid as text: `#` a complete tile, `!` one with a problem, `.` a cell that was not scanned."""
    bad = {problem.tile for problem in report.problems}
    rows = [["."] * acquisition.grid.columns for _ in range(acquisition.grid.rows)]
    for tile in acquisition.grid.scanned:
        rows[tile.row][tile.column] = "!" if tile.name in bad else "#"
    return "\n".join("  " + " ".join(row) for row in rows)


def in_words(
    acquisition: Acquisition, report: Report, overlaps: StageReport | None = None, *, most: int = 20
) -> str:
    """The facts as text for a person; of more than `most` problems only the first are listed."""
    facts = describe(acquisition, report)
    x, y, z = facts["mosaic_size"]
    lines = [
        f"{facts['root']}: {_FORMATS.get(facts['reader'], facts['reader'])}",
        f"tiles      {facts['tiles_scanned']} scanned of {facts['rows']} rows × {facts['columns']} columns",
        picture(acquisition, report),
        f"tile       {' × '.join(map(str, facts['tile_size']))} voxels (x, y, planes), {facts['dtype']}",
        f"voxel      {acquisition.grid.voxel_size}",
        f"overlap    {facts['overlap_percent'][0]:.1f} % in x, {facts['overlap_percent'][1]:.1f} % in y",
        *([f"           {overlaps.in_words()}"] if overlaps else []),
        f"mosaic     {x} × {y} × {z} voxels",
        f"channels   {', '.join(facts['channels'])}",
        f"planes     {facts['planes']:,}, {facts['bytes'] / 1e9:.2f} GB",
        *(f"warning    {text}" for text in facts["warnings"]),
    ]
    if not report.problems:
        lines.append("complete   every promised plane is there")
    else:
        lines.append(f"PROBLEMS   {len(report.problems)}")
        lines += [f"  {problem}" for problem in facts["problems"][:most]]
        if len(report.problems) > most:
            lines.append(f"  … and {len(report.problems) - most} more (--json lists all)")
    return "\n".join(lines)
