"""Option groups: options that several commands have, declared once, as the fields of a dataclass.

::

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Grid:
        size: Annotated[int, typer.Option(help="Voxels.")] = 64

    @with_groups()
    def make(out: Path, grid: Grid, jobs: JobsOption = 1) -> None: ...

The command has one parameter for the group; its command line has an option for each field, in that place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, get_args, get_origin, get_type_hints

Command = Callable[..., None]


def with_groups(**headings: str) -> Callable[[Command], Command]:
    """Show a command to typer with the fields of its groups, the parameters that are dataclasses, as options.

    Parameters
    ----------
    **headings : str
        By the name of a group: under which heading of the help those of its options stand that name none.
    """

    def shown(command: Command) -> Command:
        hints = get_type_hints(command, include_extras=True)
        groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}

        @wraps(command)
        def called(**given: Any) -> None:
            for name, group in groups.items():
                given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
            command(**given)

        signature = inspect.signature(command)
        parameters: list[inspect.Parameter] = []
        for name, parameter in signature.parameters.items():
            if name in groups:
                parameters += _options(groups[name], headings.get(name))
            else:
                parameters.append(parameter.replace(annotation=hints[name], kind=parameter.KEYWORD_ONLY))
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del called.__dict__["__wrapped__"]  # else what looks at the command sees through to the groups
        vars(called)["__signature__"] = signature.replace(parameters=parameters)
        return called

    return shown


def _options(group: Any, heading: str | None) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    for field in fields(group):
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        hint = hints[field.name] if heading is None else _headed(hints[field.name], heading)
        yield inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _headed(hint: Any, heading: str) -> Any:
    if get_origin(hint) is not Annotated:
        return hint
    kind, option = get_args(hint)
    option = copy(option)
    option.rich_help_panel = option.rich_help_panel or heading
    return Annotated[kind, option]
