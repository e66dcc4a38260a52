"""The loopback server, asked as a browser, a script or an attacker would."""

from __future__ import annotations

import gzip
import http.client
import json
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psutil
import pytest
from typer.testing import CliRunner

from cloudreg_io.errors import InputError, NotFoundError, ToolError
from cloudreg_viz.cli import app
from cloudreg_viz.data_server import find_file
from cloudreg_viz.serve import serving

CHUNK = "2000_2000_4000/0-40_0-30_0-20"


@pytest.fixture(scope="module")
def served(tmp_path_factory, write_volume, viz_serve, ramp):
    root = tmp_path_factory.mktemp("served")
    (root / "secret").write_text("secret")
    out = root / "out"
    for name, compress in (("raw", False), ("gz", "gzip"), ("br", "br"), ("zst", "zstd")):
        write_volume(out / name, ramp, (2, 2, 4), compress=compress)
    (out / "notes.txt").write_text("beside the volumes")
    (out / "raw" / ".hidden").write_text("hidden")
    (out / "raw" / "way-out").symlink_to(root / "secret")
    (out / "raw" / "folder-out").symlink_to(root)
    (out / "raw" / "loop").symlink_to("loop")
    (out / "raw" / "inside").symlink_to("info")
    (out / "raw" / "name of; $(a) ü").write_text("odd")
    with viz_serve(out) as (link, process):
        yield link, process


def ask(link, path, method="GET", **headers):
    """Ask for a path below the data address, sent as it is written."""
    parts = urlsplit(link)
    token = parts.path.split("/")[2]
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    connection.request(method, f"/data/{token}/{path}" if not path.startswith("/") else path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_the_first_line_is_the_link_and_it_opens_the_client(served):
    link, _ = served
    assert link.startswith("http://127.0.0.1:")
    answer, body = ask(link, urlsplit(link).path)
    assert answer.status == 200
    assert b"<script" in body


def test_only_loopback_is_listened_on(served):
    link, process = served
    listening = [c.laddr for c in psutil.Process(process.pid).net_connections("inet") if c.status == "LISTEN"]
    assert [(address.ip, address.port) for address in listening] == [("127.0.0.1", urlsplit(link).port)]


def test_a_raw_file_whole_and_in_ranges(served, ramp):
    link, _ = served
    answer, body = ask(link, f"raw/{CHUNK}")
    assert (answer.status, body) == (200, ramp.tobytes())
    assert answer.headers["Content-Encoding"] is None
    for header, expected, content_range in [
        ("bytes=0-9", body[:10], f"bytes 0-9/{len(body)}"),
        ("bytes=100-", body[100:], f"bytes 100-{len(body) - 1}/{len(body)}"),
        ("bytes=-7", body[-7:], f"bytes {len(body) - 7}-{len(body) - 1}/{len(body)}"),
    ]:
        part, content = ask(link, f"raw/{CHUNK}", Range=header)
        assert (part.status, content, part.headers["Content-Range"]) == (206, expected, content_range)
    beyond, _ = ask(link, f"raw/{CHUNK}", Range=f"bytes={len(body)}-")
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{len(body)}")


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-9"}])
@pytest.mark.parametrize(("volume", "encoding"), [("gz", "gzip"), ("br", "br"), ("zst", "zstd")])
def test_a_compressed_chunk_keeps_its_name_and_is_never_cut(served, ramp, volume, encoding, headers):
    link, _ = served
    answer, body = ask(link, f"{volume}/{CHUNK}", **headers)
    assert (answer.status, answer.headers["Content-Encoding"]) == (200, encoding)
    assert answer.headers["Content-Range"] is None
    assert int(answer.headers["Content-Length"]) == len(body) < ramp.nbytes
    if encoding == "gzip":
        assert gzip.decompress(body) == ramp.tobytes()


def test_head_and_etag(served, ramp):
    link, _ = served
    answer, body = ask(link, f"raw/{CHUNK}", "HEAD")
    assert (answer.status, body, int(answer.headers["Content-Length"])) == (200, b"", ramp.nbytes)
    again, body = ask(link, f"raw/{CHUNK}", **{"If-None-Match": answer.headers["ETag"]})
    assert (again.status, body) == (304, b"")
    info, body = ask(link, "raw/info")
    assert info.headers["Content-Type"].startswith("application/json")
    assert json.loads(body)["type"] == "image"


@pytest.mark.parametrize(("path", "status"), [("raw/info", 200), ("raw/absent", 404)])
def test_other_origins_may_read(served, path, status):
    answer, _ = ask(served[0], path, Origin="https://viewer.example.org")
    assert answer.status == status
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    exposed = {name.strip().lower() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
    assert exposed >= {"content-range", "content-length", "etag"}


def test_options(served):
    answer, body = ask(served[0], "raw/info", "OPTIONS", Origin="https://viewer.example.org")
    assert (answer.status, body) == (204, b"")
    assert {"GET", "HEAD"} <= {name.strip() for name in answer.headers["Access-Control-Allow-Methods"].split(",")}
    assert "range" in answer.headers["Access-Control-Allow-Headers"].lower()


@pytest.mark.parametrize("path", ["raw/inside", "raw/name%20of%3B%20%24(a)%20%C3%BC"])
def test_what_may_be_read(served, path):
    assert ask(served[0], path)[0].status == 200


@pytest.mark.parametrize(
    "path",
    [
        "", "raw", "raw/", "raw//info", "gz/2000_2000_4000", "gz/2000_2000_4000/",  # no list, no folder
        "notes.txt", "raw/../notes.txt", "raw/%2e%2e/notes.txt", "raw/..%2fnotes.txt", "raw/%2E%2E%2Fnotes.txt",
        "../../secret", "%2e%2e/%2e%2e/secret", "raw/../../secret", "raw/%2e%2e%2f%2e%2e%2fsecret",
        "raw/....//secret", "raw/..\\..\\secret", "raw/..%5c..%5csecret", "raw/%252e%252e/notes.txt",
        "raw/way-out", "raw/folder-out/secret", "raw/loop", "raw/.hidden", "raw/./info",
        "//etc/passwd", "/etc/passwd", "raw//etc/passwd", "raw/%2fetc%2fpasswd", "/data/../etc/passwd",
        "raw/info%00", "raw/%00", "raw/info%0a", "%ff", "raw/" + "a" * 300, "absent/info",
        "/data/" + "0" * 40 + "/raw/info", "/data/raw/info", "/raw/info", "/",  # without the secret
    ],
)  # fmt: skip
def test_nothing_else_can_be_read(served, path):
    answer, body = ask(served[0], path)
    assert answer.status in (400, 404)
    assert b"secret" not in body.replace(path.encode(), b"")
    assert b"root:" not in body


def test_a_page_whose_name_points_here_gets_nothing(served):
    assert ask(served[0], "raw/info", Host="evil.example.org")[0].status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_written(served, method):
    assert ask(served[0], "raw/info", method)[0].status == 405


def test_many_at_once(served, ramp):
    with ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(lambda _: ask(served[0], f"raw/{CHUNK}")[1], range(80)))
    assert bodies == [ramp.tobytes()] * 80


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_0(tmp_path, write_volume, ramp, number):
    write_volume(tmp_path / "CHN00", ramp, (2, 2, 4))
    command = [sys.executable, "-m", "cloudreg_viz", "serve", str(tmp_path / "CHN00"), "--no-open"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        link = process.stdout.readline().strip()
        assert ask(link, "info")[0].status == 200  # one folder alone has no name in the address
        process.send_signal(number)
        assert process.wait(timeout=20) == 0
        assert process.stdout.read() == ""
        assert "Traceback" not in process.stderr.read()


def test_a_taken_port_is_named(tmp_path, write_volume, ramp):
    write_volume(tmp_path / "CHN00", ramp, (2, 2, 4))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ToolError, match=f"port {port} .*taken"), serving(tmp_path, port=port):
            pass
    with serving(tmp_path, port=port) as viewer:  # and the failure left nothing behind
        assert urlsplit(viewer.link).port == port
        assert ask(viewer.link, "CHN00/info")[0].status == 200


def test_nothing_found(tmp_path):
    with pytest.raises(NotFoundError, match="looked for"):
        CliRunner().invoke(app, ["serve", str(tmp_path), "--no-open"], catch_exceptions=False)
    with pytest.raises(InputError, match="viz link"), serving("s3://bucket/run"):
        pass
    command = [sys.executable, "-m", "cloudreg_viz", "serve", str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: no precomputed volume")


def test_a_compressed_name_never_leaves_the_volume_either(tmp_path):
    (tmp_path / "secret.gz").write_bytes(b"secret")
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "chunk.gz").symlink_to(tmp_path / "secret.gz")
    (volume / "other.zstd").write_bytes(b"chunk")
    assert find_file(volume, "chunk") is None
    assert find_file(volume, "other") == ((volume / "other.zstd").resolve(), "zstd")
    assert find_file(volume, "other.zstd") == ((volume / "other.zstd").resolve(), "")
