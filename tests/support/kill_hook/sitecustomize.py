"""Loaded by every Python process of a command under the kill rig (`support.kills` puts this folder on PYTHONPATH).

Counts, over all processes of the command, what it does to OUT that a later run must be able to live with: lines of
the journal, renames (before and after), removals. At the n-th it kills -9 whom the plan says, and leaves a record.
"""

import fcntl
import json
import os
import signal
import time
from pathlib import Path

VARIABLE = "CLOUDREG_KILL_PLAN"
_saved = {name: getattr(os, name) for name in ("replace", "rename", "unlink", "remove", "rmdir", "fsync")}


def processes(plan):
    """Role of every living process of the command that was started with a plan, by its id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
            words = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if f"{VARIABLE}={plan}".encode() in variables and words:
            found[int(entry.name)] = _role(words, variables)
    return found


def _role(words, variables):
    if "resource_tracker" in words:
        return "tracker"
    if "spawn_main" in words:
        return "worker"
    if "hydra_pmi_proxy" in words:
        return "proxy"
    ranks = [word.partition(b"=")[2].decode() for word in variables if word.startswith(b"PMI_RANK=")]
    if ranks:
        return "rank 0" if ranks == ["0"] else "rank"
    return "mpirun" if "mpirun" in words else "parent"


def _event(plan, kind, place):
    """Count one event; at the n-th, and as soon as there is somebody to kill, kill."""
    with Path(plan["counter"]).open("r+") as counter:
        fcntl.flock(counter, fcntl.LOCK_EX)
        count = int(counter.read() or 0) + 1
        counter.seek(0)
        counter.write(str(count))
        counter.flush()
        stage = _stage(Path(plan["out"]) / ".cloudreg" / "journal.jsonl")
        if plan["victim"] == "nobody":
            with Path(plan["record"]).open("a") as record:
                record.write(json.dumps([kind, stage]) + "\n")
        elif count >= plan["n"] and not Path(plan["record"]).exists():
            _kill(plan, {"event": kind, "place": place, "stage": stage, "count": count})


def _kill(plan, hit):
    family = processes(plan["path"])
    chosen = [pid for pid, role in sorted(family.items()) if plan["victim"] in (role, "all")]
    if plan["victim"] in ("worker", "rank"):
        chosen = [os.getpid()] if os.getpid() in chosen else chosen[:1]
    if not chosen:
        return
    if plan["torn"] and os.getpid() in chosen and hit["event"] == "journal line":
        hit["event"] = "torn journal line"
        journal = Path(hit["place"])
        os.truncate(journal, journal.stat().st_size - 7)
    hit |= {"by": family.get(os.getpid()), "victims": [family[pid] for pid in chosen], "time": time.monotonic()}
    Path(plan["record"]).write_text(json.dumps(hit))
    for pid in sorted(chosen, key=os.getpid().__eq__):  # this process last
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _stage(journal):
    """The stage under way, by the last whole line of the journal."""
    try:
        lines = journal.read_bytes().splitlines(keepends=True)
    except OSError:
        return "opening"
    whole = [line for line in lines if line.endswith(b"\n")]
    if not whole:
        return "opening"
    last = json.loads(whole[-1])
    name = " ".join(filter(None, (last["stage"], last["channel"])))
    return f"after {name}" if last["event"] == "end" else name


def _install(plan):
    out = plan["out"] + "/"

    def watched(name, kind, target):
        def wrapper(*args, **options):
            place = _place(args[target], options.get("dir_fd"))
            if not place.startswith(out):
                return _saved[name](*args, **options)
            _event(plan, f"before {kind}", place)
            result = _saved[name](*args, **options)
            if kind == "rename":
                _event(plan, "after rename", place)
            return result

        return wrapper

    def fsync(descriptor):
        place = _place(descriptor, None)
        if place.endswith("/.cloudreg/journal.jsonl"):
            _event(plan, "journal line", place)
        return _saved["fsync"](descriptor)

    os.replace, os.rename = watched("replace", "rename", 1), watched("rename", "rename", 1)
    os.unlink, os.remove = watched("unlink", "removal", 0), watched("remove", "removal", 0)
    os.rmdir, os.fsync = watched("rmdir", "removal", 0), fsync


def _place(path, folder):
    if isinstance(path, int):
        return str(Path(f"/proc/self/fd/{path}").readlink())
    path = Path(os.fsdecode(path))
    return str(path if folder is None else Path(f"/proc/self/fd/{folder}").readlink() / path)


if VARIABLE in os.environ:
    _install(json.loads(Path(os.environ[VARIABLE]).read_text()))
