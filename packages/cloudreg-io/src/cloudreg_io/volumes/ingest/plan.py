"""What an ingest will do: the stack looked at, the volume planned; all checks come before any writing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cloudreg_io.errors import InputError
from cloudreg_io.files import store
from cloudreg_io.files.location import Location
from cloudreg_io.run.session import HIDDEN
from cloudreg_io.space import VoxelSize
from cloudreg_io.volumes.cascade import require_writable
from cloudreg_io.volumes.info import differences, parse_info
from cloudreg_io.volumes.ingest.conversion import Conversion, conversion_for
from cloudreg_io.volumes.ingest.series import Missing
from cloudreg_io.volumes.ingest.stack import Stack, open_stack
from cloudreg_io.volumes.spec import CHUNK, SMALLEST, Compression, Layer, VolumeSpec

_DIFFERENCES = 4  # shown of two infos: those of mip 0 come first


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How a volume is made from a stack.

    Attributes
    ----------
    voxel_size : VoxelSize, optional
        In µm; by default what the file's header says.
    layer : "image" or "segmentation", optional
        By default uint64 is a segmentation and everything else an image.
    dtype : str, optional
        Of the volume; by default that of the stack. Values that do not fit are an error.
    missing : "error" or "fill"
        What to do about planes that the numbering promises.
    nan_to : float, optional
        Replaces values that are not finite, which are an error otherwise.
    smallest, mips, chunk, compression, sharded
        See `VolumeSpec.plan`.
    """

    voxel_size: VoxelSize | None = None
    layer: Layer | None = None
    dtype: str | None = None
    missing: Missing = "error"
    nan_to: float | None = None
    smallest: int = SMALLEST
    mips: int | None = None
    chunk: Sequence[int] = CHUNK
    compression: Compression = "gzip"
    sharded: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON, for the provenance."""
        return asdict(self) | {"voxel_size": list(self.voxel_size) if self.voxel_size else None}


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """A stack and the volume that will be made of it.

    Attributes
    ----------
    source : Stack
    location : Location
    spec : VolumeSpec
    conversion : Conversion
    missing : "error" or "fill"
    """

    source: Stack
    location: Location
    spec: VolumeSpec
    conversion: Conversion
    missing: Missing

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that determines the volume, as JSON."""
        spec = self.spec
        return {
            "stack": self.source.fingerprint,
            "size": list(spec.size),
            "voxel_size_um": list(spec.voxel_size),
            "dtype": spec.dtype,
            "layer": spec.layer,
            "mips": [list(factor) for factor in spec.mips],
            "chunk": list(spec.chunk),
            "sharded": spec.sharded,
            "compression": spec.compression,
            "missing": self.missing,
            "nan_to": self.conversion.nan_to,
        }


def plan_ingest(stack: Path | str, url: str | Path | Location, options: IngestOptions | None = None) -> IngestPlan:
    """Look at a stack and plan its volume; nothing is written.

    Raises
    ------
    NotFoundError, InputError
        The stack cannot be used (every problem names the file), has no voxel size, or the volume cannot be made as
        the options want it, or would lie in the stack.
    """
    options, stack, location = options or IngestOptions(), Path(stack), Location.parse(url)
    source = open_stack(stack, missing=options.missing)
    _require_apart(stack, location)
    conversion = conversion_for(source.dtype, options.dtype, options.nan_to)
    voxel_size = options.voxel_size or source.voxel_size
    if voxel_size is None:
        raise InputError(f"{stack} does not say how large its voxels are", fix="--voxel-size X Y Z, in µm")
    spec = VolumeSpec.plan(
        source.size,
        voxel_size,
        conversion.dtype,
        layer=options.layer or ("segmentation" if conversion.dtype == "uint64" else "image"),
        mips=options.mips,
        smallest=options.smallest,
        chunk=options.chunk,
        compression=options.compression,
        sharded=options.sharded,
    )
    require_writable(spec)
    return IngestPlan(source, location, spec, conversion, options.missing)


def require_free(plan: IngestPlan, journal: Path) -> None:
    """Check that the place is not taken by a volume that nobody knows to be ours, before anything is made.

    Parameters
    ----------
    plan : IngestPlan
    journal : Path
        Folder of the run; what a journal there lists may be gone on with, or replaced.

    Raises
    ------
    InputError
        Saying how the volume that is there differs.
    """
    info = plan.location / "info"
    if (journal / HIDDEN).exists() or not store.exists(info):
        return
    differing = differences(parse_info(store.get(info), str(info)), plan.spec)
    more = f"; and {len(differing) - _DIFFERENCES} more" if len(differing) > _DIFFERENCES else ""
    raise InputError(
        f"{plan.location} holds a volume already, and no earlier command of {journal} made it; it differs in: "
        f"{'; '.join(differing[:_DIFFERENCES]) or 'nothing but, perhaps, its voxels'}{more}",
        fix="choose another folder, or move the volume away",
    )


def _require_apart(stack: Path, location: Location) -> None:
    if not location.is_file:
        return
    source, target = stack.resolve(), location.path.resolve()
    if target == source or (source.is_dir() and target.is_relative_to(source)):
        raise InputError(
            f"the volume {target} would lie in the stack {source}",
            why="raw data is never written to",
            fix="choose a folder elsewhere for the volume",
        )
