"""Bodies that no page sends: refused, and no error of the portal's own."""

from __future__ import annotations

import io
from typing import Any

from flask import Flask

FIELDS = (
    "username", "password", "remember", "name", "operation", "source", "destination", "code",
    "bandwidth_limit", "dry_run", "confirm", "current_password", "new_password", "role", "scope",
    "theme", "timezone", "refresh_interval", "backend", "host", "csrf_token",
)  # fmt: skip
BODIES: dict[str, Any] = {
    "files": lambda: {
        "data": {field: (io.BytesIO(b"x"), "x.txt") for field in FIELDS},
        "content_type": "multipart/form-data",
    },
    "files without a name": lambda: {
        "data": {field: (io.BytesIO(b"x"), "") for field in FIELDS},
        "content_type": "multipart/form-data",
    },
    "numbers in JSON": lambda: {"json": dict.fromkeys(FIELDS, 5)},
    "lists in JSON": lambda: {"json": {field: [{"a": None}] for field in FIELDS}},
    "a list in JSON": lambda: {"json": [1]},
    "deep JSON": lambda: {"data": b"[" * 100_000, "content_type": "application/json"},
    "half a form of parts": lambda: {
        "data": b"--x\r\nbroken",
        "content_type": "multipart/form-data; boundary=x",
    },
    "parts without a boundary": lambda: {"data": b"x", "content_type": "multipart/form-data"},
    "bytes": lambda: {"data": b"\xff\0=\xff&name=%ff%00"},
    "other letters": lambda: {
        "data": "name=\u00e9".encode("utf-7"),
        "content_type": "application/x-www-form-urlencoded; charset=utf-7",
    },
}


NUMBERS = ("9" * 20, "9" * 400, str(2**31), str(2**63), "01")


def addresses(app: Flask, number: str, methods: set[str]) -> list[tuple[str, str]]:
    found = []
    for rule in app.url_map.iter_rules():
        path = rule.rule
        for argument in rule.arguments:
            for kind in ("big_id:", "id:", ""):
                path = path.replace(f"<{kind}{argument}>", number)
        found += [(method, path) for method in (rule.methods or set()) & methods]
    return found


def test_no_route_fails_on_a_body_that_no_page_sends(
    app: Flask, browser: Any, new_job: Any
) -> None:
    new_job()
    failed, asked = [], 0
    signed_out = ("files", "numbers in JSON", "deep JSON")
    for known, bodies in ((browser("alice"), BODIES), (browser(), signed_out)):
        headers = {"X-CSRFToken": known.token()}
        for method, path in addresses(app, "1", {"POST", "PUT", "PATCH", "DELETE"}):
            for body in bodies:
                answer = known.client.open(path, method=method, headers=headers, **BODIES[body]())
                asked += 1
                if answer.status_code >= 500:
                    failed.append((body, method, path))
    assert asked > 40 * len(BODIES)
    assert failed == []


def test_no_route_fails_on_a_number_that_is_no_id(app: Flask, browser: Any) -> None:
    alice = browser("alice")
    headers = {"X-CSRFToken": alice.token()}
    every = {"GET", "POST", "PUT", "PATCH", "DELETE"}
    failed = [
        (method, path)
        for number in NUMBERS
        for method, path in addresses(app, number, every)
        if number in path
        and alice.client.open(path, method=method, headers=headers).status_code >= 500
    ]
    assert failed == []
