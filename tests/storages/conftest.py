"""Storages of all kinds, as real as they can be had, and remotes that lead to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from portal.db.session import session
from portal.models import Remote, User
from portal.services.actor import Actor
from portal.services.storage import remotes
from tests.storages.met import Storage
from tests.storages.servers import KINDS, Server

# Fixtures, which pytest finds here.
from tests.support.client import Browser
from tests.support.remotes import new_remote, settings, storages

__all__ = ["new_remote", "settings", "storages"]


@pytest.fixture
def verdict_on(
    app: Flask, user: Callable[[str], User], new_remote: Callable[..., Remote]
) -> Callable[..., str]:
    """What Test connection says of a storage; begins with “Works” if it does."""
    number = iter(range(1000))

    def look(backend: str, options: dict[str, str], start: str = "") -> str:
        remote = new_remote(f"nas-{next(number)}", backend, options, start=start)
        with app.app_context():
            tested = remotes.test(remote.id, actor=Actor(user("alice")))
            said: Any = tested.verdict
            assert tested.works is said.startswith("Works")
        session.remove()
        return str(said)

    return look


@pytest.fixture
def storage(
    kind: str, tmp_path: Path, browser: Callable[..., Browser], execute: Callable[..., None]
) -> Iterator[Storage]:
    if reason := KINDS[kind].missing():
        pytest.skip(reason)
    with Server(KINDS[kind], tmp_path / "server") as server:
        yield Storage(server, browser, execute)
