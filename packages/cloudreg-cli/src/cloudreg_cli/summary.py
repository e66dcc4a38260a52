"""What a run made: as a JSON value, and in words for a person."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloudreg_stitch.fusion import FusionReport
from cloudreg_stitch.placement import Placement


def summary(
    out: Path,
    placement: Placement,
    fusions: Sequence[FusionReport],
    registered: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The files of a run, its flagged tiles, its volumes, its registration, as a JSON value."""
    flags: dict[str, list[str]] = {}
    for tile in placement.scanned:
        for flag in tile.flags:
            flags.setdefault(flag, []).append(tile.name)
    return {
        "out": str(out),
        "placement": str(out / "placement.json"),
        "tiles": len(placement.scanned),
        "flags": flags,
        "volumes": [
            {
                "channel": fusion.channel,
                "url": fusion.url,
                "size": list(fusion.size),
                "voxel_size_um": list(fusion.voxel_size),
                "uncovered": fusion.uncovered,
                "coverage": fusion.coverage,
                "seams": fusion.seams,
            }
            for fusion in fusions
        ],
        **({} if registered is None else {"registration": registered}),
        "view": f"cloudreg viz serve {shlex.quote(str(out))}",
    }


def in_words(result: dict[str, Any]) -> str:
    """The summary as text."""
    lines = [f"placement   {result['placement']}   {result['tiles']} tiles"]
    for flag, tiles in result["flags"].items():
        lines.append(f"  {flag}: {', '.join(tiles[:8])}{' …' if len(tiles) > 8 else ''}")
    for volume in result["volumes"]:
        size = " × ".join(map(str, volume["size"]))
        lines.append(
            f"{volume['channel']:<11} {volume['url']}   {size} voxels, {volume['uncovered']:,} that no tile covers"
        )
    if "registration" in result:
        lines += registration_in_words(result["registration"])
    lines.append(f"look at it: {result['view']}")
    return "\n".join(lines)


def registration_in_words(registration: dict[str, Any]) -> list[str]:
    """What a registration made, as lines."""
    from cloudreg_register.cli import overlap_in_words, start_in_words

    shape = registration["map"]
    folded = f"{shape['folded']} folded voxels" if shape["folded"] else "no voxel folded"
    what = f"{registration['channel']} to {registration['atlas']}"
    lines = [
        f"registered  {what}: {registration['steps']} steps, {folded}",
        *start_in_words(registration["start"]),
        overlap_in_words(registration["tissue_overlap"]),
        f"transform   {registration['transform']}",
    ]
    lines += [f"regions     {registration['regions']}"] if registration["regions"] else []
    return lines
