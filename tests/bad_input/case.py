"""A case: something wrong, the command that meets it, and what a person must be told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bad_input.place import Place

Words = Sequence[object]


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table.

    Attributes
    ----------
    number : str
        "5" of the reference's list of bad inputs, "F3" of its messages that save people, "C7" of our own; with a
        letter where one number has several forms.
    title : str
        What is wrong.
    make : callable
        Makes it in an empty folder, and gives the command line that is typed there.
    says : tuple of str
        Must be in what is printed: the file, key or option concerned among them.
    fix : str
        Must be in the line that begins with `fix:`; empty where there is nothing to fix.
    status : int
        Exit status: 1 refused, 2 called wrongly, 0 taken as it is.
    leaves : tuple of str
        Patterns of paths that may appear or change; everything else must be as before.
    check : callable, optional
        Looks at the folder afterwards.
    alone : bool
        Run as a process of its own, as a shell would.
    bucket : bool
        Whether it needs one.
    on_stdout : bool
        A report, on standard output, and no error message: `inspect`.
    """

    number: str
    title: str
    make: Callable[[Place], Words]
    says: tuple[str, ...]
    fix: str = ""
    status: int = 1
    leaves: tuple[str, ...] = ()
    check: Callable[[Place], None] | None = None
    alone: bool = False
    bucket: bool = False
    on_stdout: bool = False


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A case of the reference that this table does not run: where it is proved, or what is not built yet."""

    number: str
    title: str
    where: str
