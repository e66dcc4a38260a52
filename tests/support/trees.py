"""Folders compared: byte for byte, and OUT folders but for the files that may differ (design, section 5)."""

import hashlib
from pathlib import Path

_MAY_DIFFER = {"provenance.json", "provenance", "report.html"}


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of every file below a folder, by relative path."""
    files = (path for path in sorted(Path(folder).rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def tree(out: Path) -> dict[str, str]:
    """Digest of every file of an OUT folder that two equal runs must agree on."""
    return {
        name: hashlib.sha256(data).hexdigest()
        for name, data in contents(out).items()
        if ".cloudreg" not in (path := Path(name)).parts and path.name not in _MAY_DIFFER and path.suffix != ".log"
    }


def difference(a: dict[str, str], b: dict[str, str]) -> list[str]:
    """Names of files that only one tree has, or whose bytes differ."""
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
