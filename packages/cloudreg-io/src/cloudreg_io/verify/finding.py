"""Findings: what verification has to say about one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

_NAMED = 5  # files that a finding about many of them names


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was left.

    Attributes
    ----------
    path : str
        The file, relative to OUT, or the URL of an object.
    what, why, fix : str
        As those of a `CloudRegError`.
    harmless : bool
        Worth knowing, but the results are whole.
    """

    path: str
    what: str
    why: str = ""
    fix: str = ""
    harmless: bool = False

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.what}"]
        lines += [f"  {name}: {text}" for name, text in (("why", self.why), ("fix", self.fix)) if text]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a package says of its own outputs, beyond checksums.

    Attributes
    ----------
    findings : sequence of Finding
    judged : frozenset of str
        Files, relative to OUT, whose bytes may differ from those first written: the package looked at their
        content.
    """

    findings: Sequence[Finding] = ()
    judged: frozenset[str] = frozenset()


def several(names: Sequence[str]) -> str:
    """Many names in short: "a, b and 3 more"."""
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown
