"""What can be wrong with S3: a real server on loopback, with a proxy in front that makes faults."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import tifffile

from bad_input.case import Case
from bad_input.faulty_s3 import Fault
from bad_input.place import Place
from cloudreg_io.files import Location, store
from support.small_volumes import write_volume

FILE = "FILE.tif"
INGEST_LEAVES = ("WORK", "WORK/*")


def volume(*faults: Fault, attempts: int = 8, environment: dict[str, str | None] | None = None):
    """A volume in the bucket, and the download of it through a proxy that makes faults."""

    def make(place: Place):
        array = np.arange(20 * 30 * 40, dtype=np.uint16).reshape(20, 30, 40)
        url = f"s3://{place.s3.bucket}/VOLUME"
        with place.making() as scratch:
            write_volume(scratch, array, (2, 2, 2), url=url, chunk=(32, 32, 8), smallest=64)
        place.s3.change(faults, attempts, environment or {})
        return ("download", url, FILE, "--voxel-size", 2)

    return make


def ingest(*faults: Fault, attempts: int = 8):
    def make(place: Place):
        place.stack()
        place.s3.change(faults, attempts, {})
        return ("ingest", "STACK", f"s3://{place.s3.bucket}/VOLUME", "--voxel-size", 1, 1, 2, "--work", "WORK")

    return make


def no_bucket(place: Place):
    return ("download", "s3://no-such-bucket/VOLUME", FILE, "--voxel-size", 2)


def empty_prefix(place: Place):
    store.put(Location("s3", place.s3.bucket, "VOLUME1/info"), b"{}")
    return ("download", f"s3://{place.s3.bucket}/VOLUME", FILE, "--voxel-size", 2)


def error_page(place: Place):
    store.put(Location("s3", place.s3.bucket, "VOLUME/info"), b"<html>")
    return ("download", f"s3://{place.s3.bucket}/VOLUME", FILE, "--voxel-size", 2)


def whole(place: Place):
    pixels = tifffile.imread(place.folder / FILE)
    assert np.array_equal(pixels.ravel(), np.arange(24000))


def met(times: int):
    """The download is whole, and the faults did happen."""

    def check(place: Place):
        whole(place)
        assert [fault.hits for fault in place.s3.faults] == [times] * len(place.s3.faults)

    return check


NO_KEYS = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
INFO = "s3://BUCKET/VOLUME/info"
CHUNK = "0-32_0-30_0-8"
TAKEN = {"status": 0, "leaves": (FILE,)}
_CASES = [
    Case(
        "1b",
        "Prefix without a volume, but with a sibling of a longer name",
        empty_prefix,
        ("s3://BUCKET/VOLUME is not a precomputed volume", "no info"),
        "check the address",
    ),
    Case("2e", "Bucket that does not exist", no_bucket, ("there is no bucket no-such-bucket",), "check its name"),
    Case(
        "51",
        "S3 answers 503 SlowDown three times",
        volume(Fault("answer", key="info", times=3)),
        ("40 × 30 × 20 voxels",),
        check=met(3),
        **TAKEN,
    ),
    Case(
        "51a",
        "Connection reset twice",
        volume(Fault("reset", key="info", times=2)),
        ("40 × 30 × 20 voxels",),
        check=met(2),
        **TAKEN,
    ),
    Case(
        "51b",
        "503 and a reset while chunks are read",
        volume(Fault("answer", key=CHUNK, times=1), Fault("reset", key="0-32_0-30_8-16", times=1)),
        ("40 × 30 × 20 voxels",),
        check=met(1),
        **TAKEN,
    ),
    Case(
        "51c",
        "S3 answers 503 for ever",
        volume(Fault("answer", key="info"), attempts=2),
        (INFO, "S3 failed", "SlowDown"),
        "the command can be given again",
    ),
    Case(
        "51d",
        "No server at the address",
        volume(environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, attempts=1),
        (INFO, "Could not connect", "127.0.0.1"),
        "AWS_ENDPOINT_URL",
    ),
    Case(
        "52",
        "No credentials",
        volume(environment=NO_KEYS),
        (INFO, "no AWS credentials were found", "tried: the environment"),
        "AWS_PROFILE",
    ),
    Case(
        "52a",
        "Credentials that have expired",
        volume(Fault("answer", key="info", status=400, code="ExpiredToken")),
        (INFO, "credentials are not valid", "expired"),
        "log in again",
    ),
    Case(
        "52b",
        "Key that S3 does not know",
        volume(Fault("answer", key="info", status=403, code="InvalidAccessKeyId")),
        (INFO, "credentials are not valid", "wrong"),
        "log in again",
    ),
    Case(
        "53",
        "Access denied to read",
        volume(Fault("answer", key="info", status=403, code="AccessDenied")),
        (INFO, "access denied", "lack s3:GetObject"),
        'allow "s3:GetObject" on "arn:aws:s3:::BUCKET/VOLUME/info"',
    ),
    Case(
        "53a",
        "Access denied to read a chunk",
        volume(Fault("answer", key=CHUNK, status=403, code="AccessDenied")),
        ("s3://BUCKET/VOLUME", "access denied", "lack s3:GetObject"),
        'allow "s3:GetObject"',
    ),
    Case(
        "53b",
        "Access denied to write",
        ingest(Fault("answer", method="PUT", status=403, code="AccessDenied")),
        (INFO, "access denied", "lack s3:PutObject"),
        'allow "s3:PutObject" on "arn:aws:s3:::BUCKET/VOLUME/info"',
        leaves=INGEST_LEAVES,
    ),
    Case(
        "54",
        "Bucket in another region",
        volume(Fault("region", key="info")),
        ("40 × 30 × 20 voxels",),
        check=whole,
        **TAKEN,
    ),
    Case(
        "56",
        "Body cut off twice",
        volume(Fault("cut", key="info", times=2)),
        ("40 × 30 × 20 voxels",),
        check=met(2),
        **TAKEN,
    ),
    Case(
        "56a",
        "Body of a chunk cut off once",
        volume(Fault("cut", key=CHUNK, times=1)),
        ("40 × 30 × 20 voxels",),
        check=met(1),
        **TAKEN,
    ),
    Case(
        "56b",
        "Body cut off for ever",
        volume(Fault("cut", key="info")),
        (INFO, "cut off"),
        "the command can be given again",
    ),
    Case(
        "57",
        "Clock that is wrong",
        volume(Fault("answer", key="info", status=403, code="RequestTimeTooSkewed")),
        (INFO, "because of the time", "this clock is wrong"),
        "set the clock",
    ),
    Case(
        "45e",
        "info in a bucket that is an error page",
        error_page,
        (INFO, "not JSON"),
        "copy it again",
    ),
]


CASES = [replace(case, bucket=True) for case in _CASES]
