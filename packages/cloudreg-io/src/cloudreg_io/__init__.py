"""What light-sheet data is and where it lives: acquisitions, volumes, files, and how work on them is run."""

__version__ = "0.1.0"
