"""Two applications in one process, with settings, keys and databases of their own."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from flask import Flask
from flask_socketio import SocketIO
from sqlalchemy import select

from portal.app import build_app
from portal.db import clock
from portal.db.session import session
from portal.models import AuditEntry, Job, LoginSession, Remote, User
from portal.realtime import publish
from portal.realtime.bus.messages import MAX_LENGTH, Kind
from portal.realtime.bus.publisher import Publisher
from portal.realtime.fanout.send_buffer import DropCounts
from portal.runtime.context import current, in_same_context
from portal.services import audit
from portal.services.accounts import principals, users
from portal.services.actor import Actor
from portal.services.runtime import Runtime
from portal.settings import load_settings
from portal.worker.executors import NullExecutor
from portal.worker.executors.in_process import InProcessExecutor
from tests.support.applications import configure, engine_of
from tests.support.client import Browser
from tests.support.transfers import Recorder, fill, status_of
from tests.support.users import PASSWORD
from tests.support.waiting import wait_for

REMOTE = {
    "name": "nas",
    "backend": "sftp",
    "role": "operator",
    "option_host": "127.0.0.1",
    "option_port": "2022",
    "option_user": "bob",
    "option_pass": "a secret of the storage",
}


class Side(NamedTuple):
    app: Any
    root: Path
    events: Recorder


@pytest.fixture
def make(tmp_path: Path, migrated: Path) -> Iterator[Callable[..., Side]]:
    made: list[Side] = []

    def build(name: str, **settings: Any) -> Side:
        root = tmp_path / name / "files"
        root.mkdir(parents=True)
        fill(root / "from")
        loaded = load_settings(
            data_dir=tmp_path / name / "data",
            transfer_roots=(root,),
            remotes_allow_local=True,
            **settings,
        )
        loaded.prepare()
        (loaded.data_dir / "portal.sqlite").write_bytes(migrated.read_bytes())
        app = build_app(loaded)
        recorder = Recorder(loaded.database_url)
        server = app.context[SocketIO].server
        recorder.set_server(server)
        server.manager = recorder
        made.append(Side(app, root, recorder))
        return made[-1]

    yield build
    for side in made:
        side.app.context.enter()
        session.remove()
        engine_of(side.app).dispose()


@pytest.fixture
def one(make: Callable[..., Side]) -> Side:
    return make("one")


@pytest.fixture
def two(one: Side, make: Callable[..., Side]) -> Side:
    return make("two", require_second_factor=("operator",), session_idle_hours=1)


def on(side: Side, query: Any) -> list[Any]:
    side.app.context.enter()
    try:
        return list(session.scalars(query))
    finally:
        session.remove()


def job_fields(side: Side) -> dict[str, str]:
    return {
        "name": f"of {side.root.parent.name}",
        "operation": "copy",
        "source": str(side.root / "from"),
        "destination": str(side.root / "to"),
    }


def test_each_has_users_sessions_and_keys_of_its_own(one: Side, two: Side) -> None:
    alice = Browser(one.app)
    alice.sign_in("alice")
    cookie = alice.client.get_cookie("portal")
    assert cookie is not None
    stranger = two.app.test_client()
    stranger.set_cookie("portal", cookie.value)
    assert alice.get("/").status_code == 200
    assert stranger.get("/").status_code == 302
    assert on(one, select(LoginSession.user_id)) != []
    assert on(two, select(LoginSession.user_id)) == []

    two.app.context.enter()
    alice_there = session.scalars(select(User).where(User.username == "alice")).one()
    password = users.reset_password(alice_there.id, actor=Actor(alice_there))[1]
    session.remove()
    assert alice.get("/").status_code == 200
    assert Browser(one.app).sign_in("alice", PASSWORD).status_code == 303
    assert Browser(two.app).sign_in("alice", PASSWORD).status_code == 401
    assert Browser(two.app).sign_in("alice", password).status_code == 303


def test_each_keeps_to_its_own_session_policy(one: Side, two: Side) -> None:
    assert Browser(one.app).sign_in("bob").location == "/"
    assert Browser(two.app).sign_in("bob").location.startswith("/login/second-factor")
    here, there = Browser(one.app), Browser(two.app)
    for side, person in ((one, here), (two, there)):
        person.sign_in("charlie")
        side.app.context.enter()
        for row in session.scalars(select(LoginSession)):
            row.last_seen_at = clock.now() - timedelta(hours=2)
        session.commit()
        session.remove()
    assert here.get("/jobs").status_code == 200
    assert there.get("/jobs").status_code == 302


def test_a_job_is_made_looked_for_and_announced_in_its_own_alone(one: Side, two: Side) -> None:
    looks = Counter[str]()

    class Noted(NullExecutor):
        def __init__(self, name: str) -> None:
            self.name = name

        def look(self) -> None:
            looks[self.name] += 1

    configure(one.app, executor=Noted("one"))
    configure(two.app, executor=Noted("two"))
    bob, alice = Browser(one.app), Browser(two.app)
    bob.sign_in("bob")
    alice.sign_in("alice")
    assert bob.post("/jobs", job_fields(one)).status_code == 303
    assert looks == {"one": 1}
    assert [event.name for event in one.events.all] == ["job_created"]
    assert two.events.all == []
    for _ in range(2):
        assert alice.post("/jobs", job_fields(two)).status_code == 303
    assert looks == {"one": 1, "two": 2}
    assert on(one, select(Job.name)) == ["of one"]
    assert on(two, select(Job.name)) == ["of two"] * 2
    assert len(one.events.all) == 1
    # What is polled is remembered for a moment, and not for the other one's pages.
    assert "of one" in bob.get("/api/jobs/1/progress").text
    assert "of two" in alice.get("/api/jobs/1/progress").text
    assert bob.post("/jobs", job_fields(two) | {"name": "elsewhere"}).status_code == 422


def test_secrets_of_remotes_are_encrypted_by_the_key_of_their_own(one: Side, two: Side) -> None:
    for side in (one, two):
        alice = Browser(side.app)
        alice.sign_in("alice")
        assert alice.post("/remotes", REMOTE).status_code == 303
    kept = [on(side, select(Remote))[0].secrets["pass"] for side in (one, two)]
    keys = [side.app.context[Runtime].keys for side in (one, two)]
    for mine, other in ((0, 1), (1, 0)):
        assert keys[mine].decrypt(kept[mine]) == REMOTE["option_pass"]
        assert keys[other].decrypt(kept[mine]) is None


def test_end_of_sessions_in_one_leaves_what_the_other_remembers(one: Side, two: Side) -> None:
    charlie = Browser(two.app)
    charlie.sign_in("charlie")
    token = on(two, select(LoginSession.token_hash))
    assert len(token) == 1
    assert charlie.get("/api/dashboard/stats").status_code == 200
    two.app.context.enter()
    cached, session_epoch = (
        dict(current()[principals._Lookups].cached_principals),
        publish.session_epoch(),
    )
    one.app.context.enter()
    publish.end_user(3, "disabled")
    two.app.context.enter()
    assert current()[principals._Lookups].cached_principals == cached
    assert publish.session_epoch() == session_epoch
    assert [event.name for event in two.events.all] == []


def test_both_serve_at_the_same_time(one: Side, two: Side) -> None:
    number = 15
    start = threading.Barrier(2)
    failures: list[str] = []

    def use(side: Side) -> None:
        alice = Browser(side.app)
        alice.sign_in("alice")
        name = f"of {side.root.parent.name}"
        start.wait(30)
        for each in range(1, number + 1):
            if alice.post("/jobs", job_fields(side)).status_code != 303:
                failures.append(f"{name}: not made")
            page = alice.get(f"/jobs/{each}").text
            if name not in page:
                failures.append(f"{name}: job {each} is not shown")

    threads = [threading.Thread(target=use, args=(side,)) for side in (one, two)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
    for side, name in ((one, "of one"), (two, "of two")):
        assert on(side, select(Job.name)) == [name] * number
        assert on(side, select(AuditEntry.action)).count("job.create") == number
        side.app.context.enter()
        assert audit.verify().fault == ""


def test_each_runs_its_own_jobs(one: Side, two: Side) -> None:
    executors = []
    for side in (one, two):
        side.app.context.enter()
        running = InProcessExecutor(side.app.context[Runtime].settings)
        configure(side.app, executor=running)
        running.start()
        executors.append(running)
    try:
        for side in (one, two):
            alice = Browser(side.app)
            alice.sign_in("alice")
            assert alice.post("/jobs", job_fields(side)).status_code == 303

        def ended(side: Side) -> bool:
            side.app.context.enter()
            return status_of(1) == "completed"

        for side in (one, two):
            wait_for(lambda side=side: ended(side), 60)  # type: ignore[misc]
            assert {path.name for path in (side.root / "to").iterdir()} == {
                path.name for path in (side.root / "from").iterdir()
            }
    finally:
        for running in executors:
            running.stop()
    assert one.events.statuses(1) == two.events.statuses(1) == ["running", "completed"]


def test_a_thread_works_for_the_application_that_started_it(one: Side, two: Side) -> None:
    found: list[Flask] = []
    one.app.context.enter()
    thread = threading.Thread(target=in_same_context(lambda: found.append(current())))
    two.app.context.enter()
    thread.start()
    thread.join()
    assert found == [one.app.context]


def test_each_counts_the_messages_that_it_could_not_send(one: Side, two: Side) -> None:
    one.app.context.enter()
    publisher = Publisher("redis://127.0.0.1:1/0")
    two.app.context.enter()
    try:
        publisher.publish(Kind.EVENT, payload={"text": "x" * MAX_LENGTH})
    finally:
        publisher.close()
    counted = 'portal_queue_messages_ignored_total{process="0",reason="too long to publish"} 1.0'
    assert counted in Browser(one.app).get("/metrics").text
    assert "too long to publish" not in Browser(two.app).get("/metrics").text


def test_each_counts_the_clients_that_it_dropped(one: Side, two: Side) -> None:
    one.app.context[DropCounts]["slow"] += 1
    counted = 'portal_sockets_dropped_total{process="0",reason="slow"} 1.0'
    assert counted in Browser(one.app).get("/metrics").text
    assert 'reason="slow"' not in Browser(two.app).get("/metrics").text
