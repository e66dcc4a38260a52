"""Layers: what Neuroglancer shows of one volume, and with which colours and contrast."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import ArrayLike

from cloudreg_io.errors import InputError
from cloudreg_io.space import Bounds, VoxelSize
from cloudreg_viz.frames import layer_transform

KINDS = ("image", "segmentation")

# One channel is grey; several are told apart, also by readers who do not tell red from green, and where the
# first two agree the sum is white.
PALETTE = ("#00ff00", "#ff00ff", "#00ffff", "#ffa500", "#4080ff", "#ff4040", "#ffff00", "#ffffff")

SHADER = """\
#uicontrol vec3 color color
#uicontrol invlerp normalized
void main() {
  emitRGB(color * normalized());
}
"""


@dataclass(frozen=True, slots=True)
class Layer:
    """One volume in the viewer.

    Parameters
    ----------
    name : str
        What the viewer calls it.
    source : str
        Address of the precomputed volume: http(s)://…, s3://… or gs://…
    voxel_size : VoxelSize
        Of mip 0.
    bounds : Bounds
        The voxels of mip 0.
    kind : str
        "image" or "segmentation".
    contrast : tuple of float, optional
        Values shown as black and as full colour; the viewer's own guess when absent.
    window : tuple of float, optional
        Range of the viewer's contrast slider.
    colour : str, optional
        "#rrggbb" of an image; `coloured` fills it in.
    affine : array_like, shape (4, 4), optional
        Map to the frame of the first layer, µm to µm, in CloudReg's centred frames. Absent: the outer corners
        of the two volumes are aligned.
    """

    name: str
    source: str
    voxel_size: VoxelSize
    bounds: Bounds
    kind: str = "image"
    contrast: tuple[float, float] | None = None
    window: tuple[float, float] | None = None
    colour: str = ""
    affine: ArrayLike | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(
                f"layer {self.name!r}: Neuroglancer has no precomputed volume of type {self.kind!r}",
                fix=f"known types: {', '.join(KINDS)}",
            )
        if self.bounds.is_empty:
            raise InputError(f"layer {self.name!r} is empty: size {self.bounds.size}")
        if self.contrast is not None and not self.contrast[0] < self.contrast[1]:
            raise InputError(f"layer {self.name!r}: contrast {self.contrast} does not increase")

    def to_json(self, onto: VoxelSize) -> dict[str, Any]:
        """The layer as the viewer wants it, in the frame of a volume of mip-0 voxel size `onto`."""
        source: dict[str, Any] = {"url": f"precomputed://{self.source}"}
        if self.affine is not None:
            source["transform"] = layer_transform(self.affine, self.voxel_size, onto)
        layer = {"type": self.kind, "name": self.name, "source": source}
        return layer | (self._image() if self.kind == "image" else {"tab": "segments"})

    def _image(self) -> dict[str, Any]:
        controls: dict[str, Any] = {"color": self.colour or "#ffffff"}
        if self.contrast is not None:
            window = self.window or self.contrast
            controls["normalized"] = {"range": list(self.contrast), "window": list(window)}
        return {
            "tab": "rendering",
            "opacity": 1,
            "blend": "additive",
            "shader": SHADER,
            "shaderControls": controls,
        }


def coloured(layers: Sequence[Layer]) -> list[Layer]:
    """The layers with a colour for every image that has none: white if it is alone, else one each."""
    images = sum(layer.kind == "image" for layer in layers)
    palette = iter(["#ffffff"] if images == 1 else [PALETTE[i % len(PALETTE)] for i in range(images)])
    return [
        replace(layer, colour=layer.colour or next(palette)) if layer.kind == "image" else layer
        for layer in layers
    ]


def unique_names(names: Iterable[str]) -> list[str]:
    """The names in order, the second "a" as "a (2)": the viewer silently renames layers of one name."""
    taken: set[str] = set()
    result = []
    for name in names:
        unique, n = name, 1
        while unique in taken:
            n += 1
            unique = f"{name} ({n})"
        taken.add(unique)
        result.append(unique)
    return result
