"""How high a correlation peak must be before it is believed.

Every pair also yields the highest peak of its *null*: the correlation with the mirrored strip, which has
the same texture and noise but cannot match (`correlation`). The heights of these peaks over all pairs follow
an extreme-value distribution; a real peak must lie where a null peak would almost never be. The idea of an
acceptance level drawn from pairs that cannot match is that of ASHLAR (J. Muhlich et al., Bioinformatics 38,
2022). With few pairs the distribution is not known, and the bound of independent normal noise is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from cloudreg_stitch.displacement import LEAST_SCORE, Measurement

_CHANCE = 1e-4  # of believing a null peak
_ENOUGH = 8
_ABOVE_OWN_NULL = 1.2
_BY_CHANCE = 0.2  # chance that one block agrees although nothing matches
_AGREEMENT = 1e-6
_LEAST_AGREEING = 0.4  # of the blocks
_MOST_AGREEING = 0.75
_GOOD_NCC = 0.5
_EULER = 0.5772156649


def normal_level(measurements: Sequence[Measurement]) -> float:
    """Score that the highest of so many independent normal numbers exceeds with a chance of 10⁻⁴."""
    trials = max((m.trials for m in measurements), default=0)
    return float(stats.norm.isf(_CHANCE / trials)) if trials else math.inf


def threshold(measurements: Sequence[Measurement]) -> float:
    """Score that a null peak exceeds with a chance of 10⁻⁴.

    Parameters
    ----------
    measurements : sequence of Measurement
        All pairs, whether they match or not.
    """
    nulls = np.array([m.null for m in measurements if m.found])
    normal = normal_level(measurements)
    if len(nulls) < _ENOUGH:
        return normal
    scale = float(nulls.std(ddof=1)) * math.sqrt(6) / math.pi
    location = float(nulls.mean()) - _EULER * scale
    return max(normal, location - scale * math.log(-math.log1p(-_CHANCE)))


def agreement_by_chance(measurement: Measurement) -> float:
    """How likely so many blocks would agree if nothing matched."""
    if measurement.blocks == 0:
        return 1.0
    return float(stats.binom.sf(measurement.agreeing - 1, measurement.blocks, _BY_CHANCE))


def confidence(measurement: Measurement, level: float) -> float:
    """How far a pair can be believed, 0 to 1; 0 for a pair that is not to be used.

    A pair is believed when its peak stands above the null and its blocks do not contradict one another. Below
    the level, nearly all of many blocks must agree, and either the peak is above what normal noise allows, or
    the blocks correlate well: small tiles of coarse structure give low peaks.
    """
    m = measurement
    if not m.found or m.score <= max(_ABOVE_OWN_NULL * m.null, LEAST_SCORE):
        return 0.0
    agreeing = m.agreeing / m.blocks if m.blocks else _LEAST_AGREEING
    normal = normal_level([m])
    if m.score > max(level, normal):
        believed = agreeing >= _LEAST_AGREEING
    else:
        unlikely = agreeing >= _MOST_AGREEING and agreement_by_chance(m) <= _AGREEMENT
        believed = unlikely and (m.score > normal or m.ncc > _GOOD_NCC)
    height = 1 - (max(m.null, LEAST_SCORE) / m.score) ** 2
    return math.sqrt(agreeing * height) if believed else 0.0


def evidence_against(measurement: Measurement, level: float) -> str:
    """Why a pair is not believed, in words."""
    m = measurement
    if not m.found:
        return "nothing to correlate"
    if m.lowest < -max(level, m.score):
        return f"the overlap anticorrelates ({m.lowest:.1f} against {m.score:.1f} standard deviations)"
    if m.score <= level:
        blocks = f"; {m.agreeing} of {m.blocks} blocks agree" if m.blocks else ""
        return f"its peak of {m.score:.1f} standard deviations may be chance (level {level:.1f}{blocks})"
    if m.score <= _ABOVE_OWN_NULL * m.null:
        return f"its peak of {m.score:.1f} is not clearly above the {m.null:.1f} of a mirrored strip"
    return f"only {m.agreeing} of {m.blocks} blocks agree"
