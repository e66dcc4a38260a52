"""A proxy on loopback in front of an S3 server: it hands on every request, but makes the faults it is told to."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

_ERROR = '<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code}, says the proxy</Message></Error>'


@dataclass(slots=True)
class Fault:
    """What goes wrong with some requests.

    Attributes
    ----------
    kind : str
        "answer" (with `status` and `code`), "reset" (the connection), "cut" (the body, after half of it), or
        "region": answered as by a bucket of eu-west-1, until the request is signed for there.
    method : str
    key : str
        What the path must end with.
    times : int
        How many requests.
    hits : int
        How many there were.
    """

    kind: Literal["answer", "reset", "cut", "region"]
    method: str = "GET"
    key: str = ""
    status: int = 503
    code: str = "SlowDown"
    times: int = 1_000_000
    hits: int = field(default=0, init=False)

    def meets(self, method: str, path: str, signature: str) -> bool:
        """Whether it happens to this request; counted."""
        if method != self.method or not urlsplit(path).path.endswith(self.key) or self.hits >= self.times:
            return False
        if self.kind == "region" and "/eu-west-1/" in signature:
            return False
        self.hits += 1
        return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        signature = self.headers.get("Authorization", "")
        with self.server.lock:
            fault = next((f for f in self.server.faults if f.meets(self.command, self.path, signature)), None)
        if fault is None or fault.kind == "cut":
            self._hand_on(body, cut=fault is not None)
        elif fault.kind == "reset":
            self._reset()
        elif fault.kind == "region":
            self._answer(
                301, [("x-amz-bucket-region", "eu-west-1")], _ERROR.format(code="PermanentRedirect").encode()
            )
        else:
            self._answer(fault.status, [], _ERROR.format(code=fault.code).encode())

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _handle  # noqa: N815 -- http.server's names

    def _hand_on(self, body: bytes, *, cut: bool) -> None:
        connection = http.client.HTTPConnection(self.server.behind, timeout=30)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        data = answer.read()
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in _OWN]
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self._answer(answer.status, headers, data, length=length, send=len(data) // 2 if cut else None)
        connection.close()

    def _answer(
        self,
        status: int,
        headers: Sequence[tuple[str, str]],
        data: bytes,
        *,
        length: str | None = None,
        send: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[:send])
        if send is not None:
            self.close_connection = True

    def _reset(self) -> None:
        # closing with a linger of 0 sends RST
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


_OWN = {"content-length", "connection", "transfer-encoding", "date", "server"}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, behind: str, faults: Sequence[Fault]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind, self.faults, self.lock = behind, faults, threading.Lock()

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is none of our business."""


@contextmanager
def faulty(endpoint: str, faults: Sequence[Fault]) -> Iterator[str]:
    """The address of a proxy in front of `endpoint` that makes faults, as long as the `with` lasts."""
    server = _Server(urlsplit(endpoint).netloc, faults)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
