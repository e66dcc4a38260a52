"""The folder of corrected tiles: laid out like the raw acquisition, so that the same reader opens it.

Planes keep their names and places; the small files that describe the tiles are copied.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

from cloudreg_io.errors import InputError
from cloudreg_io.files.atomic import write_bytes
from cloudreg_io.tiles import Acquisition

COMMAND = "correct tiles"
_DESCRIPTIONS = {".ini", ".txt", ".toml", ".csv", ".xml"}
_LARGEST_DESCRIPTION = 64 * 2**20
_STACKS_DIR = re.compile(rb"(<stacks_dir\s[^>]*?\bvalue=)(\"[^\"]*\"|'[^']*')")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything of an acquisition goes.

    Attributes
    ----------
    base : Path
        Folder that holds the raw acquisition's tiles and description.
    out : Path
        Folder of the corrected one.
    """

    base: Path
    out: Path

    @classmethod
    def of(cls, acquisition: Acquisition, out: Path) -> Layout:
        """The layout of an acquisition's corrected tiles in `out`.

        Raises
        ------
        InputError
            When OUT is the acquisition, lies in it or around it; when its tiles lie elsewhere than their
            description; when it is itself the result of a correction.
        """
        root = acquisition.root
        base = root if root.is_dir() else root.parent
        raw, new = base.resolve(), out.resolve()
        if new == raw or raw in new.parents or new in raw.parents:
            raise InputError(
                f"OUT {out} and the acquisition {base} lie in one another",
                why="raw data is never changed, and results do not go beside it",
                fix="choose another folder for OUT",
            )
        if not acquisition.tile_root.resolve().is_relative_to(raw):
            raise InputError(
                f"the tiles in {acquisition.tile_root} lie outside of {base}, which holds their description",
                why="the corrected tiles are laid out like the raw ones",
                fix="put the description beside the tiles",
            )
        if _made_by_correction(base):
            raise InputError(
                f"{base} holds corrected tiles already",
                why="its provenance.json says that `correct tiles` made it",
                fix="give the raw acquisition",
            )
        return cls(base, out)

    def place(self, raw: Path) -> Path:
        """Where the corrected form of a raw file goes."""
        return self.out / raw.relative_to(self.base)

    def copy_descriptions(self, acquisition: Acquisition) -> list[str]:
        """Copy the files that describe the tiles; returns their paths relative to OUT."""
        copied = []
        for folder in dict.fromkeys((self.base, acquisition.tile_root)):
            for source in sorted(folder.iterdir()):
                if source.suffix.lower() in _DESCRIPTIONS and source.is_file():
                    self._copy(source, acquisition)
                    copied.append(str(source.relative_to(self.base)))
        return copied

    def _copy(self, source: Path, acquisition: Acquisition) -> None:
        if source.stat().st_size > _LARGEST_DESCRIPTION:
            return
        data = source.read_bytes()
        if source.suffix.lower() == ".xml":
            # a TeraStitcher project names its folder, and must not lead back to the raw tiles
            stacks = quoteattr(str(self.place(acquisition.tile_root).absolute())).encode()
            data = _STACKS_DIR.sub(lambda match: match[1] + stacks, data)
        target = self.place(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target, data)


def _made_by_correction(base: Path) -> bool:
    try:
        commands = json.loads((base / "provenance.json").read_text(encoding="utf-8"))["commands"]
        return any(command["command"] == COMMAND for command in commands)
    except (OSError, ValueError, KeyError, TypeError):
        return False
