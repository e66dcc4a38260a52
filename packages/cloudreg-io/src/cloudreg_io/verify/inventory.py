"""The inventory of a volume: every file that must be there, by its `info`, against those that are.

Chunks without any signal are written like all others, so that nothing may be missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cloudreg_io.errors import NotFoundError
from cloudreg_io.files import store
from cloudreg_io.files.checksums import Checksum
from cloudreg_io.files.location import Location
from cloudreg_io.verify.contents import CUT, EDITED, STRANGE, Stored
from cloudreg_io.verify.finding import Finding, several
from cloudreg_io.volumes.chunks import SUFFIX
from cloudreg_io.volumes.shards import shard_name, shard_sizes
from cloudreg_io.volumes.spec import VolumeSpec
from cloudreg_io.volumes.volume import chunk_name

_INFO = ("info", "provenance")  # the second is the format's own, which other programs may add


@dataclass(frozen=True, slots=True)
class Inventory:
    """A volume as it must be and as it is.

    Attributes
    ----------
    files : tuple of Stored
        Those that must be there, and are.
    expected : tuple of Stored
        All that must be there.
    findings : tuple of Finding
    """

    files: tuple[Stored, ...]
    expected: tuple[Stored, ...]
    findings: tuple[Finding, ...]


def prefix_of(out: Path, location: Location) -> str:
    """What the ledger's names of the files of a volume begin with."""
    if not location.is_file:
        return f"{location}/"
    path = location.path
    if path == out:
        return ""
    return f"{path.relative_to(out)}/" if path.is_relative_to(out) else f"{path}/"


def take_inventory(
    out: Path, location: Location, spec: VolumeSpec, known: Mapping[str, Checksum], *, complete: bool
) -> Inventory:
    """List a volume and compare with what must be there.

    Parameters
    ----------
    out : Path
    location : Location
    spec : VolumeSpec
    known : mapping
        The ledger's files.
    complete : bool
        Whether the work on it is finished; while it is not, only what the ledger holds must be there.
    """
    prefix = prefix_of(out, location)
    try:
        there = dict(store.list_sizes(location))
    except NotFoundError:
        there = {}
    suffix = SUFFIX[spec.compression] if location.is_file else ""
    must = {item.name: item for item in _must_be_there(spec, prefix, suffix)}
    missing = [name for name in must if name.removeprefix(prefix) not in there and (complete or name in known)]
    files = tuple(
        replace(item, checksum=known.get(name), size=there[name.removeprefix(prefix)])
        for name, item in must.items()
        if name.removeprefix(prefix) in there
    )
    findings = [Finding(name, "is missing", why="it was deleted or moved") for name in missing]
    if unknown := [item.name for item in files if item.checksum is None] if complete else []:
        findings.append(
            Finding(
                f"{prefix}*",
                f"no checksum of {len(unknown)} of {len(must)} files is known: {several(unknown)}",
                why="OUT/.cloudreg/checksums was removed, or an older CloudReg wrote them",
                fix="whether they decode was looked at; only making them anew makes sure of more",
            )
        )
    findings += _strangers(there, prefix, {*must, *known})
    return Inventory(files, tuple(must.values()), tuple(findings))


def _must_be_there(spec: VolumeSpec, prefix: str, suffix: str) -> Iterator[Stored]:
    for mip, scale in enumerate(spec.scales):
        folder = f"{prefix}{scale.key}"
        if scale.sharding is not None:
            for shard in shard_sizes(scale):
                yield Stored(f"{folder}/{shard_name(scale.sharding, shard)}", None, mip, shard=shard)
        else:
            for chunk in scale.bounds.chunks(scale.chunk):
                yield Stored(f"{folder}/{chunk_name(chunk)}{suffix}", None, mip, chunk)


def wrong_size(item: Stored) -> Finding | None:
    """What shows without reading a file."""
    if item.checksum is None or item.size == item.checksum.size:
        return None
    cut = item.size < item.checksum.size
    return Finding(
        item.name,
        f"has {item.size} bytes, {item.checksum.size} were written",
        why=EDITED if item.mip < 0 else f"{CUT}; or is of another run" if cut else STRANGE,
    )


def _strangers(there: Mapping[str, int], prefix: str, ours: set[str]) -> Iterator[Finding]:
    """Files that nobody here wrote. One beside a chunk, of another compression, is read in its place."""
    stems = {_stem(name) for name in ours}
    others = [
        name
        for name in (f"{prefix}{name}" for name in there if name not in _INFO)
        if name not in ours and not name.startswith(".cloudreg/") and name != "provenance.json"
    ]
    for name in others:
        if _stem(name) in stems:
            yield Finding(
                name,
                "takes the place of a chunk that is there under the same name with another ending",
                why="another program, or a run with another compression, wrote it",
                fix="remove it",
            )
    if unknown := [name for name in others if _stem(name) not in stems]:
        yield Finding(
            prefix or "OUT",
            f"{len(unknown)} files that no command of this folder wrote: {several(unknown)}",
            fix="remove them if they are not yours",
            harmless=True,
        )


def _stem(name: str) -> str:
    ending = next((s for s in SUFFIX.values() if s and name.endswith(s)), "")
    return name.removesuffix(ending) if ending else name
