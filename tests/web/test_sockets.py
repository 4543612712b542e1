"""Sockets of a real serving process: who gets one, what it may ask, and when it is dropped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket

from tests.support.people import Person
from tests.support.portal_server import CopiedPortal, PortalServer, change_row, with_users
from tests.support.sockets import Listener, listening, refused_with, said, upgrade
from tests.support.users import PASSWORD
from tests.support.waiting import wait_for

DROPPED_WITHIN = 1.0
HANDSHAKE_WITHIN = 20.0
LIMIT = 6


@pytest.fixture(scope="module")
def server(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalServer]:
    running = with_users(
        tmp_path_factory.mktemp("sockets"),
        migrated,
        CopiedPortal,
        PORTAL_SOCKETS_PER_USER=str(LIMIT),
    )
    running.start()
    yield running
    running.clean_up()


@pytest.fixture(scope="module")
def silent(server: PortalServer) -> Iterator[tuple[float, websocket.WebSocket]]:
    """A socket that never sends CONNECT, and when it was opened."""
    connection = upgrade(server, Person(server, "bella").cookie)
    yield time.monotonic(), connection
    connection.shutdown()


@pytest.fixture(autouse=True)
def opened_early(silent: object) -> None:
    """While it is waited for, the other tests run."""


@pytest.fixture(scope="module")
def alice(server: PortalServer) -> Person:
    return Person(server, "alice")


@pytest.fixture(scope="module")
def numbers(server: PortalServer, alice: Person) -> dict[str, int]:
    """The users' ids, read from the page as an admin does."""
    page = alice.get("/users").text
    found = {}
    for row in page.split('class="user-name">')[1:]:
        name = row.split("<")[0].strip()
        found[name] = int(row.split('action="/users/')[1].split("/")[0])
    return found


def live_sockets(server: PortalServer) -> int:
    text = Person(server).get("/metrics").text
    return int(float(text.split('\nportal_sockets{process="0"} ')[1].split()[0]))


def status_of_upgrade(server: PortalServer, cookie: str = "", **options: Any) -> int:
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        upgrade(server, cookie, **options)
    return int(refused.value.status_code)


# --- before the upgrade -------------------------------------------------------------------------


def test_anonymous_upgrade_is_401(server: PortalServer) -> None:
    assert status_of_upgrade(server) == 401


def test_upgrade_from_a_foreign_page_is_403(server: PortalServer) -> None:
    cookie = Person(server, "bob").cookie
    options: dict[str, Any] = {"suppress_origin": False}
    for origin in (
        "http://evil.example",
        "null",
        f"https://127.0.0.1:{server.port}",
        f"http://127.0.0.1:{server.port + 1}",
        f"http://127.0.0.1:{server.port}.evil.example",
    ):
        assert status_of_upgrade(server, cookie, origin=origin, **options) == 403, origin
    upgrade(server, cookie, origin=server.url, **options).close()


def test_long_polling_is_not_offered(server: PortalServer) -> None:
    answer = Person(server, "bob").get("/socket.io/?EIO=4&transport=polling")
    assert answer.status_code == 400


def test_more_sockets_than_a_user_may_hold_are_429(server: PortalServer) -> None:
    cookie = Person(server, "bob").cookie
    held = [upgrade(server, cookie) for _ in range(LIMIT)]
    try:
        # None of them has sent CONNECT: they count all the same.
        assert status_of_upgrade(server, cookie) == 429
        upgrade(server, Person(server, "charlie").cookie).close()
    finally:
        for connection in held:
            connection.shutdown()

    def free() -> bool:
        try:
            upgrade(server, cookie).close()
        except websocket.WebSocketBadStatusException:
            return False
        return True

    wait_for(free)


# --- connect and subscribe ----------------------------------------------------------------------


def test_client_hears_both_topics_at_once(server: PortalServer) -> None:
    bob = Person(server, "bob")
    source = server.root / "both topics"
    source.mkdir()
    (source / "file.bin").write_bytes(b"x" * 300_000)
    with listening(Person(server, "charlie")) as charlie:
        answer = bob.post(
            "/jobs",
            name="Both topics",
            operation="copy",
            source=str(source),
            destination=str(server.root / "both topics, copied"),
            bandwidth_limit="100k",
        )
        assert answer.status_code == 303, answer.text
        number = int(answer.headers["Location"].rsplit("/", 1)[1])
        progress = charlie.wait_for("job_progress")
        wait_for(
            lambda: [
                change
                for change in charlie.events("job_status_change")
                if change["new_status"] == "completed"
            ],
            20,
        )
        changes = charlie.events("job_status_change")
    assert {
        "job_id",
        "bytes_transferred",
        "total_bytes",
        "percent",
        "speed_bytes",
        "eta_seconds",
        "files_transferred",
        "files_total",
        "phase",
        "seq",
        "timestamp",
    } <= progress.keys()
    assert [(c["old_status"], c["new_status"]) for c in changes if c["job_id"] == number] == [
        ("queued", "running"),
        ("running", "completed"),
    ]
    seen = [data["seq"] for name, data in charlie.heard if name != "job_created"]
    assert seen == sorted(seen)


def test_subscribe_sets_exactly_the_topics_and_answers_with_the_role(server: PortalServer) -> None:
    with listening(Person(server, "charlie")) as charlie:
        both = {"topics": ["progress", "status_change"]}
        assert charlie.ask("subscribe", both) == {**both, "role": "viewer"}
        assert charlie.ask("subscribe", {"topics": ["progress"]}) == {
            "topics": ["progress"],
            "role": "viewer",
        }
        assert charlie.ask("subscribe", {"topics": []}) == {"topics": [], "role": "viewer"}


def test_topic_that_was_left_is_silent(server: PortalServer) -> None:
    bob = Person(server, "bob")
    with listening(Person(server, "charlie")) as charlie, listening(bob) as everything:
        charlie.ask("subscribe", {"topics": ["progress"]})
        (server.root / "quiet").mkdir()
        bob.post(
            "/jobs",
            name="Quiet",
            operation="copy",
            source=str(server.root / "quiet"),
            destination=str(server.root / "quiet, copied"),
        )
        wait_for(lambda: [e for e in everything.events("job_status_change") if e["seq"] >= 3], 20)
        # A round trip: whatever was sent to this client before has arrived.
        charlie.ask("subscribe", {"topics": ["progress"]})
        assert charlie.events("job_status_change") == []


@pytest.mark.parametrize(
    "message",
    [
        {"topics": ["everything"]},
        {"topics": ["progress", "role:admin"]},
        {"topics": ["user:1"]},
        {"topics": "progress"},
        {"topics": [1, None, ["progress"]]},
        {"topics": [{"a": 1}]},
        {"rooms": ["progress"]},
        {},
        [],
        "progress",
        7,
        None,
    ],
)
def test_unknown_topics_are_answered_with_an_error_and_change_nothing(
    server: PortalServer, shared: Listener, message: object
) -> None:
    answer = shared.ask("subscribe", message)
    assert set(answer) == {"error"}
    assert shared.ask("subscribe", {"topics": ["progress"]})["topics"] == ["progress"]


@pytest.fixture(scope="module")
def shared(server: PortalServer) -> Iterator[Listener]:
    """charlie's socket, for the tests that only ask."""
    with listening(Person(server, "charlie")) as listener:
        yield listener


@pytest.mark.parametrize(
    "packets",
    [
        ['42["join","role:admin"]'],
        ['42["subscribe"]', '42["subscribe",{"topics":["progress"]},{"extra":1},3]'],
        ['42["disconnect"]', '42["connect"]'],
        ["4", "42", "42[", "42[]", '42[""]', "42{}", "42null", "49", "47", "4\x00"],
        ["40/admin,", "41/admin,", '42/admin,["subscribe"]'],
        ["40", "40", "40"],
    ],
)
def test_anything_else_a_client_sends_does_no_harm(
    server: PortalServer, shared: Listener, packets: list[str]
) -> None:
    connection = upgrade(server, Person(server, "bella").cookie)
    connection.send("40")
    assert said(connection).startswith("40")
    for packet in packets:
        try:
            connection.send(packet)
        except OSError:
            break  # the server may hang up on nonsense
    connection.shutdown()
    answer = shared.ask("subscribe", {"topics": ["progress", "status_change"]})
    assert answer["role"] == "viewer", "the others go on as before"
    wait_for(lambda: live_sockets(server) == 1)


def test_events_named_like_the_handlers_of_the_server_reach_none_of_them(
    server: PortalServer, shared: Listener
) -> None:
    bella = Person(server, "bella")
    with listening(bella) as listener:
        listener.client.emit("disconnect", "forged")
        listener.client.emit("disconnect", ("forged", "twice"))
        listener.client.emit("connect")
        listener.client.emit("connect", ({"portal.principal": [1, "alice", "admin"]}, None))
        listener.client.emit("connect", ({}, None, 1, 2, 3))
        assert listener.ask("subscribe", {"topics": []}) == {"topics": [], "role": "operator"}
        # Still known, so still dropped with its session.
        bella.post("/logout")
        assert listener.wait_for("session_ended") == {"reason": "logout"}
    assert "forged" not in server.log


def test_message_that_is_too_large_ends_its_socket_alone(
    server: PortalServer, shared: Listener
) -> None:
    connection = upgrade(server, Person(server, "bella").cookie)
    connection.send("40")
    said(connection)
    try:
        connection.send("42" + json.dumps(["subscribe", "x" * 1_000_000]))
        while said(connection):
            pass
    except OSError:
        pass
    connection.shutdown()
    assert shared.ask("subscribe", {"topics": ["progress"]})["role"] == "viewer"


def test_connect_and_disconnect_are_logged_with_who_and_how_long(server: PortalServer) -> None:
    with listening(Person(server, "bella")) as bella:
        bella.ask("subscribe", {"topics": ["progress"]})
    wait_for(lambda: "socket disconnected" in server.log)

    def line(event: str) -> str:
        found = [one for one in server.log.splitlines() if event in one and "user=bella" in one]
        assert found, event
        return found[-1]

    assert "role=operator" in line("socket connected")
    assert "address=127.0.0.1" in line("socket connected")
    assert "progress" in line("socket subscribed")
    wait_for(lambda: "seconds=" in line("socket disconnected"))


# --- connect fails closed -----------------------------------------------------------------------


def test_connect_is_refused_when_the_session_ended_after_the_upgrade(server: PortalServer) -> None:
    bella = Person(server, "bella")
    connection = upgrade(server, bella.cookie)
    bella.post("/logout")
    connection.send("40")
    refusal = refused_with(said(connection))
    assert refusal["code"] == "unauthorized"
    assert refusal["data"] == {"code": "unauthorized"}
    connection.send('42["subscribe",{"topics":["progress"]}]')
    connection.send('420["subscribe",{"topics":["progress"]}]')
    connection.settimeout(0.5)
    with pytest.raises(websocket.WebSocketTimeoutException):
        said(connection)
    connection.shutdown()


def test_connect_fails_closed_when_the_database_fails(
    server: PortalServer, alice: Person, numbers: dict[str, int]
) -> None:
    connection = upgrade(server, Person(server, "bella").cookie)
    # So that the session is looked up anew: somebody's has ended since the upgrade.
    Person(server, "bella").post("/logout")
    change_row(server, "ALTER TABLE sessions RENAME TO elsewhere")
    try:
        connection.send("40")
        assert refused_with(said(connection))["code"] == "unauthorized"
        assert status_of_upgrade(server, "portal=x") == 401
    finally:
        change_row(server, "ALTER TABLE elsewhere RENAME TO sessions")
    connection.shutdown()
    wait_for(lambda: "connect failed" in server.log)


def test_session_cookie_alone_counts_whatever_the_client_claims(server: PortalServer) -> None:
    connection = upgrade(server, Person(server, "charlie").cookie)
    connection.send('40{"token":"x","role":"admin","user":"alice"}')
    assert said(connection).startswith("40")
    connection.send('420["subscribe",{"topics":[],"role":"admin"}]')
    assert json.loads(said(connection).removeprefix("430"))[0]["role"] == "viewer"
    connection.shutdown()


# --- dropped ------------------------------------------------------------------------------------


def assert_dropped(listener: Listener, reason: str) -> None:
    """Called when the act was answered."""
    assert listener.wait_for("session_ended", DROPPED_WITHIN) == {"reason": reason}
    wait_for(lambda: listener.disconnected, DROPPED_WITHIN)


def answers(person: Person) -> int:
    return person.get("/api/session").status_code


def test_sign_out_drops_the_sockets_of_this_session_alone(server: PortalServer) -> None:
    here, there = Person(server, "bob"), Person(server, "bob")
    with listening(here) as first, listening(here) as second, listening(there) as other:
        here.post("/logout")
        assert_dropped(first, "logout")
        assert_dropped(second, "logout")
        assert other.ask("subscribe", {"topics": []})["role"] == "operator"
        assert other.events("session_ended") == []


@pytest.fixture
def act(alice: Person, numbers: dict[str, int]) -> Callable[..., None]:
    """alice does this to a user."""

    def do(name: str, what: str, **form: str) -> None:
        assert alice.post(f"/users/{numbers[name]}/{what}", **form).status_code == 303

    return do


def test_disabling_drops_every_socket_of_the_user(server: PortalServer, act: Any) -> None:
    bella = Person(server, "bella")
    with listening(bella) as first, listening(Person(server, "bella")) as second:
        act("bella", "disable")
        assert_dropped(first, "disabled")
        assert_dropped(second, "disabled")
    assert answers(bella) == 401
    assert status_of_upgrade(server, bella.cookie) == 401
    act("bella", "enable")


def test_role_change_drops_the_sockets_and_the_same_session_returns_with_the_new_role(
    server: PortalServer, act: Any
) -> None:
    charlie = Person(server, "charlie")
    with listening(charlie) as before:
        act("charlie", "role", role="operator")
        assert_dropped(before, "role_changed")
    assert answers(charlie) == 200
    with listening(charlie) as after:
        assert after.ask("subscribe", {"topics": []})["role"] == "operator"
        act("charlie", "role", role="viewer")


def test_connection_that_stays_after_a_drop_is_back_with_the_new_role_or_not_at_all(
    server: PortalServer, act: Any
) -> None:
    charlie = Person(server, "charlie")
    connection = upgrade(server, charlie.cookie)
    connection.send("40")
    said(connection)
    act("charlie", "role", role="operator")
    assert "role_changed" in said(connection)
    role = "gone"
    try:
        while packet := said(connection):
            if packet.startswith("41"):
                connection.send("40")
            elif packet.startswith("40"):
                connection.send('420["subscribe",{"topics":[]}]')
            elif packet.startswith("430"):
                role = json.loads(packet.removeprefix("430"))[0]["role"]
                break
    except OSError:
        pass
    connection.shutdown()
    act("charlie", "role", role="viewer")
    assert role in ("operator", "gone")


def test_password_reset_drops_every_socket_of_the_user(server: PortalServer, act: Any) -> None:
    bella = Person(server, "bella")
    with listening(bella) as listener:
        act("bella", "reset-password")
        restore_password(server, "bella", "bob")
        assert_dropped(listener, "password_changed")
    assert answers(bella) == 401


def test_own_password_change_drops_the_other_sessions_and_this_one_connects_again(
    server: PortalServer,
) -> None:
    here, there = Person(server, "bella"), Person(server, "bella")
    with listening(here) as copied, listening(there) as other:
        form = {"current_password": PASSWORD, "new_password": "another good one"}
        assert here.post("/settings/password", **form).status_code == 303
        restore_password(server, "bella", "bob")
        assert_dropped(other, "password_changed")
        # Its token may have been copied: it has another one now, and nothing has ended.
        wait_for(lambda: copied.disconnected, DROPPED_WITHIN)
        assert copied.events("session_ended") == []
    with listening(here) as again:
        assert again.ask("subscribe", {"topics": []})["role"] == "operator"
    assert answers(here) == 200


def test_expired_session_loses_its_sockets_within_seconds(server: PortalServer) -> None:
    bella = Person(server, "bella")
    with listening(bella) as listener:
        change_row(
            server,
            "UPDATE sessions SET expires_at = '2020-01-01 00:00:00.000000' "
            "WHERE id = (SELECT max(id) FROM sessions)",
        )
        assert listener.wait_for("session_ended", 12) == {"reason": "expired"}
        wait_for(lambda: listener.disconnected)
    assert answers(bella) == 401


def restore_password(server: PortalServer, name: str, other: str) -> None:
    change_row(
        server,
        "UPDATE users SET password_hash = (SELECT password_hash FROM users WHERE username = ?) "
        "WHERE username = ?",
        other,
        name,
    )


# --- what stays ---------------------------------------------------------------------------------


def test_socket_that_never_finishes_its_handshake_is_closed(
    server: PortalServer, silent: tuple[float, websocket.WebSocket]
) -> None:
    opened, connection = silent
    connection.settimeout(max(0.5, opened + HANDSHAKE_WITHIN - time.monotonic()))
    assert said(connection) in ("", "1")
    connection.shutdown()


def test_nothing_is_left_behind_and_nothing_failed(server: PortalServer, shared: Listener) -> None:
    shared.client.disconnect()
    wait_for(lambda: live_sockets(server) == 0)
    # Of what clients sent that is no packet the library writes a line, and of the refused connect
    # the portal; there are no others.
    expected = ("message handler error", "connect failed", "Invalid transport")
    faults = [
        line for line in server.log.splitlines() if "Traceback" in line or "level=error" in line
    ]
    assert [line for line in faults if not any(words in line for words in expected)] == []
