"""What is wrong with an acquisition's files: one finding, naming channel, tile and planes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

Kind = Literal[
    "missing",
    "missing_tile",
    "empty",
    "truncated",
    "damaged",
    "oversized",
    "not_tiff",
    "not_finite",
    "duplicate",
    "shape",
    "dtype",
    "multi_page",
    "unmarked_folder",
    "extra_plane",
]

# Kinds that are told and recorded but do not stop a run: the data that the metadata promises is whole.
HARMLESS: frozenset[Kind] = frozenset({"unmarked_folder", "extra_plane"})

# Kinds that `--missing fill` accepts.
FILLABLE: frozenset[Kind] = frozenset({"missing", "missing_tile"})

WORDS: dict[Kind, str] = {
    "missing": "missing",
    "missing_tile": "whole tile missing",
    "empty": "empty file (0 bytes)",
    "truncated": "cut off",
    "damaged": "damaged",
    "oversized": "size declared that the file cannot hold",
    "not_tiff": "not a TIFF",
    "not_finite": "NaN or infinite values",
    "duplicate": "two files for the same plane",
    "shape": "another size",
    "dtype": "another data type",
    "multi_page": "several pages in one file",
    "unmarked_folder": "a folder whose cell is not marked as scanned",
    "extra_plane": "plane that the metadata does not promise",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding.

    Attributes
    ----------
    kind : str
        See `Kind`.
    channel : str
        "" when it concerns all channels.
    tile : str
        Name of the tile or of the folder.
    planes : tuple of int
        The planes concerned; empty when the whole tile is.
    path : Path, optional
        The first file or folder concerned.
    detail : str
        More, for the first of them.
    """

    kind: Kind
    channel: str
    tile: str
    planes: tuple[int, ...] = ()
    path: Path | None = None
    detail: str = ""

    def __str__(self) -> str:
        which = f" {plane_list(self.planes)}" if self.planes else ""
        place = " ".join(part for part in (self.channel, self.tile) if part)
        detail = f" ({self.detail})" if self.detail else ""
        return f"{place}{which}: {WORDS[self.kind]}{detail}"


def plane_list(planes: Iterable[int]) -> str:
    """Numbers as people write them: `planes 3, 7-9`."""
    ordered = sorted(planes)
    # along a run of consecutive numbers the difference to the index is constant
    runs = [
        [number for _, number in run] for _, run in groupby(enumerate(ordered), lambda pair: pair[1] - pair[0])
    ]
    parts = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    shown = ", ".join(parts[:8]) + (f" and {len(parts) - 8} more runs" if len(parts) > 8 else "")
    return f"plane {shown}" if len(ordered) == 1 else f"planes {shown}"
