import subprocess
import sys

import pytest

from cloudreg_io.console import LineProgress, explained, memory_bytes
from cloudreg_io.errors import InputError, NotFoundError

SCRIPT = """
import os, signal, sys, typer
from cloudreg_io.console import run_app
from cloudreg_io.errors import InputError
app = typer.Typer()

@app.command()
def work(how: str, debug: bool = typer.Option(False, "--debug")):
    if how == "input":
        raise InputError("what", why="why", fix="fix")
    if how == "defect":
        {}["key"]
    if how == "disk":
        raise OSError(28, "No space left on device", "/out")
    if how in ("SIGTERM", "SIGINT"):
        os.kill(os.getpid(), getattr(signal, how))
    typer.echo("done")

run_app(app)
"""


def script(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", **environment},
    )


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        ("well", 0, ""),
        ("input", 1, "error: what\n  why: why\n  fix: fix\n"),
        ("defect", 1, "KeyError"),
        ("disk", 1, "/out"),
        ("SIGTERM", 143, "goes on"),
        ("SIGINT", 130, ""),
    ],
)
def test_how_a_script_ends(how, status, said):
    done = script(how)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_closed_streams_are_replaced_so_that_no_file_takes_their_numbers():
    work = "import os; assert sys.stderr; assert os.open(os.devnull, os.O_RDONLY) > 2; typer.echo"
    closed = SCRIPT.replace("typer.echo", work)
    streams = "import os, sys; [os.close(n) for n in range(3)]; os.execv(sys.executable, sys.argv[1:])"
    command = [sys.executable, "-c", streams, sys.executable, "-c", closed, "well"]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0


def test_debug_and_usage():
    assert "Traceback" in script("input", "--debug").stderr
    usage = script()
    assert (usage.returncode, "HOW" in usage.stderr.upper()) == (2, True)


def test_only_rank_0_speaks():
    ranks = {"PMI_RANK": "2", "PMI_SIZE": "3"}
    other = script("well", **ranks)
    assert (other.returncode, other.stdout) == (0, "")
    usage = script(**ranks)
    assert (usage.returncode, usage.stderr) == (2, "")
    assert script("well", PMI_RANK="2").stdout == "done\n"  # a left-over variable makes no job


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GB", 4e9), ("512 MiB", 2**29), ("1.5g", 1.5e9), ("2e9", 2e9), ("100", 100), ("3KB", 3000)],
)
def test_memory(text, size):
    assert memory_bytes(text) == size


@pytest.mark.parametrize("text", ["lots", "-4GB", "4XB", "0", "1.2.3GB"])
def test_memory_that_is_no_size(text):
    with pytest.raises(InputError, match="not a size"):
        memory_bytes(text)


def test_memory_by_default_is_a_part_of_the_machines():
    assert memory_bytes("") > 1e8


def test_an_error_that_is_also_an_os_error_is_told_as_ours():
    assert explained(NotFoundError("gone", fix="look")) == "error: gone\n  fix: look"


def test_progress_as_lines(capsys):
    progress = LineProgress()
    progress.start("fuse CHN00", 4, 1)
    progress.advance()
    progress.finish()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "fuse CHN00: going on at 1 of 4"
    assert lines[1].startswith("fuse CHN00: done, ")


def test_a_warning_is_said_once():
    script = (
        "import logging\nfrom cloudreg_io.logs import set_up_logging\nset_up_logging(debug=False)\n"
        "for text in ('a', 'a', 'b', 'a'):\n    logging.getLogger('x').warning('%s', text)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.split() == ["WARNING:", "a", "WARNING:", "b"]
