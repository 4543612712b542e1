"""The page Bandwidth: admins set budgets of the portal and of remotes, and see what is used."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from portal.db.session import session
from portal.models import AuditEntry, BandwidthBudget, Job, Remote
from portal.transfers.states import JobStatus
from tests.support.client import Browser
from tests.support.job_pages import errors_in
from tests.support.remotes import SFTP, new_remote
from tests.support.storages import typed

assert new_remote
MIB = 1024 * 1024
PAGE = "/settings/bandwidth"


@pytest.fixture
def alice(browser: Callable[..., Browser]) -> Browser:
    return browser("alice")


@pytest.fixture
def more_settings() -> dict[str, Any]:
    return {"remotes_allow_local": True}


def budgets() -> dict[int, tuple[str, str]]:
    session.remove()
    found = {one.id: (one.rate, one.timezone) for one in session.scalars(select(BandwidthBudget))}
    session.remove()
    return found


def notes() -> list[tuple[str, str, str]]:
    session.remove()
    query = (
        select(AuditEntry).where(AuditEntry.action == "bandwidth.budget").order_by(AuditEntry.id)
    )
    found = [(one.actor, one.target, one.detail) for one in session.scalars(query)]
    session.remove()
    return found


def is_running(job_id: int, **figures: Any) -> None:
    session.execute(update(Job).where(Job.id == job_id).values(status=JobStatus.RUNNING, **figures))
    session.commit()
    session.remove()


def test_admin_sets_a_budget_of_the_portal(alice: Browser) -> None:
    assert alice.post(PAGE, {"bandwidth_budget": " 10 MiB/s "}).status_code == 303
    assert budgets() == {0: ("10M", "UTC")}
    page = alice.get(PAGE).text
    assert 'value="10M"' in page
    assert "0 of 10 MiB/s" in page
    assert notes() == [("alice", "portal", "from none to 10M")]


def test_page_is_reached_from_the_navigation_of_admins_alone(
    alice: Browser, browser: Callable[..., Browser]
) -> None:
    assert f'href="{PAGE}"' in alice.get("/jobs").text
    for person in ("bob", "charlie"):
        assert PAGE not in browser(person).get("/jobs").text
        assert browser(person).get(PAGE).status_code == 403
        assert browser(person).post(PAGE, {"bandwidth_budget": "1M"}).status_code == 403
    assert budgets() == {}


def test_form_without_its_token_is_refused(alice: Browser) -> None:
    assert alice.client.post(PAGE, data={"bandwidth_budget": "1M"}).status_code == 400
    assert budgets() == {}


@pytest.mark.parametrize(
    "wrong",
    ["0", "-1", "1e9G", "fast", "10", "08:00,10M 25:00,off", "08:00,10M 08:00,5M", "9" * 99],
)
def test_wrong_text_is_422_with_the_error_beside_its_field_and_changes_nothing(
    alice: Browser, wrong: str
) -> None:
    alice.post(PAGE, {"bandwidth_budget": "10M"})
    answer = alice.post(PAGE, {"bandwidth_budget": wrong})
    assert answer.status_code == 422
    assert list(errors_in(answer.text)) == ["bandwidth_budget"]
    assert f'value="{wrong}"' in answer.text
    assert budgets() == {0: ("10M", "UTC")}
    assert len(notes()) == 1


def test_timetable_goes_by_the_clock_of_the_admin(alice: Browser) -> None:
    alice.post("/settings", {"timezone": "Europe/Berlin"})
    alice.post(PAGE, {"bandwidth_budget": "8:00,10M 19:00,off"})
    assert budgets() == {0: ("08:00,10M 19:00,off", "Europe/Berlin")}
    assert "10 MiB/s from 08:00, no limit from 19:00 (Europe/Berlin)" in alice.get(PAGE).text


def test_to_save_twice_changes_and_notes_nothing_more(alice: Browser) -> None:
    for _ in range(2):
        assert alice.post(PAGE, {"bandwidth_budget": "10M"}).status_code == 303
    assert len(notes()) == 1


@pytest.mark.parametrize("text", ["", "  ", "off"])
def test_empty_text_removes_the_budget(alice: Browser, text: str) -> None:
    alice.post(PAGE, {"bandwidth_budget": "10M"})
    alice.post(PAGE, {"bandwidth_budget": text})
    assert budgets() == {}
    assert notes()[-1] == ("alice", "portal", "from 10M to none")
    assert "no budget" in alice.get(PAGE).text


def test_budgets_of_remotes_stand_on_the_same_page(
    alice: Browser, new_remote: Callable[..., Remote]
) -> None:
    nas, cloud = (new_remote(name, "sftp", SFTP) for name in ("nas", "cloud"))
    form = {"bandwidth_budget": "", f"bandwidth_budget_{nas.id}": "2M"}
    assert alice.post(PAGE, form).status_code == 303
    assert budgets() == {nas.id: ("2M", "UTC")}, "a field that was not sent keeps its value"
    assert notes() == [("alice", "remote nas", "from none to 2M")]
    wrong = {f"bandwidth_budget_{nas.id}": "5M", f"bandwidth_budget_{cloud.id}": "fast"}
    answer = alice.post(PAGE, wrong)
    assert (answer.status_code, list(errors_in(answer.text))) == (
        422,
        [f"bandwidth_budget_{cloud.id}"],
    )
    assert budgets() == {nas.id: ("2M", "UTC")}, "all or nothing"


def test_budget_stands_on_the_form_of_its_remote_too(
    alice: Browser, new_remote: Callable[..., Remote]
) -> None:
    nas = new_remote("nas", "sftp", SFTP)

    def save(version: int, budget: str) -> Any:
        form = typed(SFTP, version=str(version), bandwidth_budget=budget)
        return alice.post(f"/remotes/{nas.id}", form)

    assert save(1, "8:00,2M 20:00,off").status_code == 303
    assert budgets() == {nas.id: ("08:00,2M 20:00,off", "UTC")}
    assert "08:00,2M 20:00,off" in alice.get(f"/remotes/{nas.id}").text
    assert "2 MiB/s from 08:00" in alice.get("/remotes").text
    refused = save(2, "fast")
    assert (refused.status_code, errors_in(refused.text)["bandwidth_budget"]) == (
        422,
        "Use a number and a unit per second, such as 10M or 512k.",
    )
    alice.post(PAGE, {f"bandwidth_budget_{nas.id}": "3M"})
    stale = save(2, "")
    assert stale.status_code == 409, "who has the form open is told of another's budget"
    assert "3M" in stale.text
    assert save(3, "").status_code == 303
    assert budgets() == {}


def test_budget_goes_with_its_remote(alice: Browser, new_remote: Callable[..., Remote]) -> None:
    nas = new_remote("nas", "sftp", SFTP)
    alice.post(PAGE, {f"bandwidth_budget_{nas.id}": "2M"})
    assert alice.post(f"/remotes/{nas.id}/delete").status_code == 303
    assert budgets() == {}
    gone = alice.post(PAGE, {f"bandwidth_budget_{nas.id}": "2M"})
    assert gone.status_code == 303
    assert budgets() == {}


def test_page_says_how_much_of_each_budget_is_used_now(
    alice: Browser, new_remote: Callable[..., Remote], new_job: Callable[..., int]
) -> None:
    nas = new_remote("nas", "sftp", SFTP)
    alice.post(PAGE, {"bandwidth_budget": "10M", f"bandwidth_budget_{nas.id}": "2M"})
    is_running(new_job(), speed_bytes=5 * MIB)
    to_nas = {"destination": "nas:backup", "destination_remote_id": nas.id}
    is_running(new_job(**to_nas), speed_bytes=int(1.2 * MIB))
    is_running(new_job(operation="check"), speed_bytes=0)
    new_job()
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", alice.get(PAGE).text))
    assert "Whole portal 6.2 of 10 MiB/s 3 running jobs" in page
    assert "nas 1.2 of 2 MiB/s 1 running job 2 MiB/s" in page


def test_job_shows_what_it_is_allowed_on_its_page_in_its_row_and_in_the_api(
    alice: Browser, new_job: Callable[..., int]
) -> None:
    job = new_job()
    is_running(job, speed_bytes=int(1.2 * MIB), allowed_bytes=10 * MIB)
    for path in (f"/jobs/{job}", "/jobs", "/", f"/api/jobs/{job}/progress"):
        assert "1.2 of 10 MiB/s allowed now" in alice.get(path).text, path
    assert alice.get(f"/api/jobs/{job}/progress").status_code == 200


def test_job_without_a_budget_shows_its_speed_alone(
    alice: Browser, new_job: Callable[..., int]
) -> None:
    job = new_job(bandwidth_limit="5M")
    is_running(job, speed_bytes=MIB)
    assert "allowed now" not in alice.get(f"/jobs/{job}").text
