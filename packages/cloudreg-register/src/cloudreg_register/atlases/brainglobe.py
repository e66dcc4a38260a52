"""BrainGlobe: its atlases by name, from the folder where they lie.

Atlases of the API's versions 1 and 2 are a folder NAME_vX.Y of plain files, and are read as such: metadata.json,
reference.tiff, annotation.tiff, structures.json. What is not there so is asked of `brainglobe-atlasapi` (the extra
`brainglobe`), which fetches atlases and knows the layout of version 3.
"""

from __future__ import annotations

import configparser
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cloudreg_io.errors import InputError, ToolError
from cloudreg_io.files.structures import read_structures, structures_of
from cloudreg_io.space import Orientation, VoxelSize
from cloudreg_register.atlases.atlas import Atlas

_FILES = ("metadata.json", "reference.tiff", "annotation.tiff", "structures.json")


def brainglobe_atlas(name: str, folder: Path | None = None) -> Atlas:
    """An atlas of BrainGlobe, of the newest version on this machine.

    Parameters
    ----------
    name : str
        Such as allen_mouse_25um.
    folder : Path, optional
        Where atlases lie; by default as BrainGlobe's configuration says, else `~/.brainglobe`.

    Raises
    ------
    InputError
        Its folder lacks a file, or its metadata a key.
    ToolError
        It is not here, and the package that fetches it is not installed or cannot.
    """
    root = brainglobe_folder() if folder is None else Path(folder)
    versions = _versions(root, name)
    return _from_folder(name, versions[-1]) if versions else _from_package(name, root)


def brainglobe_folder() -> Path:
    """Where BrainGlobe keeps its atlases."""
    home = Path.home()
    configuration = configparser.ConfigParser()
    place = os.environ.get("BRAINGLOBE_CONFIG_DIR", home / ".config" / "brainglobe")
    try:
        configuration.read(Path(place) / "bg_config.conf")
    except configparser.Error as error:
        raise InputError(f"{place}/bg_config.conf: {error}") from error
    return Path(configuration.get("default_dirs", "brainglobe_dir", fallback=home / ".brainglobe")).expanduser()


def _versions(root: Path, name: str) -> list[Path]:
    """The folders of an atlas, oldest first."""
    pattern = re.compile(re.escape(name) + r"_v(\d+)\.(\d+)")
    found = [(match, path) for path in root.glob(f"{name}_v*") if (match := pattern.fullmatch(path.name))]
    return [path for _, path in sorted((tuple(map(int, match.groups())), path) for match, path in found)]


def _from_folder(name: str, folder: Path) -> Atlas:
    missing = [file for file in _FILES if not (folder / file).is_file()]
    if missing:
        raise InputError(
            f"the atlas {folder} lacks {', '.join(missing)}",
            why="its download was broken off",
            fix=f"remove the folder and fetch it again: brainglobe install -a {name}",
        )
    try:
        metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{folder / 'metadata.json'} is not JSON: {error}") from error
    orientation, voxel_size = _described(metadata, str(folder / "metadata.json"))
    structures = read_structures(folder / "structures.json")
    template, labels = str(folder / "reference.tiff"), str(folder / "annotation.tiff")
    return Atlas(folder.name, template, orientation, labels, structures, voxel_size)


def _described(metadata: Mapping[str, Any], where: str) -> tuple[Orientation, VoxelSize]:
    """Orientation, and voxel size x, y, z: BrainGlobe lists both in the order of the array [z, y, x]."""
    try:
        orientation = Orientation.from_brainglobe(str(metadata["orientation"]))
        return orientation, VoxelSize.of([float(edge) for edge in reversed(metadata["resolution"])])
    except KeyError as error:
        raise InputError(f"{where} has no {error}", why="it describes no atlas") from error
    except TypeError as error:
        raise InputError(f"{where}: the resolution {metadata['resolution']!r} is not three numbers") from error


def _from_package(name: str, root: Path) -> Atlas:
    try:
        from brainglobe_atlasapi import BrainGlobeAtlas
    except ImportError as error:
        raise ToolError(
            f"the atlas {name} is not in {root}",
            why="the package that fetches BrainGlobe's atlases is not installed",
            fix="pip install 'cloudreg-register[brainglobe]', or give files: --atlas PATH --labels PATH",
        ) from error
    try:
        atlas = BrainGlobeAtlas(name, brainglobe_dir=root, check_latest=False)
        template = atlas.template if hasattr(atlas, "template") else atlas.reference
        labels, rows = atlas.annotation, atlas.structures_list
        described = {"orientation": atlas.orientation, "resolution": atlas.resolution}
    except Exception as error:  # whatever its network library raises
        raise ToolError(
            f"brainglobe-atlasapi cannot give the atlas {name}: {type(error).__name__}: {error}",
            fix="check the name and the network: brainglobe list",
        ) from error
    orientation, voxel_size = _described(described, name)
    return Atlas(name, np.asarray(template), orientation, np.asarray(labels), structures_of(rows), voxel_size)
