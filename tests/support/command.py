"""The `cloudreg` command as a user runs it: a process of its own, plainly or under mpirun."""

import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
MPIRUN = BIN / "mpirun"


def cloudreg(*args, ranks: int = 0, script: str = "cloudreg", check: bool = True, timeout: float = 300):
    """Run a console script to its end; with `ranks`, under mpirun."""
    done = subprocess.run(
        command(*args, ranks=ranks, script=script), capture_output=True, text=True, timeout=timeout, check=False
    )
    if check:
        assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def command(*args, ranks: int = 0, script: str = "cloudreg") -> list[str]:
    """The command line."""
    launcher = [str(MPIRUN), "-np", str(ranks)] if ranks else []
    return [*launcher, str(BIN / script), *map(str, args)]
