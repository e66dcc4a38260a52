"""The `cloudreg` command in this process, which saves the start of another."""

import contextlib
import io
import signal
import subprocess
import sys
from unittest.mock import patch

from cloudreg_cli.main import main


def cloudreg_inside(*args, check=True):
    """Run the command; what `support.command.cloudreg` gives."""
    stdout, stderr = io.StringIO(), io.StringIO()
    code = None
    argv, handlers = sys.argv, {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    # under `python -m pytest` click would call itself so in its usage
    script = patch.object(sys.modules["__main__"], "__package__", None)
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr), script:
        sys.argv = ["cloudreg", *map(str, args)]
        try:
            main()
        except SystemExit as end:
            code = end.code
        finally:
            sys.argv = argv
            for number, handler in handlers.items():
                signal.signal(number, handler)
    done = subprocess.CompletedProcess(args, code, stdout.getvalue(), stderr.getvalue())
    assert not check or code == 0, f"exit {code}\n{done.stdout}\n{done.stderr}"
    return done
