"""A program at the API of an application in the process of the test."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask.testing import FlaskClient


def assert_problem(answer: Any, status: int, *fields: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    assert answer.json["status"] == status
    assert sorted(answer.json.get("errors", {})) == sorted(fields)


class Program:
    """Asks below ``/api/v1``, with a token or without, and never with a cookie."""

    def __init__(self, app: Flask, text: str | None) -> None:
        self.client: FlaskClient = app.test_client(use_cookies=False)
        self.text = text

    def ask(self, method: str, path: str, **options: Any) -> Any:
        headers = dict(options.pop("headers", {}))
        if self.text is not None:
            headers.setdefault("Authorization", f"Bearer {self.text}")
        return self.client.open(f"/api/v1{path}", method=method, headers=headers, **options)

    def get(self, path: str, **options: Any) -> Any:
        return self.ask("GET", path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> Any:
        return self.ask("POST", path, **options | ({} if json is None else {"json": json}))
