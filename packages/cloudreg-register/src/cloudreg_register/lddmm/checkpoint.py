"""Checkpoint: the state of a registration in a file, from which it goes on to the same bits."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cloudreg_io.errors import InputError
from cloudreg_io.files.atomic import atomic_path
from cloudreg_register.lddmm.descent import Move, State, Step
from cloudreg_register.lddmm.objective import Belief, Map
from cloudreg_register.lddmm.weights import Mixture

_AGAIN = "delete it: the work begins again"


def save(path: Path, state: State, key: str) -> None:
    """Write a state, atomically. `key` says of which inputs and options it is."""
    tensors = {"velocity": state.at.velocity, "affine": state.at.affine}
    value: dict[str, Any] = {
        "level": state.level,
        "iteration": state.iteration,
        "damping": state.damping,
        "small": state.small,
        "streak": state.streak,
        "history": [asdict(step) for step in state.history],
    }
    if state.last is not None:
        tensors |= {"last_velocity": state.last.velocity, "last_affine": state.last.affine}
    if state.belief is not None:
        tensors["tissue"] = state.belief.tissue
        value["mixture"] = asdict(state.belief.mixture)
    write_kept(path, key, value, tensors)


def load(path: Path, key: str, device: torch.device) -> State | None:
    """Read a state onto a device; None when there is none, or it is of other inputs or options.

    Raises
    ------
    InputError
        The file is damaged.
    """
    kept = read_kept(path, key)
    return None if kept is None else _state(*kept, device)


def write_kept(path: Path, key: str, value: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write a JSON value and tensors into a file that is whole or absent."""
    arrays: dict[str, Any] = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    # straight into the file: the bytes of a large state are not held twice
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, value=np.array(json.dumps({**value, "key": key})), **arrays)


def read_kept(path: Path, key: str) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """What `write_kept` wrote with the same key, if anything; tensors on the processor.

    Raises
    ------
    InputError
        The file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            value: dict[str, Any] = json.loads(str(file["value"]))
            if value.pop("key") != key:
                return None
            return value, {name: torch.from_numpy(file[name]) for name in file.files if name != "value"}
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(
            f"{path}: a checkpoint that cannot be read: {error.strerror or error}", fix=_AGAIN
        ) from error
    except (ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:  # whose words recommend to unpickle it
        raise InputError(f"{path} is a checkpoint that is damaged, or none", fix=_AGAIN) from error


def _state(value: dict[str, Any], tensors: dict[str, Tensor], device: torch.device) -> State:
    belief = None
    if "mixture" in value:
        mixture: dict[str, Any] = {
            name: tuple(part) if isinstance(part, list) else part for name, part in value["mixture"].items()
        }
        belief = Belief(tensors["tissue"].to(device), Mixture(**mixture))
    last = None
    if "last_velocity" in tensors:
        last = Move(tensors["last_velocity"].to(device), tensors["last_affine"])
    return State(
        level=value["level"],
        iteration=value["iteration"],
        at=Map(tensors["velocity"].to(device), tensors["affine"]),
        belief=belief,
        damping=value["damping"],
        small=value["small"],
        last=last,
        streak=value["streak"],
        history=tuple(Step(**step) for step in value["history"]),
    )
