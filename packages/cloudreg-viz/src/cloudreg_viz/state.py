"""The viewer's state: where one looks, how far away, and at which layers.

A state is a plain dict, as Neuroglancer's own JSON; nothing here needs Neuroglancer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cloudreg_io.errors import InputError
from cloudreg_io.space import Bounds
from cloudreg_viz.frames import dimensions, position
from cloudreg_viz.layers import Layer, coloured, unique_names

State = dict[str, Any]

LAYOUTS = ("4panel", "xy", "xz", "yz", "3d", "xy-3d", "xz-3d", "yz-3d")

# A panel of a 4panel layout in a common window: the whole volume is to fit in it at the start.
_PANEL_PIXELS = 340


def viewer_state(
    layers: Sequence[Layer], *, focus: Sequence[float] | None = None, layout: str = "4panel"
) -> State:
    """The state that shows the layers in the frame of the first.

    Parameters
    ----------
    layers : sequence of Layer
        The first gives the frame and the unit of the coordinates: its mip-0 voxels.
    focus : sequence of float, optional
        Where the cross sections meet: x y z in µm of the first layer's frame (0 at the centre of its voxel 0).
        Its centre when absent.
    layout : str
        One of Neuroglancer's layouts.

    Raises
    ------
    InputError
        Without a layer, or with an unknown layout.
    """
    if not layers:
        raise InputError("a viewer state needs at least one layer")
    if layout not in LAYOUTS:
        raise InputError(f"no viewer layout {layout!r}", fix=f"known layouts: {', '.join(LAYOUTS)}")
    named = [
        replace(layer, name=name)
        for layer, name in zip(layers, unique_names(layer.name for layer in layers), strict=True)
    ]
    first = named[0]
    voxel, size = first.voxel_size, first.bounds.size
    # the viewer measures both scales in the smallest edge of a voxel
    extent = max(n * edge for n, edge in zip(size, voxel, strict=True)) / min(voxel)
    return {
        "dimensions": dimensions(voxel),
        "position": position(focus, voxel) if focus is not None else _middle_voxel(first.bounds),
        "crossSectionScale": extent / _PANEL_PIXELS,
        "projectionScale": 1.5 * extent,
        "crossSectionBackgroundColor": "#000000",
        "projectionBackgroundColor": "#000000",
        "layers": [layer.to_json(voxel) for layer in coloured(named)],
        "layout": layout,
    }


def _middle_voxel(bounds: Bounds) -> list[float]:
    """The centre of the voxel in the middle: between two voxels a cross section would be ambiguous."""
    return [(low + high) // 2 + 0.5 for low, high in zip(bounds.lower, bounds.upper, strict=True)]
