"""Ending a session from the list reaches its sockets, by word and without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.people import Person
from tests.support.portal_server import CopiedPortal, PortalServer, change_row, with_users
from tests.support.sockets import listening, said, upgrade
from tests.support.users import PASSWORD
from tests.support.waiting import wait_for

#: What the contract gives the word of an end, and a process to find out by itself.
WORD, BY_ITSELF = 1.0, 15.0


@pytest.fixture(scope="module")
def server(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalServer]:
    running = with_users(tmp_path_factory.mktemp("portal"), migrated, CopiedPortal)
    running.start()
    yield running
    running.clean_up()


def newest(person: Person, path: str = "/sessions") -> str:
    """The path that ends a session of this page which is not the one that asks."""
    page = person.get(path).text
    return page.rpartition('/end"')[0].rpartition('action="')[2] + "/end"


def test_ended_session_loses_its_sockets_at_once_and_the_others_keep_theirs(
    server: PortalServer,
) -> None:
    here, there = Person(server, "bob"), Person(server, "bob")
    with listening(here) as kept, listening(there) as dropped:
        assert here.post(newest(here)).status_code == 303
        assert dropped.wait_for("session_ended", WORD) == {"reason": "logout"}
        wait_for(lambda: dropped.disconnected, WORD)
        assert kept.ask("subscribe", {"topics": []})["role"] == "operator"
        assert kept.events("session_ended") == []
    assert there.get("/api/session").status_code == 401


def test_new_password_drops_the_sockets_of_a_copied_cookie(server: PortalServer) -> None:
    owner, thief = Person(server, "charlie"), Person(server)
    thief.http.cookies.update(owner.http.cookies)
    with listening(thief) as dropped:
        form = {"current_password": PASSWORD, "new_password": "a good one that nobody has"}
        assert owner.post("/settings/password", **form).status_code == 303
        wait_for(lambda: dropped.disconnected, WORD)
        assert dropped.events("session_ended") == [], "the owner's other tabs only connect again"
    assert thief.get("/api/session").status_code == 401
    assert owner.get("/api/session").status_code == 200
    with listening(owner) as back:
        assert back.ask("subscribe", {"topics": []})["role"] == "viewer"


def test_admin_who_ends_all_sessions_of_a_user_drops_all_their_sockets(
    server: PortalServer,
) -> None:
    alice, one, two = Person(server, "alice"), Person(server, "bella"), Person(server, "bella")
    page = alice.get("/users?q=bella").text
    path = page.rpartition('/sessions"')[0].rpartition('href="')[2] + "/sessions"
    with listening(alice) as kept, listening(one) as first, listening(two) as second:
        assert alice.post(f"{path}/end-others").status_code == 303
        for listener in (first, second):
            assert listener.wait_for("session_ended", WORD) == {"reason": "logout"}
        assert kept.events("session_ended") == []


def test_session_that_another_process_ended_loses_its_sockets_within_15_seconds(
    server: PortalServer,
) -> None:
    bob = Person(server, "bob")
    with listening(bob) as listener:
        change_row(server, "DELETE FROM sessions WHERE id = (SELECT max(id) FROM sessions)")
        listener.wait_for("session_ended", BY_ITSELF)
        wait_for(lambda: listener.disconnected)


def test_client_that_does_not_hang_up_is_hung_up_on(server: PortalServer) -> None:
    bob = Person(server, "bob")
    connection = upgrade(server, bob.cookie)
    connection.send("40")
    assert said(connection).startswith("40{")
    connection.settimeout(WORD)

    assert bob.post("/logout").status_code == 303
    assert said(connection) == '42["session_ended",{"reason":"logout"}]'
    assert [said(connection) for _ in range(3)] == ["41", "1", ""]
    connection.shutdown()


def test_pings_and_messages_of_a_socket_are_no_visit(server: PortalServer) -> None:
    bob = Person(server, "bob")
    with listening(bob) as listener:
        change_row(
            server,
            "UPDATE sessions SET last_seen_at = '2020-01-01 00:00:00.000000' "
            "WHERE id = (SELECT max(id) FROM sessions)",
        )
        listener.ask("subscribe", {"topics": ["progress"]})
        assert listener.wait_for("session_ended", BY_ITSELF) == {"reason": "expired"}
