"""One target under the fuzzer, in a process of its own: `python -m tests.fuzz.one NAME FOLDER SECONDS`."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import atheris
from tests.fuzz.target import MEGABYTES, SECONDS

# only what is imported in here is watched for coverage: our parsers, not the libraries below them
with atheris.instrument_imports(include=["cloudreg_io", "cloudreg_stitch", "cloudreg_register"]):
    from tests.fuzz.targets import PLANTED, TARGETS


def main() -> None:
    """Fuzz until the time is over (exit 0) or something is found (any other)."""
    name, folder, seconds = sys.argv[1:]
    target, place = (TARGETS | {PLANTED.name: PLANTED})[name], Path(folder)
    logging.disable(logging.CRITICAL)  # tifffile tells of every oddity
    corpus = place / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = place / f"{name}.words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
    memory = Path("/dev/shm")  # where there is such a thing, inputs need not go to a disk
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        path = target.prepare(Path(scratch))
        options = {
            "max_total_time": seconds,
            "timeout": SECONDS,
            "rss_limit_mb": MEGABYTES,
            "max_len": 4 * max(map(len, target.seeds)),
            "artifact_prefix": f"{place}/{name}-",
            "dict": words,
            "print_final_stats": 1,
        }
        arguments = [sys.argv[0], *(f"-{key}={value}" for key, value in options.items()), str(corpus)]
        atheris.Setup(arguments, lambda data: target.run(path, data) and None)
        atheris.Fuzz()


def _escaped(word: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


if __name__ == "__main__":
    main()
