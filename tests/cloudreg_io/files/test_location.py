"""Locations: every form that is understood, every one that is refused."""

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudreg_io.errors import InputError
from cloudreg_io.files import Location

S3 = Location("s3", "my.bucket", "a b/ü#x?y=1")


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("s3://my.bucket/a b/ü#x?y=1", S3),
        ("s3://my.bucket/a b/ü#x?y=1/", S3),
        ("precomputed://s3://my.bucket/a b/ü#x?y=1", S3),
        ("S3://bucket//key", Location("s3", "bucket", "key")),
        ("s3://bucket", Location("s3", "bucket", "")),
        ("s3://bucket/", Location("s3", "bucket", "")),
        ("https://bucket.s3.us-west-2.amazonaws.com/a/b%20c", Location("s3", "bucket", "a/b c")),
        ("https://bucket.s3.amazonaws.com/a", Location("s3", "bucket", "a")),
        ("http://bucket.s3-us-west-2.amazonaws.com/a", Location("s3", "bucket", "a")),
        ("https://my.bucket.s3.dualstack.eu-west-1.amazonaws.com/a", Location("s3", "my.bucket", "a")),
        ("https://s3.us-west-2.amazonaws.com/bucket/a/b", Location("s3", "bucket", "a/b")),
        ("https://s3-us-west-2.amazonaws.com/bucket/a/b", Location("s3", "bucket", "a/b")),
        ("precomputed://https://s3.amazonaws.com/bucket/a", Location("s3", "bucket", "a")),
        ("https://s3.cn-north-1.amazonaws.com.cn/bucket/a", Location("s3", "bucket", "a")),
        ("file:///data/x y/ü;$(id)", Location("file", "", "/data/x y/ü;$(id)")),
        ("file://localhost/data", Location("file", "", "/data")),
        ("precomputed://file:///data/v/", Location("file", "", "/data/v")),
        ("/data/v", Location("file", "", "/data/v")),
        ("//data/./v", Location("file", "", "/data/v")),
        ("a:b/c", Location("file", "", str(Path.cwd() / "a:b/c"))),
        (Path("rel/v"), Location("file", "", str(Path.cwd() / "rel/v"))),
        ("~/v", Location("file", "", str(Path.home() / "v"))),
        ("~nobody-of-this-name/v", Location("file", "", str(Path.cwd() / "~nobody-of-this-name/v"))),
    ],
)
def test_understood(url, location):
    assert Location.parse(url) == location
    assert Location.parse(location) is location
    assert pickle.loads(pickle.dumps(location)) == location


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("precomputed://", "empty"),
        ("gs://bucket/key", "unknown scheme"),
        ("ftp://host/key", "unknown scheme"),
        ("precomputed://gs://bucket/key", "unknown scheme"),
        ("s3:/bucket/key", "without //"),
        ("file:/data", "without //"),
        ("s3://", "no bucket"),
        ("s3:///key", "no bucket"),
        ("s3://bad bucket/key", "not the name of a bucket"),
        ("s3://buck?et/key", "not the name of a bucket"),
        ("https://s3.amazonaws.com/", "no bucket"),
        ("https://example.org/bucket/key", "not an address of Amazon S3"),
        ("https://s3.amazonaws.com.evil.org/bucket/key", "not an address of Amazon S3"),
        ("https://bucket.s3.amazonaws.com/key?X-Amz-Signature=1", "query"),
        ("https://bucket.s3.amazonaws.com/a/%2e%2e/b", "'..'"),
        ("https://bucket.s3.amazonaws.com/a%0Ab", "control"),
        ("s3://bucket/a/../b", "'..'"),
        ("s3://bucket/..", "'..'"),
        ("file:///a/../b", "'..'"),
        ("../data", "'..'"),
        (Path("../data"), "'..'"),
        (Path("s3://bucket/out"), "s3://bucket/out is not a folder or file on this machine"),
        (Path("file:///data"), "not a folder or file on this machine"),
        ("s3://bucket/a\nb", "control"),
        ("/data/a\x00b", "control"),
        ("/data/a\x85b", "control"),
        ("C:\\data", "Windows"),
        ("c:/data", "Windows"),
        ("\\\\server\\share", "Windows"),
        ("file://", "no file"),
    ],
)
def test_refused(url, reason):
    with pytest.raises(InputError, match=reason):
        Location.parse(url)


def test_a_refused_path_says_what_to_write_instead():
    with pytest.raises(InputError) as caught:
        Location.parse("a/../b")
    assert str(Path.cwd() / "b") in caught.value.fix


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "C:\\x", "a\nb", "a\x00"])
def test_nothing_is_joined_that_leads_out(name):
    for location in (S3, Location.parse("/data/v")):
        with pytest.raises(InputError, match="unsafe object name"):
            location / name


def test_parts():
    location = Location.parse("/data/v")
    assert location / "1_1_1" / "0-1" == Location.parse("/data/v/1_1_1/0-1")
    assert Location.parse("s3://bucket") / "info" == Location("s3", "bucket", "info")
    assert location.path == Path("/data/v")
    assert location.name == "v"
    assert location.is_file
    assert location.cloudpath == "file:///data/v"
    with pytest.raises(InputError, match="not a local path"):
        _ = S3.path


segment = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/"), min_size=1, max_size=8
).filter(lambda s: s not in (".", "..") and not (len(s) > 1 and s[1] == ":") and "\\" not in s and s.strip())


@given(st.lists(segment, min_size=1, max_size=4), st.sampled_from(["s3://bucket/", "file:///"]))
def test_what_is_written_reads_back(parts, root):
    location = Location.parse(root + "/".join(parts))
    assert Location.parse(str(location)) == location
    assert Location.parse("precomputed://" + location.cloudpath) == location
    joined = Location.parse(root + parts[0])
    for part in parts[1:]:
        joined = joined / part
    assert joined == location


@given(
    st.lists(segment, max_size=3),
    st.lists(segment, max_size=3),
    st.sampled_from(["s3://bucket/", "/", "file:///"]),
)
def test_dots_are_refused_wherever_they_stand(before, after, root):
    with pytest.raises(InputError):
        Location.parse(root + "/".join([*before, "..", *after]))
