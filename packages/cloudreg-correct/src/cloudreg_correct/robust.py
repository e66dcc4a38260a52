"""A smooth field common to many images, from the differences between neighbouring blocks.

The logarithm of plane i is log S + log tissue_i. Tissue differs from plane to plane, S does not. Within a plane
the logarithm of tissue is mostly flat with a few large steps (borders of regions, of the brain, vessels), so
its *differences* between neighbouring blocks are small with rare large outliers: the robust mean over planes
of the differences is that of log S (Weiss, "Deriving intrinsic images from image sequences", ICCV 2001).
Differences also need no brightness per plane, and planes half filled with tissue take part with that half.

The differences are taken to follow a Cauchy distribution of a width of its own in every plane, fitted by
iteratively reweighted least squares: even planes count for more than patchy ones. A penalty on third
differences, under which quadratic fields are free, keeps the field smooth; its strength is chosen by the
agreement of fields from random halves of the planes, so that no polynomial or other basis is imposed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import comb

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

_ITERATIONS = 8
_SMALLEST_WIDTH = 3e-3  # of log differences: below, noise and rounding rule
_STRENGTHS = (1e3, 1e4, 1e5, 1e6)  # of the penalty, per squared third difference of the log field
_FIRST_STRENGTH = 1e4
_SPLITS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Ties:
    """Measured values of linear functions of the field, beside the differences within planes.

    Attributes
    ----------
    rows : [m, blocks] float64
        Coefficients of each function.
    values, weights : [m] float64
        What was measured, and one over its variance.
    """

    rows: Float64
    values: Float64
    weights: Float64

    def agreeing(self, field: Float64) -> Ties:
        """The same ties, weighted down by how far they are from a field: Cauchy weights of one width for all.

        A tie that shows something else than the field (dust that moved, a border of the brain) is off by many
        times what the others are.
        """
        residual = (self.values - self.rows @ field.ravel()) ** 2
        width = (1.4826**2) * float(np.median(residual)) + _SMALLEST_WIDTH**2
        return Ties(self.rows, self.values, self.weights / (1 + residual / width))


@dataclass(slots=True)
class Differences:
    """Differences of images between neighbouring blocks along one axis.

    Attributes
    ----------
    values : [n, y, x]
        After minus before.
    trust : [n, y, x]
        0 to 1: in both blocks.
    weights : [n, y, x]
        Present weight: trust, times how well the value agrees with the field, over the plane's variance.
    """

    values: Float64
    trust: Float64
    weights: Float64


@dataclass(frozen=True, slots=True)
class CommonField:
    """A field common to images, and the differences that it was fitted to.

    Attributes
    ----------
    field : [y, x]
        Mean 0.
    y, x : Differences
    """

    field: Float64
    y: Differences
    x: Differences


def common_field(
    logs: Float64, weights: Float64, groups: NDArray[np.integer], ties: Ties | None = None
) -> CommonField:
    """The smooth field common to images, up to a constant.

    Parameters
    ----------
    logs : [n, y, x] float64
        Logarithms of n images on a grid of blocks.
    weights : [n, y, x] float64
        0 (nothing known) to 1.
    groups : [n] int
        Images of one group (planes of one tile) show related tissue: they stay together in the halves that
        are compared.
    ties : Ties, optional

    Returns
    -------
    CommonField
    """
    trust_y, trust_x = weights[:, 1:] * weights[:, :-1], weights[:, :, 1:] * weights[:, :, :-1]
    y = Differences(np.diff(logs, axis=1), trust_y, trust_y)
    x = Differences(np.diff(logs, axis=2), trust_x, trust_x)
    shape = logs.shape[1], logs.shape[2]
    field = np.zeros(shape)
    width = None
    agreeing = None
    for _ in range(_ITERATIONS):
        width = _reweight(y, x, field, width)
        # the first field is that of the differences alone: it tells the ties that are far off
        field = _solve(_System.of(y, x, slice(None), shape, agreeing), _FIRST_STRENGTH)
        agreeing = ties.agreeing(field) if ties else None
    strength = _choose_strength(y, x, groups, shape, agreeing)
    return CommonField(_solve(_System.of(y, x, slice(None), shape, agreeing), strength), y, x)


def smooth_mean(values: Float64, weights: Float64, strength: float) -> Float64:
    """Weighted mean over images [n, y, x], smoothed by a penalty on first differences.

    `strength` is one over the variance that neighbouring blocks may differ by; what no weight says continues
    flat.
    """
    shape = values.shape[1], values.shape[2]
    matrix = np.diag(weights.sum(axis=0).ravel()) + strength * _penalty(shape, 1)
    right = (weights * values).sum(axis=0).ravel()
    return np.asarray(np.linalg.solve(matrix, right).reshape(shape))


def _reweight(y: Differences, x: Differences, field: Float64, width: Float64 | None) -> Float64:
    """Cauchy weights of all differences, given the field; returns the squared width of each plane."""
    squares = [(y.values - np.diff(field, axis=0)) ** 2, (x.values - np.diff(field, axis=1)) ** 2]
    trusts = [y.trust, x.trust]
    total = sum(trust.sum(axis=(1, 2)) for trust in trusts) + 1e-9
    if width is None:
        width = _moment(trusts, squares) / total + _SMALLEST_WIDTH**2
    for _ in range(3):
        weights = [t * 2 / (1 + r / width[:, None, None]) for t, r in zip(trusts, squares, strict=True)]
        width = _moment(weights, squares) / total + _SMALLEST_WIDTH**2
    y.weights, x.weights = (
        t * 2 / (1 + r / width[:, None, None]) / width[:, None, None] for t, r in zip(trusts, squares, strict=True)
    )
    return width


def _moment(weights: list[Float64], squares: list[Float64]) -> Float64:
    """Weighted sum of squares of each plane over both axes."""
    return np.asarray(sum((w * r).sum(axis=(1, 2)) for w, r in zip(weights, squares, strict=True)))


@dataclass(frozen=True, slots=True, eq=False)
class _System:
    """Normal equations of the field without the penalty."""

    matrix: Float64
    right: Float64
    shape: tuple[int, int]

    @classmethod
    def of(
        cls,
        y: Differences,
        x: Differences,
        planes: slice | NDArray[np.bool_],
        shape: tuple[int, int],
        ties: Ties | None,
    ) -> _System:
        n = shape[0] * shape[1]
        index = np.arange(n).reshape(shape)
        matrix, right = np.zeros((n, n)), np.zeros(n)
        for axis, before, after in ((y, index[:-1], index[1:]), (x, index[:, :-1], index[:, 1:])):
            weight = axis.weights[planes].sum(axis=0).ravel()
            moment = (axis.weights[planes] * axis.values[planes]).sum(axis=0).ravel()
            a, b = before.ravel(), after.ravel()
            matrix[a, b] -= weight
            matrix[b, a] -= weight
            np.add.at(matrix, (a, a), weight)
            np.add.at(matrix, (b, b), weight)
            np.add.at(right, b, moment)
            np.add.at(right, a, -moment)
        if ties is not None:
            matrix += ties.rows.T @ (ties.weights[:, None] * ties.rows)
            right += ties.rows.T @ (ties.weights * ties.values)
        return cls(matrix, right, shape)


def _solve(system: _System, strength: float) -> Float64:
    n = system.matrix.shape[0]
    scale = float(np.trace(system.matrix)) / n + 1e-12
    # the constant is free: the last term pins the mean to 0; the one before keeps what no plane saw near 0
    matrix = system.matrix + strength * _penalty(system.shape, 3) + scale * (1e-8 * np.eye(n) + 1 / n)
    return np.asarray(np.linalg.solve(matrix, system.right).reshape(system.shape))


@lru_cache(maxsize=4)
def _penalty(shape: tuple[int, int], order: int) -> Float64:
    """Sum of squares of all differences of an order (with the binomial weights that make it isotropic)."""
    ny, nx = shape
    total = np.zeros((ny * nx, ny * nx))
    for k in range(order + 1):
        dy, dx = np.diff(np.eye(ny), k, axis=0), np.diff(np.eye(nx), order - k, axis=0)
        total += comb(order, k) * np.kron(dy.T @ dy, dx.T @ dx)
    return total


def _choose_strength(
    y: Differences, x: Differences, groups: NDArray[np.integer], shape: tuple[int, int], ties: Ties | None
) -> float:
    """The penalty under which the field of one half best predicts the least smoothed field of the other.

    E |a(strength) - b|² = the error of a(strength) + the error of b, for halves that err independently.
    """
    names = np.unique(groups)
    if len(names) < 4:
        return _FIRST_STRENGTH
    errors = np.zeros(len(_STRENGTHS))
    rng = np.random.default_rng(0)
    for _ in range(_SPLITS):
        half = np.isin(groups, rng.permutation(names)[: len(names) // 2])
        systems = [_System.of(y, x, planes, shape, ties) for planes in (half, ~half)]
        for a, b in (systems, systems[::-1]):
            reference = _solve(b, _STRENGTHS[0])
            errors += [float(np.square(_solve(a, s) - reference).mean()) for s in _STRENGTHS]
    return _STRENGTHS[int(np.argmin(errors))]
