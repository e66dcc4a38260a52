"""The contents of files: read whole, compared with the checksum of what was written, decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from cloudreg_io.errors import CloudRegError, NotFoundError
from cloudreg_io.files import store
from cloudreg_io.files.checksums import Checksum
from cloudreg_io.files.location import Location
from cloudreg_io.space import Bounds
from cloudreg_io.verify.finding import Finding
from cloudreg_io.volumes.chunks import decode_chunk
from cloudreg_io.volumes.shard_reading import shard_contents
from cloudreg_io.volumes.spec import VolumeSpec

EDITED = "it was edited, or is damaged"
CUT = "it was cut off, by a copy that broke off or a full disk"
STRANGE = "it is of another run, or another program wrote it"


@dataclass(frozen=True, slots=True)
class Stored:
    """One file to look at.

    Attributes
    ----------
    name : str
        As the ledger calls it.
    checksum : Checksum or None
        Of what was written; None where nobody knows.
    mip : int
        Of the volume of its task; −1 for files of no volume.
    chunk : Bounds or None
        The voxels that it holds; None for a shard.
    shard : int
    size : int
        Bytes that it has, by the listing of its folder.
    """

    name: str
    checksum: Checksum | None
    mip: int = -1
    chunk: Bounds | None = None
    shard: int = -1
    size: int = -1


@dataclass(frozen=True, slots=True)
class ContentsTask:
    """Some files, all of one volume or of none.

    Attributes
    ----------
    out : Path
    files : tuple of Stored
    spec : VolumeSpec or None
    """

    out: Path
    files: tuple[Stored, ...]
    spec: VolumeSpec | None = None


@dataclass(frozen=True, slots=True)
class Examined:
    """What became of a task."""

    findings: tuple[Finding, ...]
    bytes: int


def place(out: Path, name: str) -> Location:
    """Where a file of the ledger is."""
    return Location.parse(name if "://" in name else out / name)


def examine(task: ContentsTask) -> Examined:
    """Read the files of a task; runs in a worker."""
    found = [_examine(task, stored) for stored in task.files]
    return Examined(tuple(finding for finding, _ in found if finding is not None), sum(size for _, size in found))


def _examine(task: ContentsTask, stored: Stored) -> tuple[Finding | None, int]:
    try:
        with _opened(place(task.out, stored.name)) as file:
            found = Checksum.of_stream(file)
            flaw = _flaw(task.spec, stored, file) if task.spec is not None and stored.mip >= 0 else ""
    except NotFoundError:
        return Finding(stored.name, "is missing", why="it was deleted or moved"), 0
    except OSError as error:
        why = "the disk is failing, or the file belongs to somebody else"
        return Finding(stored.name, f"cannot be read: {error.strerror or error}", why=why), 0
    return _judged(stored, found, flaw), found.size


def _judged(stored: Stored, found: Checksum, flaw: str) -> Finding | None:
    known = stored.checksum
    if known is None:
        return Finding(stored.name, f"is damaged: {flaw}") if flaw else None
    if found == known:
        why = "this is a defect of CloudReg: please report it"
        return Finding(stored.name, f"holds the bytes that were written, yet {flaw}", why=why) if flaw else None
    if found.size != known.size:
        what = f"has {found.size} bytes, {known.size} were written"
    else:
        what = "holds other bytes than were written"
    if stored.mip < 0:
        return Finding(stored.name, what, why=EDITED)
    if not flaw:
        return Finding(stored.name, f"{what}; they decode", why=STRANGE)
    whys = {-1: CUT, 0: "bytes flipped on the disk or in a copy", 1: STRANGE}
    return Finding(stored.name, f"{what}: {flaw}", why=whys[(found.size > known.size) - (found.size < known.size)])


def _flaw(spec: VolumeSpec, stored: Stored, file: BinaryIO) -> str:
    """Why the voxels of a file cannot be read; empty when they can."""
    file.seek(0)
    scale = spec.scales[stored.mip]
    try:
        if stored.chunk is not None:
            decode_chunk(file.read(), spec.compression, spec.dtype, stored.chunk.shape)
        else:
            for data, shape in shard_contents(file, scale, stored.shard):
                decode_chunk(data, spec.compression, spec.dtype, shape)
    except CloudRegError as error:
        return error.what
    return ""


@contextmanager
def _opened(location: Location) -> Iterator[BinaryIO]:
    if location.is_file:
        try:
            file = location.path.open("rb")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(f"{location}: no such file") from error
        with file:
            yield file
    else:
        yield BytesIO(store.get(location))
