"""Options of a job: typed, refused beside their field, shown, kept by a retry, obeyed by rclone."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from portal.db.session import session
from portal.models import Job
from portal.services.runtime import Runtime
from portal.settings import Settings
from portal.transfers.options import Options, from_json
from portal.transfers.states import JobStatus
from portal.worker import Worker
from tests.support.client import Browser
from tests.support.job_pages import errors_in, jobs_in_table
from tests.support.transfers import fill, rclones, run_job, scripted_rclone, status_of, stored, tree
from tests.support.waiting import wait_for

ALL = {
    "bandwidth_limit": "8:00,10M 19:00,off",
    "include": "*.jpg\r\nphotos/**\r\n\r\n",
    "exclude": " cache/ ",
    "min_age": "7d",
    "max_size": "1.5G",
    "checksum": "y",
    "verify": "y",
    "transfers": "8",
    "retries": "0",
}


@pytest.fixture
def bob(browser: Callable[..., Browser]) -> Browser:
    return browser("bob")


def test_all_options_are_stored_typed_and_shown(bob: Browser, job_fields: dict[str, str]) -> None:
    bob.post("/settings", {"timezone": "Europe/Berlin"})
    assert bob.post("/jobs", job_fields | ALL).status_code == 303
    job = stored(1)
    assert job.bandwidth_limit == "08:00,10M 19:00,off"
    assert from_json(job.options) == Options(
        include=("*.jpg", "photos/**"),
        exclude=("cache/",),
        min_age=604_800,
        max_size=3 * 2**29,
        checksum=True,
        verify=True,
        transfers=8,
        retries=0,
        timezone="Europe/Berlin",
    )
    page = bob.get("/jobs/1").text
    limit = "10 MiB/s from 08:00, no limit from 19:00 (Europe/Berlin)"
    for words in (limit, "*.jpg, photos/**", "1w", "1.5 GiB"):
        assert words in page


def test_job_without_options_has_the_usual_ones(bob: Browser, job_fields: dict[str, str]) -> None:
    bob.post("/jobs", job_fields)
    assert stored(1).options == {}
    assert "Parallel files" not in bob.get("/jobs/1").text


def test_form_explains_each_option_in_a_line_tied_to_its_field(bob: Browser) -> None:
    page = bob.get("/jobs/new").text
    for field in ALL:
        assert f'id="{field}-help"' in page
        assert f'aria-describedby="{field}-help"' in page


def test_every_wrong_option_is_named_at_once_and_stays_as_typed(
    bob: Browser, job_fields: dict[str, str]
) -> None:
    wrong = {
        "bandwidth_limit": "08:00,10M 08:00,5M",
        "include": "*.jpg\n[abc",
        "exclude": "{{.*}}",
        "min_age": "long ago",
        "max_size": "500",
        "transfers": "33",
        "retries": "eleven",
    }
    answer = bob.post("/jobs", job_fields | wrong)
    assert answer.status_code == 422
    assert errors_in(answer.text).keys() == wrong.keys()
    assert (
        errors_in(answer.text)["include"] == "“[abc” is not a valid pattern: the [ is never closed."
    )
    assert '<details class="options" id="job-options" open>' in answer.text
    for typed in ("[abc</textarea>", 'value="long ago"', 'value="33"'):
        assert typed in answer.text
    assert jobs_in_table() == 0


def test_move_cannot_be_verified(bob: Browser, job_fields: dict[str, str]) -> None:
    answer = bob.post("/jobs", job_fields | {"operation": "move", "verify": "y"})
    assert (answer.status_code, list(errors_in(answer.text))) == (422, ["verify"])


def test_program_sends_the_same_options_and_reads_them_back(
    bob: Browser, job_fields: dict[str, str]
) -> None:
    body = job_fields | {"include": ["*.jpg"], "min_age": "1h", "verify": True, "transfers": 2}
    token = {"X-CSRFToken": bob.token()}
    answer = bob.client.post("/api/v1/jobs", json=body, headers=token)
    assert answer.status_code == 201
    shown = bob.get("/api/v1/jobs/1").json["options"]
    assert (shown["include"], shown["min_age"], shown["verify"]) == (["*.jpg"], 3600, True)
    assert (shown["transfers"], shown["retries"]) == (2, 2)
    for wrong in ({"include": ["[a"]}, {"transfers": 0}, {"min_age": "x"}, {"retries": 99}):
        refused = bob.client.post("/api/v1/jobs", json=job_fields | wrong, headers=token)
        assert (refused.status_code, list(refused.json["errors"])) == (422, list(wrong))


def test_retry_keeps_the_options(bob: Browser, job_fields: dict[str, str]) -> None:
    bob.post("/jobs", job_fields | ALL)
    session.get_one(Job, 1).status = JobStatus.FAILED
    session.commit()
    bob.post("/jobs/1/retry")
    assert stored(2).options == stored(1).options
    assert stored(2).bandwidth_limit == stored(1).bandwidth_limit


HOSTILE = (
    "--config=/CANARY/rclone.conf",
    "--password-command=touch CANARY",
    "-vv --log-file=CANARY",
    "*.txt --delete-excluded CANARY",
    "*.txt\x00--rc CANARY",
    "$(touch CANARY)",
    "`touch CANARY`",
    "; touch CANARY",
    "| touch CANARY",
    "& touch CANARY",
    "\n--metadata-mapper=CANARY",
    "\r\n- *\r\n! CANARY",
    "!\nCANARY",
    "+ **\nCANARY",
    "# CANARY",
    ":sftp,ssh='touch CANARY':/",
    ":webdav,bearer_token_command='touch CANARY':",
    "remote:CANARY",
    "../../CANARY",
    "/etc/passwd CANARY",
    "file:///CANARY",
    "%00CANARY",
    "%0a--dump=auth CANARY",
    "\u2028--rc CANARY",
    "\u202eCANARY",
    "<script>CANARY</script>",
    '"><img src=CANARY>',
    "{{7*7}}CANARY",
    "{% CANARY %}",
    "${CANARY}",
    "' OR 1=1 -- CANARY",
    "\\\\CANARY\\share",
    "CANARY" * 200,
    "١٢٣ CANARY",
    "1e309 CANARY",
    "-1 CANARY",
    "NaN CANARY",
    "off CANARY",
    "08:00,off CANARY",
    "None CANARY",
)
FIELDS = ("bandwidth_limit", "include", "exclude", "min_age", "max_size", "transfers", "retries")


def test_hostile_text_in_any_option_is_a_pattern_or_an_error_and_never_a_word_for_rclone(
    app: Flask,
    bob: Browser,
    job_fields: dict[str, str],
    execute: Callable[..., None],
    tmp_path: Path,
    root: Path,
) -> None:
    assert len(HOSTILE) == 40
    token = bob.token()
    for text in HOSTILE:
        for field in FIELDS:
            form = {"csrf_token": token, **job_fields, field: text}
            answer = bob.client.post("/jobs", data=form)
            assert answer.status_code in (303, 422), (field, text)
            assert answer.status_code == 422 or field in ("include", "exclude"), (field, text)
            assert "<script>CANARY" not in answer.text
            assert "<img src=CANARY" not in answer.text
    accepted = jobs_in_table()
    assert accepted > 10
    # What was taken as a pattern reaches rclone in a file, and nothing of it on its command line.
    fake = scripted_rclone(
        tmp_path,
        """
        said = sys.argv[1:]
        rules = [word.partition("=")[2] for word in said if word.startswith("--filter-from=")]
        lines = open(rules[0], encoding="utf-8").read().splitlines()
        clean = not any("CANARY" in word for word in said + list(os.environ.values()))
        private = os.stat(os.path.dirname(rules[0])).st_mode & 0o777 == 0o700
        shaped = all(line[:2] in ("+ ", "- ") for line in lines)
        sys.exit(0 if clean and private and shaped and "CANARY" in "".join(lines) else 9)
        """,
    )
    for number in range(1, accepted + 1):
        execute(number, rclone=fake)
        assert status_of(number) == JobStatus.COMPLETED, stored(number).options
    assert not list(tmp_path.rglob("*CANARY*"))


def test_filters_leave_out_what_they_say(
    root: Path, new_job: Callable[..., int], execute: Callable[..., None]
) -> None:
    source = root / "pictures"
    for name in ("a.jpg", "b.tmp", "photos/c.png", "photos/d.jpg", "cache/e.jpg", "top"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(b"x" * 100)
    (source / "huge.jpg").write_bytes(b"x" * 10_000)
    (source / "old.jpg").write_bytes(b"x")
    long_ago = time.time() - 7200
    for path in source.rglob("*"):
        os.utime(path, (long_ago, long_ago))
    (source / "new.jpg").write_bytes(b"x")
    chosen = Options(include=("*.jpg", "photos/"), exclude=("cache/",), max_size=1000, min_age=3600)
    job = new_job(source=source, options=chosen)
    execute(job)
    assert status_of(job) == JobStatus.COMPLETED
    assert sorted(os.fsdecode(name) for name in tree(root / "to")) == [
        "a.jpg",
        "old.jpg",
        "photos/c.png",
        "photos/d.jpg",
    ]


def test_checksum_finds_what_time_and_size_hide(
    root: Path, new_job: Callable[..., int], execute: Callable[..., None]
) -> None:
    for side, content in (("from", b"new"), ("to", b"old")):
        (root / side).mkdir()
        (root / side / "file").write_bytes(content)
        os.utime(root / side / "file", (1_000_000_000, 1_000_000_000))
    execute(new_job(source=root / "from"))
    assert (root / "to" / "file").read_bytes() == b"old"
    execute(new_job(source=root / "from", options=Options(checksum=True)))
    assert (root / "to" / "file").read_bytes() == b"new"


def test_verified_copy_completes_with_the_figures_of_the_copy(
    new_job: Callable[..., int], execute: Callable[..., None]
) -> None:
    job = new_job(options=Options(verify=True))
    execute(job)
    row = stored(job)
    assert (row.status, row.percent) == (JobStatus.COMPLETED, 100.0)
    assert (row.bytes_transferred, row.files_transferred) == (3000, 3)


def test_copy_that_is_not_equal_afterwards_fails_and_says_that_it_was_copied(
    tmp_path: Path, new_job: Callable[..., int], execute: Callable[..., None]
) -> None:
    fake = scripted_rclone(
        tmp_path,
        """
        tell(1000, 1000, transfers=1)
        if "check" in sys.argv:
            print(json.dumps({"level": "error", "msg": "1 differences found"}), file=sys.stderr)
            sys.exit(1)
        """,
    )
    job = new_job(options=Options(verify=True))
    execute(job, rclone=fake)
    row = stored(job)
    assert row.status == JobStatus.FAILED
    assert row.error == (
        "Everything was copied, but the comparison afterwards failed. "
        "1 file differs. The errors name it."
    )
    assert row.percent is not None
    assert row.percent < 100


FLAKY = """
    count = os.path.join(os.path.dirname(sys.argv[-1]), "tries")
    with open(count, "a") as file:
        file.write(".")
    tries = os.path.getsize(count)
    tell(400 * tries, 1000, transferring=[{"name": "f", "size": 1000, "bytes": 400 * tries}])
    time.sleep(0.3)
    if tries < 3:
        sys.exit(CODE)
    tell(1000, 1000, transfers=1)
"""


@pytest.mark.parametrize(
    ("code", "retries", "tries", "status"),
    [(5, 2, 3, "completed"), (5, 1, 2, "failed"), (5, 0, 1, "failed"), (1, 5, 1, "failed")],
)
def test_only_errors_that_may_pass_are_tried_again_and_only_so_often(
    tmp_path: Path,
    root: Path,
    settings: Settings,
    new_job: Callable[..., int],
    execute: Callable[..., None],
    code: int,
    retries: int,
    tries: int,
    status: str,
) -> None:
    fake = scripted_rclone(tmp_path, FLAKY.replace("CODE", str(code)))
    job = new_job(options=Options(retries=retries))
    execute(job, rclone=fake)
    assert (root / "tries").read_text() == "." * tries
    assert status_of(job) == status
    assert rclones(settings.data_dir) == []


def test_figures_do_not_fall_when_it_is_tried_again(
    tmp_path: Path, events: Any, new_job: Callable[..., int], execute: Callable[..., None]
) -> None:
    fake = scripted_rclone(tmp_path, FLAKY.replace("CODE", "5"))
    job = new_job(options=Options(retries=2))
    execute(job, rclone=fake)
    told = [event.data["percent"] or 0 for event in events.of(job, "job_progress")]
    assert told == sorted(told)
    assert (stored(job).percent, stored(job).bytes_transferred) == (100.0, 1000)


def test_wait_before_the_next_try_ends_at_once_with_a_cancel(
    tmp_path: Path, root: Path, app: Flask, bob: Browser, new_job: Callable[..., int]
) -> None:
    fill(root / "from")
    fake = scripted_rclone(tmp_path, "sys.exit(5)")
    job = new_job()
    settings = app.context[Runtime].settings.model_copy(update={"rclone": fake})
    worker = Worker(settings, "test:1", grace=1.0, backoff=60.0)
    thread = threading.Thread(target=run_job, args=(worker, job))
    thread.start()
    wait_for(lambda: status_of(job) == JobStatus.RUNNING)
    bob.post(f"/jobs/{job}/cancel")
    thread.join(10)
    assert not thread.is_alive()
    assert status_of(job) == JobStatus.CANCELLED
