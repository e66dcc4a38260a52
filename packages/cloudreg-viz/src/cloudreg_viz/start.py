"""Start: a picture of where a registration starts, drawn from OUT/qc/start.npz alone.

Target in magenta, atlas in green: where they lie on each other it is grey to white.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError, NotFoundError, ToolError
from cloudreg_io.files.atomic import write_bytes
from cloudreg_viz.planes import bar_length, length_text

START_FILE = "qc/start.npz"

_BACKGROUND, _FOREGROUND = "#101014", "#e8e8e8"
_WIDTH_INCHES = 11.0
_DARK, _WHITE = 0.01, 0.995  # quantiles that are black and white
# across which axis a plane lies: its vertical and its horizontal axis
_SECTIONS = {"z": ("y", "x"), "y": ("z", "x"), "x": ("z", "y")}


def draw_start(source: str | Path, file: str | Path, *, width: int = 1200) -> None:
    """Draw the start of a registration into a PNG file.

    Parameters
    ----------
    source : str or Path
        OUT, or the file start.npz itself.
    file : str or Path
        The PNG to write; it is replaced.
    width : int
        Of the picture, in pixels.

    Raises
    ------
    NotFoundError, InputError
        There is no such file, or it is damaged.
    ToolError
        Without matplotlib.
    """
    source, file = Path(source), Path(file)
    if file.suffix.lower() != ".png":
        raise InputError(f"{file} is not a .png file", fix="the picture is a PNG: give FILE.png")
    planes = _read(source if source.suffix == ".npz" else source / START_FILE)
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ToolError(
            "pictures need the package matplotlib", why=str(error), fix="pip install 'cloudreg-viz[serve]'"
        ) from error
    edges = dict(zip("xyz", map(float, planes["spacing_um"]), strict=True))
    sizes = [_size(planes[f"target_{letter}"], letter, edges) for letter in _SECTIONS]
    total, tallest = sum(w for w, _ in sizes), max(h for _, h in sizes)
    figure = Figure(figsize=(_WIDTH_INCHES, _WIDTH_INCHES * tallest / total + 0.6), layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=[w for w, _ in sizes])
    for axis, letter, size in zip(axes, _SECTIONS, sizes, strict=True):
        _draw_plane(axis, planes, letter, size)
    figure.suptitle("start: target magenta, atlas green", color=_FOREGROUND, fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=width / _WIDTH_INCHES, facecolor=_BACKGROUND, metadata={"Software": None})
    write_bytes(file, buffer.getvalue())


def _read(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file", fix="cloudreg register TARGET OUT writes it")
    try:
        with np.load(path, allow_pickle=False) as file:
            names = ["spacing_um", *(f"{what}_{s}" for what in ("target", "atlas_start") for s in _SECTIONS)]
            planes = {name: np.asarray(file[name]) for name in names}
    except (KeyError, ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} holds no planes of a start", why=str(error)) from error
    for letter in _SECTIONS:
        target, atlas = planes[f"target_{letter}"], planes[f"atlas_start_{letter}"]
        if target.ndim != 2 or target.shape != atlas.shape or planes["spacing_um"].shape != (3,):
            raise InputError(f"{path} holds no planes of a start", why=f"the planes across {letter} do not fit")
    return planes


def _size(plane: NDArray[Any], letter: str, edges: dict[str, float]) -> tuple[float, float]:
    """Width and height in µm."""
    vertical, horizontal = _SECTIONS[letter]
    return plane.shape[1] * edges[horizontal], plane.shape[0] * edges[vertical]


def _draw_plane(axis: Any, planes: dict[str, NDArray[Any]], letter: str, size: tuple[float, float]) -> None:
    target, atlas = (_stretched(planes[f"{what}_{letter}"]) for what in ("target", "atlas_start"))
    width, height = size
    axis.imshow(np.stack([target, atlas, target], axis=-1), extent=(0, width, height, 0))
    axis.set_axis_off()
    vertical, horizontal = _SECTIONS[letter]
    axis.set_title(f"{horizontal} to the right, {vertical} down", color=_FOREGROUND, fontsize=8)
    length = bar_length(width)
    x, y = 0.04 * width, 0.94 * height
    axis.plot([x, x + length], [y, y], color="white", linewidth=3, solid_capstyle="butt")
    axis.text(x + length / 2, y - 0.02 * height, length_text(length), color="white", ha="center", fontsize=8)


def _stretched(plane: NDArray[Any]) -> NDArray[np.float64]:
    """Brightness from 0 to 1."""
    values = np.nan_to_num(plane.astype(np.float64))
    low, high = np.quantile(values, [_DARK, _WHITE])
    return np.asarray(np.clip((values - low) / max(high - low, 1e-12), 0, 1))
