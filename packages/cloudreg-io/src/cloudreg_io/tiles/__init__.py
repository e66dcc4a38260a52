"""Acquisitions: grids of tiles as microscopes write them, their readers, and sources of planes."""

from cloudreg_io.tiles.acquisition import Acquisition, PlaneFiles, Tile, TileGrid
from cloudreg_io.tiles.fingerprint import fingerprint
from cloudreg_io.tiles.open import open_acquisition
from cloudreg_io.tiles.problem import Problem
from cloudreg_io.tiles.source import FileTileSource, TileSource
from cloudreg_io.tiles.stage import StageAxes

__all__ = [
    "Acquisition",
    "FileTileSource",
    "PlaneFiles",
    "Problem",
    "StageAxes",
    "Tile",
    "TileGrid",
    "TileSource",
    "fingerprint",
    "open_acquisition",
]
