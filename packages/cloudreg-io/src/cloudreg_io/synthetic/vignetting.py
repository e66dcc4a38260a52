"""Flat-fields of several kinds of optics, none of them a low-order polynomial of x and y.

Every family gives a profile over the unit square [-1, 1]²; `flat_field` scales its range so that the darkest
pixel is (1 - strength) of the brightest, adds dust, and divides by the mean. `strength` 0.6 is about as bad as
microscopes get.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cloudreg_io.errors import InputError

Float64 = NDArray[np.float64]
Profile = Callable[[Float64, Float64, np.random.Generator], Float64]


def _lens(x: Float64, y: Float64, rng: np.random.Generator) -> Float64:
    """cos⁴ of the field angle (the natural vignetting of a lens), off-centre and on a tilted stage."""
    cx, cy = rng.uniform(-0.25, 0.25, 2)
    tilt_x, tilt_y = rng.uniform(-0.2, 0.2, 2)
    distance = 1 + tilt_x * x + tilt_y * y  # to the lens, in focal lengths
    return np.asarray((distance**2 / (distance**2 + (x - cx) ** 2 + (y - cy) ** 2)) ** 2)


def _gaussian(x: Float64, y: Float64, rng: np.random.Generator) -> Float64:
    """A laser beam's Gaussian profile, of other width in x and y, off-centre."""
    cx, cy = rng.uniform(-0.3, 0.3, 2)
    wx, wy = rng.uniform(0.7, 1.2, 2)
    return np.asarray(np.exp(-0.5 * (((x - cx) / wx) ** 2 + ((y - cy) / wy) ** 2)))


def _sheet(x: Float64, y: Float64, rng: np.random.Generator) -> Float64:
    """A light sheet from one side: super-Gaussian across, thicker away from the waist, with ripple."""
    cx, cy = rng.uniform(-0.3, 0.3, 2)
    waist = 1 / np.sqrt(1 + ((x - cx) / 1.2) ** 2)
    across = np.exp(-0.5 * ((y - cy) / 1.05) ** 4)
    ripple = 1 + 0.03 * np.cos(2 * np.pi * rng.uniform(2.0, 4.0) * y + rng.uniform(0, 2 * np.pi))
    return np.asarray(waist * across * ripple)


def _shadow(x: Float64, y: Float64, rng: np.random.Generator) -> Float64:
    """A sigmoid shadow from an obstacle at one side, over a weak lens."""
    angle = rng.uniform(0, 2 * np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    return np.asarray(_lens(x / 2, y / 2, rng) / (1 + np.exp((along - rng.uniform(0.6, 0.9)) / 0.22)))


def _patches(x: Float64, y: Float64, rng: np.random.Generator) -> Float64:
    """Uneven illumination: broad Gaussian spots over a pedestal."""
    total = np.full(np.broadcast_shapes(x.shape, y.shape), 0.6)
    for _ in range(6):
        cx, cy = rng.uniform(-1, 1, 2)
        total = total + rng.uniform(0.2, 0.5) * np.exp(
            -0.5 * ((x - cx) ** 2 + (y - cy) ** 2) / rng.uniform(0.4, 0.7) ** 2
        )
    return np.asarray(total)


FAMILIES: dict[str, Profile] = {
    "lens": _lens,
    "gaussian": _gaussian,
    "sheet": _sheet,
    "shadow": _shadow,
    "patches": _patches,
}


def flat_field(family: str, shape: tuple[int, int], strength: float, seed: int) -> NDArray[np.float32]:
    """A flat-field [y, x] of mean 1 whose darkest pixel is (1 - strength) of the brightest.

    Parameters
    ----------
    family : str
        One of `FAMILIES`, or "none".
    shape : (y, x) int
    strength : float
        0 to 0.75.
    seed : int
        Of the profile's centre, widths, angle.

    Raises
    ------
    InputError
        When the family is unknown or the strength out of range.
    """
    if family not in FAMILIES and family != "none":
        raise InputError(f"no vignetting family {family!r}", fix=f"one of none, {', '.join(FAMILIES)}")
    if not 0 <= strength <= 0.75:
        raise InputError(f"vignetting strength {strength} lies outside 0..0.75")
    if family == "none" or strength == 0:
        return np.ones(shape, np.float32)
    y = np.linspace(-1, 1, shape[0])[:, None]
    x = np.linspace(-1, 1, shape[1])[None, :]
    profile = np.broadcast_to(FAMILIES[family](x, y, np.random.default_rng([seed, 11])), shape)
    low, high = profile.min(), profile.max()
    field = 1 - strength * (high - profile) / (high - low)
    return np.asarray(field / field.mean(), dtype=np.float32)


def dust(shape: tuple[int, int], spots: int, seed: int) -> NDArray[np.float32]:
    """Transmission [y, x] of `spots` soft dark specks, 5–20 % deep and a few pixels wide; 1 elsewhere."""
    rng = np.random.default_rng([seed, 12])
    transmission = np.ones(shape)
    y, x = np.ogrid[: shape[0], : shape[1]]
    for _ in range(spots):
        cy, cx = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        radius = rng.uniform(2.0, max(2.5, min(shape) / 60))
        square = ((x - cx) ** 2 + (y - cy) ** 2) / radius**2
        transmission *= 1 - rng.uniform(0.05, 0.2) * np.exp(-(square**2))  # flat inside, soft rim
    return transmission.astype(np.float32)
