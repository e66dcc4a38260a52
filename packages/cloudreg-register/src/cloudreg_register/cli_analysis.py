"""The commands `regions` and `accuracy`.

Only typer is imported here; the work is imported when there is work.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cloudreg_io.console import (
    DebugFlag,
    JobsOption,
    JsonFlag,
    MemoryOption,
    OverwriteFlag,
    command_progress,
    memory_bytes,
    only_rank_zero,
    typed_place,
)

if TYPE_CHECKING:
    from cloudreg_register.analysis.accuracy import Accuracy
    from cloudreg_register.analysis.dice import Overlap


def regions(
    context: typer.Context,
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", callback=typed_place, help="Folder of a registration; gets registration/regions.csv."
        ),
    ],
    *,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            callback=typed_place,
            help="Precomputed labels in the frame of the channels. Default: OUT/registration/labels.",
        ),
    ] = None,
    structures: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            callback=typed_place,
            help="Their table: Allen or BrainGlobe JSON, or CSV (id,acronym,name,parent). Default: "
            "OUT/registration/structures.csv.",
        ),
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|PLACE",
            help="Image to sum; may be repeated. Default: every image right below OUT, else what was registered.",
        ),
    ] = None,
    points: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            callback=typed_place,
            help="Points to count: x,y,z in µm of the target, 0 at the centre of its first voxel. A table without "
            "points gives way to one with.",
        ),
    ] = None,
    transform: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", callback=typed_place, help="Tells left from right. Default: OUT/registration/transform."
        ),
    ] = None,
    hemispheres: Annotated[
        bool, typer.Option(help="A row for the left and one for the right part of each structure.")
    ] = True,
    voxel_size: Annotated[
        float,
        typer.Option(metavar="UM", min=0.001, help="Count on the coarsest mip with voxels no larger than this."),
    ] = 25.0,
    jobs: JobsOption = 1,
    memory: MemoryOption = "",
    overwrite: OverwriteFlag = False,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Measure each structure of a registered brain: volume, intensity, points; alone and with all its parts.

    What lies outside of the atlas has rows of its own, so that the own values of all rows add up to everything.
    """
    import json

    from cloudreg_register.analysis.measurement import MeasurementOptions, measure

    places = tuple(typed_place(name) for name in channel or ())
    done = measure(
        out,
        MeasurementOptions(labels, transform, structures, places, points, voxel_size, hemispheres),
        jobs=jobs,
        memory=memory_bytes(memory),
        overwrite=overwrite,
        progress=command_progress(context),
    )
    if done is None:  # a worker rank: its work is done
        return
    report = done.to_json()
    if as_json:
        typer.echo(json.dumps(report))
        return
    typer.echo(
        f"{done.table}: {report['structures']} structures hold {done.volume_mm3:.1f} mm³; "
        f"{report['outside_mm3']:.1f} mm³ lie outside"
    )
    if points is not None:
        typer.echo(f"{report['points']:,} points, {report['points_outside']:,} of them outside of the structures")


def accuracy(
    *,
    transform: Annotated[
        Path | None, typer.Option(metavar="DIR", callback=typed_place, help="A registration's transform.")
    ] = None,
    atlas_landmarks: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", callback=typed_place, help="CSV (x,y,z,name in µm), or a Neuroglancer state or link."
        ),
    ] = None,
    target_landmarks: Annotated[
        str | None, typer.Option(metavar="FILE", callback=typed_place, help="The same names in the target.")
    ] = None,
    atlas_layer: Annotated[str, typer.Option(metavar="NAME", help="Annotation layer of the atlas's state.")] = "",
    target_layer: Annotated[str, typer.Option(metavar="NAME", help="Annotation layer of the target's.")] = "",
    space: Annotated[
        Literal["target", "atlas"], typer.Option(help="Where errors are measured, and along whose axes.")
    ] = "target",
    start: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=typed_place,
            help="What `before` means, such as OUT/registration/start.json: a 4×4 `matrix`, centred, µm. Default: "
            "the orientations alone.",
        ),
    ] = None,
    labels: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Two label volumes or files of one space: Dice of each label."),
    ] = None,
    structures: Annotated[
        str | None, typer.Option(metavar="FILE", callback=typed_place, help="Names for the table of Dice.")
    ] = None,
    voxel_size: Annotated[
        float, typer.Option(metavar="UM", min=0.001, help="Largest voxels on which labels are compared.")
    ] = 50.0,
    table: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV", callback=typed_place, help="Write a row for each landmark, or for each label."
        ),
    ] = None,
    memory: MemoryOption = "",
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Measure a registration: errors at landmarks before and after, and the agreement of labels.

    Landmarks of one name belong together. None is left out of the summary, wherever it lies.
    """
    import json

    from cloudreg_register.analysis.accuracy import printed
    from cloudreg_register.analysis.dice import weighted

    only_rank_zero()
    given = [value is not None for value in (transform, atlas_landmarks, target_landmarks)]
    if any(given) and not all(given):
        raise typer.BadParameter("--transform, --atlas-landmarks and --target-landmarks belong together")
    if not any(given) and labels is None:
        raise typer.BadParameter("nothing to measure: give landmarks with a transform, or two --labels")
    if table is not None:
        _require_apart(table, (atlas_landmarks, target_landmarks, start, structures, *(labels or ())))
    found = None
    if transform is not None and atlas_landmarks is not None and target_landmarks is not None:
        places = (atlas_landmarks, target_landmarks)
        found = _at_landmarks(transform, places, (atlas_layer, target_layer), start, space)
    agreement = None if labels is None else _agreement(labels, voxel_size, memory_bytes(memory))
    if table is not None:
        _write_table(table, found, agreement, structures)
    if as_json:
        document = {} if found is None else found.to_json()
        if agreement is not None:
            each = {str(number): overlap.dice for number, overlap in agreement.items()}
            document["dice"] = {"labels": len(each), "weighted": weighted(agreement), "each": each}
        typer.echo(json.dumps(document))
        return
    for line in [] if found is None else printed(found):
        typer.echo(line)
    if agreement is not None:
        typer.echo(f"Dice of {len(agreement)} labels, weighted by volume: {weighted(agreement):.4f}")


def _require_apart(table: Path, read: Sequence[str | Path | None]) -> None:
    from cloudreg_register.transforms.apply import refuse_device

    refuse_device(table)
    places = [Path(place) for place in read if place is not None]
    if table.exists() and any(place.exists() and table.samefile(place) for place in places):
        raise typer.BadParameter(f"--table {table} would replace what is measured: name another file")


def _at_landmarks(
    folder: Path,
    places: tuple[str, str],
    layers: tuple[str, str],
    start: Path | None,
    space: Literal["target", "atlas"],
) -> Accuracy:
    from cloudreg_register.analysis.accuracy import accuracy as measured
    from cloudreg_register.start.initial import read_start
    from cloudreg_register.start.landmarks import paired, read_landmarks
    from cloudreg_register.transforms.transform import Transform

    transform = Transform.load(folder)
    atlas, target = (
        read_landmarks(place, voxel_size=frame.voxel_size, layer=layer)
        for place, frame, layer in zip(places, (transform.atlas, transform.target), layers, strict=True)
    )
    first = None if start is None else read_start(start)
    return measured(transform, paired(atlas, target), start=first, space=space)


def _agreement(labels: tuple[str, str], voxel_size: float, memory: int) -> dict[int, Overlap]:
    from cloudreg_register.analysis.dice import overlaps
    from cloudreg_register.images.image import load_image

    first, second = (
        # both are of one orientation, whichever it is
        load_image(typed_place(place), resolution_um=voxel_size, orientation="RAS", labels=True, memory=memory)
        for place in labels
    )
    return overlaps(first, second)


def _write_table(
    path: Path, found: Accuracy | None, agreement: dict[int, Overlap] | None, structures: str | None
) -> None:
    from cloudreg_io.files.atomic import write_bytes
    from cloudreg_io.files.structures import read_structures
    from cloudreg_register.analysis.dice import overlaps_csv

    if found is not None and agreement is not None:
        raise typer.BadParameter("--table holds landmarks or labels: measure them one after the other")
    if found is not None:
        text = found.to_csv()
    else:
        text = overlaps_csv(agreement or {}, None if structures is None else read_structures(structures))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, text.encode())
