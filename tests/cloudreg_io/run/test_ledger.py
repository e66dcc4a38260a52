"""Checksums of everything that is written, kept beside the journal."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from cloudreg_io.errors import InputError, ToolError
from cloudreg_io.files.atomic import atomic_path, write_bytes
from cloudreg_io.files.checksums import Checksum, dump, parse, recording, wrote
from cloudreg_io.files.tiff import write_plane
from cloudreg_io.run import Unit, executor, open_run
from cloudreg_io.run.journal import Journal
from cloudreg_io.run.ledger import read_ledger
from cloudreg_io.run.lock import lock, looking


def ledger_of(out):
    hidden = Path(out) / ".cloudreg"
    return read_ledger(hidden, Journal.read(hidden / "journal.jsonl"))


def write_files(task):
    folder, number, kind = task
    folder = Path(folder)
    if kind == "nothing":
        return None
    write_bytes(folder / f"{number}.bin", bytes([number]) * 1000)
    with atomic_path(folder / f"{number}.txt") as temporary:
        temporary.write_text(f"{kind} {number}")
    write_bytes(folder / ".cloudreg" / "scratch" / f"{number}.npy", b"not a result")
    if kind == "fail":
        raise InputError("as asked")
    return number


def units(out, kind="text", n=3):
    return [Unit(str(i), (str(out), i, kind)) for i in range(n)]


def stage(out, kind="text", jobs=1, **options):
    with executor(jobs) as pool, open_run(out, command="t", pool=pool, jobs=jobs, **options) as run:
        run.stage("s", write_files, units(out, kind), options={"kind": kind})


def test_the_checksum_is_the_crc_that_everybody_computes(tmp_path):
    data = np.random.default_rng(0).bytes(5_000_000)
    (tmp_path / "file").write_bytes(data)
    assert Checksum.of(data) == Checksum.of_file(tmp_path / "file") == Checksum(len(data), zlib.crc32(data))
    assert parse(dump({"a/ü": Checksum(3, 7)})) == {"a/ü": Checksum(3, 7)}


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_result_is_in_the_ledger_and_scratch_is_not(tmp_path, jobs):
    out = tmp_path / "out"
    stage(out, jobs=jobs)
    ledger = ledger_of(out)
    assert set(ledger.files) == {f"{i}.{kind}" for i in range(3) for kind in ("bin", "txt")}
    for name, checksum in ledger.files.items():
        assert checksum == Checksum.of_file(out / name)
        assert ledger.units[name] == {(("s", ""), name[0])}


def test_what_a_command_writes_itself_is_kept_even_when_it_fails(tmp_path):
    out = tmp_path / "out"
    with open_run(out, command="t") as run:
        write_bytes(run.out / "first.json", b"{}")

    def write_and_fail():
        with open_run(out, command="t") as run:
            write_plane(run.out / "second.tif", np.zeros((4, 4), np.uint16))
            raise InputError("as asked")

    with pytest.raises(InputError, match="as asked"):
        write_and_fail()
    files = ledger_of(out).files
    assert set(files) == {"first.json", "second.tif"}
    assert files["second.tif"] == Checksum.of_file(out / "second.tif")


def test_a_unit_that_failed_is_not_in_the_ledger(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match="as asked"):
        stage(out, "fail")
    assert (out / "0.bin").exists()
    assert ledger_of(out).files == {}


def test_entries_of_another_attempt_do_not_stay(tmp_path):
    out = tmp_path / "out"
    stage(out)
    stage(out, "nothing", overwrite=True)
    assert ledger_of(out).files == {}


def test_places_outside_of_the_folder_keep_their_whole_name(tmp_path):
    with recording(tmp_path / "out", ".cloudreg") as written:
        write_bytes(tmp_path / "beside", b"1")
        wrote("s3://bucket/key", b"12")
    assert written.files == {str(tmp_path / "beside"): Checksum.of(b"1"), "s3://bucket/key": Checksum.of(b"12")}
    write_bytes(tmp_path / "later", b"1")
    assert len(written.files) == 2


def test_a_ledger_that_was_cut_off_is_told(tmp_path):
    out = tmp_path / "out"
    stage(out)
    files = sorted((out / ".cloudreg" / "checksums").iterdir())
    files[0].write_bytes(files[0].read_bytes()[:20])
    ledger = ledger_of(out)
    assert ledger.damaged == [files[0]]
    assert len(ledger.files) == 4


def test_a_journal_that_is_looked_at_is_left_as_it_is(tmp_path):
    stage(tmp_path / "out")
    path = tmp_path / "out" / ".cloudreg" / "journal.jsonl"
    with path.open("ab") as file:
        file.write(b'{"event": "do')
    before = path.read_bytes()
    assert set(Journal.read(path)["s", ""].results) == {"0", "1", "2"}
    assert path.read_bytes() == before
    assert Journal.read(tmp_path / "nowhere" / "journal.jsonl") == {}
    assert not (tmp_path / "nowhere").exists()


def test_several_may_look_but_not_while_a_command_works(tmp_path):
    path = tmp_path / "out" / ".cloudreg" / "lock"
    with looking(path):
        pass
    assert not path.parent.exists()
    with lock(path), pytest.raises(ToolError, match="in use by process"), looking(path):
        pass
    with looking(path), looking(path), pytest.raises(ToolError), lock(path, patience=0.0):
        pass


def test_a_command_says_when_it_is_complete_and_what_was_typed(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/usr/bin/cloudreg", "run", "a b"])
    out = tmp_path / "out"

    def entry():
        (found,) = json.loads((out / "provenance.json").read_text())["commands"]
        return found

    with pytest.raises(InputError, match="as asked"):
        stage(out, "fail")
    assert not entry()["complete"]
    stage(out, overwrite=True)
    assert entry()["complete"]
    assert entry()["typed"] == "cloudreg run 'a b'"


def test_figures_lost_in_a_crash_are_told_by_the_next_run(tmp_path):
    out = tmp_path / "out"
    stage(out)
    path = out / "provenance.json"
    before = json.loads(path.read_text())
    before["commands"][0]["stages"] = []  # killed after the end of the stage was in the journal
    path.write_text(json.dumps(before))
    stage(out)
    (told,) = json.loads(path.read_text())["commands"][0]["stages"]
    assert told["units"] == 3
    assert told["bytes_written"] == 0
