"""`python -m cloudreg_viz`: the commands of this package without the others."""

from __future__ import annotations

from cloudreg_io.console import run_app
from cloudreg_viz.cli import app

if __name__ == "__main__":
    run_app(app)
