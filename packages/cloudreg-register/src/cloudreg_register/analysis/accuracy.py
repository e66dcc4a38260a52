"""Accuracy: how far landmarks are from where a transform puts them, before and after registration."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.space import Affine
from cloudreg_register.start.initial import initial_affine
from cloudreg_register.start.landmarks import Pairs
from cloudreg_register.transforms.transform import Space, Transform

_LISTED = 8  # names of landmarks that are printed


@dataclass(frozen=True, slots=True)
class Summary:
    """Distances in µm."""

    points: int
    mean: float
    median: float
    p95: float
    max: float

    @classmethod
    def of(cls, distances: NDArray[np.float64]) -> Summary:
        """Of at least one distance."""
        median, p95 = np.percentile(distances, [50, 95])
        return cls(len(distances), float(distances.mean()), float(median), float(p95), float(distances.max()))

    def to_json(self) -> dict[str, float]:
        """As JSON, in µm."""
        return {
            "points": self.points,
            "mean_um": self.mean,
            "median_um": self.median,
            "p95_um": self.p95,
            "max_um": self.max,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Accuracy:
    """Errors of the landmarks.

    Attributes
    ----------
    pairs : Pairs
    space : "target" or "atlas"
        Where they are measured, and along whose axes.
    before, after : [n, 3] float64
        Mapped minus marked (x, y, z) in µm: by the start, and by the transform.
    inside : [n] bool
        Whether point and image lie in their volumes.
    """

    pairs: Pairs
    space: Space
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    inside: NDArray[np.bool_]

    def summary(self, which: Literal["before", "after"] = "after") -> Summary:
        """Over all landmarks; none is left out, wherever it lies."""
        return Summary.of(np.linalg.norm(self.before if which == "before" else self.after, axis=1))

    def to_json(self) -> dict[str, Any]:
        """As JSON: summaries, each landmark, and the names that were not used."""
        return {
            "space": self.space,
            "before": self.summary("before").to_json(),
            "after": self.summary("after").to_json(),
            "landmarks": [dict(zip(COLUMNS, row, strict=True)) for row in self._rows()],
            "only_in_atlas": list(self.pairs.only_atlas),
            "only_in_target": list(self.pairs.only_target),
            "repeated": list(self.pairs.repeated),
        }

    def to_csv(self) -> str:
        """One row a landmark, in µm."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(
            [name, *(f"{v:.3f}" for v in values), str(inside)] for name, *values, inside in self._rows()
        )
        return file.getvalue()

    def _rows(self) -> list[list[Any]]:
        before = np.linalg.norm(self.before, axis=1)
        distance = np.linalg.norm(self.after, axis=1)
        table = np.column_stack([self.after, distance, before]).tolist()
        return [
            [name, *numbers, bool(inside)]
            for name, numbers, inside in zip(self.pairs.names, table, self.inside.tolist(), strict=True)
        ]


COLUMNS = ("name", "dx", "dy", "dz", "distance", "distance_before", "inside")


def accuracy(
    transform: Transform, pairs: Pairs, *, start: Affine | None = None, space: Space = "target"
) -> Accuracy:
    """Measure a transform at landmarks.

    Parameters
    ----------
    transform : Transform
    pairs : Pairs
        In the physical frames of its atlas and target.
    start : Affine, optional
        Centred atlas to centred target, in µm: what "before" means. By default the volumes' centres on each other
        and the axes exchanged as the orientation codes say.
    space : "target" or "atlas"
        Map the atlas's landmarks to the target, or the other way.
    """
    if start is None:
        start = initial_affine(transform.atlas.orientation, transform.target.orientation)
    first = Transform.of_affine(start, transform.atlas, transform.target)
    if space == "target":
        before, after = first.to_target(pairs.atlas)[0], transform.to_target(pairs.atlas)
        marked = pairs.target
    else:
        before, after = first.to_atlas(pairs.target)[0], transform.to_atlas(pairs.target)
        marked = pairs.atlas
    positions, inside = after
    return Accuracy(pairs, space, before - marked, positions - marked, inside)


def printed(result: Accuracy) -> Sequence[str]:
    """A table for people: both summaries, and what was not used."""
    lines = [f"{'':8}{'points':>7}{'mean':>9}{'median':>9}{'p95':>9}{'max':>9}   µm in the {result.space}"]
    for which in ("before", "after"):
        s = result.summary("before" if which == "before" else "after")
        lines.append(f"{which:8}{s.points:7}{s.mean:9.1f}{s.median:9.1f}{s.p95:9.1f}{s.max:9.1f}")
    for what, names in (
        ("only in the atlas", result.pairs.only_atlas),
        ("only in the target", result.pairs.only_target),
        ("named more than once, not used", result.pairs.repeated),
    ):
        if names:
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            lines.append(f"{what}: {', '.join(names[:_LISTED])}{more}")
    return lines
