"""A program with a token, and the portal it talks to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask

from portal.db.clock import now
from portal.db.session import session
from portal.models import User
from portal.services.accounts import api_tokens
from portal.services.actor import Actor
from tests.support.program import Program


@pytest.fixture
def new_token(app: Flask, user: Callable[[str], User]) -> Callable[..., str]:
    """The text of a new token, of the largest scope that its user may have."""
    largest = {"viewer": "read", "operator": "operate", "admin": "admin"}

    def make(name: str, scope: str | None = None, **life: float) -> str:
        owner = user(name)
        end = now() + timedelta(**life or {"days": 1})
        with app.app_context():
            made = api_tokens.create(
                f"{name}'s", scope or largest[owner.role], end, actor=Actor(owner)
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
