"""A target: one parser, files to begin from, and what must hold for every input.

The property is the same for all: a parser returns, or raises a `CloudRegError`. Anything else, an input that takes
longer than `SECONDS`, or a process that grows beyond `MEGABYTES`, is a finding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cloudreg_io.errors import CloudRegError

SECONDS = 5
MEGABYTES = 2048


@dataclass(frozen=True, slots=True)
class Target:
    """One parser under test.

    Attributes
    ----------
    name : str
    file : str
        What its input is called, relative to the folder it lies in.
    parse : callable
        Takes the path of that file.
    seeds : tuple of bytes
        Inputs to begin from: good ones, from which the fuzzer makes bad ones.
    words : tuple of str
        What the format is made of; the fuzzer puts them into inputs.
    surroundings : callable, optional
        Makes the files that a good input speaks of, in the folder given.
    """

    name: str
    file: str
    parse: Callable[[Path], object]
    seeds: tuple[bytes, ...]
    words: tuple[str, ...] = ()
    surroundings: Callable[[Path], None] = lambda _: None

    def prepare(self, folder: Path) -> Path:
        """Make the surroundings in a folder; give the path that inputs are written to."""
        self.surroundings(folder)
        path = folder / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def run(self, path: Path, data: bytes) -> str:
        """Parse one input: "taken", or why it was refused. Whatever else is raised is a finding."""
        path.write_bytes(data)
        try:
            self.parse(path)
        except CloudRegError as error:
            return error.what
        return "taken"
