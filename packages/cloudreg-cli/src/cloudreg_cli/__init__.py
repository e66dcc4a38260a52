"""The cloudreg command: raw tiles in, one corrected, stitched, viewable brain out."""

__version__ = "0.1.0"
