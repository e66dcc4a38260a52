"""A command line typed in a folder: its status, what it says, what it leaves behind."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from bad_input.case import Case
from bad_input.place import Place
from support.command import command
from support.inside import cloudreg_inside


@dataclass(frozen=True, slots=True)
class Told:
    """What a command said.

    Attributes
    ----------
    line : str
        The command line, as typed.
    status : int
    output, errors : str
        Standard output and standard error.
    changed : tuple of str
        Paths that are new, gone or other than before.
    """

    line: str
    status: int
    output: str
    errors: str
    changed: tuple[str, ...]

    @property
    def message(self) -> str:
        """The error, from its first line on."""
        begin = max(0, self.errors.find("error: "))
        return (self.errors[begin:] or self.output).strip()

    @property
    def all(self) -> str:
        """What is to hold the words of the case: the error alone, or where there is none everything."""
        return self.message if "error: " in self.errors else self.errors + self.output

    @property
    def fix(self) -> str:
        """What is to be typed or changed."""
        return next((line for line in self.message.splitlines() if line.startswith("  fix: ")), "")


def type_in(case: Case, place: Place) -> Told:
    """Make what is wrong, type the command, tell what came of it; names of the machine left out."""
    words = [str(word) for word in case.make(place)]
    before = _everything(place.folder)
    run = _as_process if case.alone else _in_this_process
    status, output, errors = run(place.folder, words)
    after = _everything(place.folder)
    changed = [path for path in sorted(before.keys() | after.keys()) if before.get(path) != after.get(path)]
    shown = shlex.join(["cloudreg", *words])
    return Told(
        *(_plain(text, place) if isinstance(text, str) else text for text in (shown, status, output, errors)),
        tuple(changed),
    )


def silently(folder: Path, *words: object) -> None:
    """A command that comes before the one of the case, and succeeds."""
    status, _, errors = _in_this_process(folder, [str(word) for word in words])
    assert status == 0, errors


def unexpected(told: Told, case: Case) -> list[str]:
    """Changed paths that the case does not allow for."""
    return [path for path in told.changed if not any(fnmatch(path, pattern) for pattern in case.leaves)]


def idle(told: Told, case: Case) -> list[str]:
    """Patterns of what may be left that nothing was left for."""
    return [pattern for pattern in case.leaves if not any(fnmatch(path, pattern) for path in told.changed)]


def _in_this_process(folder: Path, words: list[str]) -> tuple[int, str, str]:
    with contextlib.chdir(folder):
        done = cloudreg_inside(*words, check=False)
    return done.returncode, done.stdout, done.stderr


def _as_process(folder: Path, words: list[str]) -> tuple[int, str, str]:
    bare = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    bare |= {"PATH": os.environ["PATH"], "LC_ALL": "C"}  # no HOME, no UTF-8, no terminal
    done = subprocess.run(
        command(*words),
        cwd=folder,
        env=bare,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def _everything(folder: Path) -> Mapping[str, object]:
    """Every path below a folder, with its content."""
    found: dict[str, object] = {}
    for path in folder.rglob("*"):
        if path.is_symlink():
            content: object = ("link", str(path.readlink()))
        elif path.is_file():
            content = (path.stat().st_size, path.stat().st_mtime_ns, path.read_bytes())
        else:
            content = "folder" if path.is_dir() else "special"
        found[path.relative_to(folder).as_posix()] = content
    return found


def _plain(text: str, place: Place) -> str:
    """The text without what differs from machine to machine."""
    text = text.replace(f"{place.folder}/", "").replace(f"{place.folder}", "HERE")
    if place.s3:
        text = text.replace(place.s3.bucket, "BUCKET")
    text = re.sub(r"\b\d{3}MB", "NNNMB", text)
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)
    return re.sub(r"process \d+ on \S+", "process N on HOST", text)
