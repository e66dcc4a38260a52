"""What a reader sees in a place: the signs of its format, and what is lacking to open it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signs:
    """The outcome of one reader's look.

    Attributes
    ----------
    found, lacking : tuple of str
        In words, with the places looked at. A reader fits when nothing is lacking.
    """

    found: tuple[str, ...]
    lacking: tuple[str, ...]

    @property
    def fit(self) -> bool:
        """Whether the reader can open the place."""
        return not self.lacking
