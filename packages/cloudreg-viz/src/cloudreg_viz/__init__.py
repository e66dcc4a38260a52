"""Neuroglancer states, links and a loopback viewer for light-sheet volumes."""

__version__ = "0.1.0"
