"""JSON that people edit: objects whose every mistake is named by file and key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeGuard

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files import foreign_json
from cloudreg_io.space import Vector3, vector3

# A thousand times what the largest microscope's mosaic has voxels along an axis, and far below what overflows.
_LARGEST = 1e12


@dataclass(frozen=True, slots=True)
class CheckedObject:
    """A JSON object of the file, with the key path that leads to it."""

    path: Path
    key: str
    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> CheckedObject:
        """Parse a file that holds one JSON object."""
        return cls(path, "", _parse(path))

    def name(self, key: str) -> str:
        """Key path of an entry."""
        return f"{self.key}.{key}" if self.key else key

    def fail(self, key: str, what: str, fix: str = "correct the value, or give another file") -> NoReturn:
        """Raise an InputError that names the file and the key."""
        raise InputError(f"{self.path}: {self.name(key)} {what}", fix=fix)

    def get(self, key: str) -> object:
        """Return an entry that must be there."""
        if key not in self.content:
            self.fail(key, "is missing", "put the key back, or run the alignment again with --align-only")
        return self.content[key]

    def text(self, key: str) -> str:
        """Return a text."""
        value = self.get(key)
        if not isinstance(value, str):
            self.fail(key, f"is {value!r:.80}; it must be a text")
        return value

    def integer(self, key: str) -> int:
        """Return a whole number."""
        value = self.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            self.fail(key, f"is {value!r:.80}; it must be a whole number")
        return value

    def fraction(self, key: str) -> float:
        """Return a number from 0 to 1."""
        value = self.get(key)
        if not _is_number(value) or not 0 <= value <= 1:
            self.fail(key, f"is {value!r:.80}; it must be a number from 0 to 1")
        return float(value)

    def flag(self, key: str) -> bool:
        """Return true or false."""
        value = self.get(key)
        if not isinstance(value, bool):
            self.fail(key, f"is {value!r:.80}; it must be true or false")
        return value

    def vector(self, key: str) -> Vector3:
        """Return three finite numbers."""
        value = self.get(key)
        if not isinstance(value, list) or len(value) != 3 or not all(_is_number(item) for item in value):
            self.fail(key, f"is {value!r:.80}; it must be three finite numbers [x, y, z]")
        return vector3(value)

    def items(self, key: str) -> list[CheckedObject]:
        """Return a list of objects."""
        value = self.get(key)
        if not isinstance(value, list):
            self.fail(key, "must be a list")
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                self.fail(f"{key}[{index}]", "must be an object")
        return [CheckedObject(self.path, self.name(f"{key}[{i}]"), item) for i, item in enumerate(value)]


def _is_number(value: object) -> TypeGuard[float]:
    # the bound also refuses integers that no float can hold
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _parse(path: Path) -> Mapping[str, Any]:
    try:
        content = foreign_json.parsed(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: no such file", fix="check the path") from error
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read: {error.strerror}", fix="give a file that this user may read"
        ) from error
    except ValueError as error:
        raise InputError(
            f"{path}: not valid JSON: {error}",
            why="a comma or bracket was lost in editing",
            fix="correct that line, or give another file",
        ) from error
    if not isinstance(content, dict):
        raise InputError(
            f"{path}: must hold a JSON object, as placement.json of an OUT folder does", fix="give another file"
        )
    return content
