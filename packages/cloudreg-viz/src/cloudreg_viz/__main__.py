"""`python -m cloudreg_viz`: the commands of this package without the others."""

from __future__ import annotations

import sys

from cloudreg_io.errors import CloudRegError
from cloudreg_viz.cli import app


def main() -> None:
    """Run the commands; an error that a person can act on has no traceback."""
    try:
        app(prog_name="python -m cloudreg_viz")
    except CloudRegError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
