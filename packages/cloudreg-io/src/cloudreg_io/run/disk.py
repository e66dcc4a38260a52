"""Whether a disk has room for what will be written, asked before any of it is."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from cloudreg_io.errors import ToolError
from cloudreg_io.files.atomic import mount_of
from cloudreg_io.run.memory import readable


@dataclass(frozen=True, slots=True)
class Room:
    """The room on a disk.

    Attributes
    ----------
    free : int
        Bytes that this user may still write.
    mount : Path
        Where the disk is mounted.
    """

    free: int
    mount: Path

    @classmethod
    def at(cls, folder: Path) -> Room:
        """The disk of a folder that need not exist yet."""
        place = folder.absolute()
        existing = next(parent for parent in (place, *place.parents) if parent.exists())
        return cls(shutil.disk_usage(existing).free, mount_of(existing))

    def require(self, needed: int, folder: Path) -> None:
        """Refuse when less is free than `needed` bytes for `folder`.

        Raises
        ------
        ToolError
            With both figures and the disk.
        """
        if needed > self.free:
            raise ToolError(
                f"{folder} will need about {readable(needed)}; {readable(self.free)} are free on {self.mount}",
                fix="free some space, or choose an OUT on another disk; --bounds tries a corner first",
            )
