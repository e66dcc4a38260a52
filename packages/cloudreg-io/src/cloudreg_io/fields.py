"""Illumination fields: the shading of a plane and the bias of a volume, as values and as files.

*Shading* is what the optics do to every plane alike: a flat-field (multiplicative, mean 1) and a background
(additive, in counts); `corrected = (raw - background) / flat`. *Bias* is what the sample does to the light,
slowly and in 3-D: a divisor with mean 1 inside the tissue, on a coarse grid.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import ArrayLike, NDArray

from cloudreg_io.errors import CloudRegError, InputError, NotFoundError
from cloudreg_io.files import image_tiff
from cloudreg_io.space import Grid

# A gain outside means that the estimate followed the sample, not the optics.
SMALLEST_GAIN, LARGEST_GAIN = 0.2, 5.0
_MEAN_TOLERANCE = 0.01
_MADE = "give a file that cloudreg made, or one that Shading.save or Bias.save wrote"


@dataclass(frozen=True, slots=True, eq=False)
class Shading:
    """Flat-field and background of the planes of one channel.

    Parameters
    ----------
    flat : [y, x] float32
        Relative brightness of each pixel, mean 1; gains `1 / flat` lie in [0.2, 5].
    background : [y, x] float32
        Counts that each pixel shows without light from the sample.

    Raises
    ------
    InputError
        When the shapes differ or are not 2-D, a value is not finite, the flat-field is not positive, its mean
        is not 1 (within 1 %) or a gain lies outside [0.2, 5].
    """

    flat: NDArray[np.float32]
    background: NDArray[np.float32]

    def __post_init__(self) -> None:
        flat, background = _float32(self.flat), _float32(self.background)
        if flat.ndim != 2 or not flat.size or flat.shape != background.shape:
            raise InputError(
                f"flat-field {list(flat.shape)} and background {list(background.shape)} [y, x] do not fit",
                fix="both are 2-D and have the shape of a plane",
            )
        _require_positive(flat, "flat-field")
        _require_finite(background, "background")
        low, high = float(flat.min()), float(flat.max())
        if low < 1 / LARGEST_GAIN or high > 1 / SMALLEST_GAIN:
            raise InputError(
                f"the flat-field ranges from {low:.4g} to {high:.4g}: "
                f"gains of {1 / high:.4g} to {1 / low:.4g} lie outside [{SMALLEST_GAIN:g}, {LARGEST_GAIN:g}]",
                why="it is not divided by its mean, or the estimate followed the sample, not the optics",
                fix="divide it by its mean; estimate it from more planes",
            )
        mean = float(flat.mean(dtype=np.float64))
        if abs(mean - 1) > _MEAN_TOLERANCE:
            raise InputError(f"the flat-field has mean {mean:.4g}, not 1", fix="divide it by its mean")
        object.__setattr__(self, "flat", flat)
        object.__setattr__(self, "background", background)

    @classmethod
    def normalised(cls, flat: ArrayLike, background: ArrayLike | float = 0.0) -> Shading:
        """Shading from a flat-field of any scale and a background [y, x] or one for all pixels."""
        field = np.asarray(flat, dtype=np.float64)
        _require_positive(field, "flat-field")
        return cls(
            _float32(field / field.mean()),
            _float32(np.broadcast_to(np.asarray(background, dtype=np.float32), field.shape)),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Shape [y, x] of the planes it fits."""
        y, x = self.flat.shape
        return (y, x)

    def save(self, path: Path) -> None:
        """Write a TIFF, atomically: page 0 the flat-field, page 1 the background."""
        _write_pages(Path(path), np.stack([self.flat, self.background]))

    @classmethod
    def load(cls, path: Path) -> Shading:
        """Read what `save` wrote.

        Raises
        ------
        NotFoundError, InputError
            When there is no such file, it is no float TIFF of two pages, or the class refuses its values.
        """
        pages = _read_pages(Path(path))
        if len(pages) != 2:
            raise InputError(
                f"{path}: a shading file has 2 pages (flat-field, background), this one has {len(pages)}",
                fix=_MADE,
            )
        with _naming(Path(path)):
            return cls(pages[0], pages[1])


@dataclass(frozen=True, slots=True, eq=False)
class Bias:
    """Slow illumination differences in a volume.

    Parameters
    ----------
    field : [z, y, x] float32
        Divisor: corrected = measured / field; positive, mean 1 inside the tissue.
    grid : Grid
        Where the samples of the field lie, in the frame of the volume.

    Raises
    ------
    InputError
        When the shape is not the grid's or a value is not a finite positive number.
    """

    field: NDArray[np.float32]
    grid: Grid

    def __post_init__(self) -> None:
        field = _float32(self.field)
        if field.shape != self.grid.shape:
            raise InputError(
                f"bias field {list(field.shape)} does not fit its grid {list(self.grid.shape)} [z, y, x]"
            )
        _require_positive(field, "bias field")
        object.__setattr__(self, "field", field)

    def save(self, path: Path) -> None:
        """Write the field as a TIFF and its grid as JSON beside (`CHN00.tif`, `CHN00.json`), atomically."""
        from cloudreg_io.files.atomic import write_json

        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path.with_suffix(".json"), {"version": 1, "grid": self.grid.to_json()})
        _write_pages(path, self.field)

    @classmethod
    def load(cls, path: Path) -> Bias:
        """Read what `save` wrote; `path` is the TIFF.

        Raises
        ------
        NotFoundError, InputError
            When a file is missing or damaged, or field and grid do not fit together.
        """
        path = Path(path)
        field = _read_pages(path)
        beside = path.with_suffix(".json")
        try:
            grid = Grid.from_json(json.loads(beside.read_text(encoding="utf-8"))["grid"])
        except FileNotFoundError as error:
            raise NotFoundError(
                f"{beside}: no such file", why="it holds the grid of the bias field", fix=_MADE
            ) from error
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InputError(
                f"{beside}: does not hold the grid of a bias field", why=str(error), fix=_MADE
            ) from error
        with _naming(path):
            return cls(field, grid)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file's name in front of what a value's own check says."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error.what}", why=error.why, fix=error.fix) from error


def _float32(values: ArrayLike) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, dtype=np.float32)


def _require_finite(values: NDArray[Any], name: str) -> None:
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        raise InputError(
            f"the {name} holds {len(bad)} values that are not finite, the first at {bad[0].tolist()}",
            fix="estimate it again, or replace them",
        )


def _require_positive(values: NDArray[Any], name: str) -> None:
    _require_finite(values, name)
    bad = np.argwhere(values <= 0)
    if len(bad):
        raise InputError(
            f"the {name} ranges from {values.min():.4g} to {values.max():.4g}: {len(bad)} values are zero or "
            f"negative, the first at {bad[0].tolist()}",
            why="nothing can be divided by them",
            fix="estimate it again, or replace them",
        )


def _write_pages(path: Path, pages: NDArray[np.float32]) -> None:
    from cloudreg_io.files.atomic import atomic_path

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        # no metadata: a reader needs none, and the bytes must not depend on tifffile's version
        tifffile.imwrite(temporary, pages, photometric="minisblack", metadata=None, software=False)


def _read_pages(path: Path) -> NDArray[np.float32]:
    if not path.exists():
        raise NotFoundError(f"{path}: no such file", fix="check the path")
    try:
        header = image_tiff.read_header(path)
        if np.issubdtype(header.dtype, np.floating):
            return image_tiff.read(header).astype(np.float32)
    except CloudRegError as error:
        raise InputError(f"{path}: not a TIFF that can be read", why=error.what, fix=_MADE) from error
    found = f"{header.dtype} {list(header.shape)}"
    raise InputError(f"{path}: a field is a TIFF of float32 pages of one shape, found {found}", fix=_MADE)
