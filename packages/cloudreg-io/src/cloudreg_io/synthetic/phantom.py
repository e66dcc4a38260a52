"""The phantom brain: scenes to image, and what is known about them: labels, atlas, structures, beacons.

Orientation LPS: x grows to the left, y to posterior, z to superior. All of it follows from `seed` and the
size alone. The atlas shows the same anatomy without cells, texture and beacons, and with other contrast, as
an average template differs from one cleared brain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError
from cloudreg_io.files.structures import Structure
from cloudreg_io.space import Grid, VoxelSize, vector3
from cloudreg_io.synthetic.anatomy import CORTEX, EDGE, LOBES, NUCLEI, SURFACE, Anatomy, Look
from cloudreg_io.synthetic.blobs import Blobs
from cloudreg_io.synthetic.scene import BrainScene
from cloudreg_io.synthetic.texture import Texture

Float64 = NDArray[np.float64]

ORIENTATION = "LPS"

# channel 0: autofluorescence; channel 1: a label that shows cells; further channels alternate
_AUTOFLUORESCENCE = Look(
    lobes={"CTX": 0.95, "OB": 1.15, "CB": 1.25, "BS": 0.80},
    cortex=0.25,
    nuclei={"STR": 1.20, "TH": 0.85, "HIP": 1.35, "VL": 0.06, "DN": 0.70, "INJ": 1.10},
)
_SIGNAL = Look(
    lobes={"CTX": 0.55, "OB": 0.75, "CB": 0.45, "BS": 0.65},
    cortex=0.55,
    nuclei={"STR": 0.40, "TH": 0.95, "HIP": 0.75, "VL": 0.05, "DN": 0.90, "INJ": 1.80},
)
_ATLAS = Look(
    lobes={"CTX": 0.60, "OB": 0.75, "CB": 0.90, "BS": 0.55},
    cortex=0.50,
    nuclei={"STR": 0.80, "TH": 0.45, "HIP": 1.00, "VL": 0.02, "DN": 0.40, "INJ": 0.62},
)
# per kind of channel: relative contrast of the texture, how many of the cells show, their brightness
_KINDS = ((_AUTOFLUORESCENCE, 1.0, 0.15, 0.6), (_SIGNAL, 0.8, 1.0, 1.0))

_NAMES = {
    "CTX": "Cerebrum",
    "CTXc": "Cortex",
    "CTXd": "White matter and deep cerebrum",
    "OB": "Olfactory bulb",
    "CB": "Cerebellum",
    "BS": "Brain stem",
    "STR": "Striatum",
    "TH": "Thalamus",
    "HIP": "Hippocampus",
    "VL": "Lateral ventricle",
    "DN": "Deep cerebellar nucleus",
    "INJ": "Injection site",
}
_PARENTS = {"CTXc": "CTX", "CTXd": "CTX", "STR": "CTX", "HIP": "CTX", "TH": "BS", "DN": "CB", "INJ": "CTX"}
# real ontologies have ids that float32 cannot hold: so has this one
_LARGE_ID = 614454000
ROOT = 1


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A brain whose every value is known.

    Attributes
    ----------
    grid : Grid
        The full-resolution grid: physical 0 is the centre of voxel 0.
    seed : int
    anatomy : Anatomy
    texture : Texture
    contrast : float
        Standard deviation of the texture relative to the tissue.
    cells : Blobs
        In random order of brightness; a channel shows all of them or some.
    beacons : Blobs
        A few very bright blobs, seen in every channel: landmarks for pictures.
    """

    grid: Grid
    seed: int
    anatomy: Anatomy
    texture: Texture
    contrast: float
    cells: Blobs
    beacons: Blobs

    @property
    def orientation(self) -> str:
        """The direction in which x, y and z grow."""
        return ORIENTATION

    def scene(self, channel: int = 0) -> BrainScene:
        """What a channel sees: even channels autofluorescence, odd ones a label that shows the cells."""
        look, contrast, share, brightness = _KINDS[channel % 2]
        shown = np.random.default_rng([self.seed, 5]).random(len(self.cells)) < share
        cells = Blobs(
            self.cells.centres[shown], self.cells.sigmas[shown], brightness * self.cells.amplitudes[shown]
        )
        return BrainScene(
            self.grid.size, self.anatomy, look, self.texture, contrast * self.contrast, cells + self.beacons
        )

    def atlas(self, grid: Grid | None = None) -> NDArray[np.float32]:
        """The atlas image [z, y, x] on `grid` (default: full resolution)."""
        x, y, z = self._unit_axes(grid or self.grid)
        image = np.zeros((z.size, y.size, x.size), np.float32)
        planes = self.anatomy.on(x, y, _ATLAS)
        for plane, depth in zip(image, z, strict=True):
            rows, columns = planes.box(depth)
            tissue = planes.at(depth, rows, columns)
            if tissue is not None:
                plane[rows, columns] = tissue
        return image

    def labels(self, grid: Grid | None = None) -> NDArray[np.uint32]:
        """Structure ids [z, y, x] on `grid` (default: full resolution); 0 outside the brain."""
        x, y, z = self._unit_axes(grid or self.grid)
        image = np.zeros((z.size, y.size, x.size), np.uint32)
        for index, depth in enumerate(z):
            image[index] = self._label_plane(x, y, float(depth))
        return image

    @property
    def structures(self) -> tuple[Structure, ...]:
        """The structure table, parents before children; every id in `labels` is in it."""
        return _structures()

    def _unit_axes(self, grid: Grid) -> tuple[Float64, Float64, Float64]:
        x, y, z = (
            (axis - corner) / extent
            for axis, corner, extent in zip(grid.axes(), self.grid.corner, self.grid.extent, strict=True)
        )
        return x, y, z

    def _label_plane(self, x: Float64, y: Float64, z: float) -> NDArray[np.uint32]:
        ids = {structure.acronym: structure.id for structure in self.structures}
        values = self.anatomy.lobe_planes(x, y, z)
        form = values.sum(axis=0)
        lobes = self.anatomy.lobes
        deep = np.array([ids[_acronym(_DEEP.get(lobe.region, lobe.region), lobe.side)] for lobe in lobes])
        rim = np.array([ids[_acronym(_RIM.get(lobe.region, lobe.region), lobe.side)] for lobe in lobes])
        owner = values.argmax(axis=0)
        plane = np.where(form > CORTEX, deep[owner], rim[owner])
        for nucleus in self.anatomy.nuclei:
            plane[nucleus.square(x, y, z) < 1] = ids[_acronym(nucleus.region, nucleus.side)]
        # half-way up the soft edge, where the scene is half as bright as inside
        plane[form <= SURFACE + EDGE / 2] = 0
        return np.asarray(plane, np.uint32)


_DEEP, _RIM = {"CTX": "CTXd"}, {"CTX": "CTXc"}


def make_phantom(
    size: tuple[int, int, int],
    voxel_size: VoxelSize | tuple[float, float, float] = (5.0, 5.0, 5.0),
    seed: int = 0,
    *,
    texture: float = 0.25,
    cells: float = 3e-5,
    beacons: int = 6,
) -> Phantom:
    """Make a phantom brain.

    Parameters
    ----------
    size : (x, y, z) int
        Voxels of the full-resolution grid; the brain fills it but for a rim of 5–10 %.
    voxel_size : VoxelSize or (x, y, z) float
        In µm.
    seed : int
        Of shape, texture and cells; another seed is another animal.
    texture : float
        Standard deviation of the texture relative to the tissue (wavelengths of 2.3 to 40 voxels).
    cells : float
        Cells per voxel.
    beacons : int
        Number of very bright blobs.

    Raises
    ------
    InputError
        When an argument is out of range.
    """
    if min(size) < 8 or seed < 0 or not 0 <= texture <= 0.5 or cells < 0 or beacons < 0:
        raise InputError(
            f"no phantom of size {size}, seed {seed}, texture {texture}, cells {cells}, beacons {beacons}",
            fix="size >= 8 on each axis, 0 <= texture <= 0.5, nothing negative",
        )
    grid = Grid(size, vector3(VoxelSize.of(voxel_size)))
    anatomy = Anatomy.random(seed)
    return Phantom(
        grid,
        seed,
        anatomy,
        Texture.random([seed, 2]),
        texture,
        _make_cells(size, anatomy, cells, seed),
        _make_beacons(size, anatomy, beacons, seed),
    )


def _make_cells(size: tuple[int, int, int], anatomy: Anatomy, density: float, seed: int) -> Blobs:
    rng = np.random.default_rng([seed, 3])
    unit = rng.random((round(density * float(np.prod(size))), 3))
    unit = unit[anatomy.inside(unit)]
    sigmas = rng.uniform((0.9, 0.9, 0.8), (1.9, 1.9, 1.6), unit.shape)
    return Blobs.of(unit * size - 0.5, sigmas, np.exp(rng.normal(np.log(2.5), 0.5, len(unit))))


def _make_beacons(size: tuple[int, int, int], anatomy: Anatomy, count: int, seed: int) -> Blobs:
    """Spread over the tissue, no two close together."""
    rng = np.random.default_rng([seed, 4])
    chosen: list[Float64] = []
    while len(chosen) < count:
        candidates = rng.uniform(0.15, 0.85, (64, 3))
        candidates = candidates[anatomy.inside(candidates)]
        distance = [min((float(np.linalg.norm(c - k)) for k in chosen), default=1.0) for c in candidates]
        chosen.append(candidates[int(np.argmax(distance))])
    unit = np.array(chosen).reshape(-1, 3)
    sigma = np.clip(np.array(size) / 200, 1.2, 4.0)
    return Blobs.of(unit * size - 0.5, np.broadcast_to(sigma, unit.shape).copy(), np.full(len(unit), 12.0))


def _acronym(region: str, side: str) -> str:
    return f"{region}-{side[0]}" if side else region


def _structures() -> tuple[Structure, ...]:
    sides: dict[str, list[str]] = {}
    for part in (*LOBES, *NUCLEI):
        for region in ("CTXc", "CTXd") if part.region == "CTX" else (part.region,):
            known = sides.setdefault(region, [])
            if part.side and part.side not in known:
                known.append(part.side)
    regions = ["CTX", *(r for r in _NAMES if r != "CTX")]
    number = {region: 10 * (index + 1) for index, region in enumerate(regions)} | {"INJ": _LARGE_ID}
    table = [Structure(ROOT, "root", "root", None)]
    table += [Structure(number[r], r, _NAMES[r], number.get(_PARENTS.get(r, ""), ROOT)) for r in regions]
    table += [
        Structure(number[r] + 1 + i, _acronym(r, side), f"{_NAMES[r]}, {side}", number[r])
        for r in regions
        for i, side in enumerate(sides.get(r, []))
    ]
    return tuple(table)
