"""Atlas: a template, its labels and its table of structures, wherever they come from.

Files and precomputed volumes by path or address, BrainGlobe's atlases by name, and without any choice the Allen
Reference Atlas in the public bucket that CloudReg has always used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cloudreg_io.errors import InputError, NotFoundError, RemoteError
from cloudreg_io.files.structures import StructureTree, read_structures
from cloudreg_io.space import Orientation, VoxelSize
from cloudreg_register.atlases.allen import require_template_orientation
from cloudreg_register.images.image import Image, load_image
from cloudreg_register.images.places import is_file
from cloudreg_register.images.plausible import as_label_ids, require_same_extent

ALLEN_TEMPLATE = "s3://open-neurodata/ara_2016/sagittal_50um/average_50um"
ALLEN_LABELS = "s3://open-neurodata/ara_2016/sagittal_10um/annotation_10um_2017"
ALLEN_ORIENTATION = "PIR"
PREFIX = "brainglobe:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(um|mm|nm)", re.ASCII)  # allen_mouse_25um, mpin_zfish_1um


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """What a registration needs of an atlas.

    Attributes
    ----------
    name : str
    template : str or [z, y, x]
        A place that `load_image` reads, or voxels.
    orientation : Orientation
        Of the template and the labels.
    labels : str or [z, y, x], optional
    structures : StructureTree, optional
    voxel_size : VoxelSize, optional
        In place of what the files say; needed for arrays.
    is_allen : bool
        The orientation is to be checked against the volume itself.
    """

    name: str
    template: str | NDArray[Any]
    orientation: Orientation
    labels: str | NDArray[Any] | None = None
    structures: StructureTree | None = None
    voxel_size: VoxelSize | None = None
    is_allen: bool = False

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Say what else can be done where the bucket of the default atlas cannot be reached.

        Raises
        ------
        RemoteError
        """
        try:
            yield
        except (NotFoundError, RemoteError) as error:
            if not self.is_allen or not error.what.startswith("s3://"):
                raise
            raise RemoteError(
                error.what,
                why=f"without --atlas the {self.name} is read from a public bucket",
                fix=f"{error.fix}; or give an atlas that lies here: --atlas FILE --labels FILE "
                f"--atlas-orientation CODE. Of this one ({self.orientation}), where there is a network, a file is "
                f"made by cloudreg download {self.template} ATLAS.nrrd --voxel-size 50",
            ) from error

    def load_template(self, resolution_um: float | None, memory: int | None = None) -> Image:
        """The template at voxels no larger than a resolution.

        Raises
        ------
        NotFoundError, InputError, ToolError
            As `load_image`; also when the Allen template is not oriented as stated.
        """
        image = self._load(self.template, resolution_um, False, memory)
        if self.is_allen:
            require_template_orientation(image)
        return image

    def load_labels(
        self, resolution_um: float | None, template: Image | None = None, memory: int | None = None
    ) -> Image:
        """The labels, at their finest where `resolution_um` is None.

        Parameters
        ----------
        resolution_um : float or None
        template : Image, optional
            Whose extent they must have.
        memory : int, optional

        Raises
        ------
        NotFoundError, InputError, ToolError
            As `load_image`; also for an atlas without labels, or labels of another extent.
        """
        if self.labels is None:
            raise InputError(f"the atlas {self.name} has no labels", fix="give them: --labels PATH")
        image = self._load(self.labels, resolution_um, True, memory)
        if template is not None:
            require_same_extent(template.mip0, image.mip0, template.name, image.name)
        return image

    def _load(
        self, place: str | NDArray[Any], resolution_um: float | None, labels: bool, memory: int | None
    ) -> Image:
        if isinstance(place, str):
            return load_image(
                place,
                resolution_um=resolution_um,
                orientation=self.orientation,
                voxel_size=self.voxel_size,
                labels=labels,
                memory=memory,
            )
        if self.voxel_size is None:
            raise InputError(f"the atlas {self.name} is an array without voxel size")
        array = as_label_ids(place, self.name) if labels else place
        image = Image.of_array(array, self.voxel_size, self.orientation, self.name)
        if resolution_um is not None:
            image = image.resampled(resolution_um, labels=labels)
        return image if labels else replace(image, array=image.array.astype("float32", copy=False))


def find_atlas(
    atlas: str | None = None,
    *,
    labels: str | None = None,
    structures: str | None = None,
    orientation: str | None = None,
    voxel_size: Sequence[float] | VoxelSize | None = None,
    brainglobe_folder: Path | None = None,
) -> Atlas:
    """The atlas that a user means.

    Parameters
    ----------
    atlas : str, optional
        A precomputed volume or file; the name of one of BrainGlobe's atlases (`allen_mouse_25um`, or
        `brainglobe:NAME` where a folder of that name lies here too). Without it the Allen Reference Atlas.
    labels, structures : str, optional
        In place of what the atlas brings along.
    orientation : str, optional
        Of template and labels; needed for files and volumes, which do not say it.
    voxel_size : (x, y, z) float, optional
        Of template and labels, in µm, where the files do not say it or are wrong.
    brainglobe_folder : Path, optional
        Where BrainGlobe keeps its atlases; by default what its configuration says.

    Raises
    ------
    InputError, NotFoundError
        No orientation for files; a table of structures that is none.
    ToolError
        A BrainGlobe atlas that is not here, and no brainglobe-atlasapi to fetch it.
    """
    found = _found(atlas, orientation, brainglobe_folder)
    if orientation is not None:
        found = replace(found, orientation=Orientation(orientation), is_allen=False)
    if voxel_size is not None:
        found = replace(found, voxel_size=VoxelSize.of(voxel_size))
    if labels is not None:
        found = replace(found, labels=labels)
    if structures is not None:
        found = replace(found, structures=read_structures(structures))
    return found


def _found(atlas: str | None, orientation: str | None, brainglobe_folder: Path | None) -> Atlas:
    if atlas is None:
        code = Orientation(ALLEN_ORIENTATION)
        return Atlas("Allen Reference Atlas", ALLEN_TEMPLATE, code, ALLEN_LABELS, is_allen=True)
    if is_brainglobe_name(atlas):
        from cloudreg_register.atlases.brainglobe import brainglobe_atlas

        return brainglobe_atlas(atlas.removeprefix(PREFIX), brainglobe_folder)
    if orientation is None:
        raise InputError(
            f"which way do the axes of {atlas} grow?",
            why="neither files nor volumes say it in a way that can be trusted",
            fix="--atlas-orientation CODE, for x, y and z one of L or R, P or A, S or I; PIR for the Allen atlas",
        )
    return Atlas(atlas, atlas, Orientation(orientation))


def is_brainglobe_name(atlas: str) -> bool:
    """Whether a text is the name of an atlas, not a place: it looks like one, and nothing here is called so."""
    if atlas.startswith(PREFIX):
        return True
    is_name = _NAME.fullmatch(atlas) is not None and not is_file(atlas)
    return is_name and not Path(atlas).exists()
