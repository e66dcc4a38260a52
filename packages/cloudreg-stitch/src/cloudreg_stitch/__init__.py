"""Alignment and fusion of light-sheet tiles, straight to Neuroglancer precomputed volumes."""

__version__ = "0.1.0"
