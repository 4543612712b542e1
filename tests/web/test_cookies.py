"""The reader of cookies that stands before Flask reads what Flask does."""

from __future__ import annotations

import time
from typing import Any

import pytest
from flask import Flask, session
from flask.sessions import SecureCookieSessionInterface
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.web.middleware.session_cookie import SessionCookieReader

LONG = {"_user_id": "t" * 43, "csrf_token": "ab" * 40, "_fresh": True}  # is compressed
SHORT = {"_user_id": "q7-Xw_9"}
STRANGE = ({}, {"_user_id": 7}, {"_user_id": None}, {"_user_id": ("a", "b")}, {"other": "x"})


@pytest.fixture(scope="module")
def flask() -> Flask:
    made = Flask("cookies")
    made.secret_key = "k" * 32
    made.config["SESSION_COOKIE_NAME"] = "portal"
    return made


def signed(flask: Flask, content: dict[str, Any]) -> str:
    serializer: Any = SecureCookieSessionInterface().get_signing_serializer(flask)
    text: str = serializer.dumps(content)
    return text


def as_flask_reads(flask: Flask, header: str) -> str | None:
    with flask.test_request_context(headers={"Cookie": header}):
        token = session.get("_user_id")
    return token if isinstance(token, str) else None


def as_we_read(flask: Flask, header: str) -> str | None:
    return SessionCookieReader(flask).token({"HTTP_COOKIE": header})


@pytest.mark.parametrize("content", [LONG, SHORT, *STRANGE])
@pytest.mark.parametrize(
    "form",
    ["portal={}", "a=1; portal={}; b=2", "portal={};b", "a=1;portal={}", "portal={}; portal=x",
     "portal=x; portal={}", "xportal={}", 'portal="{}"', "portal = {}", "a=1, portal={}",
     "portal={} ", "portal={}x", "PORTAL={}", "", "portal="],
)  # fmt: skip
def test_cookie_is_read_as_flask_reads_it(flask: Flask, content: Any, form: str) -> None:
    header = form.format(signed(flask, content))
    assert as_we_read(flask, header) == as_flask_reads(flask, header)


def test_both_kinds_of_cookie_are_read_at_all(flask: Flask) -> None:
    assert signed(flask, LONG).startswith(".")
    assert not signed(flask, SHORT).startswith(".")
    for content in (LONG, SHORT):
        assert as_we_read(flask, f"portal={signed(flask, content)}") == content["_user_id"]


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_change_of_a_cookie_is_judged_as_flask_judges_it(
    flask: Flask, data: st.DataObject
) -> None:
    header = f"portal={signed(flask, data.draw(st.sampled_from([LONG, SHORT])))}"
    place = data.draw(st.integers(0, len(header)))
    noise = data.draw(st.text('aZ09._-=; "\\', max_size=3))
    cut = data.draw(st.integers(0, 3))
    changed = header[:place] + noise + header[place + cut :]
    assert as_we_read(flask, changed) == as_flask_reads(flask, changed)


def test_cookie_of_another_key_and_one_that_is_too_old_open_nothing(
    flask: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Flask("other")
    other.secret_key = "other"
    assert as_we_read(flask, f"portal={signed(other, SHORT)}") is None
    header = f"portal={signed(flask, SHORT)}"
    life = flask.permanent_session_lifetime.total_seconds()
    now = time.time()
    reader = SessionCookieReader(flask)
    for later, token in ((life - 5, "q7-Xw_9"), (life + 5, None), (-60, None)):
        monkeypatch.setattr(time, "time", lambda later=later: now + later)
        assert as_we_read(flask, header) == as_flask_reads(flask, header) == token
        # One that is known already grows old as well.
        assert reader.token({"HTTP_COOKIE": header}) == token


def test_cookies_that_are_refused_take_no_memory(flask: Flask) -> None:
    reader = SessionCookieReader(flask)
    for number in range(100):
        assert reader.token({"HTTP_COOKIE": f"portal={number}"}) is None
    assert reader._content.cache_info().currsize == 0
    assert reader.token({"HTTP_COOKIE": f"portal={signed(flask, SHORT)}"}) == "q7-Xw_9"
    assert reader._content.cache_info().currsize == 1


def test_bytes_that_are_no_text_open_nothing(flask: Flask) -> None:
    assert as_we_read(flask, "portal=\xff\xfe") is None
