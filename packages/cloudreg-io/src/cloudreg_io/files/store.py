"""Objects by location, in the local file system or in S3: put, get, exists, list, delete.

S3 goes through boto3, which takes credentials, region and `AWS_ENDPOINT_URL` from the environment, the usual files
or the machine's role. Whatever S3 answers becomes one clear error.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cloudreg_io.errors import NotFoundError, RemoteError
from cloudreg_io.files.atomic import is_temporary, write_bytes
from cloudreg_io.files.checksums import wrote
from cloudreg_io.files.location import Location

_ATTEMPTS = 8
_BODIES = 3  # times that an object is asked for whose body breaks off
_LISTED_AT_ONCE = 1000  # the most that S3 gives


def put(
    location: Location, data: bytes, *, content_encoding: str = "", content_type: str = "", durable: bool = True
) -> None:
    """Write an object whole, in place of what was there.

    Parameters
    ----------
    location : Location
    data : bytes
    content_encoding, content_type : str
        Headers of the S3 object; a local file has none.
    durable : bool
        Flush a local file to the disk.

    Raises
    ------
    RemoteError, ToolError
        S3 refuses, the disk is full.
    """
    if location.is_file:
        location.path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(location.path, data, durable=durable)
        return
    headers = {"ContentType": content_type or "application/octet-stream"}
    if content_encoding:
        headers["ContentEncoding"] = content_encoding
    with _speaking_of(location, "s3:PutObject"):
        client().put_object(Bucket=location.bucket, Key=location.key, Body=data, **headers)
    wrote(str(location), data)


def put_file(location: Location, path: Path, *, content_type: str = "application/octet-stream") -> None:
    """Upload a local file, in parts when it is large."""
    with _speaking_of(location, "s3:PutObject"):
        client().upload_file(str(path), location.bucket, location.key, ExtraArgs={"ContentType": content_type})
    wrote(str(location), path)


def get(location: Location) -> bytes:
    """Read an object, as it is stored.

    Raises
    ------
    NotFoundError
        There is no such object.
    RemoteError
        S3 refuses.
    """
    if location.is_file:
        try:
            return location.path.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(f"{location}: no such file") from error
    with _speaking_of(location, "s3:GetObject"):
        # boto3 asks again for an answer that does not come, not for one that breaks off
        for _ in range(_BODIES - 1):
            with suppress(*_broken()):
                return _body(location)
        return _body(location)


def _body(location: Location) -> bytes:
    from botocore.exceptions import ClientError, NoCredentialsError

    where = {"Bucket": location.bucket, "Key": location.key}
    try:
        body: bytes = client().get_object(**where)["Body"].read()
    except NoCredentialsError as error:
        try:  # a public bucket needs none
            body = client(signed=False).get_object(**where)["Body"].read()
        except ClientError as refusal:
            if explained(refusal, location, "s3:GetObject").what.endswith("access denied"):
                raise error from refusal
            raise
    return body


def has_credentials() -> bool:
    """Whether requests can be signed: without, public buckets can be read and nothing else."""
    return _found(*_environment())


def public_address(location: Location) -> str:
    """The http address of an S3 object or folder that everybody may read."""
    endpoint, key = (
        os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"),
        quote(location.key),
    )
    if endpoint or "." in location.bucket:  # a name with dots fits no certificate
        return f"{endpoint or 'https://s3.amazonaws.com'}/{location.bucket}/{key}"
    return f"https://{location.bucket}.s3.amazonaws.com/{key}"


def _broken() -> tuple[type[Exception], ...]:
    """What boto3 raises when a body ends before its time."""
    from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

    return (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)


def place(location: Location) -> Path | str:
    """What the ledger of written files calls a location: a path, or the URL of an object."""
    return location.path if location.is_file else str(location)


def exists(location: Location) -> bool:
    """Whether there is an object (or, locally, a file or folder) of that name."""
    if location.is_file:
        return location.path.exists()
    try:
        with _speaking_of(location, "s3:GetObject"):
            client().head_object(Bucket=location.bucket, Key=location.key)
    except NotFoundError:
        return False
    return True


def list_keys(location: Location) -> Iterator[str]:
    """Names of all objects below a location, relative to it, sorted; unfinished files are left out.

    Raises
    ------
    NotFoundError
        There is no such folder or bucket.
    """
    return (name for name, _ in list_sizes(location))


def list_sizes(location: Location) -> Iterator[tuple[str, int]]:
    """As `list_keys`, with the size of each object in bytes."""
    if location.is_file:
        yield from _list_files(location)
        return
    prefix = f"{location.key}/" if location.key else ""
    with _speaking_of(location, "s3:ListBucket"):
        pages = client().get_paginator("list_objects_v2")
        for page in pages.paginate(
            Bucket=location.bucket, Prefix=prefix, PaginationConfig={"PageSize": _LISTED_AT_ONCE}
        ):
            for entry in page.get("Contents", ()):
                yield entry["Key"].removeprefix(prefix), entry["Size"]


def _list_files(location: Location) -> Iterator[tuple[str, int]]:
    root = location.path
    if not root.is_dir():
        raise NotFoundError(f"{location}: no such folder")
    found = (Path(folder) / name for folder, _, names in os.walk(root) for name in names)
    by_name = sorted((path.relative_to(root).as_posix(), path) for path in found if not is_temporary(path))
    # a link that leads nowhere has a name, but no size
    yield from ((name, path.stat().st_size if path.exists() else 0) for name, path in by_name)


def delete(location: Location) -> None:
    """Remove an object; that there is none is no error."""
    if location.is_file:
        location.path.unlink(missing_ok=True)
        return
    with _speaking_of(location, "s3:DeleteObject"):
        client().delete_object(Bucket=location.bucket, Key=location.key)


def client(*, signed: bool = True) -> Any:
    """The S3 client of this process for the environment as it is now."""
    return _client(os.getpid(), signed, *_environment())


def _environment() -> tuple[str | None, ...]:
    names = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_REGION")
    return tuple(os.environ.get(name) for name in names)


_making = threading.Lock()  # making a client is the one thing in boto3 that threads must not do together


@lru_cache(maxsize=4)
def _client(_process: int, signed: bool, *_environment: str | None) -> Any:
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    config = Config(retries={"mode": "standard", "total_max_attempts": _ATTEMPTS}, max_pool_connections=32)
    if not signed:
        config = config.merge(Config(signature_version=UNSIGNED))
    with _making:
        return boto3.session.Session().client("s3", config=config)


@lru_cache(maxsize=4)
def _found(*_environment: str | None) -> bool:
    import boto3

    with _making:
        return boto3.session.Session().get_credentials() is not None


@contextmanager
def _speaking_of(location: Location, action: str) -> Iterator[None]:
    """Turn what boto3 raises about `location` into an error of ours."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error) as error:
        raise explained(error, location, action) from error


def explained(error: Exception, location: Location, action: str) -> NotFoundError | RemoteError:
    """The error that says what S3's answer means for `location`.

    Parameters
    ----------
    error : Exception
        What boto3 raised.
    location : Location
    action : str
        The right that the request needs ("s3:GetObject").
    """
    from botocore.exceptions import (
        ClientError,
        EndpointConnectionError,
        NoCredentialsError,
        PartialCredentialsError,
    )

    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return RemoteError(
            f"{location}: no AWS credentials were found",
            why="tried: the environment, ~/.aws, this machine's role; without, only what is public can be read",
            fix="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
        )
    if isinstance(error, EndpointConnectionError):
        return RemoteError(f"{location}: {error}", fix="check the network, AWS_ENDPOINT_URL and the region")
    if isinstance(error, _broken()):
        return RemoteError(
            f"{location}: the answer was cut off, {_BODIES} times",
            why="the network, or a proxy on the way, breaks connections",
            fix=_AGAIN,
        )
    code = str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""
    if code not in _ANSWERS:
        return RemoteError(f"{location}: S3 failed: {error}", fix=_AGAIN)
    kind, what, why, fix = _ANSWERS[code]
    names = {"bucket": location.bucket, "action": action, "resource": _resource(location, action)}
    return kind(f"{location}: {what.format(**names)}", why=why.format(**names), fix=fix.format(**names))


_AGAIN = "the command can be given again: it goes on where it stopped"
_NO_OBJECT = (NotFoundError, "no such object", "", "")
_DENIED = (
    RemoteError,
    "access denied",
    "these credentials lack {action}",
    'allow "{action}" on "{resource}", or use other credentials',
)
_INVALID = (RemoteError, "the AWS credentials are not valid", "they are wrong or have expired", "log in again")
_ANSWERS: dict[str, tuple[type[NotFoundError | RemoteError], str, str, str]] = {
    "NoSuchKey": _NO_OBJECT,
    "NotFound": _NO_OBJECT,
    "404": _NO_OBJECT,
    "NoSuchBucket": (NotFoundError, "there is no bucket {bucket}", "", "check its name, or make it"),
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "403": _DENIED,
    "InvalidAccessKeyId": _INVALID,
    "SignatureDoesNotMatch": _INVALID,
    "ExpiredToken": _INVALID,
    "InvalidToken": _INVALID,
    "RequestTimeTooSkewed": (
        RemoteError,
        "S3 refuses because of the time",
        "this clock is wrong",
        "set the clock",
    ),
}


def _resource(location: Location, action: str) -> str:
    bucket = f"arn:aws:s3:::{location.bucket}"
    return bucket if action == "s3:ListBucket" else f"{bucket}/{location.key}"
