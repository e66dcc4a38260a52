"""How fast planes are read, beside tifffile, by codec and by what they hold.

    python benchmarks/tiff.py [--edge 2048] [--turns 5]

Planes of 16 bits in strips of 64 rows, from the page cache, one thread; the best of the turns. tifffile decodes
LZW with imagecodecs' decoder, which a damaged strip can crash; `read_plane` takes libtiff's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from cloudreg_io.files.tiff import read_plane

CODECS: dict[str, dict[str, Any]] = {
    "none": {},
    "zstd": {"compression": "zstd"},
    "deflate": {"compression": "zlib"},
    "lzw": {"compression": "lzw"},
    "lzw, predictor": {"compression": "lzw", "predictor": True},
}


def planes(edge: int) -> dict[str, NDArray[np.uint16]]:
    """Planes that compress more and less."""
    rng = np.random.default_rng(0)
    waves = np.sin(np.arange(edge) / 40)
    bright = 600 + 400 * np.add.outer(waves, waves)
    return {
        "noisy": rng.poisson(np.clip(bright, 20, None)).astype(np.uint16),
        "smooth": np.clip(bright, 0, None).astype(np.uint16),
        "dark": rng.poisson(3, (edge, edge)).astype(np.uint16),
    }


def best(read: Callable[[], NDArray[Any]], expected: NDArray[Any], turns: int) -> float:
    """Seconds of the fastest turn."""
    seconds = []
    for _ in range(turns):
        begin = time.perf_counter()
        found = read()
        seconds.append(time.perf_counter() - begin)
        assert np.array_equal(found, expected)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edge", type=int, default=2048)
    parser.add_argument("--turns", type=int, default=5)
    chosen = parser.parse_args()
    print(f"{'codec':<16}{'plane':<8}{'read_plane MB/s':>16}{'tifffile MB/s':>15}{'ratio of times':>16}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plane.tif"
        for codec, options in CODECS.items():
            for kind, plane in planes(chosen.edge).items():
                tifffile.imwrite(path, plane, rowsperstrip=64, metadata=None, **options)
                ours = best(lambda: read_plane(path), plane, chosen.turns)
                theirs = best(lambda: tifffile.imread(path, maxworkers=1), plane, chosen.turns)
                speeds = f"{plane.nbytes / ours / 1e6:>16.0f}{plane.nbytes / theirs / 1e6:>15.0f}"
                print(f"{codec:<16}{kind:<8}{speeds}{ours / theirs:>16.2f}")


if __name__ == "__main__":
    main()
