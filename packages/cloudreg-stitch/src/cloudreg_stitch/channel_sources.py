"""The planes of the channels, corrected as the user asks: by `cloudreg_correct`, which is given from outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cloudreg_io.errors import NotFoundError, ToolError
from cloudreg_io.fields import Bias, Shading
from cloudreg_io.run import digest
from cloudreg_io.tiles import Acquisition, TileSource, fingerprint
from cloudreg_io.tiles.stage import AS_TOLD, StageAxes
from cloudreg_stitch.placement import Placement

# Makes a source of corrected planes: (source, shading, bias, positions by tile name).
Corrector = Callable[..., TileSource]


@dataclass(frozen=True, slots=True)
class ChannelSources:
    """The planes of the channels of an acquisition.

    Attributes
    ----------
    data, part : Acquisition
        All of it, and what is read: the same, or what a crop needs.
    missing : "error" or "fill"
    axes : StageAxes
        With which `data` was opened.
    shading, bias : Path, optional
        Folders that hold `<channel>.tif`.
    corrector : callable, optional
        Needed for them.
    """

    data: Acquisition
    part: Acquisition
    missing: Literal["error", "fill"]
    axes: StageAxes = AS_TOLD
    shading: Path | None = None
    bias: Path | None = None
    corrector: Corrector | None = None

    def require(self, channels: Sequence[str]) -> None:
        """Find out before any work whether the corrections are there."""
        for channel in channels:
            for path in (self._file(self.shading, channel), self._file(self.bias, channel)):
                if path is not None and not path.exists():
                    raise NotFoundError(
                        f"{path} does not exist",
                        why=f"channel {channel} has no correction in that folder",
                        fix="estimate it with cloudreg correct, or leave the option out",
                    )
        if (self.shading or self.bias) and self.corrector is None:
            raise ToolError("shading and bias need a corrector", fix="give cloudreg_correct.CorrectedTiles")

    def identity(self, channel: str) -> dict[str, Any]:
        """What the planes of a channel depend on."""
        files = {
            "shading": self._file(self.shading, channel),
            "bias": self._file(self.bias, channel),
        }
        known = {name: digest(path) if path else None for name, path in files.items()}
        axes = {"stage_axes": str(self.axes)} if self.axes else {}
        return {"acquisition": fingerprint(self.data, [channel])} | axes | known

    def raw(self, channel: str) -> TileSource:
        """A channel as it is."""
        return self.part.source(channel, fill_missing=self.missing == "fill")

    def shaded(self, channel: str) -> TileSource:
        """A channel with its shading corrected."""
        source = self.raw(channel)
        path = self._file(self.shading, channel)
        if path is None or self.corrector is None:
            return source
        return self.corrector(source, Shading.load(path))

    def corrected(self, channel: str, placement: Placement) -> TileSource:
        """A channel with shading and bias corrected; the bias lies in the frame of the fused volume."""
        path = self._file(self.bias, channel)
        if path is None or self.corrector is None:
            return self.shaded(channel)
        flat = self._file(self.shading, channel)
        shading = Shading.load(flat) if flat else None
        return self.corrector(self.raw(channel), shading, Bias.load(path), placement.positions_of(channel))

    @staticmethod
    def _file(folder: Path | None, channel: str) -> Path | None:
        return folder / f"{channel}.tif" if folder is not None else None
