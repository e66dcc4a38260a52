"""Faults of the machine: a full disk, a limit, a bad sector, planes that change or go, a clock that jumps.

Each ends with exit 1, a message that names the file or device and what to do, and no traceback; or the command
completes. Then the same command gives the same bytes as a run that nothing disturbed (docs/safety.md).
"""

import contextlib
import ctypes
import errno
import io
import itertools
import json
import os
import random
import resource
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from support.inside import cloudreg_inside
from support.kills import make_raw
from support.trees import difference, tree

# all in one test process: the undisturbed run is made once
pytestmark = pytest.mark.xdist_group("faults")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return make_raw(tmp_path_factory.mktemp("faults") / "raw")


@pytest.fixture(scope="module")
def undisturbed(raw):
    """The bytes that every other run must come to."""
    out = raw.parent / "undisturbed"
    assert run(raw, out).returncode == 0
    return tree(out)


def run(raw, out, *words):
    return cloudreg_inside("run", raw, out, "--channels", 0, *words, check=False)


def failed(done, *named):
    """A command that ended with 1, one error that names something and a fix, and no traceback."""
    assert done.returncode == 1, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.stderr.count("error: ") == 1, done.stderr
    assert "fix: " in done.stderr
    assert "Traceback" not in done.stderr
    for name in named:
        assert str(name) in done.stderr, done.stderr


def goes_on(raw, out, undisturbed):
    """The same command completes, with the bytes of a run that nothing disturbed."""
    done = run(raw, out)
    assert done.returncode == 0, done.stderr
    assert difference(tree(out), undisturbed) == []
    assert not list(out.rglob(".tmp-*"))


def mount(*words):
    subprocess.run(["mount", *map(str, words)], check=True)


@pytest.fixture
def disk(tmp_path):
    """A disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=40m", "tmpfs", place)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def filled_up(monkeypatch, place, n):
    """Somebody else fills a disk when the n-th file has come to its place there."""
    renamed, plain = 0, os.replace

    def replacing(source, target, **kwargs):
        nonlocal renamed
        plain(source, target, **kwargs)
        renamed += str(target).startswith(str(place))
        if renamed == n:
            with contextlib.suppress(OSError), (place / "somebody else's").open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))

    monkeypatch.setattr(os, "replace", replacing)


@pytest.mark.needs("root")
def test_full_disk(raw, undisturbed, disk, monkeypatch):
    out, stages = disk / "out", []
    for n in itertools.count(5, 15):  # the disk is full in another stage each time
        with monkeypatch.context() as fault:
            filled_up(fault, disk, n)
            done = run(raw, out)
        (disk / "somebody else's").unlink(missing_ok=True)
        if done.returncode == 0:
            break
        failed(done, "disk full", f"MB free on {disk}")
        stages.append(json.loads((out / ".cloudreg/journal.jsonl").read_text().splitlines()[-1])["stage"])
    assert len(set(stages)) > 2, stages
    goes_on(raw, out, undisturbed)


@pytest.mark.needs("root")
def test_disk_that_is_too_small_from_the_beginning(raw, disk):
    mount("-o", "remount,size=4m", disk)
    failed(run(raw, disk / "out"), "will need about", f"MB are free on {disk}")
    assert not (disk / "out").exists()


@pytest.mark.parametrize("limit", [2_000, 60_000])
def test_limit_of_file_size(raw, undisturbed, tmp_path, limit):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        done = run(raw, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    failed(done, tmp_path / "out", "larger than this user may write", "ulimit -f")
    goes_on(raw, tmp_path / "out", undisturbed)


def at_plane(monkeypatch, raw, n, act):
    """Call `act()` before the n-th reading of a plane after the headers; if it gives True, that one fails."""
    opened, plain = 0, io.FileIO
    headers = len(list(raw.glob("VW0/*/*CHN00*.tif*")))

    class Watched(plain):
        unreadable = False

        def __init__(self, path, *args, **kwargs):
            nonlocal opened
            if str(path).startswith(str(raw)) and str(path).endswith((".tif", ".tiff")):
                opened += 1
                if opened == headers + n:
                    self.unreadable = act()
            super().__init__(path, *args, **kwargs)

        def readinto(self, buffer):
            self._look()
            return super().readinto(buffer)

        def read(self, *size):
            self._look()
            return super().read(*size)

        def _look(self):
            if self.unreadable:
                raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(io, "FileIO", Watched)


@pytest.mark.parametrize("n", [20, 60, 150])  # sampling, survey, fusion
def test_bad_sector(raw, undisturbed, tmp_path, monkeypatch, n):
    with monkeypatch.context() as fault:
        at_plane(fault, raw, n, lambda: True)
        failed(run(raw, tmp_path / "out"), raw / "VW0", ".tif", os.strerror(errno.EIO), "dmesg")
    goes_on(raw, tmp_path / "out", undisturbed)


@pytest.mark.parametrize("n", [50, 150])
def test_input_moved_away(raw, undisturbed, tmp_path, monkeypatch, n):
    place, away = tmp_path / "raw", tmp_path / "away"
    shutil.copytree(raw, place)
    with monkeypatch.context() as fault:
        at_plane(fault, place, n, lambda: place.rename(away) is None)
        failed(run(place, tmp_path / "out"), place / "VW0", "bring it back")
    failed(run(place, tmp_path / "out"), place)
    away.rename(place)
    goes_on(place, tmp_path / "out", undisturbed)


def unmount(place):
    mnt_detach = 2
    assert ctypes.CDLL(None).umount2(os.fsencode(place), mnt_detach) == 0


@pytest.mark.needs("root")
def test_input_on_a_disk_that_goes_away(raw, undisturbed, tmp_path, monkeypatch):
    place = tmp_path / "raw"
    place.mkdir()
    mount("--bind", raw, place)
    try:
        with monkeypatch.context() as fault:
            at_plane(fault, place, 100, lambda: unmount(place))
            failed(run(place, tmp_path / "out"), place / "VW0", "bring it back")
        mount("--bind", raw, place)
        goes_on(place, tmp_path / "out", undisturbed)
    finally:
        subprocess.run(["umount", "-l", place], check=False)


def test_plane_replaced_between_survey_and_fusion(raw, undisturbed, tmp_path, monkeypatch):
    place, out = tmp_path / "raw", tmp_path / "out"
    shutil.copytree(raw, place)
    planes = sorted(place.glob("VW0/LOC004/*CHN00*.tif*"))
    plain = os.replace

    def replacing(source, target, **kwargs):
        plain(source, target, **kwargs)
        if Path(target).name == "placement.json" and Path(target).parent == out:
            shutil.copy(planes[3], planes[9])

    with monkeypatch.context() as fault:
        fault.setattr(os, "replace", replacing)
        failed(run(place, out), planes[9], "replaced or written to", "--overwrite")
    failed(run(place, out), "acquisition was")  # the new plane does not belong to what is there
    shutil.copy2(raw / planes[9].relative_to(place), planes[9])
    goes_on(place, out, undisturbed)


def test_clock_that_jumps(raw, undisturbed, tmp_path, monkeypatch):
    plain, jumps = time.time, random.Random(1)
    monkeypatch.setattr(time, "time", lambda: plain() + jumps.choice((-3e8, -3600.0, 0.0, 3600.0, 3e8)))
    goes_on(raw, tmp_path / "out", undisturbed)
    (entry,) = json.loads((tmp_path / "out/provenance.json").read_text())["commands"]
    assert all(0 <= stage["seconds"] < 3600 for stage in entry["stages"])
