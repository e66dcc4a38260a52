"""Structures: the tree of regions that the ids of a label volume name.

Read from the Allen Institute's JSON (nested by `children`, or the flat answer of its service), BrainGlobe's
`structures.json` and `structures.csv`, and CSV with the columns `id,acronym,name,parent`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from cloudreg_io.errors import InputError, NotFoundError
from cloudreg_io.files import foreign_json, store
from cloudreg_io.files.location import Location

_PARENTS = ("parent", "parent_structure_id", "parent_id", "parent_structure")
_PATH = "structure_id_path"
_LARGEST_ID = 2**64 - 1


class _Addable(Protocol):
    def __add__(self, other: Any, /) -> Any: ...


A = TypeVar("A", bound=_Addable)


@dataclass(frozen=True, slots=True)
class Structure:
    """A region: `parent` is an id, None for a root."""

    id: int
    acronym: str
    name: str
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class StructureTree:
    """Regions, each a part of its parent; there may be several roots.

    Parameters
    ----------
    structures : iterable of Structure
        In any order; kept with parents before their children, and else in the order given.

    Raises
    ------
    InputError
        For an id that is given twice or is not positive (0 is what labels hold outside of the brain), an unknown
        parent, or a cycle.
    """

    structures: tuple[Structure, ...]
    _by_id: dict[int, Structure] = field(init=False, repr=False, compare=False)
    _children: dict[int | None, tuple[int, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given = tuple(self.structures)
        by_id = _by_id(given)
        children: dict[int | None, list[int]] = {}
        for structure in given:
            if structure.parent is not None and structure.parent not in by_id:
                raise InputError(
                    f"structure {_shown(structure)} is a part of {structure.parent}, which is not in the table",
                    fix="add that structure, or leave the parent empty",
                )
            children.setdefault(structure.parent, []).append(structure.id)
        ordered = tuple(by_id[number] for number in _depth_first(children))
        if len(ordered) < len(given):
            reached = {structure.id for structure in ordered}
            lost = next(structure for structure in given if structure.id not in reached)
            raise InputError(f"structure {_shown(lost)} is a part of itself, through its parents")
        object.__setattr__(self, "structures", ordered)
        object.__setattr__(self, "_by_id", by_id)
        object.__setattr__(self, "_children", {parent: tuple(ids) for parent, ids in children.items()})

    def __len__(self) -> int:
        return len(self.structures)

    def __iter__(self) -> Iterator[Structure]:
        return iter(self.structures)

    def __contains__(self, number: object) -> bool:
        return number in self._by_id

    def __getitem__(self, number: int) -> Structure:
        try:
            return self._by_id[number]
        except KeyError:
            raise InputError(f"no structure has the id {number}") from None

    def by_acronym(self, acronym: str) -> Structure:
        """The structure of an acronym: as it is written, or else in any case.

        Raises
        ------
        InputError
            There is none, or more than one.
        """
        found = [s for s in self if s.acronym == acronym] or [
            s for s in self if s.acronym.lower() == acronym.lower()
        ]
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(f"{acronym} names {len(found)} structures: {', '.join(map(_shown, found))}")
        near = [s.acronym for s in self if s.acronym.lower().startswith(acronym[:2].lower())][:8]
        raise InputError(
            f"no structure has the acronym {acronym}",
            fix=f"some that begin so: {', '.join(near)}"
            if near
            else "acronyms are those of the table of structures (--structures)",
        )

    def children(self, number: int | None) -> tuple[int, ...]:
        """Ids of the direct parts of a structure; of None, the roots."""
        return self._children.get(number, ())

    def ancestors(self, number: int) -> tuple[int, ...]:
        """Ids of what a structure is a part of, its parent first."""
        found = []
        parent = self[number].parent
        while parent is not None:
            found.append(parent)
            parent = self[parent].parent
        return tuple(found)

    def descendants(self, number: int) -> tuple[int, ...]:
        """Ids of a structure and of all its parts, parents before children."""
        return (self[number].id, *_depth_first(self._children, number))

    def rolled_up(self, values: Mapping[int, A], zero: A) -> dict[int, A]:
        """The sum over each structure and all its parts, for every structure.

        Parameters
        ----------
        values : mapping of id to anything that can be added
        zero : the value of structures that have none

        Raises
        ------
        InputError
            A value is given for an id that is not in the table.
        """
        for number in values:
            self[number]
        totals = {structure.id: values.get(structure.id, zero) for structure in self}
        for structure in reversed(self.structures):  # children before parents
            if structure.parent is not None:
                totals[structure.parent] = totals[structure.parent] + totals[structure.id]
        return totals


def read_structures(place: str | Path | Location) -> StructureTree:
    """Read a table of structures, local or in S3.

    Raises
    ------
    NotFoundError
        There is no such file.
    InputError
        It is neither JSON nor CSV of a known layout, or not a tree; the message names the file.
    """
    location = Location.parse(place)
    name = location.path if location.is_file else location
    try:
        data = store.get(location)
    except NotFoundError as error:
        raise NotFoundError(f"no table of structures at {name}", fix="check the path") from error
    try:
        text = data.decode("utf-8-sig")
        return _tree(_from_json(text) if text.lstrip()[:1] in ("{", "[") else _from_csv(text))
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not text in UTF-8: {error.reason}", fix="save it in UTF-8") from error
    except InputError as error:
        raise InputError(f"{name}: {error.what}", why=error.why, fix=error.fix) from error


def structures_of(rows: Iterable[Mapping[str, Any]]) -> StructureTree:
    """The tree of rows as JSON has them: id, acronym, name, and a parent, `structure_id_path` or `children`.

    Raises
    ------
    InputError
        They are not a tree.
    """
    return _tree(_from_rows(rows))


def _tree(structures: Iterable[Structure]) -> StructureTree:
    """The structures of a table; one without any is another file."""
    if not (given := tuple(structures)):
        raise InputError("the table holds no structure")
    return StructureTree(given)


def structures_csv(tree: StructureTree) -> str:
    """The table as CSV with the columns id, acronym, name, parent."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("id", "acronym", "name", "parent"))
    writer.writerows((s.id, s.acronym, s.name, "" if s.parent is None else s.parent) for s in tree)
    return file.getvalue()


def _from_json(text: str) -> Iterator[Structure]:
    try:
        value = foreign_json.parsed(text)
    except ValueError as error:
        raise InputError(f"this is not JSON: {error}", fix="copy or export the file again") from error
    if isinstance(value, dict) and isinstance(value.get("msg"), list):
        value = value["msg"]  # how the Allen Institute's service wraps its answer
    yield from _from_rows(value if isinstance(value, list) else [value])


def _from_rows(rows: Iterable[Any]) -> Iterator[Structure]:
    waiting: list[tuple[Any, int | None]] = [(row, None) for row in rows]
    waiting.reverse()
    while waiting:
        row, above = waiting.pop()
        if not isinstance(row, dict):
            raise InputError(f"a structure is an object with id, acronym and name, not {str(row)[:60]}")
        structure = _structure(row, above)
        yield structure
        parts = row.get("children") or []
        if not isinstance(parts, list):
            raise InputError(f"the children of structure {_shown(structure)} are no list")
        waiting += [(part, structure.id) for part in reversed(parts)]


def _from_csv(text: str) -> Iterator[Structure]:
    try:
        yield from _from_rows_of_csv(csv.DictReader(io.StringIO(text), skipinitialspace=True))
    except csv.Error as error:
        raise InputError(f"this is not CSV: {error}", fix="save it as CSV in UTF-8") from error


def _from_rows_of_csv(rows: csv.DictReader[str]) -> Iterator[Structure]:
    header = [str(name).strip().lower() for name in rows.fieldnames or ()]
    missing = [name for name in ("id", "acronym") if name not in header]
    if missing or not {*_PARENTS, _PATH} & set(header):
        raise InputError(
            f"the header {','.join(header)[:80]!r} lacks {', '.join(missing or ['parent'])}",
            fix="a table of structures begins with the line id,acronym,name,parent",
        )
    rows.fieldnames = header
    for row in rows:
        yield _structure(row, None, f"line {rows.line_num}: ")


def _structure(row: Mapping[str, Any], above: int | None, where: str = "") -> Structure:
    number = _id(row.get("id"), where)
    if number is None:
        raise InputError(f"{where}a structure has no id: {str(dict(row))[:80]}")
    acronym = str(row.get("acronym") or "").strip()
    if not acronym:
        raise InputError(f"{where}structure {number} has no acronym")
    stated = _stated_parent(row, number, where)
    if above is not None and stated not in (None, above):
        raise InputError(
            f"structure {number} lies among the children of {above}, but names {stated} as its parent"
        )
    return Structure(number, acronym, str(row.get("name") or acronym).strip(), stated if above is None else above)


def _stated_parent(row: Mapping[str, Any], number: int, where: str) -> int | None:
    path = row.get(_PATH)
    parts = path.strip("/").split("/") if isinstance(path, str) else path if isinstance(path, list) else []
    ids = [_id(part, where) for part in parts]
    if ids and ids[-1] == number:
        return ids[-2] if len(ids) > 1 else None
    return next((_id(row[key], where) for key in _PARENTS if key in row), None)


def _id(value: Any, where: str) -> int | None:
    """An id; None for an empty field. Tables that went through other programs have 997.0 for 997."""
    text = str("" if value is None else value).strip()
    if text.lower() in ("", "nan", "<na>", "none", "null"):
        return None
    try:
        number = int(text.removesuffix(".0"))
    except ValueError:
        raise InputError(f"{where}{text!r} is not an id: a positive whole number") from None
    return number


def _by_id(structures: Iterable[Structure]) -> dict[int, Structure]:
    found: dict[int, Structure] = {}
    for structure in structures:
        if not 0 < structure.id <= _LARGEST_ID:
            raise InputError(
                f"structure {_shown(structure)}: ids lie between 1 and 2⁶⁴ − 1; 0 is what lies outside"
            )
        if structure.id in found:
            raise InputError(f"{_shown(found[structure.id])} and {_shown(structure)} have one id")
        found[structure.id] = structure
    return found


def _depth_first(children: Mapping[int | None, Iterable[int]], start: int | None = None) -> Iterator[int]:
    waiting = list(reversed(list(children.get(start, ()))))
    while waiting:
        number = waiting.pop()
        yield number
        waiting += reversed(list(children.get(number, ())))


def _shown(structure: Structure) -> str:
    return f"{structure.id} ({structure.acronym})"
