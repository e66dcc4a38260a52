"""A picture of a run, drawn from its files alone: cross sections, where tiles were placed, shading."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError, ToolError
from cloudreg_io.fields import Shading
from cloudreg_io.files.atomic import write_bytes
from cloudreg_viz.contrast import look
from cloudreg_viz.outputs import Output, find_outputs, local_folder
from cloudreg_viz.placement_file import read_placement
from cloudreg_viz.planes import Plane, bar_length, length_text, three_planes

_BACKGROUND, _FOREGROUND = "#101014", "#e8e8e8"
_FLAGGED, _TRUSTED, _UNSCANNED = "#ff6a3d", "#5ec962", "#707078"
_WIDTH_INCHES = 11.0
# the large prime spreads neighbouring ids over the colour map
_LABEL_COLOURS, _SPREAD = 1021, 48271


def draw(out: str | Path, file: str | Path, *, width: int = 1200) -> None:
    """Draw a run's volumes, and its placement and shading where they exist, into a PNG file.

    Parameters
    ----------
    out : str or Path
        See `cloudreg_viz.outputs.find_outputs`.
    file : str or Path
        The PNG to write; it is replaced.
    width : int
        Of the picture, in pixels.

    Raises
    ------
    NotFoundError, InputError
        When nothing can be drawn, or a file is damaged.
    ToolError
        Without matplotlib.
    """
    file = Path(file)
    if file.suffix.lower() != ".png":
        raise InputError(f"{file} is not a .png file", fix="the picture is a PNG: give FILE.png")
    outputs = find_outputs(out)
    # volumes in a store are drawn without the files that lie beside them
    root = local_folder(out)
    placement = next(root.glob("placement.json"), None) if root else None
    shadings = sorted(root.glob("shading/*.tif")) if root else []
    figure, rows = _figure([_height(output) for output in outputs], quality=bool(placement or shadings))
    for row, output in zip(rows, outputs, strict=False):
        _draw_volume(row, output)
    if len(rows) > len(outputs):
        _draw_quality(rows[-1], placement, shadings, outputs)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=width / _WIDTH_INCHES, facecolor=_BACKGROUND, metadata={"Software": None})
    write_bytes(file, buffer.getvalue())


def _figure(heights: list[float], *, quality: bool) -> tuple[Any, list[Any]]:
    """A figure with a row for each volume, and one more for the placement and the shading."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ToolError(
            "pictures need the package matplotlib", why=str(error), fix="pip install 'cloudreg-viz[serve]'"
        ) from error
    inches = [_WIDTH_INCHES * height for height in heights] + [4.0] * quality
    figure = Figure(figsize=(_WIDTH_INCHES, sum(inches)), layout="constrained")
    rows = figure.subfigures(len(inches), 1, height_ratios=inches, squeeze=False)
    for row in rows[:, 0]:
        row.set_facecolor(_BACKGROUND)
    return figure, list(rows[:, 0])


def _height(output: Output) -> float:
    """Height of a volume's row over its width: xy and zy beside xz, all at one scale, and the title."""
    x, y, z = (n * edge for n, edge in zip(output.volume.size(), output.volume.voxel_size(), strict=True))
    return float(np.clip(max(y, z) / (2 * x + z), 0.12, 0.8)) + 0.04


def _draw_volume(row: Any, output: Output) -> None:
    """Three cross sections of one volume."""
    is_image = output.volume.spec.layer == "image"
    seen = look(output.volume) if is_image else None
    planes = three_planes(output.volume, seen.focus if seen else None)
    axes = row.subplots(1, 3, width_ratios=[plane.extent_um[0] for plane in planes])
    low, high = seen.contrast if seen else (0, _LABEL_COLOURS)
    for axis, plane in zip(axes, planes, strict=True):
        pixels = plane.pixels if is_image else _label_colours(plane.pixels)
        width, height = plane.extent_um
        axis.imshow(
            pixels,
            cmap="gray" if is_image else "nipy_spectral",
            vmin=low,
            vmax=high,
            extent=(0, width, height, 0),
            interpolation="antialiased" if is_image else "nearest",
        )
        axis.set_axis_off()
        third = (set("xyz") - set(plane.axes)).pop()
        axis.set_title(f"{plane.axes}   {third} = {plane.at}", color=_FOREGROUND, fontsize=8)
    _scale_bar(axes[0], planes[0])
    row.suptitle(f"{output.name}   {output.volume.voxel_size()}", color=_FOREGROUND, fontsize=10)


def _label_colours(labels: NDArray[Any]) -> NDArray[Any]:
    """Numbers that differ between neighbouring ids; 0 stays 0."""
    numbers = labels.astype(np.uint64)
    return np.where(numbers == 0, 0, 1 + numbers * np.uint64(_SPREAD) % np.uint64(_LABEL_COLOURS - 1))


def _scale_bar(axis: Any, plane: Plane) -> None:
    width, height = plane.extent_um
    length = bar_length(width)
    x, y = 0.04 * width, 0.94 * height
    axis.plot([x, x + length], [y, y], color="white", linewidth=3, solid_capstyle="butt")
    axis.text(x + length / 2, y - 0.02 * height, length_text(length), color="white", ha="center", fontsize=8)


def _draw_quality(row: Any, placement: Path | None, shadings: list[Path], outputs: list[Output]) -> None:
    """The placement and the shading of each channel, side by side."""
    count = (placement is not None) + len(shadings)
    axes = list(row.subplots(1, count, squeeze=False)[0])
    for axis in axes:
        axis.tick_params(colors=_FOREGROUND, labelsize=7)
        axis.set_facecolor(_BACKGROUND)
    if placement is not None:
        _draw_placement(axes.pop(0), placement, outputs[0])
    for axis, path in zip(axes, shadings, strict=True):
        image = axis.imshow(Shading.load(path).flat, cmap="viridis")
        bar = row.colorbar(image, ax=axis, fraction=0.046)
        bar.ax.tick_params(colors=_FOREGROUND, labelsize=7)
        axis.set_title(f"flat-field {path.stem}", color=_FOREGROUND, fontsize=9)


def _draw_placement(axis: Any, path: Path, output: Output) -> None:
    """Every tile where it was placed; flagged ones say why. A line joins tiles whose displacement was used."""
    from matplotlib.patches import Rectangle

    tiles, pairs = read_placement(path)
    scanned = [tile for tile in tiles if "unscanned" not in tile.flags]
    size = output.volume.size()
    # the fused volume ends with the last tile: what lies beyond the largest position is a tile's size
    last = [max((tile.position[i] for tile in scanned), default=0.0) for i in range(2)]
    width, height = (max(1.0, size[i] - last[i]) for i in range(2))
    middles = {tile.name: (tile.position[0] + width / 2, tile.position[1] + height / 2) for tile in tiles}
    for tile in tiles:
        unscanned = "unscanned" in tile.flags
        colour = _UNSCANNED if unscanned else _FLAGGED if tile.flags else _TRUSTED
        style = ":" if unscanned else "-"
        corner = tile.position[:2]
        axis.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=colour, linestyle=style))
        text = "\n".join(tile.flags)
        axis.text(*middles[tile.name], text, color=colour, ha="center", va="center", fontsize=6)
    for pair in pairs:
        if pair.used and {pair.a, pair.b} <= middles.keys():
            (x0, y0), (x1, y1) = middles[pair.a], middles[pair.b]
            axis.plot([x0, x1], [y0, y1], color=_TRUSTED, linewidth=0.8, alpha=0.6)
    axis.set_xlim(-0.02 * size[0], 1.02 * size[0])
    axis.set_ylim(1.02 * size[1], -0.02 * size[1])
    axis.set_aspect("equal")
    flagged = sum(bool(tile.flags) for tile in scanned)
    title = f"placement: {len(scanned)} tiles, {flagged} flagged (voxels)"
    axis.set_title(title, color=_FOREGROUND, fontsize=9)
