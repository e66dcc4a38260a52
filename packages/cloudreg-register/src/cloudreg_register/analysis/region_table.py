"""Region table: one row a structure and hemisphere, with what lies in it alone and in it with all its parts.

Own values add up: the sum over all rows, those for what lies outside of the atlas among them, is the whole volume
and all points. Rolled-up values repeat in every parent.
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from cloudreg_io.files.structures import Structure, StructureTree
from cloudreg_register.analysis.tally import SIDES, Count, Side, Tally

_logger = logging.getLogger(__name__)

COLUMNS = (
    "id",
    "acronym",
    "name",
    "parent",
    "hemisphere",
    "voxels",
    "volume_mm3",
    "mean",
    "total",
    "points",
    "volume_mm3_rollup",
    "total_rollup",
    "points_rollup",
)
OUTSIDE, UNKNOWN = "outside", "unknown"
_NAME_OF_OUTSIDE = "outside of the atlas's structures"
_NAME_OF_UNKNOWN = "not in the table of structures"


@dataclass(frozen=True, slots=True)
class Region:
    """One row: a structure on one side.

    Attributes
    ----------
    structure : Structure
        Of id 0 for what lies outside.
    hemisphere : "left", "right" or "both"
    own, rolled_up : Count
        Without its parts, and with them.
    voxel_mm3 : float
        Volume of a voxel that was counted.
    """

    structure: Structure
    hemisphere: Side
    own: Count
    rolled_up: Count
    voxel_mm3: float

    @property
    def volume_mm3(self) -> float:
        """Of the structure without its parts."""
        return self.own.voxels * self.voxel_mm3


def region_table(tally: Tally, structures: StructureTree, voxel_mm3: float) -> tuple[Region, ...]:
    """The rows of a table, in the order of the structures, each on every side that was told apart.

    Labels that the table of structures does not have get rows of their own, called `unknown`, and a warning unless
    there is no table at all.
    """
    sides = [side for side in SIDES if any(s == side for _, s in tally.counts)] or ["both"]
    strangers = sorted({number for number, _ in tally.counts if number and number not in structures})
    if strangers and len(structures):
        _logger.warning(
            "%d labels are not in the table of structures: %s; they have rows of their own",
            len(strangers),
            ", ".join(map(str, strangers[:5])),
        )
    rolled = {side: _rolled_up(tally, structures, side) for side in sides}
    rows = [
        Region(structure, side, _own(tally, structure, side), rolled[side][structure.id], voxel_mm3)
        for structure in structures
        for side in sides
    ]
    alone = [Structure(number, UNKNOWN, _NAME_OF_UNKNOWN) for number in strangers]
    alone.append(Structure(0, OUTSIDE, _NAME_OF_OUTSIDE))
    for structure in alone:
        for side in sides:
            count = _own(tally, structure, side)
            rows.append(Region(structure, side, count, count, voxel_mm3))
    return tuple(rows)


def _own(tally: Tally, structure: Structure, side: Side) -> Count:
    return tally.counts.get((structure.id, side), Count())


def _rolled_up(tally: Tally, structures: StructureTree, side: Side) -> dict[int, Count]:
    own = {structure.id: _own(tally, structure, side) for structure in structures}
    return structures.rolled_up(own, Count())


def table_csv(rows: Sequence[Region], channels: Sequence[str] = ()) -> str:
    """The rows as CSV.

    Parameters
    ----------
    rows : sequence of Region
    channels : sequence of str
        Names of what was summed. `mean`, `total` and `total_rollup` are those of the first; each other adds
        columns `mean_NAME`, `total_NAME`, `total_rollup_NAME` at the end.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    further = [f"{what}_{name}" for name in channels[1:] for what in ("mean", "total", "total_rollup")]
    writer.writerow((*COLUMNS, *further))
    for row in rows:
        writer.writerow(_fields(row, len(channels)))
    return file.getvalue()


def _fields(row: Region, channels: int) -> list[str]:
    own, rolled = row.own, row.rolled_up
    first, *others = [_intensities(row, channel) for channel in range(channels)] or [("", "", "")]
    mean, total, total_rollup = first
    structure = row.structure
    return [
        str(structure.id),
        structure.acronym,
        structure.name,
        "" if structure.parent is None else str(structure.parent),
        row.hemisphere,
        str(own.voxels),
        _decimal(row.volume_mm3),
        mean,
        total,
        str(own.points),
        _decimal(rolled.voxels * row.voxel_mm3),
        total_rollup,
        str(rolled.points),
        *(text for other in others for text in other),
    ]


def _intensities(row: Region, channel: int) -> tuple[str, str, str]:
    """Mean, total and rolled-up total of a channel."""
    own, rolled = ((*count.totals, 0)[: channel + 1][-1] for count in (row.own, row.rolled_up))
    return _decimal(own / row.own.voxels) if row.own.voxels else "", _decimal(own), _decimal(rolled)


def _decimal(value: int | float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.9g}"
