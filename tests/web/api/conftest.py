"""A program with a token, and the portal it talks to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from portal.db.clock import now
from portal.db.session import session
from portal.models import User
from portal.services.accounts import api_tokens


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


@pytest.fixture
def new_token(app: Flask, user: Callable[[str], User]) -> Callable[..., str]:
    """The text of a new token, of the largest scope that its user may have."""
    largest = {"viewer": "read", "operator": "operate", "admin": "admin"}

    def make(name: str, scope: str | None = None, **life: float) -> str:
        owner = user(name)
        end = now() + timedelta(**life or {"days": 1})
        with app.app_context():
            made = api_tokens.create(
                f"{name}'s", scope or largest[owner.role], end, actor=owner, address=""
            )
        session.remove()
        return made[1]

    return make


@pytest.fixture
def program(app: Flask, new_token: Callable[..., str]) -> Callable[..., Program]:
    """``program("bob")`` has a token of bob's, ``program()`` none."""

    def start(name: str | None = None, scope: str | None = None) -> Program:
        return Program(app, None if name is None else new_token(name, scope))

    return start
