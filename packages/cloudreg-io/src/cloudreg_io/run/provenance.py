"""Provenance: which commands made an OUT folder, with which options, inputs, versions, and at what cost.

`OUT/provenance.json` holds one entry a command; a command that goes on after a crash updates its own entry.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cloudreg_io.errors import InputError
from cloudreg_io.files.atomic import write_json
from cloudreg_io.run.journal import StageKey, StageRecord

_PACKAGES = (
    "cloudreg-io",
    "cloudreg-correct",
    "cloudreg-stitch",
    "cloudreg-register",
    "cloudreg-viz",
    "cloudreg-cli",
    "numpy",
    "cloud-volume",
    "tifffile",
    "imagecodecs",
    "numba",
    "scipy",
    "SimpleITK",
    "mpi4py",
)


class Provenance:
    """The entry of one command in `provenance.json`.

    Parameters
    ----------
    path : Path
        The file.
    command : str
    options, inputs : mapping
        What identifies the command; the same command goes on in its own entry.
    """

    def __init__(self, path: Path, command: str, options: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
        self._path = path
        self._entries = _load(path)
        identity = json.loads(json.dumps({"command": command, "options": options, "inputs": inputs}))
        for entry in self._entries:
            if all(entry.get(key) == value for key, value in identity.items()):
                self._entry = entry
                break
        else:
            self._entry = {**identity, "stages": [], "warnings": []}
            self._entries.append(self._entry)
        where = {"typed": typed(), "typed_in": working_folder(), "out": str(path.parent)}
        self._entry |= {"versions": versions(), **where}
        self._entry.setdefault("complete", False)  # a refusal does not undo what is complete
        self.save()

    def warn(self, text: str) -> None:
        """Add a warning, once."""
        if text not in self._entry["warnings"]:
            self._entry["warnings"].append(text)
            self.save()

    def stage(self, key: StageKey, record: StageRecord, seconds: float) -> None:
        """Add or replace the figures of a stage; `seconds` of wall time add to those of earlier runs."""
        name, channel = key
        self._entry["complete"] = False
        stages = self._entry["stages"]
        known = next((s for s in stages if (s["name"], s["channel"]) == key), None)
        figures = asdict(record.cost) | {
            "name": name,
            "channel": channel,
            "seconds": (known["seconds"] if known else 0.0) + seconds,
            "units": len(record.results),
            "units_repeated": record.repeated,
        }
        if known:
            known.update(figures)
        else:
            stages.append(figures)
        self.save()

    def require(self, key: StageKey, record: StageRecord) -> None:
        """Add the figures of a finished stage that no command tells: one was killed before it could."""
        wanted = {"name": key[0], "channel": key[1], "units": len(record.results)}
        told = (stage for entry in self._entries for stage in entry["stages"])
        if not any(wanted.items() <= stage.items() for stage in told):
            self.stage(key, record, 0.0)

    def complete(self) -> None:
        """The command has done all of its work."""
        self._entry["complete"] = True
        self.save()

    def save(self) -> None:
        """Write the file, by rename."""
        write_json(self._path, {"commands": self._entries})


def typed() -> str:
    """The command line, when this process is one of CloudReg's scripts; what to type to go on."""
    script = Path(sys.argv[0]).name
    return shlex.join([script, *sys.argv[1:]]) if script.startswith("cloudreg") else ""


def working_folder() -> str:
    """Where this process was started; "" when that was deleted since."""
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return ""


def versions() -> dict[str, str]:
    """Installed versions of CloudReg's packages and of what its results depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _load(path: Path) -> list[dict[str, Any]]:
    try:
        commands = json.loads(path.read_text())["commands"]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a provenance file: {error}", fix="move it away, or choose another OUT folder"
        ) from error
    if not isinstance(commands, list):
        raise InputError(f'{path}: "commands" is not a list', fix="move it away, or choose another OUT folder")
    return commands
