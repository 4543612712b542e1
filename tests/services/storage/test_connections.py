"""A stored remote on its way to rclone: what makes it unusable, and what is said then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from flask import Flask

from portal import engine
from portal.errors import Unavailable
from portal.models import Remote
from portal.services.runtime import runtime
from portal.services.storage import connections
from portal.services.storage.connections import Unusable
from portal.services.storage.encryption import Keys
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
    bucket: Remote, answers: Any
) -> None:
    error = engine.EngineError(BROKEN)
    answers(list_folder=error, make_folder=error, answers_to_anything=error, list_matching=error)
    for ask in (
        lambda: connections.list_folder(bucket, "there"),
        lambda: connections.make_folder(bucket, "there"),
        lambda: connections.answers_to_anything(bucket),
        lambda: connections.list_matching(bucket, "there", Options()),
    ):
        with pytest.raises(Unusable, match=BROKEN):
            ask()


def test_turn_comes_back_after_an_answer_and_after_an_error(
    bucket: Remote, answers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_TURN", 0.01)
    for _ in range(connections._AT_ONCE + 1):
        answers(list_folder=FOUND)
        assert connections.list_folder(bucket, "there") is FOUND
        answers(list_folder=engine.EngineError(BROKEN))
        with pytest.raises(Unusable, match=BROKEN):
            connections.list_folder(bucket, "there")


def test_more_questions_than_may_be_asked_at_once_are_put_off(
    bucket: Remote, answers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_TURN", 0.01)
    asked = answers(list_folder=FOUND)["list_folder"]
    turns = [connections._turn() for _ in range(connections._AT_ONCE)]
    for turn in turns:
        turn.__enter__()
    with pytest.raises(Unavailable, match="Too many storages are being read right now"):
        connections.list_folder(bucket, "there")
    assert not asked.called
    turns[0].__exit__(None, None, None)
    assert connections.list_folder(bucket, "there") is FOUND
    for turn in turns[1:]:
        turn.__exit__(None, None, None)


# --- new folders --------------------------------------------------------------------------------


def test_share_is_made_on_the_server_and_a_folder_in_it_here(share: Remote, answers: Any) -> None:
    asked = answers(make_folder=None, list_folder=FOUND)
    said = connections.make_folder(share, "/new share/")
    assert said is not None
    assert said.startswith("Shares are created on the server.")
    assert not asked["make_folder"].called
    assert connections.make_folder(share, "share/new") is None
    assert asked["make_folder"].called


def test_folder_that_a_storage_says_it_made_and_did_not_is_said(
    share: Remote, bucket: Remote, answers: Any
) -> None:
    answers(make_folder=None, list_folder=MISSING)
    assert connections.make_folder(share, "share/new") == "The storage did not create the folder."
    answers(make_folder=None, list_folder=MISSING)
    assert connections.make_folder(bucket, "new") == "The storage did not create the bucket."


def test_storage_of_objects_keeps_no_empty_folder_and_is_not_asked_for_it(
    bucket: Remote, answers: Any
) -> None:
    asked = answers(make_folder=None, list_folder=MISSING)
    assert connections.make_folder(bucket, "bucket/new") is None
    assert not asked["list_folder"].called


def test_reason_of_the_storage_is_passed_on(share: Remote, answers: Any) -> None:
    asked = answers(make_folder="There is no room.", list_folder=FOUND)
    assert connections.make_folder(share, "share/new") == "There is no room."
    assert not asked["list_folder"].called


def test_web_page_is_told_from_a_storage(bucket: Remote, answers: Any) -> None:
    for answer in (True, False):
        answers(answers_to_anything=answer)
        assert connections.answers_to_anything(bucket) is answer
