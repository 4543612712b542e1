"""What deletes is shown first, confirmed by typing, and held to what was shown."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from portal.db.session import session
from portal.engine import rclone_path
from portal.models import AuditEntry, Job
from portal.transfers.options import Options
from portal.transfers.states import JobStatus
from tests.support.client import Browser
from tests.support.job_pages import errors_in, jobs_in_table
from tests.support.transfers import fill, scripted_rclone, status_of, stored, tree


@pytest.fixture
def bob(browser: Callable[..., Browser]) -> Browser:
    return browser("bob")


@pytest.fixture
def sync(root: Path) -> dict[str, str]:
    """The form of a sync that copies two files and deletes three."""
    fill(root / "from", files=2)
    (root / "to" / "old").mkdir(parents=True)
    for name, size in (("a stray", 10), ("b stray", 20), ("old/c stray", 30)):
        (root / "to" / name).write_bytes(b"x" * size)
    return {
        "name": "Mirror",
        "operation": "sync",
        "source": str(root / "from"),
        "destination": str(root / "to"),
        "guarded": "y",
    }


@pytest.fixture
def planned(bob: Browser, sync: dict[str, str], execute: Callable[..., None]) -> Callable[..., int]:
    """Sends the form, runs the dry run, and gives its number."""

    def plan(**changed: str) -> int:
        answer = bob.post("/jobs", sync | changed)
        assert answer.status_code == 303, answer.text
        number = int(answer.location.rsplit("/", 1)[1])
        execute(number)
        assert status_of(number) == JobStatus.COMPLETED, stored(number).error
        return number

    return plan


def test_sync_from_the_page_is_a_dry_run_first_and_one_from_a_program_starts(
    bob: Browser, sync: dict[str, str]
) -> None:
    assert bob.post("/jobs", sync).location == "/jobs/1"
    assert stored(1).dry_run
    del sync["guarded"]
    assert bob.post("/jobs", sync).location == "/jobs/2"
    assert not stored(2).dry_run
    created = select(AuditEntry).where(AuditEntry.action == "job.create").order_by(AuditEntry.id)
    entries = session.scalars(created).all()
    told = [entry.detail.partition(";")[2].strip() for entry in entries]
    assert told == ["", "started without a confirmed dry run"]
    assert [entry.detail.partition(" '")[0] for entry in entries] == ["dry run of sync", "sync"]
    assert "no dry run" in bob.get("/jobs/2").text


def test_copy_from_the_page_starts_at_once(bob: Browser, job_fields: dict[str, str]) -> None:
    bob.post("/jobs", job_fields | {"guarded": "y"})
    assert not stored(1).dry_run


def test_card_says_what_is_copied_and_deleted_with_the_first_by_name(
    bob: Browser, root: Path, planned: Callable[..., int]
) -> None:
    before = tree(root)
    number = planned()
    assert tree(root) == before
    page = bob.get(f"/jobs/{number}").text
    assert "Copies 2 files, 2.0 KiB; deletes 3 files, 60 B." in page
    places = [page.index(name) for name in ("a stray", "b stray", "old/c stray")]
    assert places == sorted(places)
    assert "Sync and delete 3 files" in page


def test_only_the_first_ten_of_many_are_named(
    bob: Browser, root: Path, planned: Callable[..., int]
) -> None:
    for number in range(40):
        (root / "to" / f"stray {number:02}").touch()
    dry_run = planned()
    card = bob.get(f"/jobs/{dry_run}").text.partition("plan-lists")[2].partition("</form>")[0]
    assert "the first 10 of 43" in card
    assert card.count("stray") == 2 * 10, "each name once, and once in full"
    assert "stray 06" in card


@pytest.mark.parametrize("typed", ["3", " 3 ", "Mirror"])
def test_typed_confirmation_makes_the_job_that_does_what_was_shown(
    bob: Browser, root: Path, planned: Callable[..., int], execute: Callable[..., None], typed: str
) -> None:
    dry_run = planned(min_age="0s")
    answer = bob.post(f"/jobs/{dry_run}/confirm", {"confirm": typed})
    assert (answer.status_code, answer.location) == (303, "/jobs/2")
    execute(2)
    job = stored(2)
    assert (job.status, job.confirms_id, job.dry_run) == ("completed", dry_run, False)
    assert tree(root / "to") == tree(root / "from")
    entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry is not None
    assert entry.detail.endswith("; confirmed dry run 1, which deletes 3 files")
    assert f'after <a href="/jobs/{dry_run}">' in bob.get("/jobs/2").text
    assert 'href="/jobs/2"' in bob.get(f"/jobs/{dry_run}").text


@pytest.mark.parametrize("typed", ["", "2", "mirror", "yes", "x" * 5000, "3\x00", "<b>3</b>"])
def test_anything_else_typed_is_refused_beside_the_field(
    bob: Browser, planned: Callable[..., int], typed: str
) -> None:
    answer = bob.post(f"/jobs/{planned()}/confirm", {"confirm": typed})
    assert answer.status_code == 422
    assert errors_in(answer.text) == {"confirm": "Type 3 or the job's name."}
    assert "<b>3</b>" not in answer.text
    assert jobs_in_table() == 1


def test_second_confirmation_finds_the_job_of_the_first(
    bob: Browser, planned: Callable[..., int]
) -> None:
    dry_run = planned()
    answers = [bob.post(f"/jobs/{dry_run}/confirm", {"confirm": "3"}) for _ in range(2)]
    assert [answer.location for answer in answers] == ["/jobs/2", "/jobs/2"]
    assert jobs_in_table() == 2


def test_plan_that_deletes_nothing_needs_no_typing(
    bob: Browser, root: Path, planned: Callable[..., int]
) -> None:
    shutil.rmtree(root / "to")
    dry_run = planned()
    assert 'id="confirm"' not in bob.get(f"/jobs/{dry_run}").text
    assert bob.post(f"/jobs/{dry_run}/confirm").status_code == 303


def test_what_is_no_completed_dry_run_of_what_deletes_cannot_be_confirmed(
    bob: Browser, sync: dict[str, str], job_fields: dict[str, str], execute: Callable[..., None]
) -> None:
    bob.post("/jobs", sync)
    assert bob.post("/jobs/1/confirm", {"confirm": "Mirror"}).status_code == 409
    bob.post("/jobs", job_fields | {"dry_run": "y"})
    execute(2)
    assert "Copies" in bob.get("/jobs/2").text
    assert bob.post("/jobs/2/confirm", {"confirm": "Nightly"}).status_code == 409
    assert jobs_in_table() == 2


def test_another_operator_may_see_the_card_and_not_confirm(
    browser: Callable[..., Browser], planned: Callable[..., int]
) -> None:
    dry_run = planned()
    for name in ("bella", "charlie"):
        person = browser(name)
        page = person.get(f"/jobs/{dry_run}").text
        assert "deletes 3 files" in page
        assert f"/jobs/{dry_run}/confirm" not in page
        assert person.post(f"/jobs/{dry_run}/confirm", {"confirm": "3"}).status_code == 403


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("add", "4 files instead of the 3 you confirmed"),
        ("take", "2 files instead of the 3 you confirmed"),
        ("swap", "other files than the ones you confirmed"),
        ("grow", "other files than the ones you confirmed"),
    ],
)
def test_changed_since_it_was_shown_is_refused_and_asked_again(
    bob: Browser,
    root: Path,
    planned: Callable[..., int],
    execute: Callable[..., None],
    change: str,
    words: str,
) -> None:
    bob.post(f"/jobs/{planned()}/confirm", {"confirm": "3"})
    stray = root / "to" / "a stray"
    if change in ("take", "swap"):
        stray.unlink()
    if change in ("add", "swap"):
        (root / "to" / "another").write_bytes(b"x" * 10)
    if change == "grow":
        stray.write_bytes(b"x" * 11)
    before = tree(root)
    execute(2)
    job = stored(2)
    assert job.status == JobStatus.FAILED
    assert words in (job.error or "")
    assert tree(root) == before, "it touched something"

    assert "Check again" in bob.get("/jobs/2").text
    assert bob.post("/jobs/2/retry").location == "/jobs/3"
    execute(3)
    again = stored(3)
    assert (again.dry_run, again.retry_of_id, again.status) == (True, 2, "completed")
    assert "Sync and delete" in bob.get("/jobs/3").text


def test_new_files_at_the_source_change_nothing_of_what_was_confirmed(
    bob: Browser, root: Path, planned: Callable[..., int], execute: Callable[..., None]
) -> None:
    bob.post(f"/jobs/{planned()}/confirm", {"confirm": "3"})
    (root / "from" / "new").write_bytes(b"new")
    execute(2)
    assert status_of(2) == JobStatus.COMPLETED
    assert (root / "to" / "new").exists()


def test_move_shows_all_that_leaves_the_source_and_refuses_a_file_more(
    bob: Browser, root: Path, planned: Callable[..., int], execute: Callable[..., None]
) -> None:
    shutil.copy2(root / "from" / "file 0", root / "to" / "file 0")
    dry_run = planned(operation="move")
    assert (
        "Copies 1 file, 1000 B; deletes 2 files, 2.0 KiB at the source."
        in bob.get(f"/jobs/{dry_run}").text
    )
    bob.post(f"/jobs/{dry_run}/confirm", {"confirm": "2"})
    (root / "from" / "late").write_bytes(b"late")
    execute(2)
    assert status_of(2) == JobStatus.FAILED
    assert (root / "from" / "file 1").exists()
    (root / "from" / "late").unlink()
    bob.post("/jobs/2/retry")
    execute(3)
    bob.post("/jobs/3/confirm", {"confirm": "Mirror"})
    execute(4)
    assert status_of(4) == JobStatus.COMPLETED
    assert tree(root / "from") == {}


def test_rclone_itself_is_held_to_the_number_that_was_shown(
    bob: Browser,
    root: Path,
    tmp_path: Path,
    planned: Callable[..., int],
    execute: Callable[..., None],
) -> None:
    bob.post(f"/jobs/{planned()}/confirm", {"confirm": "3"})
    told = tmp_path / "told"
    real = str(rclone_path(None))
    fake = scripted_rclone(
        tmp_path,
        f"""
        with open({str(told)!r}, "a") as file:
            file.write(" ".join(sys.argv[1:]) + "\\n")
        if "--dry-run" not in sys.argv:
            # Another one came between the look and the start.
            open({str(root / "to" / "late")!r}, "w").close()
        os.execv({real!r}, ["rclone", *sys.argv[1:]])
        """,
    )
    execute(2, rclone=fake)
    dry_run, real_one = told.read_text().splitlines()
    assert "--dry-run" in dry_run
    assert "--max-delete=3" in real_one
    assert status_of(2) == JobStatus.FAILED
    assert "more than you confirmed" in (stored(2).error or "")


def test_program_confirms_a_dry_run_and_reads_the_plan(
    app: Flask, bob: Browser, planned: Callable[..., int]
) -> None:
    dry_run = planned()
    plan = bob.get(f"/api/v1/jobs/{dry_run}").json["plan"]
    assert (plan["copies"], plan["deletes"], plan["delete_bytes"]) == (2, 3, 60)
    assert plan["first_deletes"][0] == {"name": "a stray", "size": 10}
    token = {"X-CSRFToken": bob.token()}
    path = f"/api/v1/jobs/{dry_run}/confirm"
    assert bob.client.post(path, json={"confirm": "no"}, headers=token).status_code == 422
    answer = bob.client.post(path, json={"confirm": "3"}, headers=token)
    assert (answer.status_code, answer.json["confirms"]) == (201, dry_run)
    assert bob.client.post(path, json={"confirm": "3"}, headers=token).status_code == 200


def test_options_of_the_dry_run_are_those_of_the_job(
    bob: Browser, root: Path, planned: Callable[..., int], execute: Callable[..., None]
) -> None:
    dry_run = planned(exclude="old/")
    bob.post(f"/jobs/{dry_run}/confirm", {"confirm": "2"})
    execute(2)
    assert stored(2).options == Options(exclude=("old/",)).to_json()
    assert (root / "to" / "old" / "c stray").exists()


def test_hostile_names_of_files_are_shown_as_text(
    bob: Browser, root: Path, planned: Callable[..., int], execute: Callable[..., None]
) -> None:
    (root / "to" / "<script>alert(1)<").touch()
    (root / "to" / "two\nlines").touch()
    (root / "to" / "\u202egnp.exe").touch()
    Path(os.fsdecode(os.fsencode(root / "to") + b"/caf\xe9")).touch()
    dry_run = planned()
    page = bob.get(f"/jobs/{dry_run}").text
    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert "deletes 7 files" in page
    bob.post(f"/jobs/{dry_run}/confirm", {"confirm": "7"})
    execute(2)
    assert status_of(2) == JobStatus.COMPLETED, stored(2).error


def test_fifty_thousand_deletions_are_summed_up_in_bounded_memory(
    app: Flask, bob: Browser, tmp_path: Path, sync: dict[str, str], execute: Callable[..., None]
) -> None:
    fake = scripted_rclone(
        tmp_path,
        """
        for number in range(50_000):
            print(json.dumps({"level": "notice", "msg": "Skipped delete", "skipped": "delete",
                              "size": 2, "object": f"stray {number:06}"}), file=sys.stderr)
        tell(0, 0)
        """,
    )
    bob.post("/jobs", sync)
    execute(1, rclone=fake)
    plan = stored(1).plan
    assert plan is not None
    assert (plan["deletes"], plan["delete_bytes"]) == (50_000, 100_000)
    assert [file["name"] for file in plan["first_deletes"]][:2] == ["stray 000000", "stray 000001"]
    assert len(str(plan)) < 2000


def test_plan_of_an_unknown_shape_breaks_no_page(
    bob: Browser, sync: dict[str, str], execute: Callable[..., None]
) -> None:
    bob.post("/jobs", sync)
    row = session.get_one(Job, 1)
    row.status, row.plan = JobStatus.COMPLETED, {"surprise": True}
    session.commit()
    assert bob.get("/jobs/1").status_code == 200
    assert bob.get("/api/v1/jobs/1").status_code == 200
