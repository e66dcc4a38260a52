"""Natural order of names: by the numbers in them, as people count."""

from __future__ import annotations

import re


def natural_key(text: str) -> tuple[list[tuple[int, int | str]], str]:
    """Sort key under which `img_2` comes before `img_10`, and no two names are equal."""
    parts = [part for part in re.split(r"([0-9]+)", text) if part]
    return [(0, int(part)) if part[0] in "0123456789" else (1, part) for part in parts], text
