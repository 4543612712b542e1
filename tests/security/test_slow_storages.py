"""Eight questions of one person to storages that never answer keep nobody else waiting."""

from __future__ import annotations

import html
import http.client
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from portal.services.storage.turns import LIMITS, PATIENCE
from tests.support.people import Person
from tests.support.portal_server import CopiedPortal, PortalServer, with_users
from tests.support.storages import Storage, typed
from tests.support.waiting import wait_for

EIGHT = 8
OWN = "You already have two open. Wait for one to end, or close it."
#: Seconds until rclone has ended after its person has gone.
SOON = 6.0


@pytest.fixture(scope="module")
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield server.getsockname()[1]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    folder = tmp_path_factory.mktemp("answering storage")
    (folder / "photos").mkdir()
    with Storage("webdav", folder) as server:
        yield server


@pytest.fixture(scope="module")
def server(
    migrated: Path, tmp_path_factory: pytest.TempPathFactory, silent: int, storage: Storage
) -> Iterator[PortalServer]:
    folder = tmp_path_factory.mktemp("slow storages")
    running = with_users(folder, migrated, CopiedPortal, PORTAL_REMOTES_ALLOW_LOCAL="true")
    running.create_users({"anna": "admin"})
    running.start()
    alice = Person(running, "alice")
    for name, options in (
        ("slow", storage.options(port=silent)),
        ("good", storage.options()),
    ):
        form = typed(options, backend="webdav", name=name)
        assert alice.post("/remotes", **form).status_code == 303
    yield running
    running.clean_up()


@pytest.fixture
def person(server: PortalServer) -> Callable[[str], Person]:
    return lambda name: Person(server, name)


@pytest.fixture
def ask(server: PortalServer) -> Iterator[Callable[..., http.client.HTTPConnection]]:
    """Sends a request and does not wait for the answer; the connection is closed by the test, or at
    its end."""
    with ExitStack() as opened:

        def send(who: Person, method: str, path: str, **form: str) -> http.client.HTTPConnection:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            opened.callback(connection.close)
            body = urlencode(form | {"csrf_token": who._token_of_a_page()}) if form else None
            headers = {"Cookie": who.cookie, "Referer": server.url}
            if body:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            connection.request(method, path, body, headers)
            return connection

        yield send
    wait_for(lambda: rclones(server) == [], SOON)


def rclones(server: PortalServer) -> list[int]:
    """Those that the portal runs."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue  # gone meanwhile
        if text.startswith("Name:\trclone\n") and f"\nPPid:\t{server.pid}\n" in text:
            found.append(int(status.parent.name))
    return found


def browse(who: Person, remote: str) -> Any:
    return who.get(f"/browse?at={remote}:")


def preview(who: Person, remote: str) -> Any:
    return who.post("/jobs/preview", source=f"{remote}:", include="*.jpg")


def new_folder(who: Person, remote: str) -> Any:
    return who.post("/browse/folders", at=f"{remote}:", name=f"new {time.monotonic_ns()}")


def number_of(remote: str) -> int:
    return ["slow", "good"].index(remote) + 1


def check(who: Person, remote: str) -> Any:
    return who.post(f"/remotes/{number_of(remote)}/test")


def seconds(act: Callable[[], Any], *statuses: int) -> float:
    begun = time.monotonic()
    answer = act()
    assert answer.status_code in statuses, answer.text
    return time.monotonic() - begun


def said(connection: http.client.HTTPConnection) -> tuple[int, bool]:
    """The status, and whether the sentence is there."""
    answer = connection.getresponse()
    assert int(answer.headers["Retry-After"]) > 0
    return answer.status, OWN in html.unescape(answer.read().decode())


SLOW: dict[str, tuple[str, str, dict[str, str]]] = {
    "browse": ("GET", "/browse?at=slow:", {}),
    "preview": ("POST", "/jobs/preview", {"source": "slow:", "include": "*.jpg"}),
    "new folder": ("POST", "/browse/folders", {"at": "slow:", "name": "new"}),
    "test": ("POST", "/remotes/1/test", {"now": "yes"}),
}


@pytest.mark.exclusive
@pytest.mark.parametrize("what", SLOW)
def test_eight_slow_questions_of_one_person_keep_nobody_else_waiting(
    server: PortalServer, person: Any, ask: Any, what: str
) -> None:
    greedy, other = (
        (person("alice"), person("anna")) if what == "test" else map(person, ("bob", "bella"))
    )
    # Those of an operator are answered to operators; a test is an admin's.
    good = {"browse": browse, "preview": preview, "new folder": new_folder, "test": check}
    acts: list[tuple[Callable[[], Any], tuple[int, ...]]] = [
        (lambda: good[what](other, "good"), (200, 201, 303)),
        (lambda: browse(other, "good"), (200,)),
        (lambda: other.get("/healthz"), (200,)),
        (lambda: other.get("/jobs"), (200,)),
        (lambda: Person(server).sign_in("charlie"), (303,)),
    ]
    alone = [min(seconds(act, *statuses) for _ in range(2)) for act, statuses in acts]

    method, path, form = SLOW[what]
    asked = [ask(greedy, method, path, **form) for _ in range(EIGHT)]
    wait_for(lambda: len(rclones(server)) == LIMITS.each)
    beside = [seconds(act, *statuses) for act, statuses in acts]
    for quick, now in zip(alone, beside, strict=True):
        assert now < max(1.0, 3 * quick), (alone, beside)
    assert len(rclones(server)) == LIMITS.each

    # Too many wait by then.
    begun = time.monotonic()
    for connection in asked[-2:]:
        assert said(connection) == (429, True)
    assert time.monotonic() - begun < PATIENCE / 2


@pytest.mark.patient
def test_those_that_wait_are_answered_in_time(server: PortalServer, person: Any, ask: Any) -> None:
    bob = person("bob")
    asked = [ask(bob, *SLOW["browse"][:2]) for _ in range(LIMITS.each + LIMITS.waiting)]
    begun = time.monotonic()
    for connection in asked[LIMITS.each :]:
        assert said(connection) == (429, True)
    assert PATIENCE - 1 < time.monotonic() - begun < PATIENCE + 10


@pytest.mark.patient
def test_programs_share_the_turns_of_their_user(
    server: PortalServer, person: Any, ask: Any
) -> None:
    alice = person("alice")
    for _ in range(LIMITS.each):
        ask(alice, "POST", "/remotes/1/test", now="yes")
    wait_for(lambda: len(rclones(server)) == LIMITS.each)
    token = alice._token_of_a_page()
    answer = alice.http.post(
        f"{server.url}/api/v1/remotes/1/test", headers={"X-CSRFToken": token}, timeout=20
    )
    assert answer.status_code == 429
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"] == OWN
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.patient
@pytest.mark.parametrize("what", SLOW)
def test_browser_that_goes_away_ends_its_rclone_and_frees_its_turn(
    server: PortalServer, person: Any, ask: Any, what: str
) -> None:
    who = person("alice" if what == "test" else "bob")
    method, path, form = SLOW[what]
    asked = [ask(who, method, path, **form) for _ in range(EIGHT)]
    wait_for(lambda: len(rclones(server)) == LIMITS.each)
    for connection in asked:
        connection.close()
    wait_for(lambda: rclones(server) == [], SOON)
    assert seconds(lambda: browse(who, "good"), 200) < PATIENCE, "none of those waits any more"
    assert "photos" in browse(who, "good").text
    assert "Traceback" not in server.log


@pytest.mark.patient
def test_what_was_given_up_is_in_the_audit_log_and_no_verdict(
    server: PortalServer, person: Any, ask: Any
) -> None:
    alice = person("alice")
    for what in ("test", "new folder"):
        method, path, form = SLOW[what]
        connection = ask(alice, method, path, **form)
        wait_for(lambda: rclones(server))
        connection.close()
        wait_for(lambda: rclones(server) == [], SOON)
    given_up = "The question was given up: nobody waits for the answer."
    wait_for(lambda: alice.get("/audit").text.count(given_up) >= 2)
    told = alice.get("/api/v1/remotes/1").json()
    assert (told["tested_at"], told["works"], told["verdict"]) == (None, None, "")


def test_two_people_who_ask_for_much_leave_turns_to_the_others() -> None:
    assert LIMITS.total - 2 * LIMITS.each >= LIMITS.spare > 0
