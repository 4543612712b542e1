"""A storage that fails for a moment, as a busy one does: what is asked before a transfer is asked
again, and nothing is lost where it goes on to fail."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from portal.engine.markers import PREFIX
from tests.support.attempts import Attempts, Servers
from tests.support.keepsakes import kept

_ANSWER = b"<Error><Code>InternalError</Code><Message>Internal Error</Message></Error>"
#: Of one connection, not of what is asked.
_OWN = frozenset({"connection", "transfer-encoding", "content-length"})


class _Busy(ThreadingHTTPServer):
    """Fails the first ``failures`` requests about each marker that are made with ``method``; the
    rest it forwards."""

    def __init__(self, upstream: int, method: str, failures: int) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.upstream, self.method, self.failures = upstream, method, failures
        self.failed: Counter[str] = Counter()
        self.lock = threading.Lock()

    def fails(self, method: str, path: str) -> bool:
        name = path.partition("?")[0]
        with self.lock:
            if PREFIX not in name or method != self.method or self.failed[name] >= self.failures:
                return False
            self.failed[name] += 1
            return True


class _Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Busy

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.fails(self.command, self.path):
            self._answer(500, {"Content-Type": "application/xml"}, _ANSWER)
            return
        there = HTTPConnection("127.0.0.1", self.server.upstream, timeout=20)
        try:
            there.request(self.command, self.path, body, dict(self.headers))
            answer = there.getresponse()
            self._answer(answer.status, dict(answer.headers), answer.read())
        finally:
            there.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _OWN:
                self.send_header(name, value)
        length = headers.get("Content-Length") if self.command == "HEAD" else len(body)
        self.send_header("Content-Length", str(length or 0))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def busy(*of: Any) -> Iterator[_Busy]:
    with _Busy(*of) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("kind", "method", "failures"),
    [
        ("s3", "PUT", 2),
        ("s3", "GET", 2),
        ("webdav", "PROPFIND", 2),
        ("webdav", "DELETE", 2),
        ("s3", "PUT", 3),
        ("webdav", "GET", 3),
    ],
)
def test_marker_is_asked_about_again(
    servers: Servers, attempts: Attempts, tmp_path: Path, kind: str, method: str, failures: int
) -> None:
    source, folder = tmp_path / "from", tmp_path / "there"
    (source / "deep").mkdir(parents=True)
    for name in ("one", "deep/two"):
        (source / name).write_text(name)
    before = kept(source)
    storage = servers.start(kind, folder)
    with busy(storage.port, method, failures) as server:
        address, to = ("endpoint", "bucket/to") if kind == "s3" else ("url", "to")
        url = f"http://127.0.0.1:{server.server_port}"
        remote = servers.remote("nas", storage, **{address: url})
        outcome = attempts.run("move", source, f"nas:{to}", remote)
        failed = max(server.failed.values(), default=0)
    assert failed == failures
    if failures == 2:
        assert outcome.succeeded, outcome.reason
        assert kept(source) == {}
        assert kept(folder / to) == before
    else:
        assert (outcome.reason or "").startswith("The storage reported an internal error")
        assert kept(source) == before
