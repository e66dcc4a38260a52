"""Writes a COLM acquisition folder: Experiment.ini, Scanned Cells.txt and VW0/LOC###/…PLN####.tif.

The planes come from a `Painter`, which may run in other processes: every (channel, tile) is one task. The
folder appears under its name when it is complete.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol

import numpy as np
import tifffile
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.synthetic.spec import AcquisitionSpec
from cloudreg_io.tiles import Tile
from cloudreg_io.tiles.readers import colm_names as names
from cloudreg_io.tiles.readers.colm_names import Key

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
    work = [(channel, tile) for channel in range(spec.channels) for tile in spec.tiles if tile.scanned]
    # one task a process: a painter with its cameras is large, and travels with each task
    tasks = [_Task(root, spec, painter, tuple(work[first :: max(1, jobs)])) for first in range(max(1, jobs))]
    if jobs > 1:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            for _ in pool.map(_write_planes, tasks):
                pass
    else:
        _write_planes(tasks[0])


def write_metadata(root: Path, spec: AcquisitionSpec) -> None:
    """Write Experiment.ini and Scanned Cells.txt as the COLM software does (values quoted, mm and percent)."""
    x, y = spec.tile_size
    values: dict[Key, object] = {
        names.PLANES: spec.planes,
        names.X_RESOLUTION: x,
        names.Y_RESOLUTION: y,
        names.CHANNELS: spec.channels,
        names.OBJECTIVE: f"{spec.magnification:2d}x/0.60",  # always two characters before the x
        names.COLUMNS: spec.columns,
        names.ROWS: spec.rows,
        names.STACK_STEP: f"{spec.z_step_um / 1000:.12g}",
        names.OVERLAP_X: f"{spec.overlap[0]:.12g}",
        names.OVERLAP_Y: f"{spec.overlap[1]:.12g}",
    }
    lines: list[str] = []
    for section, keys in groupby(values, lambda key: key.section):
        lines += [f"[{section}]", *(f'{key.name} = "{values[key]}"' for key in keys), ""]
    root.mkdir(parents=True, exist_ok=True)
    (root / names.INI_NAME).write_text("\n".join(lines), encoding="utf-8")
    cells = np.ones((spec.rows, spec.columns), int)
    for row, column in spec.unscanned:
        cells[row, column] = 0
    text = "\n".join(",".join(str(cell) for cell in row) for row in cells)
    (root / names.CELLS_NAME).write_text(text + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _Task:
    root: Path
    spec: AcquisitionSpec
    painter: Painter
    work: tuple[tuple[int, Tile], ...]


def _write_planes(task: _Task) -> None:
    for channel, tile in task.work:
        folder = task.root / names.TILE_ROOT / tile.name
        folder.mkdir(parents=True, exist_ok=True)
        location = tile.column + tile.row * task.spec.columns
        for z, plane in enumerate(task.painter.planes(channel, tile)):
            path = folder / names.PLANE_NAME.format(location=location, channel=channel, plane=z)
            _write_plane(path, plane, task.spec.compression)


def _write_plane(path: Path, plane: NDArray[np.uint16], compression: str) -> None:
    plain = compression == "none"
    tifffile.imwrite(
        path,
        plane,
        compression=_COMPRESSION[compression],
        predictor=None if plain else True,
        rowsperstrip=None if plain else _ROWS_PER_STRIP,
        photometric="minisblack",
        metadata=None,
        software=False,
    )
