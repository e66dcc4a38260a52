"""Stores: the same four verbs on files and on S3, and errors that say what S3 meant."""

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from cloudreg_io.errors import NotFoundError, RemoteError
from cloudreg_io.files import Location, store


@pytest.fixture(params=["file", "s3"])
def root(request, tmp_path):
    if request.param == "file":
        return Location.parse(tmp_path)
    return Location.parse(f"s3://{request.getfixturevalue('s3')}/deep/prefix")


def test_the_four_verbs(root):
    one = root / "sub/a b #1?x=ü"
    assert not store.exists(one)
    with pytest.raises(NotFoundError, match="no such"):
        store.get(one)
    store.put(one, b"old")
    store.put(one, b"\x00new")
    assert store.exists(one)
    assert store.get(one) == b"\x00new"
    store.put(root / "z", b"")
    assert list(store.list_keys(root)) == ["sub/a b #1?x=ü", "z"]
    assert list(store.list_keys(root / "sub")) == ["a b #1?x=ü"]
    store.delete(one)
    store.delete(one)
    assert not store.exists(one)


def test_a_prefix_is_a_folder_not_a_beginning(root):
    store.put(root / "VW0/x", b"1")
    store.put(root / "VW01/x", b"2")
    assert list(store.list_keys(root / "VW0")) == ["x"]


def test_unfinished_files_are_not_listed(tmp_path):
    (tmp_path / ".tmp-17-0-x").write_bytes(b"half")
    (tmp_path / "x").write_bytes(b"x")
    assert list(store.list_keys(Location.parse(tmp_path))) == ["x"]
    with pytest.raises(NotFoundError):
        list(store.list_keys(Location.parse(tmp_path / "absent")))


def test_headers_and_files(s3, tmp_path):
    place = Location("s3", s3, "chunk")
    store.put(place, b"x", content_encoding="gzip")
    head = store.client().head_object(Bucket=s3, Key="chunk")
    assert (head["ContentEncoding"], head["ContentType"]) == ("gzip", "application/octet-stream")
    (tmp_path / "f").write_bytes(b"data")
    store.put_file(place, tmp_path / "f")
    assert store.get(place) == b"data"


def test_more_keys_than_one_answer_holds(s3, monkeypatch):
    monkeypatch.setattr(store, "_LISTED_AT_ONCE", 4)
    for n in range(11):
        store.put(Location("s3", s3, f"many/{n:02}"), b"")
    assert list(store.list_keys(Location("s3", s3, "many"))) == [f"{n:02}" for n in range(11)]


def test_no_bucket(s3):
    nowhere = Location("s3", "no-such-bucket", "x")
    for act in (
        lambda: store.get(nowhere),
        lambda: store.put(nowhere, b""),
        lambda: list(store.list_keys(nowhere)),
    ):
        with pytest.raises(NotFoundError, match="there is no bucket no-such-bucket"):
            act()


def without_credentials(monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")


def test_no_credentials(s3, monkeypatch):
    without_credentials(monkeypatch)
    with pytest.raises(RemoteError, match="no AWS credentials were found") as caught:
        store.put(Location("s3", s3, "x"), b"")
    assert isinstance(caught.value.__cause__, NoCredentialsError)
    assert "AWS_ACCESS_KEY_ID" in caught.value.fix


def test_what_is_public_is_read_without_credentials(s3, monkeypatch):
    store.put(Location("s3", s3, "x"), b"for everybody")
    store.client().put_object_acl(Bucket=s3, Key="x", ACL="public-read")
    assert store.has_credentials()
    without_credentials(monkeypatch)
    assert not store.has_credentials()
    assert store.get(Location("s3", s3, "x")) == b"for everybody"
    with pytest.raises(NotFoundError, match="no such object"):
        store.get(Location("s3", s3, "y"))


def test_what_is_not_public_asks_for_credentials(s3, monkeypatch):
    store.put(Location("s3", s3, "x"), b"not for everybody")
    without_credentials(monkeypatch)
    with pytest.raises(RemoteError, match="no AWS credentials were found"):
        store.get(Location("s3", s3, "x"))


def test_addresses_of_public_buckets(monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    assert store.public_address(Location("s3", "b", "a/c")) == "https://b.s3.amazonaws.com/a/c"
    assert store.public_address(Location("s3", "b.d", "a")) == "https://s3.amazonaws.com/b.d/a"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert store.public_address(Location("s3", "b", "a")) == "http://127.0.0.1:9/b/a"


def test_no_server(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(store, "_ATTEMPTS", 1)
    with pytest.raises(RemoteError, match=r"127\.0\.0\.1:9"):
        store.get(Location("s3", s3, "x"))


@pytest.mark.parametrize(
    ("code", "kind", "what"),
    [
        ("AccessDenied", RemoteError, 'access denied(.|\n)*lack s3:PutObject(.|\n)*"arn:aws:s3:::b/k"'),
        ("403", RemoteError, "access denied"),
        ("ExpiredToken", RemoteError, "not valid"),
        ("RequestTimeTooSkewed", RemoteError, "clock"),
        ("NoSuchKey", NotFoundError, "no such object"),
        ("SlowDown", RemoteError, "S3 failed(.|\n)*SlowDown(.|\n)*again"),
    ],
)
def test_what_s3_answers(code, kind, what):
    answer = ClientError({"Error": {"Code": code, "Message": "{braces}"}}, "PutObject")
    error = store.explained(answer, Location("s3", "b", "k"), "s3:PutObject")
    assert isinstance(error, kind)
    with pytest.raises(kind, match=what):
        raise error
