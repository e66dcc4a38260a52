"""Readers of acquisitions, one a format: COLM, grid list, TeraStitcher. `cloudreg_io.tiles.open` chooses.

A reader is a module with a `NAME`, a function `signs(place)` that says what of its format is in a place, and one
that opens the place as an `Acquisition`.
"""
