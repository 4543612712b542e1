"""Before the upgrade: who is not signed in, or comes from elsewhere, gets no socket at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from werkzeug.test import EnvironBuilder, run_wsgi_app

from portal.db.session import session
from portal.models import LoginSession
from portal.web.middleware.session_cookie import SessionCookieReader
from portal.web.sockets.handshake import HandshakeGuard

ADDRESS = "/socket.io/?EIO=4&transport=websocket"
FOREIGN = [
    "null",
    "",
    "http://evil.example",
    "http://localhost.evil.example",
    "http://evil-localhost",
    "http://localhost:8001",
    "https://localhost",
    "http://user@localhost",
    "localhost",
    "file://",
    "http://[::1",
    "http://sub.localhost",
    "http://127.0.0.1",
    "\x1b[2J",
]


@pytest.fixture
def admitted(app: Flask) -> list[dict[str, Any]]:
    """What the guard let through."""
    return []


@pytest.fixture
def guard(app: Flask, admitted: list[dict[str, Any]]) -> HandshakeGuard:
    def inside(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        admitted.append(environ)
        start_response("200 OK", [])
        return [b""]

    return HandshakeGuard(
        SessionCookieReader(app), sockets=inside, wsgi=inside, sockets_per_user=50
    )


@pytest.fixture
def knock(guard: HandshakeGuard) -> Callable[..., int]:
    """Asks the guard for an upgrade; gives the status."""

    def ask(browser: Any, path: str = ADDRESS, **headers: str) -> int:
        jar = browser.client.get_cookie("portal")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if jar is not None:
            named["Cookie"] = f"portal={jar.value}"
        path, _, query = path.partition("?")
        builder = EnvironBuilder(path=path, query_string=query)
        builder.headers.extend(named)
        _, status, _ = run_wsgi_app(guard, builder.get_environ())
        return int(status.split()[0])

    return ask


def test_signed_in_upgrade_passes(browser: Any, knock: Any, admitted: list[Any]) -> None:
    assert knock(browser("charlie")) == 200
    assert len(admitted) == 1


def test_signed_out_upgrade_is_401(browser: Any, knock: Any, admitted: list[Any]) -> None:
    assert knock(browser()) == 401
    assert admitted == []


@pytest.mark.parametrize("origin", FOREIGN)
def test_upgrade_from_a_foreign_page_is_403(
    browser: Any, knock: Any, admitted: list[Any], origin: str
) -> None:
    assert knock(browser("bob"), Origin=origin) == 403
    assert admitted == []


@pytest.mark.parametrize("origin", ["http://localhost", "http://LOCALHOST"])
def test_upgrade_from_our_own_page_passes(browser: Any, knock: Any, origin: str) -> None:
    assert knock(browser("bob"), Origin=origin) == 200


def test_foreign_page_learns_nothing_about_the_session(browser: Any, knock: Any) -> None:
    assert knock(browser(), Origin="http://evil.example") == 403


@pytest.mark.parametrize("path", ["/socket.io", "/socket.io/x", "/socket.io/?transport=polling"])
def test_no_path_below_the_sockets_goes_round_the_guard(
    browser: Any, knock: Any, path: str
) -> None:
    assert knock(browser(), path) == 401


def test_other_paths_are_none_of_its_business(browser: Any, knock: Any) -> None:
    assert knock(browser(), "/login", Origin="http://evil.example") == 200


@pytest.mark.parametrize("cookie", ["", "x", "e30.x.y", "A" * 4000])
def test_cookie_that_we_did_not_sign_is_401(
    app: Flask, browser: Any, knock: Any, cookie: str
) -> None:
    nobody = browser()
    nobody.client.set_cookie("portal", cookie)
    assert knock(nobody) == 401


def test_signed_cookie_without_a_session_is_401(browser: Any, knock: Any) -> None:
    nobody = browser()
    nobody.get("/login")
    for planted in ({}, {"_user_id": 1}, {"_user_id": None}, {"_user_id": ["x"]}, {"_user_id": ""}):
        with nobody.client.session_transaction() as cookie:
            cookie.update(planted)
        assert knock(nobody) == 401, planted


@pytest.mark.parametrize("end", ["logout", "disable", "reset-password", "expiry"])
def test_ended_session_is_401(browser: Any, user: Any, knock: Any, end: str) -> None:
    bob = browser("bob")
    cookie = bob.client.get_cookie("portal").value
    assert knock(bob) == 200
    if end == "logout":
        bob.post("/logout")
    elif end == "expiry":
        session.execute(text("UPDATE sessions SET expires_at = '2020-01-01 00:00:00.000000'"))
        session.commit()
    else:
        browser("alice").post(f"/users/{user('bob').id}/{end}")
    bob.client.set_cookie("portal", cookie)
    assert knock(bob) == 401


@pytest.fixture
def come_together(guard: HandshakeGuard) -> Callable[..., list[int]]:
    """Asks for several upgrades at once; ``meanwhile`` runs once they were looked up."""

    def ask(*cookies: str, meanwhile: Callable[[], object] = lambda: None) -> list[int]:
        environs = [
            EnvironBuilder(path=ADDRESS, headers={"Cookie": cookie}).get_environ()
            for cookie in cookies
        ]
        guard.authenticate_batch(environs)
        meanwhile()
        return [int(run_wsgi_app(guard, environ)[1].split()[0]) for environ in environs]

    return ask


def cookie_of(browser: Any) -> str:
    return f"portal={browser.client.get_cookie('portal').value}"


def test_those_who_come_together_are_told_apart(
    browser: Any, come_together: Any, admitted: list[Any]
) -> None:
    bob, bella, gone = (browser(name) for name in ("bob", "bella", "charlie"))
    ended = cookie_of(gone)
    gone.post("/logout")
    asked = (cookie_of(bob), "", ended, cookie_of(bella), "portal=x", cookie_of(bob))
    assert come_together(*asked) == [200, 401, 401, 200, 401, 200]
    assert [each["portal.principal"].username for each in admitted] == ["bob", "bella", "bob"]


def test_who_signs_out_after_the_look_gets_no_socket(browser: Any, come_together: Any) -> None:
    bob, bella = browser("bob"), browser("bella")
    cookies = [cookie_of(bob), cookie_of(bella)]
    assert come_together(*cookies, meanwhile=lambda: bob.post("/logout")) == [401, 200]


def test_look_at_many_that_fails_refuses_each_by_itself(browser: Any, come_together: Any) -> None:
    cookie = cookie_of(browser("bob"))
    session.execute(text("ALTER TABLE sessions RENAME TO elsewhere"))
    session.commit()
    assert come_together(cookie, "") == [503, 401]


def test_compression_is_not_negotiated(browser: Any, knock: Any, admitted: list[Any]) -> None:
    assert knock(browser("bob"), Sec_WebSocket_Extensions="permessage-deflate") == 200
    assert "HTTP_SEC_WEBSOCKET_EXTENSIONS" not in admitted[0]


def test_open_sockets_of_a_user_are_counted_and_limited(app: Flask, browser: Any) -> None:
    cookies = {name: browser(name).client.get_cookie("portal").value for name in ("bob", "bella")}
    answers: list[tuple[str, int]] = []
    wanted: list[str] = []

    def ask(name: str) -> None:
        builder = EnvironBuilder(path="/socket.io/", headers={"Cookie": f"portal={cookies[name]}"})
        _, status, _ = run_wsgi_app(guard, builder.get_environ())
        answers.append((name, int(status.split()[0])))

    def socket(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # As long as this call lasts the socket is open; meanwhile others knock.
        while wanted:
            ask(wanted.pop())
        start_response("200 OK", [])
        return [b""]

    guard = HandshakeGuard(
        SessionCookieReader(app), sockets=socket, wsgi=socket, sockets_per_user=2
    )
    wanted[:] = ["bella", "bob", "bob", "bob"]
    ask("bob")
    # The innermost ends first: of bob's four the first two are open while the others are refused.
    assert answers == [("bob", 429), ("bob", 429), ("bella", 200), ("bob", 200), ("bob", 200)]

    answers.clear()
    ask("bob")
    assert answers == [("bob", 200)], "the places of closed sockets are free again"


def test_database_that_does_not_answer_is_503_and_not_a_socket(
    browser: Any, knock: Any, admitted: list[Any]
) -> None:
    bob = browser("bob")
    session.execute(text("ALTER TABLE sessions RENAME TO elsewhere"))
    session.commit()
    assert knock(bob) == 503
    assert admitted == []


def test_guard_leaves_no_transaction_open(browser: Any, knock: Any) -> None:
    knock(browser("bob"))
    assert not session.registry.has()
    assert session.query(LoginSession).count() == 1
