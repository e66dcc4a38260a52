"""Checkpoint: the state of a registration in a file, from which it goes on to the same bits."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cloudreg_io.errors import InputError
from cloudreg_io.files.atomic import write_bytes
from cloudreg_register.lddmm.descent import Move, State, Step
from cloudreg_register.lddmm.objective import Belief, Map
from cloudreg_register.lddmm.weights import Mixture


def save(path: Path, state: State, key: str) -> None:
    """Write a state, atomically. `key` says of which inputs and options it is."""
    arrays: dict[str, Any] = {"velocity": state.at.velocity.cpu().numpy(), "affine": state.at.affine.numpy()}
    value: dict[str, Any] = {
        "key": key,
        "level": state.level,
        "iteration": state.iteration,
        "damping": state.damping,
        "small": state.small,
        "streak": state.streak,
        "history": [asdict(step) for step in state.history],
    }
    if state.last is not None:
        arrays |= {"last_velocity": state.last.velocity.cpu().numpy(), "last_affine": state.last.affine.numpy()}
    if state.belief is not None:
        arrays["tissue"] = state.belief.tissue.cpu().numpy()
        value["mixture"] = asdict(state.belief.mixture)
    stream = io.BytesIO()
    np.savez(stream, value=np.array(json.dumps(value)), **arrays)
    write_bytes(path, stream.getvalue())


def load(path: Path, key: str, device: torch.device) -> State | None:
    """Read a state onto a device; None when there is none, or it is of other inputs or options.

    Raises
    ------
    InputError
        The file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            value = json.loads(str(file["value"]))
            arrays = {name: torch.from_numpy(file[name]) for name in file.files if name != "value"}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(
            f"{path}: a checkpoint that cannot be read: {error}", fix="delete it: the work begins again"
        ) from error
    return _state(value, arrays, device) if value["key"] == key else None


def _state(value: dict[str, Any], arrays: dict[str, torch.Tensor], device: torch.device) -> State:
    belief = None
    if "mixture" in value:
        mixture: dict[str, Any] = {
            name: tuple(part) if isinstance(part, list) else part for name, part in value["mixture"].items()
        }
        belief = Belief(arrays["tissue"].to(device), Mixture(**mixture))
    last = None
    if "last_velocity" in arrays:
        last = Move(arrays["last_velocity"].to(device), arrays["last_affine"])
    return State(
        level=value["level"],
        iteration=value["iteration"],
        at=Map(arrays["velocity"].to(device), arrays["affine"]),
        belief=belief,
        damping=value["damping"],
        small=value["small"],
        last=last,
        streak=value["streak"],
        history=tuple(Step(**step) for step in value["history"]),
    )
