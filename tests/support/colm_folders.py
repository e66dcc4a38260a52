"""Small COLM acquisitions made by hand, not by the package, so that the readers meet what they must read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tifffile

SECTIONS = {
    "Experiment Settings": {
        "Num in stack (Top Left Corner)": "4",
        "X Resolution": "20",
        "Y Resolution": "16",
        "Num Enabled Channels": "2",
    },
    "Objectives": {"North": "10x/0.6"},
    "North Scan Region": {"Num Horizontal": "3", "Num Vertical": "2", "Stack Step (mm)": "0.0035"},
    "North Scan Region Stats": {
        "Actual Horizontal Overlap (%)": "25",
        "Actual Vertical Overlap (%)": "37.5",
    },
}


def value_of(location: int, channel: int, plane: int) -> int:
    """What every voxel of a plane holds, but its first, which holds 7."""
    return 1000 * channel + 10 * location + plane + 100


def write_image(path: Path, value: int, shape=(16, 20), dtype="uint16", **options) -> None:
    plane = np.full(shape, value, dtype)
    plane[0, 0] = 7
    tifffile.imwrite(path, plane, metadata=None, **options)


@dataclass
class Colm:
    """A COLM acquisition that a test can spoil before it is opened."""

    root: Path
    rows: int = 2
    columns: int = 3
    planes: int = 4
    channels: tuple[int, ...] = (0, 1)
    cells: list[list[str]] = field(default_factory=list)
    sections: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def tiles(self) -> Path:
        return self.root / "VW0"

    def set(self, key: str, value: str | None) -> None:
        """Change a key of the ini, or remove it."""
        for keys in self.sections.values():
            if key in keys or (key == "Y Resolution" and "X Resolution" in keys):
                keys[key] = value
        self.write_metadata()

    def write_metadata(self) -> None:
        text = ""
        for section, keys in self.sections.items():
            lines = [f'{key} = "{value}"' for key, value in keys.items() if value is not None]
            text += "\r\n".join([f"[{section}]", *lines, "", ""])
        (self.root / "Experiment.ini").write_bytes(text.encode())
        cells = "\r\n".join(",".join(row) for row in self.cells)
        (self.root / "Scanned Cells.txt").write_bytes(cells.encode())

    def plane(self, location: int, channel: int, plane: int) -> Path:
        folder = self.tiles / f"LOC{location:03d}"
        return folder / f"VW0_LOC{location:03d}_CM0_CHN{channel:02d}_PLN{plane:04d}.tif"

    def write(self) -> Colm:
        self.sections = {section: dict(keys) for section, keys in SECTIONS.items()}
        self.sections["North Scan Region"] |= {
            "Num Horizontal": str(self.columns),
            "Num Vertical": str(self.rows),
        }
        self.sections["Experiment Settings"] |= {
            "Num in stack (Top Left Corner)": str(self.planes),
            "Num Enabled Channels": str(len(self.channels)),
        }
        if not self.cells:
            self.cells = [["1"] * self.columns for _ in range(self.rows)]
        self.root.mkdir(parents=True, exist_ok=True)
        self.write_metadata()
        marks = [mark for row in self.cells for mark in row]
        for location in (i for i, mark in enumerate(marks) if mark == "1"):
            (self.tiles / f"LOC{location:03d}").mkdir(parents=True)
            for channel in self.channels:
                for plane in range(self.planes):
                    write_image(self.plane(location, channel, plane), value_of(location, channel, plane))
        return self
