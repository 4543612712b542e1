"""Jobs by programs: the rules of the form, pages with links, and a key that makes one of two."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from portal.db.clock import now
from portal.db.session import session
from portal.models import IdempotencyKey, Job
from portal.transfers.states import JobStatus
from tests.support.program import assert_problem
from tests.support.transfers import fill


def number_of_jobs() -> int:
    try:
        return session.scalar(select(func.count()).select_from(Job)) or 0
    finally:
        session.remove()


def set_status(number: int, status: JobStatus) -> None:
    session.execute(update(Job).where(Job.id == number).values(status=status))
    session.commit()
    session.remove()


def test_created_job_is_the_one_that_pages_show(
    program: Any, browser: Any, job_fields: Any
) -> None:
    answer = program("bob").post(
        "/jobs", job_fields | {"bandwidth_limit": " 10M ", "dry_run": True}
    )
    assert (answer.status_code, answer.headers["Location"]) == (201, "/api/v1/jobs/1")
    job = answer.json
    assert {**job_fields, "bandwidth_limit": "10M", "dry_run": True}.items() <= job.items()
    assert (job["id"], job["owner"], job["status"]) == (1, "bob", "queued")
    assert job["created_at"].endswith("Z")
    assert program("charlie").get("/jobs/1").json == job
    assert "Nightly" in browser("charlie").get("/jobs/1").text


def test_job_runs_to_its_end_and_the_api_says_so(
    program: Any, job_fields: Any, execute: Any
) -> None:
    asking = program("bob")
    asking.post("/jobs", job_fields)
    execute(1)
    job = asking.get("/jobs/1").json
    assert (job["status"], job["percent"], job["exit_code"]) == ("completed", 100.0, 0)
    events = asking.get("/jobs/1/events").json
    assert [event["new_status"] for event in events["items"]] == ["queued", "running", "completed"]
    latest = asking.get("/events?limit=1").json["items"]
    assert [event["new_status"] for event in latest] == ["completed"]
    assert asking.get("/statistics").json["completed_today"] == 1


def test_all_that_is_wrong_is_said_at_once_by_field(program: Any) -> None:
    wrong = {
        "name": "two\nlines",
        "operation": "copy",
        "source": "sftp:/secret",
        "destination": "/etc/passwd",
        "bandwidth_limit": "very much",
    }
    answer = program("bob").post("/jobs", wrong)
    assert_problem(answer, 422, "name", "source", "destination", "bandwidth_limit")
    assert answer.json["errors"]["source"] == "No remote named “sftp” is available to you."
    assert number_of_jobs() == 0


def test_source_that_does_not_exist_is_refused_unless_a_pool_is_named(
    program: Any, job_fields: Any, root: Path, worker_process: Any
) -> None:
    worker_process(pools=("site-b",))
    elsewhere = job_fields | {"source": str(root / "none")}
    answer = program("bob").post("/jobs", elsewhere)
    assert_problem(answer, 422, "source")
    assert answer.json["errors"]["source"].startswith("Nothing exists at this path.")
    assert program("bob").post("/jobs", elsewhere | {"pool": "site-b"}).status_code == 201
    assert number_of_jobs() == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": None}, "name"),
        ({"name": 7}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"operation": "purge"}, "operation"),
        ({"source": ["/"]}, "source"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"dry_run": 1}, "dry_run"),
        ({"owner": "alice"}, "owner"),
        ({"status": "completed"}, "status"),
    ],
)
def test_wrong_kind_and_unknown_field_are_refused(
    program: Any, job_fields: Any, change: Any, field: str
) -> None:
    assert_problem(program("bob").post("/jobs", job_fields | change), 422, field)
    assert number_of_jobs() == 0


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[" * 60_000, b'{"name": "\xff"}', b"nil", b'{"a":' * 10_000, b"\0"]
)
def test_body_that_is_no_json_is_400(program: Any, body: bytes) -> None:
    answer = program("bob").post("/jobs", data=body, content_type="application/json")
    assert_problem(answer, 400)


@pytest.mark.parametrize("body", [[], "text", 7, None, True, 10**400])
def test_json_that_is_no_object_is_422(program: Any, body: Any) -> None:
    answer = program("bob").post("/jobs", data=json.dumps(body), content_type="application/json")
    assert_problem(answer, 422, "body")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_body_of_another_kind_is_415(program: Any, job_fields: Any, kind: str) -> None:
    answer = program("bob").post("/jobs", data=json.dumps(job_fields), content_type=kind)
    assert_problem(answer, 415)


def test_body_above_64_kib_is_413(program: Any, job_fields: Any) -> None:
    assert_problem(program("bob").post("/jobs", job_fields | {"name": "x" * 70_000}), 413)


@pytest.mark.parametrize(
    "number", ["0", "999", str(2**31), str(2**63 - 1), str(2**63), str(2**70), "9" * 5000]
)
def test_job_that_cannot_be_is_404(program: Any, number: str) -> None:
    asking = program("alice")
    for method, path in (
        ("GET", ""),
        ("GET", "/events"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
    ):
        assert_problem(asking.ask(method, f"/jobs/{number}{path}"), 404)


@pytest.mark.parametrize("path", ["/jobs/-1", "/jobs/x", "/jobs/1.5", "/nowhere", "/jobs/1/purge"])
def test_address_that_names_nothing_is_404(program: Any, path: str) -> None:
    assert_problem(program("bob").get(path), 404)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page=-1", "page"),
        ("page=0", "page"),
        ("page=x", "page"),
        (f"page={2**70}", "page"),
        ("per_page=0", "per_page"),
        ("per_page=101", "per_page"),
        ("status=lost", "status"),
        ("status=", "status"),
        ("q=" + "x" * 201, "q"),
        ("page=1&page=2", "page"),
        ("pgae=2", "pgae"),
    ],
)
def test_wrong_query_is_422_and_names_the_field(program: Any, query: str, field: str) -> None:
    assert_problem(program("bob").get(f"/jobs?{query}"), 422, field)


def test_pages_hold_every_job_once_and_link_to_one_another(program: Any, new_job: Any) -> None:
    for _ in range(5):
        new_job()
    asking = program("bob")
    found, path = [], "/jobs?per_page=2"
    while path:
        answer = asking.get(path)
        found += [job["id"] for job in answer.json["items"]]
        assert (answer.json["total"], answer.json["pages"]) == (5, 3)
        links = dict(reversed(link.split("; ")) for link in answer.headers["Link"].split(", "))
        path = links.get('rel="next"', "").strip("<>").removeprefix("/api/v1")
    assert found == [5, 4, 3, 2, 1]
    assert links.keys() == {'rel="first"', 'rel="prev"', 'rel="last"'}


def test_page_after_the_last_is_empty(program: Any, new_job: Any) -> None:
    new_job()
    answer = program("bob").get("/jobs?page=9&per_page=1").json
    assert (answer["items"], answer["total"], answer["pages"]) == ([], 1, 1)


def test_list_is_filtered_by_status_and_words(program: Any, new_job: Any) -> None:
    numbers = [new_job(name="Photos"), new_job(name="Music"), new_job(name="Photos of May")]
    set_status(numbers[0], JobStatus.FAILED)
    asking = program("charlie")

    def ids(query: str) -> list[int]:
        return [job["id"] for job in asking.get(f"/jobs?{query}").json["items"]]

    assert ids("q=photos") == [numbers[2], numbers[0]]
    assert ids("status=failed&q=photos") == [numbers[0]]
    assert ids("q=%25") == []
    assert ids("q=%00") == numbers[::-1]


# --- cancel and retry ---------------------------------------------------------------------------


def test_cancelling_twice_is_harmless_and_a_completed_job_is_409(
    program: Any, new_job: Any
) -> None:
    asking, number = program("bob"), new_job()
    for _ in range(2):
        answer = asking.post(f"/jobs/{number}/cancel")
        assert (answer.status_code, answer.json["status"]) == (200, "cancelled")
    other = new_job()
    set_status(other, JobStatus.COMPLETED)
    assert_problem(asking.post(f"/jobs/{other}/cancel"), 409)


def test_retrying_twice_gives_one_new_job_and_a_queued_one_is_409(
    program: Any, new_job: Any
) -> None:
    asking, number = program("bob"), new_job()
    assert_problem(asking.post(f"/jobs/{number}/retry"), 409)
    set_status(number, JobStatus.FAILED)
    answers = [asking.post(f"/jobs/{number}/retry") for _ in range(2)]
    assert {answer.json["id"] for answer in answers} == {number + 1}
    assert answers[0].json["retry_of"] == number
    assert answers[0].headers["Location"] == f"/api/v1/jobs/{number + 1}"


def test_operator_may_not_cancel_or_retry_another_operators_job(program: Any, new_job: Any) -> None:
    number = new_job("bob")
    assert_problem(program("bella").post(f"/jobs/{number}/cancel"), 403)
    set_status(number, JobStatus.FAILED)
    assert_problem(program("bella").post(f"/jobs/{number}/retry"), 403)
    assert program("alice").post(f"/jobs/{number}/retry").status_code == 200


# --- keys ---------------------------------------------------------------------------------------


def keyed(asking: Any, key: str, body: Any) -> Any:
    return asking.post("/jobs", body, headers={"Idempotency-Key": key})


def test_same_key_and_body_give_the_same_job(program: Any, job_fields: Any) -> None:
    asking = program("bob")
    first, second = (keyed(asking, "one", job_fields) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json == second.json
    assert keyed(asking, "two", job_fields).json["id"] == 2
    assert number_of_jobs() == 2


def test_same_key_with_another_body_is_refused(program: Any, job_fields: Any) -> None:
    asking = program("bob")
    keyed(asking, "one", job_fields)
    assert_problem(keyed(asking, "one", job_fields | {"name": "Weekly"}), 422, "Idempotency-Key")
    assert number_of_jobs() == 1


def test_order_of_fields_makes_no_other_body(program: Any, job_fields: Any) -> None:
    asking = program("bob")
    keyed(asking, "one", job_fields)
    assert keyed(asking, "one", dict(reversed(job_fields.items()))).status_code == 200


def test_key_is_of_its_user_alone(program: Any, job_fields: Any) -> None:
    assert keyed(program("bob"), "one", job_fields).json["id"] == 1
    other = keyed(program("bella"), "one", job_fields | {"name": "Hers"})
    assert (other.status_code, other.json["id"]) == (201, 2)


def test_key_of_a_refused_body_is_still_free(program: Any, job_fields: Any) -> None:
    asking = program("bob")
    assert keyed(asking, "one", job_fields | {"source": "/etc"}).status_code == 422
    assert keyed(asking, "one", job_fields).status_code == 201


def test_key_of_a_job_whose_source_has_gone_since_still_leads_to_it(
    program: Any, job_fields: Any, root: Path
) -> None:
    asking = program("bob")
    assert keyed(asking, "one", job_fields).status_code == 201
    (root / "from").rename(root / "moved away")
    again = keyed(asking, "one", job_fields)
    assert (again.status_code, again.json["id"]) == (200, 1)
    assert_problem(keyed(asking, "two", job_fields), 422, "source")
    assert number_of_jobs() == 1


def test_key_is_forgotten_after_a_day_and_stored_as_its_hash(program: Any, job_fields: Any) -> None:
    asking = program("bob")
    keyed(asking, "my-secret-key", job_fields)
    row = session.scalars(select(IdempotencyKey)).one()
    assert "my-secret-key" not in str(vars(row))
    session.execute(update(IdempotencyKey).values(created_at=now() - timedelta(hours=25)))
    session.commit()
    session.remove()
    assert keyed(asking, "my-secret-key", job_fields).json["id"] == 2
    assert session.scalar(select(func.count()).select_from(IdempotencyKey)) == 1


@pytest.mark.parametrize("key", ["", " ", "two words", "x" * 256, "é"])
def test_key_that_is_none_is_422(program: Any, job_fields: Any, key: str) -> None:
    assert_problem(keyed(program("bob"), key, job_fields), 422, "Idempotency-Key")


def test_ten_requests_at_once_with_one_key_make_one_job(
    program: Any, job_fields: Any, app: Flask
) -> None:
    asking = program("bob")
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: keyed(asking, "one", job_fields), range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201]
    assert {answer.json["id"] for answer in answers} == {1}
    assert number_of_jobs() == 1


def test_names_of_what_differs_are_ten_in_a_list_and_all_of_one_job(
    program: Any, new_job: Any, execute: Any, root: Path
) -> None:
    fill(root / "from", files=25)
    (root / "to").mkdir()
    execute(job_id := new_job(operation="check", source=root / "from"))
    bob = program("bob")
    (listed,) = bob.get("/jobs").json["items"]
    one = bob.get(f"/jobs/{job_id}").json
    names = sorted(f"file {number}" for number in range(25))
    nothing = {"count": 0, "names": []}
    for job, number in ((listed, 10), (one, 25)):
        assert (job["status"], job["outcome"]) == ("completed", "different")
        assert job["differences"] == {
            "different": nothing,
            "only_source": {"count": 25, "names": names[:number]},
            "only_destination": nothing,
        }
    shutil.copytree(root / "from", root / "to", dirs_exist_ok=True)
    execute(again := new_job(operation="check", source=root / "from"))
    job = bob.get(f"/jobs/{again}").json
    assert (job["outcome"], job["differences"], job["files_unchanged"]) == ("equal", None, 25)
    found = bob.get("/history?status=different").json
    assert [job["id"] for job in found["items"]] == [job_id]
    assert found["totals"]["different"]["jobs"] == 1
