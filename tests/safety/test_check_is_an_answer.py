"""A check is believed: after it people delete the other copy. It says "equal" only of what it has
compared, and "different" only where it has compared all."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from portal.services.jobs import history, statistics
from portal.services.jobs.history import HistoryFilter
from portal.transfers.options import Options
from portal.transfers.states import JobStatus
from tests.support.remotes import new_remote, settings  # noqa: F401 - fixtures
from tests.support.storages import Storage
from tests.support.transfers import fill, scripted_rclone, stored

WORDS = """
    count = json.loads({counts!r})
    for sign, name in json.loads({report!r}):
        print(sign, name, flush=True)
    print(json.dumps({{"stats": count}}), file=sys.stderr, flush=True)
    for said in json.loads({errors!r}):
        print(json.dumps({{"level": "error", **said}}), file=sys.stderr, flush=True)
    sys.exit({code})
"""


def saying(
    folder: Path, *report: str, errors: int, code: int = 1, said: list[dict[str, str]] | None = None
) -> Path:
    """An rclone that checks, and says this."""
    counts = {"checks": 3, "totalChecks": 3, "listed": 6, "errors": errors}
    lines = [(one[0], one[2:]) for one in report]
    return scripted_rclone(
        folder,
        WORDS.format(
            counts=json.dumps(counts),
            report=json.dumps(lines),
            errors=json.dumps(said or []),
            code=code,
        ),
    )


@pytest.mark.parametrize(
    ("report", "errors", "code"),
    [
        # A file could not be read: nobody knows whether it is the same.
        (("= a", "= b", "! c"), 1, 1),
        (("= a", "* b", "! c"), 2, 1),
        # A folder could not be listed: what lies in it is in no list.
        (("= a", "* b"), 2, 1),
        # It says that something differs, and not what.
        ((), 1, 1),
        (("= a", "= b"), 1, 1),
        # It was ended from outside, or by an error of its own.
        (("= a", "* b"), 1, 7),
        (("= a", "* b"), 1, 143),
    ],
)
def test_check_that_has_not_compared_all_has_no_answer(
    tmp_path: Path, new_job: Any, execute: Any, report: tuple[str, ...], errors: int, code: int
) -> None:
    job_id = new_job(operation="check", options=Options(retries=0))
    execute(job_id, rclone=saying(tmp_path, *report, errors=errors, code=code))
    job = stored(job_id)
    assert (job.status, job.outcome, job.differences) == (JobStatus.FAILED, None, None)
    assert job.error
    assert job.percent is None or job.percent < 100


def test_check_that_has_compared_all_says_what_differs(
    tmp_path: Path, new_job: Any, execute: Any, browser: Any
) -> None:
    job_id = new_job(operation="check")
    execute(job_id, rclone=saying(tmp_path, "= a", "* b", "+ c", "- d", errors=3))
    job = stored(job_id)
    assert (job.status, job.outcome, job.error) == (JobStatus.COMPLETED, "different", None)
    # It is counted as an answer, not as a transfer that failed.
    assert statistics.gather("UTC").failed_today == 0
    sums = history.total(HistoryFilter())
    assert (sums["failed"].jobs, sums["completed"].jobs, sums["different"].jobs) == (0, 1, 1)
    assert "Retry" not in browser("bob").get(f"/jobs/{job_id}").text.split('class="job-pause"')[0]


def test_check_against_a_storage_that_is_gone_is_no_answer(
    tmp_path: Path,
    new_remote: Any,  # noqa: F811 - the fixture
    new_job: Any,
    execute: Any,
    root: Path,
) -> None:
    storage = Storage("webdav", tmp_path / "storage")
    remote = new_remote("far", "webdav", storage.options())
    fill(root / "from")
    there = {"destination": "far:", "destination_remote_id": remote.id}
    job_id = new_job(operation="check", source=root / "from", **there, options=Options(retries=0))
    execute(job_id)
    job = stored(job_id)
    assert (job.status, job.outcome) == (JobStatus.FAILED, None)
    assert job.error


def test_copy_that_is_verified_and_differs_has_failed_and_names_the_file(
    tmp_path: Path, new_job: Any, execute: Any, browser: Any, root: Path
) -> None:
    fake = scripted_rclone(
        tmp_path,
        """
        if "check" not in sys.argv:
            tell(1000, 1000, transfers=1)
            sys.exit(0)
        print("* only <copy>.jpg", flush=True)
        tell(0, 0, checks=1, totalChecks=1, errors=1)
        sys.exit(1)
        """,
    )
    job_id = new_job(options=Options(verify=True, retries=0))
    execute(job_id, rclone=fake)
    job = stored(job_id)
    assert (job.status, job.outcome) == (JobStatus.FAILED, None)
    assert job.error is not None
    assert job.error.startswith("Everything was copied, but 1 file at the destination differs")
    assert "only <copy>.jpg" in job.error
    page = browser("charlie").get(f"/jobs/{job_id}").text
    assert "only &lt;copy&gt;.jpg" in page
    assert "This job failed" in page


def test_equal_is_said_of_what_was_compared(new_job: Any, execute: Any, root: Path) -> None:
    fill(root / "from", files=5)
    shutil.copytree(root / "from", root / "to")
    job_id = new_job(operation="check", source=root / "from")
    execute(job_id)
    job = stored(job_id)
    assert (job.outcome, job.files_unchanged, job.files_total) == ("equal", 5, 5)
    (root / "to" / "file 3").unlink()
    execute(again := new_job(operation="check", source=root / "from"))
    job = stored(again)
    assert (job.outcome, job.files_unchanged) == ("different", 4)


@pytest.mark.parametrize(("limit", "least"), [("1M", 1.5), (None, 0.0)])
def test_check_that_reads_every_byte_keeps_to_its_limit(
    attempts: Any, servers: Any, tmp_path: Path, limit: str | None, least: float
) -> None:
    fill(tmp_path / "store" / "photos", 1024 * 1024, 2)
    shutil.copytree(tmp_path / "store" / "photos", tmp_path / "here")
    remote = servers.remote("nas", servers.start("webdav", tmp_path / "store"))
    began = time.monotonic()
    outcome = attempts.run("check", tmp_path / "here", "nas:photos", remote, limit=limit)
    assert outcome.succeeded
    assert time.monotonic() - began >= least
