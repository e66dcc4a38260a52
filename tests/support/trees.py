"""Comparison of OUT folders: byte for byte, but for the files that may differ (design, section 5)."""

import hashlib
from pathlib import Path

_MAY_DIFFER = {"provenance.json", "provenance", "report.html"}


def tree(out: Path) -> dict[str, str]:
    """Digest of every file of an OUT folder that two equal runs must agree on."""
    found = {}
    for path in sorted(Path(out).rglob("*")):
        relative = path.relative_to(out)
        if path.is_dir() or ".cloudreg" in relative.parts:
            continue
        if path.name in _MAY_DIFFER or path.suffix == ".log":
            continue
        found[str(relative)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def difference(a: dict[str, str], b: dict[str, str]) -> list[str]:
    """Names of files that only one tree has, or whose bytes differ."""
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
