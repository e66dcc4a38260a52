"""Errors that a person can act on: what happened, why that is likely, what to type.

Every error that CloudReg raises on purpose derives from `CloudRegError`; each subclass also derives from
the nearest builtin, so that callers who only know Python can catch it. A command line prints the message
without a traceback and exits with 1.
"""

from __future__ import annotations


class CloudRegError(Exception):
    """Base of all errors that CloudReg raises on purpose.

    Parameters
    ----------
    what : str
        What is wrong, with the file, key or value concerned.
    why : str, optional
        The likely reason.
    fix : str, optional
        What the user can type or change.
    """

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(what, why, fix)
        self.what, self.why, self.fix = what, why, fix

    def __str__(self) -> str:
        lines = [self.what]
        if self.why:
            lines.append(f"  why: {self.why}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        # keyword-only arguments must survive the way back from a worker process
        return (_rebuild, (type(self), self.what, self.why, self.fix))


def _rebuild(cls: type[CloudRegError], what: str, why: str, fix: str) -> CloudRegError:
    return cls(what, why=why, fix=fix)


class InputError(CloudRegError, ValueError):
    """The data, an option or a file's content cannot be used as it is."""


class NotFoundError(CloudRegError, FileNotFoundError):
    """A file, folder, object or channel that must exist does not."""


class ToolError(CloudRegError, RuntimeError):
    """The environment lacks something: a program, an optional package, memory, disk, a lock."""


class RemoteError(CloudRegError):
    """A remote store or machine refused or failed."""
