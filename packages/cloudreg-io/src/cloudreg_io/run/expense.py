"""Expense: what a step of a command is foretold to read, write and take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Expense:
    """One step, foretold.

    Attributes
    ----------
    name, channel : str
    bytes_read, bytes_written : int
    seconds : float
        Of one core.
    planes : int
        Of tiles, that are decoded.
    alone : bool
        The process of the command does it, however many jobs there are.
    """

    name: str
    channel: str
    bytes_read: int
    bytes_written: int
    seconds: float
    planes: int = 0
    alone: bool = False
