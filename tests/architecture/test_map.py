"""The map in docs/architecture.md names what exists."""

import re
from importlib import import_module
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")
NAMES = sorted(set(re.findall(r"`(cloudreg_[a-z_]+(?:\.\w+)*)`", PAGE)))


def found(name):
    """A module, or what a module holds."""
    try:
        return import_module(name)
    except ModuleNotFoundError:
        home, _, last = name.rpartition(".")
        return getattr(import_module(home), last)


def test_the_map_names_enough():
    assert len(NAMES) > 60


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_map_exists(name):
    assert found(name) is not None


def test_value_types_are_where_the_map_says():
    (table,) = re.findall(r"^## Value types\n(.*?)^## ", PAGE, re.DOTALL | re.MULTILINE)
    for modules, types in re.findall(r"^\| (`cloudreg_.*?) \| (.*?) \|$", table, re.MULTILINE):
        homes = [import_module(name) for name in re.findall(r"`(.*?)`", modules)]
        for name in re.findall(r"`([A-Z]\w+)`", types):
            assert any(hasattr(home, name) for home in homes), (name, modules)
