"""Shading, background and bias of light-sheet data: estimated robustly, applied without touching the raw data."""

__version__ = "0.1.0"
