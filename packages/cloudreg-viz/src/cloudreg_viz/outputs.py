"""Outputs: the precomputed volumes in a run's folder, and the layers that show them."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

from numpy.typing import ArrayLike

from cloudreg_io.errors import CloudRegError, InputError, NotFoundError
from cloudreg_io.files.natural_order import natural_key
from cloudreg_io.volumes import Volume, open_volume
from cloudreg_viz.contrast import Look, look
from cloudreg_viz.layers import Layer
from cloudreg_viz.state import State, viewer_state

_log = logging.getLogger(__name__)

NO_AFFINES: Mapping[str, ArrayLike] = MappingProxyType({})

# Where a run keeps volumes, in the order in which they are shown.
_PLACES = ("info", "*/info", "registration/*/info")


@dataclass(frozen=True, slots=True)
class Output:
    """One precomputed volume: its name, its address relative to the run ("" for the folder itself), its reader."""

    name: str
    path: str
    volume: Volume


def local_folder(out: str | Path) -> Path | None:
    """The folder of this machine that `out` names, absolute; None for an address in a store (s3://…)."""
    text = str(out)
    if "://" in text and not text.startswith("file://"):
        return None
    return Path(os.path.abspath(text.removeprefix("file://")))  # noqa: PTH100 -- folds '..', keeps links


def find_outputs(out: str | Path) -> list[Output]:
    """The precomputed volumes of a run's folder, or the one precomputed volume that `out` itself is.

    Parameters
    ----------
    out : str or Path
        A folder, or the address of one volume in a store (s3://…).

    Raises
    ------
    NotFoundError
        When there is none; names what was looked for.
    InputError
        When an `info` file is damaged.
    """
    root = local_folder(out)
    if root is None:
        volume = open_volume(str(out))
        return [Output(volume.location.name or volume.location.bucket, "", volume)]
    if not root.is_dir():
        raise NotFoundError(f"no folder {root}", fix="give the OUT folder of a run, or one precomputed folder")
    found = [folder for folder in _folders(root) if _is_volume(folder / "info")]
    if not found:
        places = ", ".join(str(root / place) for place in _PLACES)
        raise NotFoundError(
            f"no precomputed volume in {root}: looked for {places}",
            why="nothing has been fused there yet, or the folder is not a run's OUT",
        )
    return [
        Output(
            folder.name,
            "" if folder == root else folder.relative_to(root).as_posix(),
            open_volume(str(folder)),
        )
        for folder in found
    ]


def state_of(outputs: Sequence[Output], data: str, affines: Mapping[str, ArrayLike] = NO_AFFINES) -> State:
    """The viewer's state for volumes that lie below one address as they lie in the run's folder.

    Images come first, in the order found: the first gives the frame. Labels lie over them.

    Parameters
    ----------
    outputs : sequence of Output
        See `find_outputs`.
    data : str
        Address, for the browser, of the folder in which they were found.
    affines : mapping of str to array_like, shape (4, 4)
        Maps to the frame of the first layer, by `Output.path`; see `Layer`.
    """
    ordered = sorted(outputs, key=lambda output: output.volume.spec.layer != "image")
    looks = [_look(output) if output.volume.spec.layer == "image" else None for output in ordered]
    layers = [
        Layer(
            output.name,
            "/".join([data.rstrip("/"), *quote(output.path).split("/")]).rstrip("/"),
            output.volume.voxel_size(),
            output.volume.bounds(),
            output.volume.spec.layer,
            contrast=seen.contrast if seen else None,
            window=seen.window if seen else None,
            affine=affines.get(output.path),
        )
        for output, seen in zip(ordered, looks, strict=True)
    ]
    # where the first image has its signal, unless the middle shows some channel
    seen_aside = [seen.focus if seen else None for seen in looks if seen]
    return viewer_state(layers, focus=seen_aside[0] if seen_aside and None not in seen_aside else None)


def _look(output: Output) -> Look | None:
    """Contrast and focus; None, with a warning, where they cannot be read: the rest can still be looked at."""
    try:
        return look(output.volume)
    except CloudRegError as error:
        _log.warning("%s: the contrast is the viewer's guess, as the data cannot be read: %s", output.name, error)
        return None


def _folders(root: Path) -> Iterator[Path]:
    """Folders with an `info`, in natural order; hidden ones and links that leave `root` are left out."""
    for place in _PLACES:
        for info in sorted(root.glob(place), key=lambda info: natural_key(str(info))):
            folder = info.parent
            if folder != root and folder.name.startswith("."):
                continue
            if not info.resolve().is_relative_to(root.resolve()):
                _log.warning("%s is left out: it links to %s, outside %s", folder, info.resolve().parent, root)
                continue
            yield folder


def _is_volume(info: Path) -> bool:
    """Whether an `info` file describes a volume (others describe meshes, segment properties, annotations)."""
    try:
        content = json.loads(info.read_bytes())
    except (ValueError, OSError) as error:
        raise InputError(f"{info} cannot be read: {error}", why="the file is damaged or half copied") from error
    return isinstance(content, dict) and "scales" in content
