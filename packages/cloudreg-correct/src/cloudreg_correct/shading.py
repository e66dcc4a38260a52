"""Estimate of the shading: what the optics do to every plane alike.

    raw = flat · light from the sample + background (+ noise)

1. planes are shrunken to block means (`shrink`),
2. the background is the cluster of the darkest blocks (`background`),
3. the smooth part of log flat is the robust mean over planes of the differences between blocks (`robust`);
   where planes of neighbouring tiles are in the sample, what both see in their overlap helps (`overlap`),
4. dust and ripple are added where they stand out from the noise (`detail`),
5. the field is brought to full size and divided by its mean.

Planes without tissue take part in step 2 only; blocks weigh by their brightness above the background, so
that the parts of a plane without tissue say nothing about the flat-field.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloudreg_correct.background import Background, estimate_background
from cloudreg_correct.blocks import Blocks
from cloudreg_correct.detail import common_detail
from cloudreg_correct.offset import consistent_offset
from cloudreg_correct.overlap import Overlap, overlap_ties
from cloudreg_correct.robust import CommonField, common_field
from cloudreg_correct.shrink import ShrunkenPlanes, shrink_planes
from cloudreg_io.errors import InputError
from cloudreg_io.fields import Shading

Float32 = NDArray[np.float32]
BackgroundChoice = str | float

LEAST_PLANES = 5
_LEAST_SIGNAL = 4.0  # times the noise of a block's mean
_LEAST_TISSUE = 0.05  # of the blocks of a plane that takes part
_DIM = 0.1  # of bright tissue: blocks of this brightness count half
_USABLE = 0.95  # of the pixels of a block must not be saturated


@dataclass(frozen=True, slots=True, eq=False)
class ShadingEstimate:
    """A flat-field and background before anybody has judged them.

    Attributes
    ----------
    flat : [y, x] float32
        Mean 1; gains may be implausible.
    background : [y, x] float32
    planes, with_tissue : int
        How many planes were given, and how many of them determined the flat-field.
    background_certain : bool
        Whether places without tissue were found (or the background was given).
    """

    flat: Float32
    background: Float32
    planes: int
    with_tissue: int
    background_certain: bool

    def shading(self) -> Shading:
        """The estimate as a `Shading`.

        Raises
        ------
        InputError
            When a gain lies outside [0.2, 5].
        """
        return Shading(self.flat, self.background)


def estimate_shading(
    planes: NDArray[Any] | Iterable[NDArray[Any]] | ShrunkenPlanes,
    *,
    background: BackgroundChoice = "auto",
    saturation: float | None = None,
    groups: Sequence[int] | None = None,
    overlaps: Sequence[Overlap] = (),
) -> Shading:
    """Estimate flat-field and background from raw planes of one channel.

    Parameters
    ----------
    planes : [n, y, x], or iterable of [y, x], or ShrunkenPlanes
        Raw counts, best 60 to 200 planes taken at random over tiles and depths. Empty planes are welcome: they
        show the background.
    background : "auto", "none" or float
        Estimate it, take 0, or take this many counts for all pixels.
    saturation : float, optional
        See `shrink_planes`.
    groups : sequence of n int, optional
        Which planes belong together (the tile of each): related planes are not taken for independent evidence.
    overlaps : sequence of Overlap, optional
        Pairs of planes that show the same tissue in part.

    Returns
    -------
    Shading

    Raises
    ------
    InputError
        When fewer than 5 planes are given, none shows a signal, or the gains lie outside [0.2, 5].

    Examples
    --------
    >>> shading = estimate_shading(planes)  # doctest: +SKIP
    >>> corrected = (planes - shading.background) / shading.flat  # doctest: +SKIP
    """
    shrunken = planes if isinstance(planes, ShrunkenPlanes) else shrink_planes(planes, saturation=saturation)
    return fit_shading(shrunken, background=background, groups=groups, overlaps=overlaps).shading()


def fit_shading(
    planes: ShrunkenPlanes,
    *,
    background: BackgroundChoice = "auto",
    groups: Sequence[int] | None = None,
    overlaps: Sequence[Overlap] = (),
) -> ShadingEstimate:
    """Like `estimate_shading`, from shrunken planes, with what is needed to judge the result.

    Raises
    ------
    InputError
        When fewer than 5 planes are given or none shows a signal.
    """
    if len(planes) < LEAST_PLANES:
        raise InputError(
            f"{len(planes)} planes are too few for an estimate of the shading; it needs {LEAST_PLANES}",
            fix="give more planes (--sample), or --shading FILE from another acquisition with the same optics",
        )
    blocks = planes.blocks
    dark = _background(planes, background)
    tissue = _with_tissue(planes.means - dark.field, dark)
    if not tissue.any():
        raise InputError(
            f"no signal in {len(planes)} planes: cannot estimate the shading",
            why="all sampled planes are empty or constant",
            fix="check the channel, raise --sample, or give a shading file",
        )
    group = (np.arange(len(planes)) if groups is None else np.asarray(groups))[tissue]
    shown = planes.select(tissue)
    if not dark.certain:
        dark = _consistent(shown, dark, group)
    logs, weights = _logs(shown.means - dark.field, shown.used)
    ties = overlap_ties(blocks, logs, weights, tissue, overlaps)
    common = common_field(*_coarse(blocks, logs, weights), group, ties)
    smooth = blocks.coarse_to_fine(common.field).astype(np.float32)
    field = smooth + common_detail(logs - smooth, weights, group)
    flat = np.exp(blocks.fine_to_pixels(field))
    flat /= np.float32(flat.mean(dtype=np.float64))
    return ShadingEstimate(flat, _at_pixels(blocks, dark.field), len(planes), int(tissue.sum()), dark.certain)


def background_choice(text: str) -> BackgroundChoice:
    """Read the option --background: auto, none or a number of counts.

    Raises
    ------
    InputError
        When it is none of these.
    """
    if text in ("auto", "none"):
        return text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise InputError(
            f"--background {text}: neither auto, none nor a number of counts, 0 or more",
            fix="--background auto|none|VALUE",
        )
    return value


def _background(planes: ShrunkenPlanes, choice: BackgroundChoice) -> Background:
    estimate = estimate_background(planes)
    if choice == "auto":
        return estimate
    value = 0.0 if choice == "none" else float(choice)
    if not np.isfinite(value):
        raise InputError(f"background {choice} is not a number of counts", fix="--background auto|none|VALUE")
    return Background(np.full(planes.blocks.fine, value, np.float32), True, estimate.noise)


def _at_pixels(blocks: Blocks, field: Float32) -> Float32:
    """A background at every pixel; one number stays that number to the last digit."""
    first = field.flat[0]
    return np.full(blocks.shape, first) if (field == first).all() else blocks.fine_to_pixels(field)


def _consistent(planes: ShrunkenPlanes, dark: Background, groups: NDArray[np.integer]) -> Background:
    """The background by the agreement of dim and bright planes."""

    def fit(offset: float) -> tuple[CommonField, NDArray[np.float64]]:
        logs, weights = _coarse(planes.blocks, *_logs(planes.means - np.float32(offset), planes.used))
        common = common_field(logs, weights, groups)
        total = weights.sum(axis=(1, 2)) + 1e-9
        return common, (weights * (logs - common.field)).sum(axis=(1, 2)) / total

    offset = consistent_offset(fit, float(dark.field.min()))
    return Background(np.full_like(dark.field, offset), False, dark.noise)


def _coarse(blocks: Blocks, logs: Float32, weights: Float32) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted means over coarse blocks, and their weights."""
    share = blocks.to_coarse(weights)
    return blocks.to_coarse(weights * logs) / (share + 1e-9), share


def _with_tissue(signal: Float32, dark: Background) -> NDArray[np.bool_]:
    """Planes with more light than noise explains in a part of them that is worth looking at."""
    bright = np.quantile(signal, 0.99)
    limit = max(_LEAST_SIGNAL * dark.noise, 0.02 * float(bright), 1e-3)
    return np.asarray((signal > limit).mean(axis=(1, 2)) >= _LEAST_TISSUE)


def _logs(signal: Float32, used: Float32) -> tuple[Float32, Float32]:
    """Logarithms of the signal, and how much each can be trusted: 0 without tissue to 1 in bright tissue."""
    dim = np.float32(_DIM * np.quantile(signal[:, ::4, ::4], 0.9))
    square = np.maximum(signal, 0) ** 2
    square *= square
    weights = square / (square + dim**4) * (used >= _USABLE)
    return np.log(np.maximum(signal, dim / 4)), weights.astype(np.float32)
