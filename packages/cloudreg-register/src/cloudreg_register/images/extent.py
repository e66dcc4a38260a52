"""Extent: does the target have about the size of the atlas, and if not, which mistake explains it.

A wrong voxel size, or two axes exchanged, is the commonest cause of a registration that fails after an hour. Both
show before any work: in the length of the tissue along each axis, divided by that of the atlas.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Literal

from cloudreg_io.errors import InputError
from cloudreg_io.space import Vector3, vector3
from cloudreg_register.images.frame import in_mm
from cloudreg_register.images.image import Image
from cloudreg_register.images.tissue import Tissue

_logger = logging.getLogger(__name__)

_LIMIT = 1.5  # brains of one species differ by a few per cent; fixation and clearing shrink or swell by up to 1.4
_EVEN = 1.35  # ratios of the three axes that differ by less have one common cause
_SIZE = 1.25  # an exchange of axes explains the lengths when they then fit as well as this
_IGNORE = "--any-extent when the size is right"

Verdict = Literal["fits", "partial", "voxel size", "one axis", "axes exchanged"]


@dataclass(frozen=True, slots=True)
class ExtentCheck:
    """How long target and atlas are, and what is wrong.

    Attributes
    ----------
    target_um, atlas_um : (x, y, z) float
        Lengths of the tissue along the target's axes.
    ratios : (x, y, z) float
        target / (scale · atlas).
    verdict : str
        "fits" and "partial" (some axes are short: a piece of a brain) allow to go on.
    voxel_size : (x, y, z) float
        That would fit, two digits; the volume's own where that is not what is wrong.
    message, fix : str
        Empty for "fits".
    """

    target_um: Vector3
    atlas_um: Vector3
    ratios: Vector3
    verdict: Verdict
    voxel_size: Vector3
    message: str = ""
    fix: str = ""

    def require(self) -> None:
        """Refuse to go on with what cannot be right; log a warning for a part of a brain.

        Raises
        ------
        InputError
        """
        if self.verdict == "partial":
            _logger.warning("%s; %s", self.message, self.fix)
        elif self.verdict != "fits":
            raise InputError(self.message, fix=self.fix)

    def to_json(self) -> dict[str, Any]:
        """As JSON, for the records of the quality control."""
        return {
            "target_um": list(self.target_um),
            "atlas_um": list(self.atlas_um),
            "ratios": list(self.ratios),
            "verdict": self.verdict,
            "message": self.message,
        }


def check_extent(target: Image, atlas: Image, scale: float | Sequence[float] = 1.0) -> ExtentCheck:
    """Compare the extents of the tissue of a target and of an atlas.

    Parameters
    ----------
    target, atlas : Image
        With their orientation codes.
    scale : float or (x, y, z) float
        That the start is given, on the target's axes: a brain that is stated to be larger may be.
    """
    axes, _ = atlas.orientation.permutation_to(target.orientation)
    atlas_own = Tissue.of(atlas).extent
    atlas_um = vector3(atlas_own[axis] for axis in axes)
    target_um = Tissue.of(target).extent
    scales = [float(scale)] * 3 if isinstance(scale, int | float) else [float(s) for s in scale]
    expected = [a * s for a, s in zip(atlas_um, scales, strict=True)]
    name, code = target.name or "the target", target.orientation.code
    return judged(target_um, atlas_um, expected, tuple(target.mip0.voxel_size), name, code)


def judged(
    target_um: Sequence[float],
    atlas_um: Sequence[float],
    expected: Sequence[float],
    voxel_size: Sequence[float],
    name: str,
    orientation: str,
) -> ExtentCheck:
    """What the lengths mean: all x, y, z along the target's axes, `expected` those of the scaled atlas."""
    ratios = vector3(t / e for t, e in zip(target_um, expected, strict=True))
    verdict = _verdict(target_um, expected, ratios)
    fitting = vector3(voxel_size)
    if verdict == "voxel size":
        unit = _unit(ratios)
        common = math.prod(ratios) ** (1 / 3)
        fitting = vector3(v * unit[0] if unit else _two_digits(v / common) for v in voxel_size)
    elif verdict == "one axis":
        fitting = vector3(v if _within(r) else _two_digits(v / r) for v, r in zip(voxel_size, ratios, strict=True))
    message, fix = _explained(verdict, target_um, expected, ratios, voxel_size, fitting, orientation)
    return ExtentCheck(
        vector3(target_um),
        vector3(atlas_um),
        ratios,
        verdict,
        fitting,
        f"{name}: {message}" if message else "",
        fix,
    )


def _verdict(target_um: Sequence[float], expected: Sequence[float], ratios: Vector3) -> Verdict:
    if max(ratios) / min(ratios) < _EVEN:
        return "fits" if all(_within(r) for r in ratios) else "voxel size"
    if _exchange(target_um, expected) is not None:
        return "axes exchanged"
    if all(_within(r) for r in ratios):
        return "fits"
    return "one axis" if max(ratios) > _LIMIT else "partial"


def _exchange(target_um: Sequence[float], expected: Sequence[float]) -> tuple[int, ...] | None:
    """The order of the target's axes in which it fits the atlas best, if it does."""

    def misfit(order: tuple[int, ...]) -> float:
        return max(abs(math.log(target_um[axis] / e)) for axis, e in zip(order, expected, strict=True))

    best = min(permutations(range(3)), key=misfit)
    return best if misfit(best) <= math.log(_SIZE) else None


def _explained(
    verdict: Verdict,
    target_um: Sequence[float],
    expected: Sequence[float],
    ratios: Vector3,
    voxel_size: Sequence[float],
    fitting: Vector3,
    orientation: str,
) -> tuple[str, str]:
    if verdict == "fits":
        return "", ""
    sizes = f"your brain would be {in_mm(target_um)} (x, y, z); the atlas is {in_mm(expected)}"
    if verdict == "voxel size":
        longest = max(range(3), key=lambda k: expected[k])
        sizes = (
            f"your brain would be {in_mm([target_um[longest]])} long; the atlas is {in_mm([expected[longest]])}"
        )
        unit = _unit(ratios)
        meant = f"did you mean {_numbers(fitting)} instead of {_numbers(voxel_size)} µm?"
        question = f"{meant}{unit[1]}" if unit else meant
        return sizes, f"{question} {_giving(fitting)}, --scale for an animal of another size, or {_IGNORE}"
    if verdict == "axes exchanged":
        return sizes, f"{_exchanged(_exchange(target_um, expected) or (0, 1, 2), orientation)}; or {_IGNORE}"
    if verdict == "one axis":
        wrong = " and ".join("xyz"[k] for k, r in enumerate(ratios) if not _within(r))
        question = f"did you mean {_numbers(fitting)} instead of {_numbers(voxel_size)} µm?"
        return f"{sizes}: too different along {wrong}", f"{question} {_giving(fitting)}, or {_IGNORE}"
    short = " and ".join("xyz"[k] for k, r in enumerate(ratios) if not _within(r))
    return f"{sizes}: taken as a part of a brain, since it is short along {short}", (
        "--hemisphere or --region cut the atlas to a volume that ends there; check --voxel-size and --orientation "
        "if the brain is whole"
    )


def _exchanged(order: tuple[int, ...], code: str) -> str:
    """That axis `order[k]` of the target is as long as axis k of the atlas, in terms of --orientation."""
    fitting = "".join(code[order.index(axis)] for axis in range(3))
    return (
        f"the axes of --orientation {code} may be exchanged: the lengths would fit {fitting}, or codes with "
        "opposite letters in these places; --search-rotations tries all"
    )


def _giving(voxel_size: Vector3) -> str:
    return f"Give --voxel-size {' '.join(_digits(edge) for edge in voxel_size)}"


def _unit(ratios: Vector3) -> tuple[float, str] | None:
    """The unit that was mistaken, if one was: its factor, and how to say so."""
    common = math.prod(ratios) ** (1 / 3)
    if 600 < common < 1600:
        return 1e-3, " It looks like nanometres given as µm."
    if 600 < 1 / common < 1600:
        return 1e3, " It looks like millimetres given as µm."
    return None


def _within(ratio: float) -> bool:
    return 1 / _LIMIT <= ratio <= _LIMIT


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}")


def _numbers(values: Sequence[float]) -> str:
    texts = [_digits(value) for value in values]
    return texts[0] if len(set(texts)) == 1 else " ".join(texts)


def _digits(value: float) -> str:
    return f"{float(f'{value:.3g}'):g}"
