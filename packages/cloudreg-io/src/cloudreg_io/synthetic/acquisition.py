"""Makes an acquisition: tiles of a scene with known origins, shading and faults, and the truth beside them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.fields import Shading
from cloudreg_io.space import Vector3, vector3i
from cloudreg_io.synthetic.camera import Camera
from cloudreg_io.synthetic.colm import NewFolder, Painter, write_tiles
from cloudreg_io.synthetic.make_truth import make_truth
from cloudreg_io.synthetic.scene import Scene
from cloudreg_io.synthetic.spec import AcquisitionSpec
from cloudreg_io.synthetic.truth import Truth
from cloudreg_io.synthetic.vignetting import dust, flat_field
from cloudreg_io.tiles import Tile

# planes and voxels evaluated in one go: cells reach over several planes and cost a call for each go
_SLAB_PLANES, _SLAB_VOXELS = 16, 1 << 23


@dataclass(frozen=True, slots=True, eq=False)
class TilePainter:
    """Images the tiles of a scene; what is wrong with a tile is in the specification.

    Attributes
    ----------
    spec : AcquisitionSpec
    scenes : tuple of Scene
        One a channel.
    cameras : tuple of Camera
        One a channel.
    positions : mapping of tile name to (x, y, z)
        Of voxel 0 in the scene.
    """

    spec: AcquisitionSpec
    scenes: tuple[Scene, ...]
    cameras: tuple[Camera, ...]
    positions: Mapping[str, Vector3]

    def planes(self, channel: int, tile: Tile) -> Iterator[NDArray[np.uint16]]:
        """The planes [y, x] of a tile as the camera records them."""
        original = self._original(tile)
        cell = (original.row, original.column)
        camera = self.cameras[channel]
        if cell in self.spec.dark:
            camera = replace(camera, signal=camera.signal * self.spec.dark_level)
        slab = max(1, min(_SLAB_PLANES, _SLAB_VOXELS // math.prod(self.spec.tile_size)))
        for z in range(0, self.spec.planes, slab):
            depth = min(slab, self.spec.planes - z)
            light = self._light(channel, original, z, depth)
            for k in range(depth):
                yield camera.expose(light[k], (self.spec.seed, 22, channel, *cell, z + k))

    def _original(self, tile: Tile) -> Tile:
        """The tile whose planes this one shows: itself, unless it is a copy."""
        source = self.spec.duplicate.get((tile.row, tile.column))
        return tile if source is None else next(t for t in self.spec.tiles if (t.row, t.column) == source)

    def _light(self, channel: int, tile: Tile, z: int, depth: int) -> NDArray[np.float32]:
        nx, ny = self.spec.tile_size
        if (tile.row, tile.column) in self.spec.blank:
            return np.zeros((depth, ny, nx), np.float32)
        shift = self.spec.shift_of(channel)
        x0, y0, z0 = (p + s for p, s in zip(self.positions[tile.name], shift, strict=True))
        return self.scenes[channel].evaluate(x0, y0, z0 + z, (depth, ny, nx))

    def tissue(self, tile: Tile, position: Vector3, extent: tuple[int, int, int]) -> float:
        """Share of a box (scene position, x y z) of a tile whose light exceeds three times the read noise."""
        cell, spec = (tile.row, tile.column), self.spec
        if cell in spec.blank or cell in spec.duplicate or min(extent) < 1:
            return 0.0
        step = vector3i([max(1, n // 64) for n in extent[:2]] + [max(1, extent[2] // 8)])
        nx, ny, nz = (-(-n // s) for n, s in zip(extent, step, strict=True))
        light = self.scenes[0].evaluate(*position, (nz, ny, nx), step)
        counts = light * self.cameras[0].signal * (spec.dark_level if cell in spec.dark else 1.0)
        return float(np.mean(counts > 3 * max(spec.read_noise, 1 / 3)))


def make_acquisition(
    folder: Path | str,
    scenes: Scene | Sequence[Scene],
    spec: AcquisitionSpec,
    *,
    scene_size: tuple[int, int, int] | None = None,
    jobs: int = 1,
) -> Truth:
    """Write a COLM acquisition of a scene, and the truth about it.

    Parameters
    ----------
    folder : Path
        New folder: Experiment.ini, Scanned Cells.txt, VW0/, `truth.json`, `truth_shading_CHN##.tif`.
    scenes : Scene or sequence of Scene
        One for all channels, or one a channel.
    spec : AcquisitionSpec
    scene_size : (x, y, z) int, optional
        Extent of the scene in voxels, on which the grid is centred when `spec.start` is None. By default that
        of the first scene if it has a `size`.
    jobs : int
        Number of processes. The same files come out of any number.

    Returns
    -------
    Truth

    Raises
    ------
    InputError
        When the folder exists or scenes and channels do not match.
    """
    chosen = tuple(scenes) if isinstance(scenes, Sequence) else (scenes,) * spec.channels
    if len(chosen) != spec.channels:
        raise InputError(f"{len(chosen)} scenes for {spec.channels} channels", fix="one scene a channel")
    size = scene_size or getattr(chosen[0], "size", None)
    painter = TilePainter(spec, chosen, make_cameras(spec), spec.scene_positions(size))
    truth = make_truth(Path(folder), spec, painter.positions, painter.tissue)
    write_acquisition(truth, spec, painter, painter.cameras, jobs)
    return truth


def write_acquisition(
    truth: Truth, spec: AcquisitionSpec, painter: Painter, cameras: Sequence[Camera], jobs: int = 1
) -> None:
    """Write tiles, metadata and truth of an acquisition whose planes come from any painter."""
    with NewFolder(truth.folder) as partial:
        write_tiles(partial, spec, painter, jobs)
        beside = replace(truth, folder=partial)
        for channel, camera in zip(truth.channels, cameras, strict=True):
            Shading(camera.flat, camera.background).save(beside.shading_file(channel))
        beside.save()


def make_cameras(spec: AcquisitionSpec) -> tuple[Camera, ...]:
    """The camera of every channel: each channel has light of its own, all see the same dust."""
    nx, ny = spec.tile_size
    specks = dust((ny, nx), spec.dust, spec.seed)
    return tuple(
        Camera(
            _mean_one(_illumination(spec, channel) * specks),
            _background(spec),
            spec.signal_of(channel),
            spec.gain,
            spec.read_noise,
            spec.saturation,
        )
        for channel in range(spec.channels)
    )


def _illumination(spec: AcquisitionSpec, channel: int) -> NDArray[np.float32]:
    nx, ny = spec.tile_size
    family = spec.vignetting[channel % len(spec.vignetting)] if spec.vignetting else "none"
    return flat_field(family, (ny, nx), spec.strength, 1000 * spec.seed + channel)


def _background(spec: AcquisitionSpec) -> NDArray[np.float32]:
    nx, ny = spec.tile_size
    y, x = np.linspace(-1, 1, ny)[:, None], np.linspace(-1, 1, nx)[None, :]
    hump = np.exp(-((x - 0.2) ** 2) - (y + 0.3) ** 2) - 1
    return (spec.background + spec.background_slope * hump).astype(np.float32)


def _mean_one(field: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(field / field.mean(dtype=np.float64), dtype=np.float32)
