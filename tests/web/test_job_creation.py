"""Creating a job: what is accepted, what is refused and how it is said."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from portal.db.session import session
from portal.models import AuditEntry
from portal.worker.executors import NullExecutor
from tests.support.applications import configure
from tests.support.client import Browser
from tests.support.job_pages import errors_in, jobs_in_table
from tests.support.transfers import Recorder, history, miscounted, stored

HOSTILE = "<img src=x onerror=alert(1)>\"'&amp;{{7*7}}"


@pytest.fixture
def bob(browser: Callable[..., Browser]) -> Browser:
    return browser("bob")


def test_valid_form_makes_a_queued_job_and_leads_to_it(
    bob: Browser, job_fields: dict[str, str], user: Any
) -> None:
    answer = bob.post("/jobs", job_fields | {"bandwidth_limit": " 10M ", "dry_run": "y"})
    assert (answer.status_code, answer.location) == (303, "/jobs/1")
    job = stored(1)
    assert (job.name, job.operation, job.status, job.attempt, job.seq) == (
        "Nightly",
        "copy",
        "queued",
        0,
        1,
    )
    assert (job.source, job.destination) == (job_fields["source"], job_fields["destination"])
    assert (job.bandwidth_limit, job.dry_run, job.owner_id) == ("10M", True, user("bob").id)
    assert history(1) == ["queued"]
    assert miscounted() == {}
    assert "Nightly" in bob.get("/jobs/1").text


def test_new_job_is_written_to_the_audit_log(bob: Browser, job_fields: dict[str, str]) -> None:
    bob.post("/jobs", job_fields)
    entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "job.create")).one()
    assert (entry.actor, entry.target, entry.outcome) == ("bob", "job 1", "ok")
    assert job_fields["source"] in entry.detail


def test_new_job_is_announced_once_and_makes_workers_look(
    app: Flask, bob: Browser, job_fields: dict[str, str], events: Recorder
) -> None:
    looks: list[int] = []

    class NotedExecutor(NullExecutor):
        def look(self) -> None:
            looks.append(jobs_in_table())

    configure(app, executor=NotedExecutor())
    bob.post("/jobs", job_fields)
    (announced,) = events.of(1)
    assert (announced.name, announced.room) == ("job_created", "topic:status_change")
    assert {"job_id": 1, "status": "queued", "seq": 1}.items() <= announced.data.items()
    assert looks == [1], "after it was committed"


def test_two_equal_forms_make_two_jobs(bob: Browser, job_fields: dict[str, str]) -> None:
    assert {bob.post("/jobs", job_fields).location for _ in range(2)} == {"/jobs/1", "/jobs/2"}


def test_each_wrong_field_is_named_at_once_and_what_was_typed_stays(
    bob: Browser, root: Path
) -> None:
    typed = {
        "name": "two\nlines",
        "operation": "purge",
        "source": "sftp:/secret",
        "destination": "/etc/passwd",
        "bandwidth_limit": "very much",
        "dry_run": "y",
    }
    answer = bob.post("/jobs", typed)
    assert answer.status_code == 422
    said = errors_in(answer.text)
    assert said.keys() == typed.keys() - {"dry_run"}
    assert said["source"] == "No remote named “sftp” is available to you."
    assert said["destination"] == f"The path must be inside {root}."
    for value in ("sftp:/secret", "/etc/passwd", "very much"):
        assert f'value="{value}"' in answer.text
    assert re.search(r'<input[^>]*\bchecked\b[^>]*name="dry_run"', answer.text)
    assert jobs_in_table() == 0


def test_empty_form_names_every_required_field(bob: Browser) -> None:
    answer = bob.post("/jobs")
    assert answer.status_code == 422
    assert errors_in(answer.text).keys() >= {"name", "source", "destination"}


def test_bad_name_is_refused(bob: Browser, job_fields: dict[str, str]) -> None:
    sentences = {
        "": "Enter a name.",
        "   ": "Enter a name.",
        "x" * 201: "Use at most 200 characters.",
        "x" * 10_000: "Use at most 200 characters.",
        "a\0b": "Leave out line breaks and control characters.",
        "a\nb": "Leave out line breaks and control characters.",
        "a\u202eb": "Leave out line breaks and control characters.",
    }
    for name, sentence in sentences.items():
        answer = bob.post("/jobs", job_fields | {"name": name})
        assert (answer.status_code, errors_in(answer.text)) == (422, {"name": sentence})
    assert jobs_in_table() == 0


def test_odd_but_plain_name_is_kept(bob: Browser, job_fields: dict[str, str]) -> None:
    for name in ("x" * 200, "Straße nach 東京 🚚", "-rf --config", "'; DROP TABLE jobs"):
        answer = bob.post("/jobs", job_fields | {"name": name})
        assert answer.status_code == 303
        assert f">{name}<" in html.unescape(bob.get(answer.location).text)


REMOTES = (
    "remote:path",
    ":sftp,ssh='touch /tmp/owned':/",
    ":webdav,bearer_token_command='id':",
    "-v",
    "--config=/etc/passwd",
    "relative/path",
    "~/files",
    "C:\\files",
    "file:///etc",
)


@pytest.mark.parametrize("side", ["source", "destination"])
def test_anything_but_a_full_local_path_is_refused(
    bob: Browser, job_fields: dict[str, str], side: str
) -> None:
    for remote in REMOTES:
        answer = bob.post("/jobs", job_fields | {side: remote})
        assert answer.status_code == 422
        said = errors_in(answer.text)[side]
        assert said.startswith(("Enter a full path inside ", "Before the colon", "No remote named"))
    assert jobs_in_table() == 0


PATHS_ELSEWHERE = (
    "/",
    "/etc",
    "{root}x",
    "{root}/../files/from",
    "{root}/from/..",
    "{root}/from/../../etc",
    "{root}/way-out",
    "{root}/way-out/etc",
    "{root}/a\0b",
    "{root}/" + "d/" * 2100,
    "",
    "   ",
)


@pytest.mark.parametrize("side", ["source", "destination"])
def test_path_that_leads_elsewhere_is_refused(
    bob: Browser, job_fields: dict[str, str], root: Path, side: str
) -> None:
    (root / "way-out").symlink_to("/")
    for path in PATHS_ELSEWHERE:
        answer = bob.post("/jobs", job_fields | {side: path.replace("{root}", str(root))})
        assert (answer.status_code, list(errors_in(answer.text))) == (422, [side]), path
    assert jobs_in_table() == 0


def test_folders_inside_one_another_are_refused(
    bob: Browser, job_fields: dict[str, str], root: Path
) -> None:
    (root / "link").symlink_to(root / "from")
    for source, destination in (
        ("from", "from"),
        ("from", "from/sub"),
        ("from/sub", "from"),
        ("from", "link/sub"),
    ):
        folders = {"source": str(root / source), "destination": str(root / destination)}
        answer = bob.post("/jobs", job_fields | folders)
        assert answer.status_code == 422
        assert errors_in(answer.text) == {"destination": "One folder is inside the other."}


def test_link_that_stays_below_the_root_is_followed(
    bob: Browser, job_fields: dict[str, str], root: Path
) -> None:
    (root / "link").symlink_to(root / "from")
    assert bob.post("/jobs", job_fields | {"source": str(root / "link")}).status_code == 303
    assert stored(1).source == str(root / "from")


def test_link_to_a_name_that_is_no_text_is_refused(
    bob: Browser, job_fields: dict[str, str], root: Path
) -> None:
    os.mkdir(os.fsencode(root) + b"/caf\xe9")  # noqa: PTH102 - a name of bytes
    os.symlink(b"caf\xe9", os.fsencode(root) + b"/link")  # noqa: PTH211
    answer = bob.post("/jobs", job_fields | {"source": str(root / "link")})
    assert answer.status_code == 422
    assert "not valid UTF-8" in errors_in(answer.text)["source"]


NO_LIMITS = (
    *("10", "0", "M", "-1", "-1M", "1e9", "10kb", "1,5M", "10M 20M", "08:00,", "∞"),
    *("١٠M", "9" * 30, "999999P", "0x10", "--dry-run", "off off", "1" * 100, "10M\0"),
)
LIMITS = (
    "10M",
    "512k",
    "08:00,512k",
    "1.5G",
    "10 M",
    "off",
    "10MB",
    "10 MB/s",
    "10Ki",
    "10MiB",
    "999P",
    "1b",
    " 2M\n",
)


def test_nonsense_bandwidth_limit_is_refused(bob: Browser, job_fields: dict[str, str]) -> None:
    for limit in NO_LIMITS:
        answer = bob.post("/jobs", job_fields | {"bandwidth_limit": limit})
        assert (answer.status_code, list(errors_in(answer.text))) == (422, ["bandwidth_limit"])
    assert jobs_in_table() == 0


def test_each_bandwidth_limit_that_passes_is_one_that_rclone_takes(
    bob: Browser, job_fields: dict[str, str], execute: Any
) -> None:
    for number, limit in enumerate(LIMITS, 1):
        order = job_fields | {"bandwidth_limit": limit, "operation": "check"}
        assert bob.post("/jobs", order).status_code == 303
        execute(number)
        assert "bandwidth" not in (stored(number).error or "")
        assert stored(number).exit_code == 1  # the two folders differ, that is all


@pytest.mark.parametrize("name", ["none", "none/below", "from/a file/below", "broken link", "ü%20"])
def test_source_that_does_not_exist_is_refused_beside_its_field(
    bob: Browser, job_fields: dict[str, str], root: Path, name: str
) -> None:
    (root / "from" / "a file").write_text("of five bytes")
    (root / "broken link").symlink_to(root / "nowhere")
    for operation in ("copy", "sync", "move", "check"):
        form = job_fields | {"source": f"{root}/{name}", "operation": operation, "guarded": "y"}
        answer = bob.post("/jobs", form)
        assert answer.status_code == 422
        assert errors_in(answer.text) == {
            "source": "Nothing exists at this path. Check it, or create the folder first."
        }
    assert jobs_in_table() == 0


def test_source_that_is_one_file_is_accepted(
    bob: Browser, job_fields: dict[str, str], root: Path
) -> None:
    (root / "one.txt").write_text("one")
    assert bob.post("/jobs", job_fields | {"source": str(root / "one.txt")}).status_code == 303


def test_source_that_only_workers_of_a_pool_can_see_is_accepted(
    bob: Browser, job_fields: dict[str, str], root: Path, worker_process: Any
) -> None:
    worker_process(pools=("site-b",))
    elsewhere = job_fields | {"source": str(root / "none")}
    assert bob.post("/jobs", elsewhere | {"pool": "site-b"}).status_code == 303
    assert bob.post("/jobs", elsewhere | {"pool": "default"}).status_code == 422


def test_source_whose_root_is_away_is_left_to_the_worker(
    bob: Browser, job_fields: dict[str, str], root: Path
) -> None:
    root.rename(root.with_name("elsewhere"))
    assert bob.post("/jobs", job_fields).status_code == 303
    root.mkdir()
    assert bob.post("/jobs", job_fields).status_code == 422


def test_source_that_went_meanwhile_fails_in_words(
    bob: Browser, job_fields: dict[str, str], root: Path, execute: Any
) -> None:
    assert bob.post("/jobs", job_fields).status_code == 303
    (root / "from").rename(root / "renamed")
    execute(1)
    assert "The source folder does not exist." in bob.get("/jobs/1").text
    assert bob.post("/jobs/1/retry").status_code == 303


def test_html_in_a_name_or_path_is_shown_as_text_on_every_page(
    browser: Any, root: Path, new_job: Any, execute: Any
) -> None:
    folder = root / HOSTILE.replace("/", "")
    execute(new_job(name=HOSTILE, source=folder, destination=root / "to"))
    alice = browser("alice")
    for path in ("/", "/jobs", "/jobs/1", "/api/jobs/1/progress", "/jobs?q=img", "/audit"):
        page = alice.get(path).text
        assert "<img src=x" not in page
        assert "&lt;img src=x onerror=alert(1)&gt;" in page, path


def test_html_in_a_name_stays_out_of_events(new_job: Any, execute: Any, events: Recorder) -> None:
    job_id = new_job(name=HOSTILE)
    execute(job_id)
    assert events.statuses(job_id) == ["running", "completed"]
    for event in events.of(job_id):
        assert not any("<" in text for text in event.data.get("display", {}).values())


def test_refused_form_shows_html_as_text(bob: Browser, job_fields: dict[str, str]) -> None:
    answer = bob.post("/jobs", job_fields | {"name": HOSTILE, "source": HOSTILE})
    assert answer.status_code == 422
    assert "<img src=x" not in answer.text


def test_form_with_a_megabyte_is_refused(bob: Browser, job_fields: dict[str, str]) -> None:
    assert bob.post("/jobs", job_fields | {"name": "x" * 2_000_000}).status_code == 413
    assert jobs_in_table() == 0


def test_viewer_cannot_create_a_job(browser: Any, job_fields: dict[str, str]) -> None:
    charlie = browser("charlie")
    assert charlie.post("/jobs", job_fields).status_code == 403
    assert charlie.get("/jobs/new").status_code == 403
    assert "New job" not in charlie.get("/jobs").text
    assert jobs_in_table() == 0


def test_form_without_its_token_creates_nothing(bob: Browser, job_fields: dict[str, str]) -> None:
    assert bob.client.post("/jobs", data=job_fields).status_code == 400
    assert jobs_in_table() == 0
