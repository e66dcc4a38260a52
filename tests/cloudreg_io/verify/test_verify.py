"""Verification finds what happened to a folder since its commands ended, and says nothing of a whole one."""

import json
import re
import shutil

import numpy as np
import pytest

from cloudreg_io.errors import NotFoundError, ToolError
from cloudreg_io.files import Location, store
from cloudreg_io.files.atomic import write_json
from cloudreg_io.files.tiff import write_plane
from cloudreg_io.run import Unit, executor, open_run
from cloudreg_io.run.lock import lock
from cloudreg_io.verify import Finding, Judgement, repair, verify
from cloudreg_io.verify.history import again
from cloudreg_io.volumes.ingest import IngestOptions, ingest

ARRAY = np.random.default_rng(0).poisson(300, (9, 20, 33)).astype(np.uint16)
FINEST = "1000_1000_1000"


def make(folder, array=ARRAY, *, out="out", url=None, overwrite=False, **options):
    """Ingest an array as a user does; gives OUT."""
    stack = folder / f"stack-{out}"
    if not stack.exists():
        stack.mkdir(parents=True)
        for z, plane in enumerate(array):
            write_plane(stack / f"{z:03}.tif", plane)
    options = IngestOptions(voxel_size=(1, 1, 1), chunk=(16, 16, 8), smallest=16, **options)
    with open_run(folder / out, command="ingest", overwrite=overwrite) as run:
        ingest(run, stack, url or folder / out, options)
    return folder / out


def wrong(out, **options):
    """The findings that count, by file."""
    found = [finding for finding in verify(out, **options).findings if not finding.harmless]
    assert len({finding.path for finding in found}) == len(found), "one finding a file is enough"
    return {finding.path: finding for finding in found}


def chunks(out, mip=FINEST):
    return sorted(path for path in (out / mip).iterdir() if not path.name.startswith("."))


def flip(path, place=0.5, bit=4):
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= bit
    path.write_bytes(data)


@pytest.mark.parametrize("compression", ["gzip", "zstd", "br", "none"])
def test_a_whole_folder_is_whole(tmp_path, compression):
    out = make(tmp_path, compression=compression)
    report = verify(out)
    assert report.findings == ()
    assert report.whole
    assert report.volumes == (f"file://{out}",)
    assert report.files == 1 + 12 + 2 + 1
    assert report.bytes == sum(path.stat().st_size for path in out.glob("*_*/*")) + (out / "info").stat().st_size
    quick = verify(out, quick=True)
    assert (quick.findings, quick.files, quick.bytes) == ((), report.files, 0)


@pytest.mark.parametrize("compression", ["gzip", "zstd", "br", "none"])
@pytest.mark.parametrize("place", [0.02, 0.5, 0.99])
def test_a_flipped_byte(tmp_path, compression, place):
    out = make(tmp_path, compression=compression)
    path = chunks(out)[3]
    flip(path, place)
    (finding,) = wrong(out).values()
    assert finding.path == f"{FINEST}/{path.name}"
    assert "holds other bytes than were written" in finding.what
    assert wrong(out, quick=True) == {}


@pytest.mark.parametrize("quick", [False, True])
def test_a_truncated_chunk(tmp_path, quick):
    out = make(tmp_path)
    path = chunks(out)[0]
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-9])
    (finding,) = wrong(out, quick=quick).values()
    assert f"has {size - 9} bytes, {size} were written" in finding.what
    assert "cut off" in finding.why
    path.write_bytes(b"")
    assert "has 0 bytes" in wrong(out, quick=quick)[f"{FINEST}/{path.name}"].what


@pytest.mark.parametrize("quick", [False, True])
def test_a_missing_chunk_of_any_mip(tmp_path, quick):
    out = make(tmp_path)
    gone = [path for folder in sorted(out.glob("*_*")) for path in chunks(out, folder.name)[:1]]
    for path in gone:
        path.unlink()
    found = wrong(out, quick=quick)
    assert set(found) == {str(path.relative_to(out)) for path in gone}
    assert len(found) == 3
    assert all(finding.what == "is missing" for finding in found.values())


def test_a_chunk_of_another_run(tmp_path):
    out = make(tmp_path)
    other = make(tmp_path, ARRAY + 1, out="other")
    path = chunks(out)[5]
    shutil.copy(other / FINEST / path.name, path)
    (finding,) = wrong(out).values()
    assert "they decode" in finding.what
    assert "another run" in finding.why
    # and one of the same run, at another place
    shutil.copy(chunks(out)[0], path)
    assert set(wrong(out)) == {f"{FINEST}/{path.name}"}


def test_a_chunk_of_another_compression_beside_ours(tmp_path):
    out = make(tmp_path)
    path = chunks(out)[0]
    shutil.copy(path, path.with_suffix(""))
    (finding,) = wrong(out).values()
    assert "takes the place" in finding.what


def test_strange_files_are_told_and_harmless(tmp_path):
    out = make(tmp_path)
    (out / "mine.txt").write_text("notes")
    (out / FINEST / "0-1_0-1_0-1.gz").write_bytes(b"")
    report = verify(out)
    assert report.whole
    (finding,) = report.findings
    assert "mine.txt" in finding.what
    assert f"{FINEST}/0-1_0-1_0-1.gz" in finding.what


@pytest.mark.parametrize("place", [0.01, 0.5, 0.9, 0.999])
def test_shards_are_read_chunk_by_chunk(tmp_path, place):
    out = make(tmp_path, sharded=True)
    assert verify(out).findings == ()
    (path,) = chunks(out)
    flip(path, place)
    (finding,) = wrong(out).values()
    assert finding.path == f"{FINEST}/{path.name}"
    path.unlink()
    assert wrong(out)[finding.path].what == "is missing"


def test_a_shard_without_checksum_is_still_decoded(tmp_path):
    out = make(tmp_path, sharded=True)
    shutil.rmtree(out / ".cloudreg" / "checksums")
    assert set(wrong(out)) == {"*"}
    (path,) = chunks(out)
    path.write_bytes(path.read_bytes()[:100])
    found = wrong(out)
    assert "is damaged" in found[f"{FINEST}/{path.name}"].what


def test_lost_checksums_are_told_and_chunks_still_decoded(tmp_path):
    out = make(tmp_path)
    shutil.rmtree(out / ".cloudreg" / "checksums")
    (finding,) = wrong(out).values()
    assert "no checksum of 15 of 15 files" in finding.what
    flip(chunks(out)[2])
    assert f"{FINEST}/{chunks(out)[2].name}" in wrong(out)


def test_a_damaged_ledger_is_told(tmp_path):
    out = make(tmp_path)
    for path in (out / ".cloudreg" / "checksums").iterdir():
        path.write_bytes(b"")
    assert {path.split("/")[1] for path in wrong(out) if path.startswith(".cloudreg")} == {"checksums"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda info: info.unlink(), "is missing"),
        (lambda info: info.write_text("{"), "is no description"),
        (lambda info: info.write_text(info.read_text().replace("uint16", "int16")), "were written"),
    ],
)
def test_info_deleted_damaged_or_of_another_volume(tmp_path, change, told):
    out = make(tmp_path)
    change(out / "info")
    flip(chunks(out)[0])
    report = verify(out)
    found = [finding for finding in report.findings if finding.path == "info"]
    assert any(told in finding.what for finding in found)
    assert f"{FINEST}/{chunks(out)[0].name}" in {finding.path for finding in report.findings}


def double(task):
    folder, number = task
    if number == 2:
        raise RuntimeError("killed")
    write_json(folder / f"{number}.json", {"value": number})
    return number


def test_unfinished_work_and_how_to_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["cloudreg", "run", "acq", "out"])
    out = tmp_path / "out"
    with pytest.raises(RuntimeError), open_run(out, command="run") as run:
        run.stage("s", double, [Unit(str(i), (out, i)) for i in range(4)], channel="CHN00")
    (finding,) = wrong(out).values()
    assert re.search(r"the stage s of CHN00 is not finished: \d units are done", finding.what)
    assert finding.fix.endswith("cloudreg run acq out")


def test_a_command_that_ended_between_two_stages(tmp_path):
    out = tmp_path / "out"

    def run_and_end():
        with open_run(out, command="run") as run:
            run.stage("s", double, [Unit("0", (out, 0))])
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        run_and_end()
    (finding,) = wrong(out).values()
    assert "did not come to its end" in finding.what
    with open_run(out, command="run") as run:
        run.stage("s", double, [Unit("0", (out, 0))])
    assert wrong(out) == {}


def test_small_outputs_deleted_and_edited(tmp_path):
    out = tmp_path / "out"
    with open_run(out, command="run") as run:
        run.stage("s", double, [Unit(str(i), (out, i)) for i in range(2)], outputs=["0.json", "1.json"])
        write_json(out / "own.json", {})
    assert wrong(out) == {}
    (out / "0.json").unlink()
    (out / "1.json").write_text('{\n  "value": 3\n}\n')
    (out / "own.json").write_text("")
    found = wrong(out)
    assert found["0.json"].what == "is missing"
    assert "edited" in found["1.json"].why
    assert "--overwrite" in found["1.json"].fix
    assert "written anew by" in found["own.json"].fix
    assert set(wrong(out, quick=True)) == {"0.json", "own.json"}


def test_provenance_that_tells_of_other_work(tmp_path):
    out = make(tmp_path)
    path = out / "provenance.json"
    content = json.loads(path.read_text())
    content["commands"][0]["stages"][1]["units"] += 1
    path.write_text(json.dumps(content))
    assert "does not tell what the journal holds of the stage ingest" in wrong(out)["provenance.json"].what
    path.write_text("{}")
    assert "cannot be read" in wrong(out)["provenance.json"].what


def test_other_packages_may_judge_their_own_outputs(tmp_path):
    out = tmp_path / "out"
    with open_run(out, command="run") as run:
        run.stage("s", double, [Unit("0", (out, 0))], outputs=["0.json"])
    (out / "0.json").write_text("edited")
    assert wrong(out, checks=[lambda *_: Judgement(judged=frozenset({"0.json"}))]) == {}
    assert set(wrong(out, checks=[lambda *_: Judgement([Finding("x", "is odd")])])) == {"0.json", "x"}


def test_a_volume_in_s3(s3, tmp_path):
    url = f"s3://{s3}/brain/CHN00"
    out = make(tmp_path, out="work", url=url)
    assert verify(out).findings == ()
    assert verify(out, quick=True).findings == ()
    assert verify(out).files == 16
    keys = list(store.list_keys(Location.parse(f"{url}/{FINEST}")))
    place = [Location.parse(f"{url}/{FINEST}/{key}") for key in keys]
    data = store.get(place[0])
    store.put(place[0], data[:-3], content_encoding="gzip")
    store.put(place[1], store.get(place[2]), content_encoding="gzip")
    store.delete(place[3])
    found = wrong(out)
    assert set(found) == {str(location) for location in (place[0], place[1], place[3])}
    assert "were written" in found[str(place[0])].what
    assert found[str(place[3])].what == "is missing"


@pytest.mark.parametrize("jobs", [2])
def test_workers_find_the_same(tmp_path, jobs):
    out = make(tmp_path)
    flip(chunks(out)[0])
    chunks(out)[1].unlink()
    with executor(jobs) as pool:
        assert set(verify(out, pool=pool, jobs=jobs).findings) == set(verify(out).findings)


def test_nothing_is_written_and_a_moved_folder_is_as_good(tmp_path):
    make(tmp_path)
    out = (tmp_path / "out").rename(tmp_path / "moved")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert verify(out).findings == ()
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_folders_that_cannot_be_verified(tmp_path):
    with pytest.raises(NotFoundError, match="no journal"):
        verify(tmp_path)
    assert list(tmp_path.iterdir()) == []
    out = make(tmp_path)
    with lock(out / ".cloudreg" / "lock"), pytest.raises(ToolError, match="in use"):
        verify(out)


def test_repair_does_only_the_lost_slab_again(tmp_path):
    out = make(tmp_path)
    before = {path: path.read_bytes() for path in out.glob("*_*/*")}
    lost = chunks(out)[0]
    flip(lost)
    report = verify(out)
    assert "--repair" in report.findings[0].fix
    assert repair(report) == 1
    assert "not finished" in wrong(out)[".cloudreg/journal.jsonl"].what
    other = next(path for path in chunks(out) if path.name.endswith("_8-9.gz"))
    stamp = other.stat().st_mtime_ns
    make(tmp_path)
    assert {path: path.read_bytes() for path in out.glob("*_*/*")} == before
    assert other.stat().st_mtime_ns == stamp
    assert verify(out).findings == ()


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"mips": 3}, {"mips": 1}),
        ({"sharded": True}, {}),
        ({}, {"sharded": True}),
        ({}, {"compression": "zstd"}),
        ({"mips": [(1, 1, 1), (2, 2, 2), (4, 4, 2)]}, {"mips": [(1, 1, 1), (2, 2, 1), (4, 4, 2)]}),
    ],
)
def test_what_was_overwritten_leaves_nothing_to_miss(tmp_path, first, then):
    make(tmp_path, **first)
    out = make(tmp_path, overwrite=True, **then)
    assert verify(out).findings == ()
    flip(chunks(out)[0])
    assert len(wrong(out)) == 1


@pytest.mark.parametrize("options", [{"mips": [(1, 1, 1), (2, 2, 2)]}, {"sharded": True}])
def test_what_came_from_scratch_is_repaired_by_making_the_volume_again(tmp_path, options):
    out = make(tmp_path, **options)
    before = {path: path.read_bytes() for path in out.glob("*_*/*")}
    coarsest = max(out.glob("*_*_*"), key=lambda folder: int(folder.name.split("_")[0]))
    chunks(out, coarsest.name)[0].unlink()
    report = verify(out)
    assert "the whole volume" in report.findings[0].fix
    assert repair(report) >= 3
    make(tmp_path, **options)
    assert {path: path.read_bytes() for path in out.glob("*_*/*")} == before
    assert verify(out).findings == ()


def test_a_damaged_info_is_made_again_once_it_is_deleted(tmp_path):
    out = make(tmp_path)
    before = (out / "info").read_bytes()
    (out / "info").write_text("{")
    assert any(finding.fix.startswith("delete it; cloudreg verify") for finding in verify(out).findings)
    (out / "info").unlink()
    assert repair(verify(out)) == 1
    make(tmp_path)
    assert (out / "info").read_bytes() == before
    assert verify(out).findings == ()


def test_what_cannot_be_repaired_says_so(tmp_path):
    out = tmp_path / "out"
    with open_run(out, command="run") as run:
        run.stage("s", double, [Unit("0", (out, 0))], outputs=["0.json"])
    (out / "0.json").write_text("edited")
    report = verify(out)
    assert repair(report) == 0
    assert "--overwrite" in report.findings[0].fix


def test_what_to_type_means_the_same_here_and_now(tmp_path, monkeypatch):
    there, moved = tmp_path / "there", tmp_path / "moved to"
    there.mkdir()
    command = {"typed": "cloudreg run raw ./out", "typed_in": str(there), "out": str(there / "out")}
    assert again([command], there / "out") == f"cd {there} && cloudreg run raw ./out"
    assert again([command], moved) == f"cd {there} && cloudreg run raw '{moved}'"
    monkeypatch.chdir(there)
    assert again([command], there / "out") == "cloudreg run raw ./out"
    assert again([{"typed": "an edited ' line", "out": "/elsewhere"}], moved) == "an edited ' line"
