"""The steps of a correction, one function each, on files or arrays: for scripts and notebooks.

`correct_acquisition` and `correct_stitched` are the commands `correct tiles` and `correct volume`; the others
are what they are made of, for a few planes at hand. The README shows which function of the older CloudReg each
of them stands for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_correct.apply import BiasOfPlane, Clipped, correct_plane
from cloudreg_correct.background import estimate_background
from cloudreg_correct.layout import COMMAND, Layout
from cloudreg_correct.memory import CORRECT, bias_bytes, plane_bytes, shading_bytes, volume_bytes
from cloudreg_correct.shrink import shrink_planes
from cloudreg_correct.tiles import ChannelReport, TileOptions, correct_tiles, given_shadings
from cloudreg_correct.volume import VolumeOptions, VolumeReport, correct_volume, overview_samples, plan_correction
from cloudreg_io.errors import InputError
from cloudreg_io.fields import Bias, Shading
from cloudreg_io.files.location import Location
from cloudreg_io.files.tiff import read_plane, write_plane
from cloudreg_io.run import NO_PROGRESS, Progress, executor, open_run
from cloudreg_io.run.memory import Budget, Need
from cloudreg_io.space import Bounds
from cloudreg_io.space.grid import Grid
from cloudreg_io.tiles import StageAxes, open_acquisition
from cloudreg_io.tiles.stage import AS_TOLD
from cloudreg_io.volumes import Volume

Plane = NDArray[Any] | Path | str


def sum_planes(planes: Iterable[Plane]) -> NDArray[np.float64]:
    """Sum of planes of one shape, exact to 2⁵³ counts; only one is held at a time.

    Parameters
    ----------
    planes : iterable of [y, x] or paths of TIFFs

    Returns
    -------
    [y, x] float64

    Raises
    ------
    InputError
        When there is no plane or the shapes differ.
    """
    total: NDArray[np.float64] | None = None
    for plane in map(_array, planes):
        if total is None:
            total = np.zeros(plane.shape)
        if plane.shape != total.shape:
            raise InputError(f"planes of different shapes: {list(total.shape)} and {list(plane.shape)}")
        total += plane
    if total is None:
        raise InputError("no plane given")
    return total


def background_value(planes: Iterable[Plane]) -> float:
    """Counts where there is no light from the sample: one number for all pixels, in the raw planes' counts.

    Where no place is without tissue it is the darkest one in a thousand pixels of the darkest plane.

    Parameters
    ----------
    planes : iterable of [y, x] or paths of TIFFs
        Best with some empty ones among them.
    """
    return float(estimate_background(shrink_planes(map(_array, planes))).field.mean(dtype=np.float64))


def correct_tile(plane: Plane, shading: Shading | Path | str, out: Path | None = None) -> NDArray[Any]:
    """Correct one plane: (raw - background) / flat, rounded and clipped to its dtype.

    Parameters
    ----------
    plane : [y, x] or path of a TIFF
        Never written to.
    shading : Shading or path of a shading file
    out : Path, optional
        Where to write the result as TIFF.

    Returns
    -------
    [y, x]
        Of the plane's dtype.

    Raises
    ------
    InputError
        The shapes differ, or `out` is the file that was read.
    """
    if out is not None and isinstance(plane, str | Path) and out.resolve() == Path(plane).resolve():
        raise InputError(f"{out} would be overwritten", why="raw data is never changed", fix="another `out`")
    corrected, _ = correct_plane(_array(plane), _shading(shading))
    if out is not None:
        write_plane(out, corrected)
    return corrected


def correct_planes(paths: Sequence[Path], shading: Shading | Path | str, folder: Path) -> Clipped:
    """Correct TIFF planes into a folder, under their own names.

    Parameters
    ----------
    paths : sequence of Path
        No two of the same name.
    shading : Shading or path of a shading file
    folder : Path
        Made when absent.

    Returns
    -------
    Clipped
        Number of voxels below 0 and above the dtype's largest value.

    Raises
    ------
    InputError
        When two planes have the same name, or lie in `folder` already.
    """
    paths = [Path(path) for path in paths]
    if len({path.name for path in paths}) < len(paths):
        raise InputError("two planes have the same name", fix="correct the tiles one after the other")
    if any(path.resolve().parent == folder.resolve() for path in paths):
        raise InputError(f"planes in {folder} would be overwritten", why="raw data is never changed")
    folder.mkdir(parents=True, exist_ok=True)
    fields, clipped = _shading(shading), Clipped()
    for path in paths:
        corrected, counted = correct_plane(read_plane(path), fields)
        write_plane(folder / path.name, corrected)
        clipped += counted
    return clipped


def correct_slice(volume: NDArray[Any] | Volume, z: int, bias: Bias | Path | str, grid: Grid | None = None) -> Any:
    """Correct the bias of one slice of a volume.

    Parameters
    ----------
    volume : [z, y, x] or Volume
        Only read.
    z : int
        Number of the slice.
    bias : Bias or path of a bias file
    grid : Grid, optional
        Where the voxels of an array lie; a Volume knows.

    Returns
    -------
    [y, x]
        Of the volume's dtype.

    Raises
    ------
    InputError
        When z is outside, or an array comes without a grid.
    """
    if isinstance(volume, Volume):
        grid = volume.grid()
    elif grid is None:
        raise InputError(
            "where the voxels of an array lie is not known", fix="grid=Grid.of_array(array, voxel_size)"
        )
    if not 0 <= z < grid.size[2]:
        raise InputError(f"there is no slice {z} in a volume of {grid.size[2]}")
    width, height, _ = grid.size
    raw = volume.read(Bounds((0, 0, z), (width, height, z + 1)))[0] if isinstance(volume, Volume) else volume[z]
    field = bias if isinstance(bias, Bias) else Bias.load(Path(bias))
    x0, y0, z0 = (origin / step for origin, step in zip(grid.origin, grid.spacing, strict=True))
    place = BiasOfPlane.at(field, (x0, y0, z0 + z), grid.spacing, (height, width))
    return correct_plane(raw, None, place)[0]


def correct_acquisition(  # noqa: PLR0913 -- the options of a command, each with a default
    acquisition: Path | str,
    out: Path,
    channels: Sequence[str | int] = (),
    options: TileOptions | None = None,
    *,
    voxel_size: Sequence[float] | None = None,
    axes: StageAxes = AS_TOLD,
    jobs: int = 1,
    memory: int | None = None,
    overwrite: bool = False,
    progress: Progress = NO_PROGRESS,
) -> list[ChannelReport] | None:
    """Write the tiles of an acquisition anew, without shading and background, into a folder of the same layout.

    Parameters
    ----------
    acquisition : Path
        What `open_acquisition` opens; only read.
    out : Path
        A folder that an earlier call left is gone on with.
    channels : sequence of str or int
        All by default.
    options : TileOptions
    voxel_size : (x, y, z) float, optional
        In µm, in place of the metadata's.
    axes : StageAxes
        Which tiles are neighbours depends on them. The corrected tiles keep the raw ones' description.
    jobs : int
        Worker processes; under MPI the ranks but one.
    memory : int, optional
        Bytes that all processes together may use: refused when too little.
    overwrite : bool
        Replace what an earlier call with other options made.
    progress : Progress

    Returns
    -------
    list of ChannelReport or None
        None on the worker ranks of an MPI job.
    """
    options = options or TileOptions()
    with executor(jobs) as pool:
        if pool is None:
            return None
        data = open_acquisition(acquisition, voxel_size=voxel_size, axes=axes)
        item = np.dtype(data.dtype).itemsize
        needs = [Need("correcting planes", plane_bytes(data.grid, item))]
        if options.shading_files is None:
            needed = shading_bytes(data.grid, item, options.shading.sample)
            needs.append(Need("estimating the shading", needed))
        Budget.of(memory, jobs, CORRECT).require(*needs)
        Layout.of(data, out)  # before a folder is made for the journal
        names = [data.channel(channel) for channel in channels]
        given_shadings(data, names, options)
        with open_run(
            out,
            command=COMMAND,
            options={"channels": names, "stage_axes": str(axes), **options.to_json()},
            inputs={"acquisition": str(data.root)},
            pool=pool,
            jobs=jobs,
            progress=progress,
            overwrite=overwrite,
        ) as run:
            return correct_tiles(run, data, names, options)


def correct_stitched(
    source: str | Path,
    target: str | Path,
    options: VolumeOptions | None = None,
    *,
    work: Path | None = None,
    jobs: int = 1,
    memory: int | None = None,
    overwrite: bool = False,
    progress: Progress = NO_PROGRESS,
) -> VolumeReport | None:
    """Write a stitched volume anew, without its slow differences of illumination.

    Parameters
    ----------
    source, target : str or Path
        Precomputed volumes, local or s3://; the source is only read.
    options : VolumeOptions
    work : Path, optional
        Local folder for the journal; by default the target, which then must be local.
    jobs, memory, overwrite, progress
        As in `correct_acquisition`.

    Returns
    -------
    VolumeReport or None
        None on the worker ranks of an MPI job.
    """
    options = options or VolumeOptions()
    with executor(jobs) as pool:
        if pool is None:
            return None
        volume, spec = plan_correction(source, target, options)  # before a folder is made for the journal
        needs = [Need("correcting a row of chunks", volume_bytes(spec))]
        if options.bias_file is None:
            needs.append(Need("estimating the bias", *bias_bytes(overview_samples(volume, options))))
        Budget.of(memory, jobs, CORRECT).require(*needs)
        with open_run(
            work or _local(target),
            command="correct volume",
            options=options.to_json(),
            inputs={"source": str(Location.parse(source)), "target": str(Location.parse(target))},
            pool=pool,
            jobs=jobs,
            progress=progress,
            overwrite=overwrite,
        ) as run:
            return correct_volume(run, source, target, options)


def _local(target: str | Path) -> Path:
    location = Location.parse(target)
    if not location.is_file:
        raise InputError(f"{location} cannot hold the journal", fix="--work DIR names a local folder for it")
    return location.path


def _array(plane: Plane) -> NDArray[Any]:
    return read_plane(Path(plane)) if isinstance(plane, str | Path) else np.asarray(plane)


def _shading(shading: Shading | Path | str) -> Shading:
    return shading if isinstance(shading, Shading) else Shading.load(Path(shading))
