"""Logs: what the libraries have to say, on standard error of a command."""

from __future__ import annotations

import logging

_CHATTY = ("numba", "botocore", "boto3", "urllib3", "matplotlib", "asyncio")


def set_up_logging(*, debug: bool) -> None:
    """Send the libraries' log to standard error: warnings, each once, or everything."""
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s" if debug else "%(levelname)s: %(message)s",
        force=True,
    )
    if not debug:
        for handler in logging.getLogger().handlers:
            handler.addFilter(_Once())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


class _Once(logging.Filter):
    """Lets each text through once: a header is read by several steps, and each finds the same about it."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if text in self._said:
            return False
        self._said.add(text)
        return True
