"""New jobs: two requests under one key at one moment, and those of a demonstration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from portal.db.session import session
from portal.errors import Invalid
from portal.models import Job, User
from portal.services.actor import Actor
from portal.services.jobs import create, idempotency
from portal.services.jobs.idempotency import IdempotentRequest
from portal.transfers.request import Transfer
from portal.transfers.states import Operation
from tests.support.applications import configure
from tests.support.transfers import fill, stored

ONCE = IdempotentRequest("a key", "a body")


class Heard:
    """An executor that only counts how often it is asked to look at the queue."""

    def __init__(self) -> None:
        self.looks = 0

    def look(self) -> None:
        self.looks += 1


@pytest.fixture
def heard(app: Flask) -> Heard:
    made = Heard()
    configure(app, executor=made)
    return made


@pytest.fixture
def bob(user: Callable[[str], User]) -> Actor:
    return Actor(user("bob"))


@pytest.fixture
def order(root: Path) -> Transfer:
    fill(root / "from")
    return Transfer(
        name="Nightly",
        operation=Operation.COPY,
        source=str(root / "from"),
        destination=str(root / "to"),
        bandwidth_limit=None,
        dry_run=False,
    )


def jobs() -> int:
    session.remove()
    try:
        return session.scalar(select(func.count()).select_from(Job)) or 0
    finally:
        session.remove()


def test_second_request_under_a_key_gets_the_job_of_the_first_even_without_its_source(
    heard: Heard, bob: Actor, order: Transfer, root: Path
) -> None:
    first, is_new = create.create_once(order, ONCE, actor=bob)
    (root / "from").rename(root / "moved away")
    again, is_newer = create.create_once(order, ONCE, actor=bob)
    assert (again.id, is_new, is_newer) == (first.id, True, False)
    assert heard.looks == 1
    with pytest.raises(Invalid):
        create.create_once(order, IdempotentRequest("a key", "another body"), actor=bob)
    with pytest.raises(Invalid):
        create.create_once(order, IdempotentRequest("another key", "a body"), actor=bob)
    assert jobs() == 1


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The first look for a job of the key is too early, as of two requests at one moment."""
    real = idempotency.job_of
    looks: list[int] = []

    def job_of(*arguments: Any) -> Job | None:
        looks.append(1)
        return None if len(looks) == 1 else real(*arguments)

    return lambda: monkeypatch.setattr(idempotency, "job_of", job_of)


def test_of_two_requests_at_one_moment_the_second_gets_the_job_of_the_first(
    heard: Heard, bob: Actor, order: Transfer, late: Any
) -> None:
    first, _ = create.create_once(order, ONCE, actor=bob)
    late()
    again, is_new = create.create_once(order, ONCE, actor=bob)
    assert (again.id, is_new) == (first.id, False)
    assert jobs() == 1, "what the second had written is undone"
    assert heard.looks == 1


def test_conflict_that_is_not_about_the_key_is_an_error_and_leaves_no_job(
    heard: Heard, bob: Actor, order: Transfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_arguments: Any, **_named: Any) -> None:
        raise IntegrityError("INSERT", {}, Exception("another row"))

    monkeypatch.setattr(idempotency, "remember", fails)
    with pytest.raises(IntegrityError):
        create.create_once(order, ONCE, actor=bob)
    assert jobs() == 0
    assert heard.looks == 0


def test_sample_waits_for_the_executor_and_is_its_owners(
    heard: Heard, bob: Actor, order: Transfer
) -> None:
    create.add_sample(order, username="bob")
    session.remove()
    job = stored(session.scalars(select(Job.id)).one())
    assert (job.status, job.owner_id, job.source) == ("queued", bob.user.id, order.source)
    assert heard.looks == 0, "it finds the job when it starts"
