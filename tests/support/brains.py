"""A small brain to register, as files: a phantom at 600 µm, deformed, with its atlas, labels and structures."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cloudreg_io.files.structures import StructureTree, structures_csv
from cloudreg_io.synthetic import make_phantom, make_registration_case, random_deformation
from cloudreg_register.stage.choice import Choice

EDGE = 600.0
SIZE = (18, 22, 16)


@dataclass(frozen=True)
class Brain:
    """The folder of the files, and what was made."""

    folder: Path
    case: object

    def place(self, name):
        return str(self.folder / f"{name}.nrrd")

    def words(self):
        """The command line after `register TARGET OUT`: as few steps as show that it works."""
        return [
            *("--atlas", self.place("atlas"), "--labels", self.place("labels")),
            *("--structures", self.folder / "structures.csv"),
            *("--orientation", "LPS", "--atlas-orientation", "LPS"),
            *("--resolution", EDGE, "--iterations", 2, 2, 2),
        ]

    def choice(self, **changes):
        """The same as a `Choice`."""
        given = {
            "orientation": "LPS",
            "atlas": self.place("atlas"),
            "labels": self.place("labels"),
            "structures": str(self.folder / "structures.csv"),
            "atlas_orientation": "LPS",
            "resolution": EDGE,
            "iterations": (2, 2, 2),
        }
        return Choice(**(given | changes))


def make_brain(folder: Path) -> Brain:
    phantom = make_phantom(SIZE, (EDGE,) * 3, seed=4)
    case = make_registration_case(
        phantom.atlas(),
        phantom.labels(),
        (EDGE,) * 3,
        3,
        orientation="LPS",
        deformation=random_deformation(phantom.grid, 3, 300, scale_um=3000),
    )
    case.save(folder)
    (folder / "structures.csv").write_text(structures_csv(StructureTree(phantom.structures)))
    lines = [
        [f"{x},{y},{z},p{i}" for i, (x, y, z) in enumerate(points[:12])]
        for points in (case.landmarks_atlas, case.landmarks_target)
    ]
    for name, points in zip(("atlas", "target"), lines, strict=True):
        (folder / f"{name}.csv").write_text("x,y,z,name\n" + "\n".join(points) + "\n")
    assert np.ptp(case.target) > 0
    return Brain(folder, case)
