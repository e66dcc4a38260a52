"""Digests: short fingerprints of files and values, for options that must determine a result."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def digest(what: Path | Any) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a file's bytes, or of a value as canonical JSON."""
    if isinstance(what, Path):
        with what.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
