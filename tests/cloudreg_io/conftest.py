"""An S3 server on loopback, for the tests of stores and volumes."""

import itertools

import pytest

_buckets = itertools.count()


@pytest.fixture(scope="session")
def s3_endpoint():
    """The address of an S3-protocol server that lives as long as the tests."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_endpoint, monkeypatch):
    """Name of a new bucket on the loopback server; the environment leads there and nowhere else."""
    assert s3_endpoint.startswith("http://127.0.0.1:")
    for name, value in {
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    from cloudreg_io.files import store

    bucket = f"bucket-{next(_buckets)}"
    store.client().create_bucket(Bucket=bucket)
    return bucket
