"""What a storage says is read in a time that grows with its length, whatever it says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from portal.engine.failures.error_names import Names
from portal.engine.failures.exit_codes import (
    cause_of,
    is_retryable,
    modes_refused,
    reason_for,
)
from portal.engine.output.redaction import MASK, SecretRedactor, redact_credentials
from portal.engine.output.statistics import Error, parse
from tests.support.client import Browser
from tests.support.remotes import new_remote, settings

__all__ = ["new_remote", "settings"]

LENGTH = 64 * 1024
#: Seconds of the processor for 64 KiB. The worst took half a minute.
AT_MOST = 2.0
SECRET = "pä ss%w+ord&1"
#: With many backslashes, of which each may be written in many ways.
ODD_SECRET = "\\\\\\\\a\\\"'"
#: Each is repeated up to the length of the text; then follows something else.
UNITS = (
    *("x-amz-", "password", "password=", "key ", "key", "sig.", "a.", "-", "Bearer ", "bearer\t"),
    *("\\", "\\u", "\\\\u00", '\\"', '"', "'", "%25", "%", "&#0", "&#x0", "&", "+"),
    *("://a:", "://", "a:", "@", "/", "\\/", "\0", "\0/", ": ", "-----BEGIN ", "PRIVATE KEY"),
    *("1", "1 ", ' 530 "', ": 530 ", 'for "a:', 'file "', "sftp ", "AKIA", "ASIA0"),
    *("couldn't connect smb ", "dial tcp", "failed to calculate src hash", "listbuckets, "),
    *("failed to set metadata", "can't copy", "open ", "mkdir ", "421 ", "lookup a", " ", "\n"),
)


def texts(unit: str) -> list[str]:
    repeated = unit * (LENGTH // len(unit))
    return [f"key {repeated} end", f"{repeated}: "]


@pytest.fixture(scope="module")
def readers() -> dict[str, Callable[[str], object]]:
    redactor = SecretRedactor([SECRET, ODD_SECRET])
    names = Names(["/srv/files/from", "/srv/files/to"])

    def read_line(text: str) -> object:
        return parse(json.dumps({"level": "error", "msg": text, "object": text}).encode(), redactor)

    def find_reason(text: str) -> object:
        lines = [names.without(Error(text, one, text)) for one in (text, "a name")]
        return (
            cause_of(lines),
            reason_for(1, False, lines),
            is_retryable(5, False, lines),
            modes_refused(lines),
        )

    return {"redact": redactor.redact, "read a line": read_line, "find the reason": find_reason}


@pytest.mark.parametrize("unit", UNITS)
def test_text_of_64_kib_is_read_at_once_whatever_it_repeats(
    unit: str, readers: dict[str, Callable[[str], object]]
) -> None:
    for text in texts(unit):
        for name, read in readers.items():
            begun = time.process_time()
            read(text)
            assert time.process_time() - begun < AT_MOST, (name, text[:40])


@given(st.lists(st.sampled_from(UNITS), min_size=2, max_size=5))
@hypothesis_settings(max_examples=15, deadline=None)
def test_mixtures_of_them_are_read_at_once_too(units: list[str]) -> None:
    redactor = SecretRedactor([SECRET, ODD_SECRET])
    text = "".join(units)
    text *= LENGTH // len(text)
    begun = time.process_time()
    redactor.redact(text)
    nameless = Names(["/srv/files/from"]).without(Error(text, "a name", text))
    cause_of([nameless])
    reason_for(1, False, [nameless])
    assert time.process_time() - begun < AT_MOST, units


@pytest.fixture
def refusing() -> Iterator[Callable[[str], int]]:
    """``refusing(text)``: the port of a WebDAV server that forbids all, with this message."""
    with ExitStack() as running:

        def start(text: str) -> int:
            class Refusing(BaseHTTPRequestHandler):
                def do_PROPFIND(self) -> None:
                    words = f"<d:error xmlns:d='DAV:' xmlns:s='s'><s:message>{text}</s:message>"
                    body = f"{words}</d:error>".encode()
                    self.send_response(403)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

                def log_message(self, *_: object) -> None: ...

            server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            running.callback(server.server_close)
            running.callback(server.shutdown)
            return server.server_address[1]

        yield start


@pytest.mark.parametrize("unit", ["x-amz-", "&quot;\\", "dial tcp", "password"])
def test_storage_that_refuses_at_length_keeps_the_portal_busy_for_a_moment_only(
    browser: Callable[..., Browser], new_remote: Any, refusing: Callable[[str], int], unit: str
) -> None:
    text = f"key {unit * (LENGTH // len(unit))} end"
    url = f"http://127.0.0.1:{refusing(text)}"
    new_remote("hostile", "webdav", {"url": url, "user": "bob", "pass": SECRET})
    bob = browser("bob")
    begun = time.process_time()
    answer = bob.get("/browse?at=hostile:")
    assert time.process_time() - begun < AT_MOST
    assert 'role="alert"' in answer.text
    assert len(answer.text) < LENGTH


@pytest.mark.parametrize(
    "spelled",
    [
        ODD_SECRET,
        json.dumps(ODD_SECRET)[1:-1],
        json.dumps(json.dumps(ODD_SECRET))[3:-3],
        "".join(f"%{byte:02X}" for byte in ODD_SECRET.encode()),
        "".join(f"&#{ord(character)};" for character in ODD_SECRET),
        "".join(f"\\u{ord(character):04x}" for character in ODD_SECRET),
        "\\" * 4 + "\\u0061" + "\\" * 2 + "%22" + "&#39;",
    ],
)
def test_secret_of_backslashes_is_found_in_each_of_its_spellings(spelled: str) -> None:
    redacted = SecretRedactor([ODD_SECRET]).redact(f"failed: <{spelled}>!")
    assert redacted == f"failed: <{MASK}>!"


def test_credential_behind_a_long_text_is_masked_and_its_reason_found() -> None:
    long = "x-amz-" * 10_000
    assert redact_credentials(f"{long} password=hunter2 {long}") == (
        f"{long} password={MASK} {long}"
    )
    lines = [
        Names([]).without(
            Error(f"{long}: no space left on device", "", f"{long}: no space left on device")
        )
    ]
    assert "disk is full" in reason_for(1, False, lines)
