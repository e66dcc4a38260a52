"""Where something lives: a local path or an S3 object, parsed once and checked.

Whatever a user or a file calls a place becomes a `Location`: local paths, `file://` and `s3://` URLs, the
`https://` forms of Amazon S3 (bucket in the host name or in the path), each also behind `precomputed://`. Nothing
else gets in, and no name can point outside the folder it was joined to: `..` and control characters are refused.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from cloudreg_io.errors import InputError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://", re.ASCII)
_ONE_SLASH = re.compile(r"(file|s3|gs|https?|precomputed):(?!//)", re.ASCII | re.IGNORECASE)
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", re.ASCII)
# s3.amazonaws.com, s3.REGION, s3-REGION (older), s3.dualstack.REGION; China has a suffix of its own
_S3_HOST = re.compile(
    r"(?:(?P<bucket>.+)\.)?s3(?:[.-](?:dualstack\.)?[a-z]{2}-[a-z0-9-]+)?\.amazonaws\.com(?:\.cn)?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Location:
    """A local path or an S3 key; `str()` gives the URL that `parse` reads back.

    Attributes
    ----------
    scheme : "file" or "s3"
    bucket : str
        Empty for a file.
    key : str
        Absolute path of a file; key of an S3 object, without leading or trailing slash.
    """

    scheme: Literal["file", "s3"]
    bucket: str
    key: str

    @classmethod
    def parse(cls, url: str | Path | Location) -> Location:
        """Parse a path or URL.

        Parameters
        ----------
        url : str, Path or Location
            `a/b`, `/a/b`, `file:///a/b`, `s3://bucket/key`, `https://bucket.s3.region.amazonaws.com/key`,
            `https://s3.region.amazonaws.com/bucket/key`; each may follow `precomputed://`. After `s3://`
            everything is part of the key, `?` and `#` included; in `https://` the key is percent-decoded and a
            query is refused.

        Raises
        ------
        InputError
            For an unknown scheme, an empty bucket, `..`, control characters, the path of another system, or a
            Path that was made of a URL.
        """
        if isinstance(url, Location):
            return url
        if isinstance(url, Path):
            return cls("file", "", _local(str(url)))
        text = url.removeprefix("precomputed://")
        if not text.strip():
            raise InputError("an empty path or URL names no place", fix="give a path, or s3://BUCKET/KEY")
        _safe(text, url)
        if _WINDOWS.match(text):
            raise InputError(f"{url!r} is a Windows path", fix="give a path of this system, or an s3:// URL")
        match = _SCHEME.match(text)
        if match is None:
            if _ONE_SLASH.match(text):
                raise InputError(f"{url!r} has a scheme without //", fix="write s3://BUCKET/KEY or file:///PATH")
            return cls("file", "", _absolute(text))
        scheme, rest = match[1].lower(), text[match.end() :]
        if scheme == "file":
            return cls("file", "", _file(rest, url))
        if scheme == "s3":
            bucket, _, key = rest.partition("/")
            return _s3(bucket, key, url)
        if scheme in ("https", "http"):
            return _https(rest, url)
        raise InputError(
            f"{url!r}: unknown scheme {scheme}://",
            fix="local paths, file://, s3:// and S3's https:// are understood",
        )

    @property
    def path(self) -> Path:
        """The local path.

        Raises
        ------
        InputError
            When this is not a local path.
        """
        if self.scheme != "file":
            raise InputError(f"{self} is not a local path", fix="choose a local folder")
        return Path(self.key)

    @property
    def is_file(self) -> bool:
        """Whether this lies in the local file system."""
        return self.scheme == "file"

    @property
    def cloudpath(self) -> str:
        """The URL that cloud-volume takes."""
        return str(self)

    @property
    def name(self) -> str:
        """The last part."""
        return self.key.rpartition("/")[2]

    def __truediv__(self, name: str) -> Location:
        """The place below this one; `name` may hold slashes but is always relative.

        Raises
        ------
        InputError
            "unsafe object name" for an absolute path, `..`, control characters or a drive letter.
        """
        if not name or name.startswith("/") or _WINDOWS.match(name):
            raise InputError(f"unsafe object name {name!r}: it must be relative", why=f"it was to lie in {self}")
        _safe(name, name)
        name = name.rstrip("/")
        return Location(self.scheme, self.bucket, f"{self.key.rstrip('/')}/{name}" if self.key else name)

    def __str__(self) -> str:
        if self.scheme == "file":
            return f"file://{self.key}"
        return f"s3://{self.bucket}/{self.key}" if self.key else f"s3://{self.bucket}"


def _safe(text: str, shown: str) -> str:
    if _CONTROL.search(text):
        raise InputError(f"unsafe object name {shown!r}: it holds control characters")
    if ".." in text.split("/"):
        raise InputError(
            f"unsafe object name {shown!r}: it holds '..'",
            why="a name must not lead out of its folder",
            fix="" if "://" in text else f"write {os.path.abspath(text)}",  # noqa: PTH100 -- folds '..'
        )
    return text


def _local(path: str) -> str:
    """A `Path` made absolute; not one that was made of a URL, whose second slash pathlib folds."""
    if match := _ONE_SLASH.match(path):
        raise InputError(
            f"{match[0]}//{path[match.end() :].lstrip('/')} is not a folder or file on this machine",
            why="this must lie on a local disk",
            fix="give a local path",
        )
    return _absolute(_safe(path, path))


def _absolute(path: str) -> str:
    path = os.path.expanduser(path)  # noqa: PTH111 -- Path's raises for an unknown ~name
    return "/" + os.path.abspath(path).lstrip("/")  # noqa: PTH100 -- links stay as the user wrote them


def _file(rest: str, url: str) -> str:
    rest = rest.removeprefix("localhost/") if rest.startswith("localhost/") else rest
    if not rest or not rest.strip("/"):
        raise InputError(f"{url!r} names no file", fix="write file:///PATH")
    # file://a/b has a host in the standard and none in cloud-volume: take what exists there too, a path
    return _absolute(rest if not url.startswith("file://localhost/") else "/" + rest)


def _s3(bucket: str, key: str, url: str) -> Location:
    if not bucket:
        raise InputError(f"{url!r} names no bucket", fix="write s3://BUCKET/KEY")
    if not _BUCKET.fullmatch(bucket):
        raise InputError(f"{url!r}: {bucket!r} is not the name of a bucket", fix="write s3://BUCKET/KEY")
    return Location("s3", bucket, key.strip("/"))


def _https(rest: str, url: str) -> Location:
    host, _, path = rest.partition("/")
    match = _S3_HOST.fullmatch(host.lower().removesuffix(":443"))
    if match is None:
        raise InputError(
            f"{url!r} is not an address of Amazon S3",
            why=f"the host {host!r} is not BUCKET.s3.REGION.amazonaws.com or s3.REGION.amazonaws.com",
            fix="write s3://BUCKET/KEY; set AWS_ENDPOINT_URL for other S3 servers",
        )
    if "?" in path or "#" in path:
        raise InputError(
            f"{url!r} has a query or fragment, which no object's address has", fix="write s3://BUCKET/KEY"
        )
    path = _safe(unquote(path), url)
    bucket = match["bucket"]
    if bucket is None:
        bucket, _, path = path.partition("/")
    return _s3(bucket, path, url)
