"""Progress: how libraries say how far they are. They never print; a command line passes what draws."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told about one stage at a time."""

    def start(self, name: str, total: int, done: int = 0) -> None:
        """A stage of `total` units begins, `done` of which an earlier run finished."""
        ...

    def advance(self, n: int = 1) -> None:
        """`n` more units are finished."""
        ...

    def note(self, text: str) -> None:
        """What there is to say about the unit under way, such as an energy."""
        ...

    def finish(self) -> None:
        """The stage is complete."""
        ...


class _Silent:
    def start(self, name: str, total: int, done: int = 0) -> None:
        pass

    def advance(self, n: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def finish(self) -> None:
        pass


NO_PROGRESS: Progress = _Silent()
