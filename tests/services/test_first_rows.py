"""Rows that several processes write at once, and of which there is only one: on PostgreSQL, where
two may find that there is none yet."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any, TypeVar

import pytest
from flask import Flask
from sqlalchemy import delete, func, select

from portal.db.session import session, write
from portal.errors import SettingsError
from portal.models import JobLog, KeyFingerprint
from portal.models.sign_in import KnownAddress
from portal.services.accounts import sign_in_limits
from portal.services.jobs import logs
from portal.services.storage import key_agreement
from portal.services.storage.encryption import Keys
from tests.support.modes import SCALED_OUT

T = TypeVar("T")
AtOnce = Callable[..., list[Any]]

pytestmark = pytest.mark.parametrize("mode", [SCALED_OUT], indirect=True)
ROUNDS = range(10)


@pytest.fixture
def at_once(app: Flask) -> AtOnce:
    """What all of these return, called at the same moment in threads of their own."""

    def call_all(*calls: Callable[[], T]) -> list[T]:
        start = Barrier(len(calls))

        def one(call: Callable[[], T]) -> T:
            with app.app_context():
                try:
                    start.wait()
                    return call()
                finally:
                    session.remove()

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(one, calls))

    return call_all


def begin(word: str, *, serves: bool) -> str:
    """The fingerprint of its key, or why it was not let in."""
    keys = Keys(f"the {word} key of forty characters or more")
    try:
        if serves:
            key_agreement.of_serving(keys, alone=False)
        else:
            key_agreement.of_worker(keys)
    except SettingsError as refused:
        return str(refused)
    return keys.fingerprint()


def test_processes_that_start_on_a_new_database_agree_on_one_key(at_once: AtOnce) -> None:
    for _ in ROUNDS:
        with write() as tx:
            tx.execute(delete(KeyFingerprint))
            tx.commit()
        said = at_once(
            *(
                partial(begin, word, serves=serves)
                for word in ("old", "new")
                for serves in (True, False)
            )
        )
        session.remove()
        noted = session.scalars(select(KeyFingerprint.fingerprint)).one()
        let_in = [one for one in said if not one.startswith("PORTAL_SECRET_KEY: the other")]
        assert let_in == [noted] * 2, said


def test_two_attempts_begin_one_log(at_once: AtOnce, new_job: Callable[..., int]) -> None:
    for _ in ROUNDS:
        job_id = new_job()
        begun = at_once(*(partial(logs.begin, job_id, attempt) for attempt in (1, 2)))
        session.remove()
        assert session.get_one(JobLog, job_id).attempt == 2
        assert begun[1] is not None


def test_user_who_signs_in_twice_has_one_known_address(
    at_once: AtOnce, user: Callable[[str], Any]
) -> None:
    bob = user("bob").id

    def remember() -> None:
        with write() as tx:
            sign_in_limits.remember_address(tx, bob, "192.0.2.7")
            tx.commit()

    for _ in ROUNDS:
        with write() as tx:
            tx.execute(delete(KnownAddress))
            tx.commit()
        at_once(*[remember] * 4)
        session.remove()
        assert session.scalar(select(func.count()).select_from(KnownAddress)) == 1
