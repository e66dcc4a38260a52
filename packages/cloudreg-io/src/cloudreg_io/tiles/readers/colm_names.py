"""What COLM calls things: folders, files, keys of its metadata. Shared by those who read it and write it."""

from __future__ import annotations

from dataclasses import dataclass

TILE_ROOT = "VW0"
LOCATION_NAME = "LOC{location:03d}"
CHANNEL_NAME = "CHN{channel:02d}"
PLANE_NAME = "VW0_LOC{location:03d}_CM0_CHN{channel:02d}_PLN{plane:04d}.tif"
INI_NAME = "Experiment.ini"
CELLS_NAME = "Scanned Cells.txt"


@dataclass(frozen=True, slots=True)
class Key:
    """A section and a key of `Experiment.ini`."""

    section: str
    name: str

    def __str__(self) -> str:
        return f"[{self.section}] {self.name}"


COLUMNS = Key("North Scan Region", "Num Horizontal")
ROWS = Key("North Scan Region", "Num Vertical")
STACK_STEP = Key("North Scan Region", "Stack Step (mm)")
PLANES = Key("Experiment Settings", "Num in stack (Top Left Corner)")
X_RESOLUTION = Key("Experiment Settings", "X Resolution")
Y_RESOLUTION = Key("Experiment Settings", "Y Resolution")  # not in every file: tiles are square without it
CHANNELS = Key("Experiment Settings", "Num Enabled Channels")
OVERLAP_X = Key("North Scan Region Stats", "Actual Horizontal Overlap (%)")
OVERLAP_Y = Key("North Scan Region Stats", "Actual Vertical Overlap (%)")
OBJECTIVE = Key("Objectives", "North")

# Voxel size x, y in µm by magnification, for a camera read out with REFERENCE_PIXELS columns.
PIXEL_SIZES = {4.0: 1.46, 10.0: 0.585, 25.0: 0.234}
REFERENCE_PIXELS = 2048
