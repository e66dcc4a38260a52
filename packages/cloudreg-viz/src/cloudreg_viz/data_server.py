"""The data server: the files of precomputed volumes over HTTP, as Neuroglancer wants them.

* A compressed chunk is stored as `name.gz`, `.br` or `.zstd` and asked for as `name`: it is sent as it is,
  with a Content-Encoding, and never in ranges (a range of it would not be a range of the chunk).
* Shards are read in ranges (206).
* Every answer allows any origin, and shows scripts the headers that they need. That is safe because the
  address holds a secret: without it there is only 404, for other users of the machine and for web pages alike.
* Only regular files inside the volumes' folders are sent, and no list of files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import tornado.web

# as cloud-files, and so cloud-volume, names compressed files
ENCODINGS = {".gz": "gzip", ".br": "br", ".zstd": "zstd"}

# No part of a path may be empty or begin with a dot: neither .. nor hidden files nor an absolute path.
_PART = r"[^./\\\x00-\x1f][^/\\\x00-\x1f]*"
_SAFE = re.compile(rf"{_PART}(/{_PART})*")


def find_file(root: Path, name: str) -> tuple[Path, str] | None:
    """The file that serves `name` below `root` and its Content-Encoding ("" for none); None if there is none.

    Links are followed, but not out of `root`.
    """
    if not _SAFE.fullmatch(name):
        return None
    inside = root.resolve()
    for suffix, encoding in {"": "", **ENCODINGS}.items():
        try:
            path = (inside / (name + suffix)).resolve(strict=True)
        except (OSError, RuntimeError):  # absent, too long a name, a loop of links
            continue
        if path.is_file() and path.is_relative_to(inside):
            return path, encoding
    return None


class VolumeFileHandler(tornado.web.StaticFileHandler):
    """Sends files of the volumes; tornado's handler does ranges, HEAD and If-None-Match."""

    def initialize(self, volumes: Mapping[str, Path]) -> None:  # type: ignore[override]  # tornado's idiom
        """`volumes`: the folder of each volume, by its path in the address ("" for one that is alone)."""
        self._volumes = volumes
        self._encoding = ""

    def set_default_headers(self) -> None:
        """The CORS headers, on errors too: else a missing chunk looks like a forbidden one."""
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
        self.set_header("Access-Control-Allow-Headers", "Range")
        self.set_header("Access-Control-Expose-Headers", "Content-Range, Content-Length, Content-Encoding, ETag")
        self.set_header("X-Content-Type-Options", "nosniff")

    def options(self, path: str) -> None:
        """A browser's question before a range request from another origin."""
        self.set_status(204)

    async def get(self, path: str, include_body: bool = True) -> None:
        """One file: `path` is VOLUME/NAME, percent-decoded."""
        root, found = self._find(path)
        self._encoding = found[1]
        if self._encoding:
            self.set_header("Content-Encoding", self._encoding)
            self.request.headers.pop("Range", None)
        # what was found is given to tornado as a plain name below a root, which it checks once more
        super().initialize(path=str(root))
        await super().get(found[0].relative_to(root).as_posix(), include_body)

    def _find(self, path: str) -> tuple[Path, tuple[Path, str]]:
        for prefix, root in self._volumes.items():
            name = path.removeprefix(f"{prefix}/") if prefix else path
            found = find_file(root, name) if not prefix or name != path else None
            if found is not None:
                return root.resolve(), found
        raise tornado.web.HTTPError(404)

    def get_content_type(self) -> str:
        """Chunks have no extension: all but `info` is binary."""
        return "application/json" if self.path == "info" else "application/octet-stream"

    def compute_etag(self) -> str | None:
        """From size and time: tornado would read a whole shard to hash it."""
        if self.absolute_path is None:
            return None
        stat = Path(self.absolute_path).stat()
        return f'"{stat.st_mtime_ns:x}-{stat.st_size:x}{self._encoding}"'
