"""What to acquire: the grid of tiles, the stage's errors, the optics, the camera, and what goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cloudreg_io.errors import InputError
from cloudreg_io.space import Vector3, VoxelSize
from cloudreg_io.tiles import Tile
from cloudreg_io.tiles.readers.colm_names import CHANNEL_NAME, LOCATION_NAME, PIXEL_SIZES, REFERENCE_PIXELS

Cell = tuple[int, int]

COMPRESSIONS = ("none", "zstd", "deflate", "lzw")

# Fields of `AcquisitionSpec` for planes that hold the scene's own values: no shading, no noise.
PERFECT_OPTICS: dict[str, Any] = {
    "vignetting": ("none",),
    "dust": 0,
    "background": 0.0,
    "background_slope": 0.0,
    "signal": 1.0,
    "gain": 0.0,
    "read_noise": 0.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AcquisitionSpec:
    """A COLM acquisition to be made.

    The voxel size follows from the metadata that COLM writes: the magnification gives the pixel at 2048
    pixels a line, so the pixel is that times 2048 / tile_size x; z is the stack step.

    Attributes
    ----------
    rows, columns : int
        Of the grid of tiles.
    tile_size : (x, y) int
    planes : int
        Of every tile.
    overlap : (x, y) float
        Nominal overlap of neighbours in percent of the tile.
    jitter : (x, y, z) float
        The stage is off by a uniform random number of up to ± so many voxels.
    whole_voxels : bool
        Round every true position to whole voxels.
    magnification : 4, 10 or 25
    z_step_um : float
    channels : int
    channel_shift : mapping of channel number to (x, y, z)
        Voxels by which the tiles of a channel lie further along than those of channel 0.
    start : (x, y, z) or None
        Nominal position of tile (0, 0) in the scene; None centres the grid on `scene_size`.
    vignetting : tuple of str
        Family of each channel, taken in turn; see `vignetting.FAMILIES`, or "none".
    strength : float
        Depth of the darkest pixel of the flat-field below the brightest, 0 to 0.75.
    dust : int
        Number of specks in the camera: the same in every channel and tile.
    background : float
        Counts without light, at the centre.
    background_slope : float
        By how many counts the background differs over the plane (a broad off-centre hump).
    signal : float or tuple of float
        Counts of an average tissue; per channel if several.
    gain : float
        Counts per photon; 0 switches photon noise off.
    read_noise : float
        Counts.
    saturation : int
        Largest count.
    unscanned : set of (row, column)
    blank : set of (row, column)
        Tiles with no tissue in them: noise only.
    dark : set of (row, column)
        Tiles whose signal is `dark_level` of the normal one.
    duplicate : mapping of (row, column) to (row, column)
        Tiles whose planes are copies of another's.
    dark_level : float
    compression : "none", "zstd", "deflate" or "lzw"
        Of the TIFF files.
    seed : int
        Of everything random.
    """

    rows: int
    columns: int
    tile_size: tuple[int, int]
    planes: int
    overlap: tuple[float, float] = (15.0, 15.0)
    jitter: Vector3 = (5.0, 5.0, 2.0)
    whole_voxels: bool = False
    magnification: int = 10
    z_step_um: float = 5.0
    channels: int = 1
    channel_shift: Mapping[int, Vector3] = field(default_factory=dict)
    start: Vector3 | None = None
    vignetting: tuple[str, ...] = ("lens", "gaussian", "sheet", "shadow", "patches")
    strength: float = 0.4
    dust: int = 0
    background: float = 110.0
    background_slope: float = 0.0
    signal: float | tuple[float, ...] = 400.0
    gain: float = 1.0
    read_noise: float = 6.0
    saturation: int = 65535
    unscanned: frozenset[Cell] = frozenset()
    blank: frozenset[Cell] = frozenset()
    dark: frozenset[Cell] = frozenset()
    duplicate: Mapping[Cell, Cell] = field(default_factory=dict)
    dark_level: float = 0.02
    compression: str = "none"
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.rows, self.columns, self.planes, self.channels, *self.tile_size) < 1:
            raise InputError("an acquisition has at least one row, column, plane, channel and pixel")
        if self.magnification not in PIXEL_SIZES:
            raise InputError(f"COLM has no {self.magnification}x objective", fix="4, 10 or 25")
        if not all(0 <= percent < 100 for percent in self.overlap) or min(self.jitter) < 0:
            raise InputError(f"overlap {self.overlap} % or jitter {self.jitter} voxels out of range")
        if self.compression not in COMPRESSIONS:
            raise InputError(f"no compression {self.compression!r}", fix=f"one of {', '.join(COMPRESSIONS)}")
        self._check_channels()
        self._check_cells()

    def _check_channels(self) -> None:
        if not 1 <= self.saturation <= 65535 or min(self.gain, self.read_noise, self.background) < 0:
            raise InputError("saturation lies in 1..65535; gain, read noise and background are not negative")
        if not all(0 <= channel < self.channels for channel in self.channel_shift):
            raise InputError(
                f"channel_shift names channels {sorted(self.channel_shift)} of {self.channels}",
                fix="channels count from 0",
            )

    def _check_cells(self) -> None:
        cells = {*self.unscanned, *self.blank, *self.dark, *self.duplicate, *self.duplicate.values()}
        for row, column in cells:
            if not (0 <= row < self.rows and 0 <= column < self.columns):
                raise InputError(f"cell ({row}, {column}) lies outside {self.rows} × {self.columns} tiles")
        for copy, original in self.duplicate.items():
            if original in self.unscanned or original in self.duplicate or copy in self.unscanned:
                raise InputError(f"tile {copy} cannot be a copy of {original}: both must be scanned tiles")

    @property
    def voxel_size(self) -> VoxelSize:
        """In µm, as a COLM reader computes it."""
        pixel = PIXEL_SIZES[self.magnification] * REFERENCE_PIXELS / self.tile_size[0]
        return VoxelSize(pixel, pixel, self.z_step_um)

    @property
    def step(self) -> tuple[float, float]:
        """Nominal distance of neighbours along x and y, in voxels."""
        x, y = (n * (1 - percent / 100) for n, percent in zip(self.tile_size, self.overlap, strict=True))
        return (x, y)

    @property
    def span(self) -> Vector3:
        """Nominal extent x, y, z of the whole grid in voxels."""
        (step_x, step_y), (nx, ny) = self.step, self.tile_size
        return (step_x * (self.columns - 1) + nx, step_y * (self.rows - 1) + ny, float(self.planes))

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """The cells of the grid, row by row: LOC number = column + row · columns."""
        step_x, step_y = self.step
        return tuple(
            Tile(
                LOCATION_NAME.format(location=column + row * self.columns),
                row,
                column,
                (column * step_x, row * step_y, 0.0),
                (row, column) not in self.unscanned,
            )
            for row in range(self.rows)
            for column in range(self.columns)
        )

    def scene_positions(self, scene_size: tuple[int, int, int] | None = None) -> dict[str, Vector3]:
        """Where voxel 0 of every tile truly lies in the scene (voxels): nominal plus the stage's error."""
        if self.start is not None:
            start = np.array(self.start)
        elif scene_size is not None:
            start = (np.array(scene_size) - self.span) / 2
        else:
            start = np.zeros(3)
        positions: dict[str, Vector3] = {}
        for tile in self.tiles:
            rng = np.random.default_rng([self.seed, 21, tile.row, tile.column])
            exact = start + tile.nominal + rng.uniform(-1, 1, 3) * self.jitter
            x, y, z = (float(v) for v in (np.rint(exact) if self.whole_voxels else exact))
            positions[tile.name] = (x, y, z)
        return positions

    def shift_of(self, channel: int) -> Vector3:
        """What `channel_shift` says of a channel; 0 for those it does not name."""
        return self.channel_shift.get(channel, (0.0, 0.0, 0.0))

    @property
    def channel_names(self) -> tuple[str, ...]:
        """CHN00, CHN01 and so on."""
        return tuple(CHANNEL_NAME.format(channel=channel) for channel in range(self.channels))

    def signal_of(self, channel: int) -> float:
        """Counts of an average tissue in a channel."""
        if isinstance(self.signal, tuple):
            return self.signal[channel % len(self.signal)]
        return self.signal
