"""The one way to write: a transaction that is rolled back unless it was committed."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import select

from portal.db.session import session, write
from portal.models import User, UserSettings
from portal.models.user import Role


def names() -> list[str]:
    try:
        return list(session.scalars(select(User.username).order_by(User.id)))
    finally:
        session.remove()


def somebody(name: str) -> User:
    user = User(username=name, role=Role.VIEWER, password_hash="")
    user.settings = UserSettings()
    return user


def fail() -> None:
    with write() as tx:
        tx.add(somebody("failed"))
        tx.flush()
        raise RuntimeError("on the way")


def test_what_was_not_committed_is_undone_and_frees_the_lock(app: Flask) -> None:
    before = names()
    with write() as tx:
        tx.add(somebody("forgotten"))
        tx.flush()
    with pytest.raises(RuntimeError, match="on the way"):
        fail()
    with write() as tx:
        tx.add(somebody("kept"))
        tx.commit()
    assert names() == [*before, "kept"]


def test_what_is_read_after_the_commit_stays(app: Flask) -> None:
    with write() as tx:
        user = somebody("kept")
        tx.add(user)
        tx.commit()
        read = tx.scalar(select(User.username).where(User.id == user.id))
        transaction = tx.get_transaction()
    assert read == "kept"
    assert transaction is not None
    assert session().get_transaction() is transaction, "only the write is rolled back"


def test_one_inside_another_takes_its_place(app: Flask) -> None:
    before = names()
    with write() as outer:
        outer.add(somebody("let-go"))
        outer.flush()
        with write() as inner:
            inner.add(somebody("noted"))
            inner.commit()
    assert names() == [*before, "noted"]
