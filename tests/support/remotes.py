"""Remotes that lead to real storages: fixtures for the conftests that want them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal.db.session import session
from portal.models import Remote, User
from portal.services.actor import Actor
from portal.services.storage import remotes
from portal.services.storage.remotes import Draft
from portal.settings import Settings, load_settings
from tests.support.client import Browser
from tests.support.files import fill
from tests.support.storages import PASSWORD, Storage, typed

KINDS = ("s3", "sftp", "webdav", "ftp")


def create_files(folder: Path, objects: int) -> None:
    """What the tests find there: a running server would not see what is put behind its back."""
    (folder / "bucket" / "inner").mkdir(parents=True)
    fill(folder / "outbox")
    for number in range(objects):
        path = folder / "many" / f"{number % 50:02}" / f"object {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number)


@pytest.fixture
def settings(tmp_path: Path, root: Path) -> Settings:
    """The storages of these tests are servers of this machine."""
    return load_settings(
        data_dir=tmp_path / "data", transfer_roots=(root,), remotes_allow_local=True
    )


@pytest.fixture(scope="session")
def storages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Storage]]:
    """``storages("sftp")``: one server of each kind for all tests, started when first asked for."""
    running: dict[str, Storage] = {}

    def of(kind: str) -> Storage:
        if kind not in running:
            folder = tmp_path_factory.mktemp(f"{kind} storage")
            create_files(folder, objects=5000 if kind == "s3" else 0)
            running[kind] = Storage(kind, folder).start()
        return running[kind]

    yield of
    for storage in running.values():
        storage.stop()


@pytest.fixture
def new_remote(app: Flask, user: Callable[[str], User]) -> Callable[..., Remote]:
    """Makes a remote as an admin does."""

    def make(name: str, backend: str, options: dict[str, str], **more: Any) -> Remote:
        draft = Draft(
            role=more.pop("role", "operator"), start=more.pop("start", ""), options=options
        )
        with app.app_context():
            made = remotes.create(name, backend, draft, actor=Actor(user("alice")))
        session.remove()
        return made

    return make


SFTP = {"host": "127.0.0.1", "port": "2022", "user": "bob", "pass": PASSWORD, "set_modtime": "true"}


def stored(name: str = "nas") -> Remote | None:
    session.remove()
    found = session.scalars(select(Remote).where(Remote.name == name)).one_or_none()
    session.remove()
    return found


def add(alice: Browser, options: dict[str, str] | None = None, **fields: str) -> Any:
    form = typed(
        SFTP if options is None else options, **{"backend": "sftp", "name": "nas"} | fields
    )
    return alice.post("/remotes", form)
