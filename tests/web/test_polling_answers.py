"""Fragments that pages poll are cheap, and never older than they say."""

from __future__ import annotations

import re
from typing import Any

import pytest

from portal.realtime import cache
from portal.services.actor import Actor
from portal.services.jobs import create
from portal.transfers.request import Transfer
from portal.transfers.states import Operation
from tests.support.waiting import wait_for


def queue_job(bob: Any, root: Any, name: str = "Nightly photos") -> Any:
    transfer = Transfer(name, Operation.COPY, str(root / "a"), str(root / "b"), None, dry_run=False)
    (root / "a").mkdir(exist_ok=True)
    with bob.app.test_request_context():
        return create.create(transfer, actor=Actor(bob.user))


def test_unchanged_statistics_are_not_sent_twice(browser: Any) -> None:
    bob = browser("bob")
    first = bob.get("/api/dashboard/stats")
    again = bob.get("/api/dashboard/stats", headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status_code, again.status_code, again.data) == (200, 304, b"")
    assert first.headers["Cache-Control"] == "no-store"


def test_a_change_of_status_shows_in_the_statistics_at_once(
    browser: Any, root: Any, user: Any
) -> None:
    bob = browser("bob")
    bob.user = user("bob")
    before = bob.get("/api/dashboard/stats")
    queue_job(bob, root)
    after = bob.get("/api/dashboard/stats", headers={"If-None-Match": before.headers["ETag"]})
    assert after.status_code == 200
    assert after.text != before.text


def test_unchanged_row_is_not_sent_twice_but_a_changed_one_is(
    browser: Any, root: Any, user: Any
) -> None:
    bob = browser("bob")
    bob.user = user("bob")
    path = f"/api/jobs/{queue_job(bob, root).id}/progress"
    tag = {"If-None-Match": bob.get(path).headers["ETag"]}
    assert bob.get(path, headers=tag).status_code == 304
    bob.post(path.replace("/api", "").replace("progress", "cancel"))
    assert bob.get(path, headers=tag).status_code == 200


def test_one_users_row_is_never_anothers(browser: Any, root: Any, user: Any) -> None:
    bob, charlie = browser("bob"), browser("charlie")
    bob.user = user("bob")
    path = f"/api/jobs/{queue_job(bob, root).id}/progress"
    tag = {"If-None-Match": bob.get(path).headers["ETag"]}
    assert charlie.get(path, headers=tag).status_code == 200


def headers_of(answer: Any) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name != "Date"}


def test_answer_from_memory_is_the_answer_that_was_made(
    browser: Any, root: Any, user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob, bella, charlie = browser("bob"), browser("bella"), browser("charlie")
    bob.user = user("bob")
    job = queue_job(bob, root).id
    for path in ("/api/dashboard/stats", f"/api/jobs/{job}/progress"):
        made = charlie.get(path)
        tag = {"If-None-Match": made.headers["ETag"]}
        unchanged = bella.get(f"{path}?asked=anew", headers=tag)
        with monkeypatch.context() as patched:
            patched.setattr(bob.app, "full_dispatch_request", None)  # Flask is not asked
            kept = bella.get(path)
            assert (kept.status_code, kept.data) == (200, made.data)
            assert headers_of(kept) == headers_of(made)
            kept = bella.get(path, headers=tag)
            assert (kept.status_code, kept.data) == (304, b"")
            assert headers_of(kept) == headers_of(unchanged)
            assert bella.get(path, headers={"If-None-Match": '"another"'}).status_code == 200


def test_row_with_buttons_is_never_answered_from_memory(browser: Any, root: Any, user: Any) -> None:
    alice, bob, bella, charlie = map(browser, ("alice", "bob", "bella", "charlie"))
    bob.user = user("bob")
    path = f"/api/jobs/{queue_job(bob, root).id}/progress"
    plain = charlie.get(path)
    assert "<form" not in plain.text
    for person in (alice, bob):
        assert "<form" in person.get(path).text
        assert person.get(path, headers={"If-None-Match": plain.headers["ETag"]}).status_code == 200
    assert bella.get(path).text == plain.text


def test_memory_is_for_nobody_whose_session_has_just_ended(
    browser: Any, root: Any, user: Any
) -> None:
    alice, bob, charlie = map(browser, ("alice", "bob", "charlie"))
    bob.user = user("bob")
    paths = ["/api/dashboard/stats", f"/api/jobs/{queue_job(bob, root).id}/progress"]
    assert [person.get(path).status_code for path in paths for person in (bob, charlie)] == [
        200
    ] * 4
    copy = browser()
    copy.client.set_cookie("portal", charlie.client.get_cookie("portal").value)
    assert [copy.get(path).status_code for path in paths] == [200, 200]
    assert charlie.post("/logout").status_code == 303
    assert [copy.get(path).status_code for path in paths] == [401, 401]
    assert [browser().get(path).status_code for path in paths] == [401, 401]
    alice.post(f"/users/{bob.user.id}/disable")
    assert [bob.get(path).status_code for path in paths] == [401, 401]


def test_changed_time_zone_shows_in_the_next_poll(browser: Any) -> None:
    bob, charlie = browser("bob"), browser("charlie")
    for person in (bob, charlie):
        person.get("/api/dashboard/stats")

    def sees_tokyo(person: Any) -> bool:
        # Put there each time: it is kept for a second, which a busy machine may need to answer.
        cache.caches().figures.get(("Asia/Tokyo", ""), lambda: ("<p>of Tokyo</p>", "tokyo"))
        return "of Tokyo" in person.get("/api/dashboard/stats").text

    assert not sees_tokyo(charlie)
    charlie.post("/settings", {"timezone": "Asia/Tokyo"})
    wait_for(lambda: sees_tokyo(charlie))
    assert not sees_tokyo(bob)


@pytest.mark.parametrize(
    "path",
    [
        "/api/jobs/0/progress",
        "/api/jobs/999/progress",
        "/api/jobs/01/progress",
        "/api/jobs/1/progress/",
        "/api/jobs/99999999999999999999/progress",
    ],
)
def test_job_that_is_not_there_is_404(browser: Any, path: str) -> None:
    assert browser("charlie").get(path).status_code == 404


def test_memo_makes_a_value_once_and_anew_when_it_is_old() -> None:
    made: list[int] = []
    values: cache.TTLCache[int] = cache.TTLCache(60, size=2)

    def make() -> int:
        made.append(1)
        return len(made)

    assert [values.get("a", make), values.get("a", make)] == [1, 1]
    values.clear()
    assert values.get("a", make) == 2
    assert [values.get(key, make) for key in ("b", "c")] == [3, 4]
    assert values.get("a", make) == 5, "a full memo forgets"
    assert cache.TTLCache(0.0).get("a", make) == 6


def test_page_can_tell_whether_something_happened_since_it_was_made(
    browser: Any, root: Any, user: Any
) -> None:
    bob = browser("bob")
    bob.user = user("bob")
    marked = re.search(r'data-state-version="([^"]+)"', bob.get("/jobs").text)
    assert marked is not None
    assert bob.get("/api/session").json["state_version"] == marked[1]
    queue_job(bob, root)
    assert bob.get("/api/session").json["state_version"] != marked[1]
