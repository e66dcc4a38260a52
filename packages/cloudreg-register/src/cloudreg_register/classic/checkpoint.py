"""Classic checkpoint: the state of the original's schedule in a file, from which it goes on to the same bits."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from cloudreg_register.classic.schedule import ClassicState
from cloudreg_register.lddmm.checkpoint import read_kept, write_kept
from cloudreg_register.lddmm.descent import Step


def save(path: Path, state: ClassicState, key: str) -> None:
    """Write a state, atomically. `key` says of which inputs and options it is."""
    value = {
        "artifact": state.artifact,
        "background": state.background,
        "history": [asdict(step) for step in state.history],
    }
    tensors = {"velocity": state.velocity, "affine": state.affine, "contrast": state.contrast.scaled}
    write_kept(path, key, value, tensors)


def load(path: Path, key: str, start: ClassicState) -> ClassicState | None:
    """Read a state; None when there is none, or it is of other inputs or options.

    Parameters
    ----------
    path : Path
    key : str
    start : ClassicState
        The one that the work begins with: on its device, with its contrast's domain.

    Raises
    ------
    InputError
        The file is damaged.
    """
    kept = read_kept(path, key)
    if kept is None:
        return None
    value, tensors = kept
    return ClassicState(
        tensors["velocity"].to(start.velocity),
        tensors["affine"],
        replace(start.contrast, scaled=tensors["contrast"].to(start.contrast.scaled)),
        value["artifact"],
        value["background"],
        tuple(Step(**step) for step in value["history"]),
    )
