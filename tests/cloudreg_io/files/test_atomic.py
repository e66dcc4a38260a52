"""Atomic files: whole or absent, whatever happens meanwhile."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cloudreg_io.errors import ToolError
from cloudreg_io.files import atomic


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("durable", [True, False])
def test_write(tmp_path, durable):
    path = tmp_path / "a b ü"
    atomic.write_bytes(path, b"one", durable=durable)
    atomic.write_bytes(path, b"two", durable=durable)
    assert path.read_bytes() == b"two"
    assert names(tmp_path) == ["a b ü"]


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def interrupted():
        with atomic.atomic_path(path) as temporary:
            temporary.write_bytes(b"half")
            assert atomic.is_temporary(temporary)
            assert str(os.getpid()) in temporary.name
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == ["x"]
    assert path.read_bytes() == b"old"


def test_a_link_is_replaced_not_followed(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"raw data")
    link.symlink_to(target)
    atomic.write_bytes(link, b"new")
    assert target.read_bytes() == b"raw data"
    assert not link.is_symlink()


def test_long_names_fit(tmp_path):
    path = tmp_path / ("ü" * 120)
    atomic.write_bytes(path, b"x")
    assert names(tmp_path) == [path.name]


def test_json_has_one_form(tmp_path):
    one, two = tmp_path / "1", tmp_path / "2"
    atomic.write_json(one, {"b": [1, 2.5], "a": "ü"})
    atomic.write_json(two, {"a": "ü", "b": [1, 2.5]})
    assert one.read_bytes() == two.read_bytes()
    assert one.read_text().endswith("}\n")
    assert json.loads(one.read_text()) == {"a": "ü", "b": [1, 2.5]}
    with pytest.raises(ValueError, match="JSON compliant"):
        atomic.write_json(one, {"a": float("nan")})
    assert one.read_bytes() == two.read_bytes()


def test_temporary_files_of_a_killed_process_are_found(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from cloudreg_io.files.atomic import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as t:\n"
        "    t.write_bytes(b'half'); print('ready', flush=True); time.sleep(60)"
    )
    (tmp_path / "deep").mkdir()
    path = tmp_path / "deep" / "x"
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"ready\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert not path.exists()
    (tmp_path / ".tmp-notes").write_bytes(b"a user's own file")
    assert atomic.remove_temporaries(tmp_path) == 1
    assert names(tmp_path / "deep") == []
    assert names(tmp_path) == [".tmp-notes", "deep"]


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "x"
    code = (
        "import sys; from pathlib import Path; from cloudreg_io.files.atomic import write_bytes\n"
        "for n in range(100000): write_bytes(Path(sys.argv[1]), bytes([n % 256]) * 300000, durable=False)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(path)])
    try:
        seen = set()
        deadline = time.monotonic() + 20
        while len(seen) < 5 and time.monotonic() < deadline:
            if path.exists():
                data = path.read_bytes()
                assert data == data[:1] * 300000
                seen.add(data[:1])
    finally:
        child.kill()
        child.wait()
    assert len(seen) == 5


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def no_space(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", no_space)
    with pytest.raises(ToolError, match=r"disk full: needs 3.0 MB, [\d.]+ MB free on /"):
        atomic.write_bytes(tmp_path / "x", bytes(3_000_000))
    assert names(tmp_path) == []


def write_bit_by_bit(path):
    with atomic.atomic_path(path) as temporary, temporary.open("wb") as file:
        for _ in range(100):
            file.write(bytes(100_000))


@pytest.mark.needs("root")
def test_a_really_full_disk(tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path], check=False).returncode:
        pytest.skip("needs the right to mount")
    try:
        atomic.write_bytes(tmp_path / "old", b"old")
        with pytest.raises(ToolError, match=r"disk full: needs 3\.0 MB"):
            atomic.write_bytes(tmp_path / "old", bytes(3_000_000))
        with pytest.raises(ToolError, match="disk full: needs more than"):
            write_bit_by_bit(tmp_path / "x")
        assert names(tmp_path) == ["old"]
        assert (tmp_path / "old").read_bytes() == b"old"
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_flushing_many_files(tmp_path):
    paths = [tmp_path / str(n) for n in range(3)]
    for path in paths:
        path.write_bytes(b"x")
    atomic.sync_files(paths)
    with pytest.raises(FileNotFoundError):
        atomic.sync_files([tmp_path / "absent" / "x"])
