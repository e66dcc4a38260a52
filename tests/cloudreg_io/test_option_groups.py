"""Option groups: a command shows the fields of a dataclass as its own options."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from cloudreg_io.option_groups import with_groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    size: Annotated[tuple[int, int], typer.Option(metavar="X Y", help="Of the box.")]
    colour: Annotated[str, typer.Option(rich_help_panel="Paint")] = "red"
    tall: Annotated[bool, typer.Option("--tall", help="Upright.")] = False


@pytest.fixture
def call():
    seen = []

    @with_groups(box="The box")
    def make(context: typer.Context, name: str, *, box: Box, jobs: Annotated[int, typer.Option("-j")] = 1) -> None:
        """Make a box."""
        seen.append((context.info_name, name, box, jobs))

    def called(*args):
        app = typer.Typer(pretty_exceptions_enable=False)
        app.command()(make)
        done = CliRunner().invoke(app, list(args))
        return done, seen

    called.command = make
    return called


def test_fields_are_options_in_the_place_of_the_group(call):
    assert list(inspect.signature(call.command).parameters) == [
        "context",
        "name",
        "size",
        "colour",
        "tall",
        "jobs",
    ]
    done, seen = call("a", "--size", "2", "3", "--tall", "-j", "4")
    assert done.exit_code == 0, done.output
    assert seen == [("make", "a", Box(size=(2, 3), colour="red", tall=True), 4)]


def test_a_field_without_default_must_be_given(call):
    done, seen = call("a")
    assert done.exit_code == 2
    assert not seen


def test_the_heading_is_that_of_the_command_alone(call):
    said = call("--help")[0].output
    assert "The box" in said
    assert "Paint" in said  # one that an option names itself stays

    @with_groups()
    def plain(*, box: Box) -> None: ...

    app = typer.Typer()
    app.command()(plain)
    said = CliRunner().invoke(app, ["--help"]).output
    assert "Of the box." in said
    assert "The box" not in said
