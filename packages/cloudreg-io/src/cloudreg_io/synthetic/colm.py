"""Writes a COLM acquisition folder: Experiment.ini, Scanned Cells.txt and VW0/LOC###/…PLN####.tif.

The planes come from a `Painter`, which may run in other processes: every (channel, tile) is one task. The
folder appears under its name when it is complete.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tifffile
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.synthetic.spec import AcquisitionSpec, channel_name
from cloudreg_io.tiles import Tile

_COMPRESSION = {"none": None, "zstd": "zstd", "deflate": "zlib", "lzw": "lzw"}
_ROWS_PER_STRIP = 64


class Painter(Protocol):
    """Makes the planes of a tile. Picklable."""

    def planes(self, channel: int, tile: Tile) -> Iterator[NDArray[np.uint16]]:
        """The planes [y, x] of a scanned tile in one channel, in order of z."""
        ...


@dataclass(frozen=True, slots=True)
class NewFolder:
    """A folder that is filled beside its final name and moved there when it is complete."""

    folder: Path

    @property
    def partial(self) -> Path:
        """Where it is filled."""
        return self.folder.with_name(self.folder.name + ".partial")

    def __enter__(self) -> Path:
        if self.folder.exists():
            raise InputError(f"{self.folder} exists", fix="give the name of a new folder, or remove this one")
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True)
        return self.partial

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.partial.rename(self.folder)
        else:
            shutil.rmtree(self.partial, ignore_errors=True)


def write_tiles(root: Path, spec: AcquisitionSpec, painter: Painter, jobs: int = 1) -> None:
    """Write metadata and all planes of all scanned tiles below `root`, in `jobs` processes."""
    write_metadata(root, spec)
    tasks = [
        _Task(root, spec.compression, painter, c, t) for c in range(spec.channels) for t in spec.tiles if t.scanned
    ]
    if jobs > 1:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            for _ in pool.map(_write_tile, tasks):
                pass
    else:
        for task in tasks:
            _write_tile(task)


def write_metadata(root: Path, spec: AcquisitionSpec) -> None:
    """Write Experiment.ini and Scanned Cells.txt as the COLM software does (values quoted, mm and percent)."""
    x, y = spec.tile_size
    sections: dict[str, dict[str, Any]] = {
        "Experiment Settings": {
            "Num in stack (Top Left Corner)": spec.planes,
            "X Resolution": x,
            "Y Resolution": y,
            "Num Enabled Channels": spec.channels,
        },
        "Objectives": {"North": f"{spec.magnification:2d}x/0.60"},
        "North Scan Region": {
            "Num Horizontal": spec.columns,
            "Num Vertical": spec.rows,
            "Stack Step (mm)": f"{spec.z_step_um / 1000:.12g}",
        },
        "North Scan Region Stats": {
            "Actual Horizontal Overlap (%)": f"{spec.overlap[0]:.12g}",
            "Actual Vertical Overlap (%)": f"{spec.overlap[1]:.12g}",
        },
    }
    lines = []
    for section, values in sections.items():
        lines += [f"[{section}]", *(f'{key} = "{value}"' for key, value in values.items()), ""]
    root.mkdir(parents=True, exist_ok=True)
    (root / "Experiment.ini").write_text("\n".join(lines), encoding="utf-8")
    cells = np.ones((spec.rows, spec.columns), int)
    for row, column in spec.unscanned:
        cells[row, column] = 0
    text = "\n".join(",".join(str(cell) for cell in row) for row in cells)
    (root / "Scanned Cells.txt").write_text(text + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _Task:
    root: Path
    compression: str
    painter: Painter
    channel: int
    tile: Tile


def _write_tile(task: _Task) -> None:
    folder = task.root / "VW0" / task.tile.name
    folder.mkdir(parents=True, exist_ok=True)
    for z, plane in enumerate(task.painter.planes(task.channel, task.tile)):
        name = f"VW0_{task.tile.name}_CM0_{channel_name(task.channel)}_PLN{z:04d}.tif"
        tifffile.imwrite(
            folder / name,
            plane,
            compression=_COMPRESSION[task.compression],
            predictor=True if task.compression != "none" else None,
            rowsperstrip=_ROWS_PER_STRIP if task.compression != "none" else None,
            photometric="minisblack",
            metadata=None,
            software=False,
        )
