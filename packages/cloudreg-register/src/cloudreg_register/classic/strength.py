"""Classic strength: σR of the original, which its `--regularization` was. Higher is less regularisation."""

from __future__ import annotations

from cloudreg_io.errors import InputError

SIGMA_R = 5e3
_LEAST = 1e3  # each step takes 1e6 / σR² of the velocity away: below this more than there is, and it swings


def require_strength(value: float) -> None:
    """Refuse a σR at which the original's steps of fixed length overshoot.

    Raises
    ------
    InputError
    """
    if value < _LEAST:
        raise InputError(
            f"--regularization {value:g} with --classic: at least {_LEAST:g}",
            why="there it is the original's, in other units: its steps of fixed length overshoot below that",
            fix=f"leave it out for the original's {SIGMA_R:g}; higher is less regularisation",
        )
