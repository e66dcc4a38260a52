"""Acquisitions: grids of tiles as microscopes write them, their readers, and sources of planes."""

from cloudreg_io.tiles.acquisition import Acquisition, Tile, TileGrid
from cloudreg_io.tiles.source import TileSource

__all__ = ["Acquisition", "Tile", "TileGrid", "TileSource"]
