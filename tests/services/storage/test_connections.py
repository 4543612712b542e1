"""A stored remote on its way to rclone: what makes it unusable, and what is said then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest
from flask import Flask
from sqlalchemy import text

from portal import engine
from portal.db.session import session
from portal.errors import TooMany
from portal.models import Remote, User
from portal.services.actor import Actor
from portal.services.runtime import runtime
from portal.services.storage import connections, folders, remotes, turns
from portal.services.storage.connections import Unusable
from portal.services.storage.encryption import Keys
from portal.transfers.locations import Location
from portal.transfers.options import Options
from tests.support.applications import configure

FOUND = engine.Listing((), None, missing=False, partial=False, seconds=0.1)
MISSING = engine.Listing((), None, missing=True, partial=False, seconds=0.1)
SMB = {"host": "127.0.0.1", "user": "bob", "pass": "a password"}
BROKEN = "rclone cannot be started: Permission denied."


@pytest.fixture
def share(new_remote: Callable[..., Remote]) -> Remote:
    return new_remote("office", "smb", SMB)


@pytest.fixture
def bucket(new_remote: Callable[..., Remote]) -> Remote:
    options = {
        "provider": "Other",
        "endpoint": "http://127.0.0.1:9000",
        "access_key_id": "a key",
        "secret_access_key": "a secret",
    }
    return new_remote("store", "s3", options)


@pytest.fixture
def bob(user: Callable[[str], User]) -> Actor:
    return Actor(user("bob"))


@pytest.fixture
def bella(user: Callable[[str], User]) -> Actor:
    return Actor(user("bella"))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``answers(list_folder=FOUND)``: what the engine says, or which error it raises."""

    def say(**told: Any) -> dict[str, Mock]:
        made = {
            name: Mock(side_effect=answer if isinstance(answer, Exception) else [answer])
            for name, answer in told.items()
        }
        for name, one in made.items():
            monkeypatch.setattr(engine, name, one)
        return made

    return say


def test_kind_that_an_older_portal_does_not_know_is_refused(app: Flask) -> None:
    strange = Remote(name="new", backend="of tomorrow", options={}, secrets={})
    with pytest.raises(Unusable, match="new is of a kind that this portal does not know"):
        connections.engine_remote(strange)


def test_secrets_of_another_key_are_said_to_be_lost_and_rclone_gets_none(
    app: Flask, share: Remote
) -> None:
    assert "a password" in connections.engine_remote(share).secrets
    configure(app, keys=Keys("another key of forty characters or even more"))
    with pytest.raises(Unusable, match="office cannot be opened: the portal's secret key has chan"):
        connections.engine_remote(share)


def test_storage_on_this_machine_is_refused_when_it_is_used_not_only_when_it_is_made(
    app: Flask, share: Remote
) -> None:
    strict = runtime().settings.model_copy(update={"remotes_allow_local": False})
    configure(app, settings=strict)
    with pytest.raises(Unusable, match="The remote office may not be used"):
        connections.engine_remote(share)


def test_rclone_that_cannot_be_started_is_a_sentence_at_every_question(
    bucket: Remote, answers: Any, bob: Actor
) -> None:
    error = engine.EngineError(BROKEN)
    answers(list_folder=error, make_folder=error, list_matching=error)
    for ask in (
        lambda: connections.list_folder(bucket, "there", actor=bob),
        lambda: connections.make_folder(bucket, "there", actor=bob),
        lambda: connections.test(bucket, "there", actor=bob),
        lambda: connections.list_matching(bucket, "there", Options(), actor=bob),
    ):
        with pytest.raises(Unusable, match=BROKEN):
            ask()


# --- turns --------------------------------------------------------------------------------------


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """``taken(bob, bella)``: begins a turn for each, which lasts until the end of the test."""
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    with ExitStack() as begun:
        yield lambda *people: [begun.enter_context(turns.at_storages(one)) for one in people]


def test_turn_comes_back_after_an_answer_and_after_an_error(
    bucket: Remote, answers: Any, bob: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    for _ in range(turns.LIMITS.total + 1):
        answers(list_folder=FOUND)
        assert connections.list_folder(bucket, "there", actor=bob) is FOUND
        for error in (engine.EngineError(BROKEN), engine.Abandoned(), RuntimeError("a fault")):
            answers(list_folder=error)
            with pytest.raises((Unusable, connections.GivenUp, RuntimeError)):
                connections.list_folder(bucket, "there", actor=bob)


def test_every_question_of_one_person_is_put_off_while_two_are_asked(
    bucket: Remote, answers: Any, bob: Actor, bella: Actor, taken: Any
) -> None:
    asked = answers(list_folder=FOUND, make_folder=None, list_matching=None)
    taken(bob, bob)
    for ask in (
        lambda: connections.list_folder(bucket, "there", actor=bob),
        lambda: connections.make_folder(bucket, "there", actor=bob),
        lambda: connections.test(bucket, "there", actor=bob),
        lambda: connections.list_matching(bucket, "there", Options(), actor=bob),
        lambda: connections.list_matching(None, "/there", Options(), actor=bob),
    ):
        with pytest.raises(TooMany, match=r"^You already have two open\. Wait for one to end"):
            ask()
    assert not any(one.called for one in asked.values())
    assert connections.list_folder(bucket, "there", actor=bella) is FOUND


def test_what_others_ask_keeps_a_person_without_a_turn_waiting_only_when_all_are_taken(
    bucket: Remote, answers: Any, user: Any, bob: Actor, bella: Actor, taken: Any
) -> None:
    alice, charlie = Actor(user("alice")), Actor(user("charlie"))
    taken(alice, alice, bella, bella, charlie, charlie)
    answers(list_folder=FOUND)
    assert connections.list_folder(bucket, "there", actor=bob) is FOUND
    taken(bob)
    with pytest.raises(TooMany, match="Too many storages are being read right now"):
        connections.list_folder(bucket, "there", actor=bob)


def test_connection_to_the_database_is_free_while_a_storage_is_asked(
    app: Flask, new_remote: Any, bob: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_remote("nas", "smb", SMB)
    states = []

    def note(*_: object, **__: object) -> engine.Listing:
        states.append(session().in_transaction())
        return FOUND

    for name in ("list_folder", "list_matching"):
        monkeypatch.setattr(engine, name, note)
    monkeypatch.setattr(engine, "answers_to_anything", note)
    monkeypatch.setattr(engine, "make_folder", lambda *_, **__: states.append(None))
    with app.app_context():
        actor = Actor(session.merge(bob.user))
        session.execute(text("SELECT 1"))
        folders.look("nas:share", roots=runtime().roots, actor=actor)
        folders.make("nas:share", "new", roots=runtime().roots, actor=actor)
        folders.matching(Location("nas:share", 1), Options(), actor=actor)
        remotes.test(1, actor=actor)
    assert states == [False, None, False, False, False, False]


# --- new folders --------------------------------------------------------------------------------


def test_share_is_made_on_the_server_and_a_folder_in_it_here(
    share: Remote, answers: Any, bob: Actor
) -> None:
    asked = answers(make_folder=None, list_folder=FOUND)
    said = connections.make_folder(share, "/new share/", actor=bob)
    assert said is not None
    assert said.startswith("Shares are created on the server.")
    assert not asked["make_folder"].called
    assert connections.make_folder(share, "share/new", actor=bob) is None
    assert asked["make_folder"].called


def test_folder_that_a_storage_says_it_made_and_did_not_is_said(
    share: Remote, bucket: Remote, answers: Any, bob: Actor
) -> None:
    answers(make_folder=None, list_folder=MISSING)
    assert (
        connections.make_folder(share, "share/new", actor=bob)
        == "The storage did not create the folder."
    )
    answers(make_folder=None, list_folder=MISSING)
    assert (
        connections.make_folder(bucket, "new", actor=bob)
        == "The storage did not create the bucket."
    )


def test_storage_of_objects_keeps_no_empty_folder_and_is_not_asked_for_it(
    bucket: Remote, answers: Any, bob: Actor
) -> None:
    asked = answers(make_folder=None, list_folder=MISSING)
    assert connections.make_folder(bucket, "bucket/new", actor=bob) is None
    assert not asked["list_folder"].called


def test_reason_of_the_storage_is_passed_on(share: Remote, answers: Any, bob: Actor) -> None:
    asked = answers(make_folder="There is no room.", list_folder=FOUND)
    assert connections.make_folder(share, "share/new", actor=bob) == "There is no room."
    assert not asked["list_folder"].called


def test_web_page_is_told_from_a_storage(bucket: Remote, answers: Any, bob: Actor) -> None:
    for answer in (True, False):
        answers(list_folder=FOUND, answers_to_anything=answer)
        assert connections.test(bucket, "", actor=bob) == (FOUND, answer)


def test_storage_that_shows_something_or_fails_is_asked_no_more(
    bucket: Remote, answers: Any, bob: Actor
) -> None:
    entry = engine.Entry("a", folder=False, size=1)
    for found in (
        MISSING,
        replace(FOUND, entries=(entry,)),
        replace(FOUND, problem="It failed."),
        replace(FOUND, unknown="a word"),
        replace(FOUND, partial=True),
    ):
        asked = answers(list_folder=found, answers_to_anything=True)
        assert connections.test(bucket, "", actor=bob) == (found, False)
        assert not asked["answers_to_anything"].called
