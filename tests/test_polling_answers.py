"""Fragments that pages poll are cheap, and never older than they say."""

from __future__ import annotations

import re
from typing import Any

from portal import memo
from portal.services import jobs
from portal.services.jobs import Transfer
from portal.states import Operation


def queue_job(bob: Any, root: Any, name: str = "Nightly photos") -> Any:
    transfer = Transfer(name, Operation.COPY, str(root / "a"), str(root / "b"), None, dry_run=False)
    with bob.app.test_request_context():
        return jobs.create(transfer, actor=bob.user, address="")


def test_unchanged_statistics_are_not_sent_twice(browser: Any) -> None:
    bob = browser("bob")
    first = bob.get("/api/dashboard/stats")
    again = bob.get("/api/dashboard/stats", headers={"If-None-Match": first.headers["ETag"]})
    assert (first.status_code, again.status_code, again.data) == (200, 304, b"")
    assert first.headers["Cache-Control"] == "private, no-cache"


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


def test_memo_makes_a_value_once_and_anew_when_it_is_old() -> None:
    made: list[int] = []
    values: memo.Memo[int] = memo.Memo(60, size=2)

    def make() -> int:
        made.append(1)
        return len(made)

    assert [values.get("a", make), values.get("a", make)] == [1, 1]
    values.clear()
    assert values.get("a", make) == 2
    assert [values.get(key, make) for key in ("b", "c")] == [3, 4]
    assert values.get("a", make) == 5, "a full memo forgets"
    assert memo.Memo(0.0).get("a", make) == 6


def test_page_can_tell_whether_something_happened_since_it_was_made(
    browser: Any, root: Any, user: Any
) -> None:
    bob = browser("bob")
    bob.user = user("bob")
    marked = re.search(r'data-mark="([^"]+)"', bob.get("/jobs").text)
    assert marked is not None
    assert bob.get("/api/session").json["mark"] == marked[1]
    queue_job(bob, root)
    assert bob.get("/api/session").json["mark"] != marked[1]
