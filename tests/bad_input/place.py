"""The folder of a case, with what it may hold: an acquisition, a stack, a volume, an atlas of mistakes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from cloudreg_io.fields import Shading
from support.colm_folders import Colm
from support.imaged import image_brain, tiny_spec
from support.small_volumes import write_volume


@dataclass(frozen=True, slots=True)
class Place:
    """An empty folder that a case fills; commands are typed in it.

    Attributes
    ----------
    folder : Path
    stock : Path
        Where things that take long to make are kept from case to case.
    s3 : object
        An empty bucket on a loopback server, where the case needs one; see `conftest`.
    """

    folder: Path
    stock: Path
    s3: Any = None

    @property
    def acq(self) -> Path:
        """Where acquisitions are made."""
        return self.folder / "ACQ"

    def colm(self, **changes) -> Colm:
        """ACQ: a COLM acquisition of constant tiny planes, 2 × 3 tiles of 4 planes of 20 × 16, 2 channels."""
        return Colm(self.acq, **changes).write()

    def brain(self, **changes) -> Path:
        """ACQ: three tiles of a phantom brain that can be aligned; made once, then copied."""
        made = self.stock / ("brain" + "".join(f"-{key}-{value}" for key, value in sorted(changes.items())))
        if not made.exists():
            image_brain(made, tiny_spec(**{"columns": 3, **changes}))
        shutil.copytree(made, self.acq)
        return self.acq

    def stack(self, planes=4, shape=(16, 20), dtype="uint16", name="img_{:03d}.tif", **options) -> Path:
        """STACK: a folder of numbered planes."""
        stack = self.folder / "STACK"
        stack.mkdir()
        for z in range(planes):
            tifffile.imwrite(stack / name.format(z), np.full(shape, z + 1, dtype), metadata=None, **options)
        return stack

    def volume(self, name="VOLUME", size=(60, 50, 20), **plan) -> Path:
        """VOLUME: a precomputed volume of three mips in chunks of 32 × 32 × 8."""
        made = self.folder / name
        array = _noise(size)
        with self.making() as scratch:
            write_volume(scratch, array, (2, 2, 4), url=made, chunk=(32, 32, 8), smallest=16, **plan)
        return made

    def chunk(self, volume: Path, mip=0) -> Path:
        """The last chunk of a level of a volume."""
        key = json.loads((volume / "info").read_text())["scales"][mip]["key"]
        return max((volume / key).iterdir())

    def shading(self, flat, background=100.0) -> Path:
        """FLAT.tif: a shading file with any flat-field, also one that `Shading` would refuse."""
        flat = np.asarray(flat, np.float32)
        path = self.folder / "FLAT.tif"
        pages = np.stack([flat, np.full_like(flat, background)])
        tifffile.imwrite(path, pages, photometric="minisblack", metadata=None)
        return path

    @contextmanager
    def making(self) -> Iterator[Path]:
        """A folder for what is left over when something is made."""
        folder = self.folder / "making"
        folder.mkdir()
        yield folder
        shutil.rmtree(folder)

    def text(self, name: str, content: str) -> Path:
        """A text file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path


def good_shading(shape=(16, 20)) -> np.ndarray:
    """A flat-field that can be applied."""
    slope = np.linspace(0.8, 1.2, shape[1], dtype=np.float32)
    return Shading.normalised(np.broadcast_to(slope, shape)).flat


@cache
def _noise(size) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4000, size[::-1], np.uint16)
