"""The page `docs/bad-input.md`: the table and every message, in the words of the commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bad_input.case import Case, Elsewhere
from bad_input.typing_in import Told

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bad-input.md"

_HEAD = """\
# Bad input

What CloudReg says when something is wrong, made by `tests/bad_input` from the commands themselves: do not edit.
Each case is a test: the exit status (0 taken as it is, 1 refused, 2 called wrongly), the file or key that is
named, the fix, no traceback, and that everything in the folder is as before (what may have changed is told).
After a change of a message: `hatch run bad-input` writes this page anew.

Numbers are those of the list of bad inputs that this is measured by; F are messages that save people, C cases of
our own. `ACQ`, `STACK`, `VOLUME`, `BUCKET`, `BRAIN`, `ATLAS`, `LABELS` and `TRANSFORM` are what the cases spoil,
`OUT` is where results go. What registration refuses: [Registration](#registration),
[Transforms, points and landmarks](#transforms-points-and-landmarks).
"""


def page(groups: Mapping[str, Sequence[Case]], told: Mapping[str, Told], elsewhere: Sequence[Elsewhere]) -> str:
    """The whole page."""
    cases = [case for group in groups.values() for case in group]
    lines = [
        _HEAD,
        f"## Table: {len(cases)} cases",
        "",
        "| case | what is wrong | command | exit |",
        "|---|---|---|---|",
    ]
    for case in sorted(cases, key=_order):
        line = told[case.number].line.replace("|", "\\|")
        lines.append(f"| [{case.number}](#{_anchor(case)}) | {case.title} | `{line}` | {case.status} |")
    lines += ["", "## Not in the table", "", "| case | what is wrong | where |", "|---|---|---|"]
    lines += [f"| {case.number} | {case.title} | {case.where} |" for case in elsewhere]
    for title, group in groups.items():
        lines += ["", f"## {title}", ""]
        lines += [section(case, told[case.number]) for case in group]
    return "\n".join(lines).rstrip() + "\n"


def section(case: Case, told: Told) -> str:
    """What one case says."""
    leaves = f"; may leave {', '.join(f'`{pattern}`' for pattern in case.leaves)}" if case.leaves else ""
    head = f"### {case.number}: {case.title}\n\n`{told.line}` → {case.status}{leaves}\n"
    return f"{head}\n```text\n{told_in_short(case, told)}\n```\n"


def told_in_short(case: Case, told: Told) -> str:
    """The message; of a command that went well, the lines that speak of the case."""
    if case.status and told.message:
        return told.message
    lines = (told.errors + told.output).splitlines()
    return "\n".join(line.rstrip() for line in lines if any(word in line for word in case.says))


def _anchor(case: Case) -> str:
    """As GitHub makes it of the heading."""
    text = f"{case.number}: {case.title}".lower()
    return "".join(c for c in text if c.isalnum() or c in " -_").replace(" ", "-")


def _order(case: Case) -> tuple[str, int, str]:
    letters = "".join(c for c in case.number if c.isalpha() and c.isupper())
    digits = "".join(c for c in case.number if c.isdigit())
    return letters, int(digits), case.number
