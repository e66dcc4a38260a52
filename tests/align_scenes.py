"""A scene that tiles at any fractional place can be evaluated from: a sum of random plane waves."""

from dataclasses import dataclass, field

import numpy as np

from cloudreg_io.space import VoxelSize
from cloudreg_io.tiles import Tile, TileGrid

# (tile, plane) of every plane made in this process: sources travel to their tasks as copies
PLANES_READ = []


@dataclass
class WaveSource:
    """A TileSource in memory. Planes are of low rank, so that they are quick to make."""

    grid: TileGrid
    truth: dict
    seed: int = 0
    signal: float = 400.0
    noise: float = 5.0
    vignetting: float = 0.5
    waves: int = 120
    channel: str = "CHN00"
    blank: frozenset = frozenset()
    copies: dict = field(default_factory=dict)  # tile name -> name of the tile whose place it shows
    same_noise: bool = True
    missing: dict = field(default_factory=dict)  # tile name -> planes

    def __post_init__(self):
        rng = np.random.default_rng([self.seed, 1])
        direction = rng.normal(size=(self.waves, 3))
        direction /= np.linalg.norm(direction, axis=1)[:, None]
        wavelength = np.exp(rng.uniform(np.log(4), np.log(50), self.waves))
        self.k = direction * (2 * np.pi / wavelength)[:, None]
        self.phase = rng.uniform(0, 2 * np.pi, self.waves)
        width, height, _ = self.grid.tile_size
        x, y = np.linspace(-1, 1, width), np.linspace(-1, 1, height)
        self.flat = (1 - self.vignetting * (x**2 + y[:, None] ** 2) / 2).astype(np.float32)

    @property
    def dtype(self):
        return np.dtype(np.uint16)

    def present(self, tile):
        there = np.full(self.grid.planes, tile.scanned)
        there[list(self.missing.get(tile.name, ()))] = False
        return there

    def read(self, tile, z, out=None):
        width, height, planes = self.grid.tile_size
        wanted = range(planes)[z]
        result = np.empty((len(wanted), height, width), np.uint16) if out is None else out
        for plane, depth in zip(result, wanted, strict=True):
            PLANES_READ.append((tile.name, depth))
            plane[:] = self._plane(tile, depth)
        return result

    def _plane(self, tile, z):
        width, height, _ = self.grid.tile_size
        if z in self.missing.get(tile.name, ()):
            return np.zeros((height, width), np.uint16)
        shown = self.grid.tile(self.copies.get(tile.name, tile.name))
        camera = shown if self.same_noise else tile
        noise = np.random.default_rng([self.seed, 2, camera.row, camera.column, z]).standard_normal(
            (height, width), np.float32
        )
        light = 0 if tile.name in self.blank else self.signal * (1 + 0.3 * self._texture(shown, z)) * self.flat
        return np.clip(np.rint(light + 100 + self.noise * noise), 0, 65535).astype(np.uint16)

    def _texture(self, tile, z):
        width, height, _ = self.grid.tile_size
        x0, y0, z0 = self.truth[tile.name]
        along_x = np.exp(1j * np.outer(self.k[:, 0], x0 + np.arange(width))).astype(np.complex64)
        along_y = np.exp(1j * np.outer(y0 + np.arange(height), self.k[:, 1])).astype(np.complex64)
        along_y *= np.exp(1j * (self.k[:, 2] * (z0 + z) + self.phase)).astype(np.complex64)
        rows = np.concatenate([along_y.real, -along_y.imag], 1)
        columns = np.concatenate([along_x.real, along_x.imag], 0)
        return np.sqrt(2 / self.waves, dtype=np.float32) * (rows @ columns)


def scene(
    rows,
    columns,
    *,
    tile=192,
    planes=32,
    overlap=0.15,
    seed=0,
    jitter=(10, 10, 4),
    whole=False,
    unscanned=(),
    **more,
):
    """A grid of tiles whose true origins are off by a uniform random number of up to ± `jitter` voxels."""
    rng = np.random.default_rng([seed, 0])
    step = round(tile * (1 - overlap))
    tiles, truth = [], {}
    for row in range(rows):
        for column in range(columns):
            name = f"LOC{row * columns + column:03d}"
            nominal = (float(column * step), float(row * step), 0.0)
            tiles.append(Tile(name, row, column, nominal, (row, column) not in unscanned))
            moved = np.array(nominal) + rng.uniform(-1, 1, 3) * jitter
            truth[name] = tuple(np.rint(moved) if whole else moved)
    grid = TileGrid(rows, columns, (tile, tile, planes), VoxelSize(1.2, 1.2, 5.0), tuple(tiles))
    return WaveSource(grid, truth, seed, **more)


def errors(placement, source, names=None):
    """Distance of estimated and true origins, less the median of each axis."""
    chosen = [tile.name for tile in placement.scanned if names is None or tile.name in names]
    difference = np.array([np.subtract(placement.tile(name).position, source.truth[name]) for name in chosen])
    return np.linalg.norm(difference - np.median(difference, axis=0), axis=1)
