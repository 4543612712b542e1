"""Cancel means cancelled: pressed twice, by two people, or in the moment when the job is done."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Page, expect

from tests.support import recorder
from tests.support.pages import Visit
from tests.support.people import Person
from tests.support.portal_server import PortalServer

TIMES = 50
SURE = 4
PEOPLE = 4


def test_cancel_pressed_twice_cancels_once(portal: PortalServer, visit: Visit) -> None:
    bob, alice = Person(portal, "bob"), Person(portal, "alice")
    job = bob.transfer("Twice", files=50, limit="500k")
    bob.wait_for(job, "running")
    page, other = visit(bob, "/jobs"), visit(alice, "/jobs")
    for one in (page, other):
        recorder.wait_for_state(one, "connected")

    page.dblclick(f"#cancel-{job}")
    expect(page.get_by_text("Cancel this job?")).to_be_visible()
    other.click(f"#cancel-{job}")
    # Slowly: between the two clicks the row changes, and another button lies under the pointer.
    page.dblclick(f"#job-{job} .confirm >> text=Cancel job", delay=100)
    assert alice.cancel(job).status_code == 303
    assert alice.cancel(job).status_code == 303

    for one in (page, other):
        row = one.locator(f"#job-{job}")
        expect(row).to_have_attribute("data-status", "cancelled", timeout=10_000)
        expect(row.get_by_text("Cancel this job?")).to_be_hidden()
        assert one.locator("[role=alert].notice").inner_text() == ""
        told = [event["status"] for event in recorder.events(one) if event["status"]]
        assert told == ["cancelling", "cancelled"]


@pytest.mark.slow
def test_cancel_against_completion_never_contradicts_itself(
    portal: PortalServer, visit: Visit
) -> None:
    people = [Person(portal, "bob") for _ in range(PEOPLE)]
    short, long = people[0].folder("short", 3, 1000), people[0].folder("long", 3, 1_000_000)
    page = visit(people[0], "/jobs")
    recorder.wait_for_state(page, "connected")
    chance = random.Random(1)  # noqa: S311 - moments, not secrets

    def race(number: int) -> tuple[int, int, str]:
        person = people[number % PEOPLE]
        # In a race either may win, and on some machine one always does: so that both are seen, a
        # few are cancelled long before their end, and a few after it.
        early, late = number < SURE, number >= TIMES - SURE
        job = person.transfer(
            f"Race {number}", source=long if early else short, limit="100k" if early else ""
        )
        if late:
            person.wait_for(job, "completed")
        elif not early:
            time.sleep(chance.uniform(0, 0.6))  # The moment is the point.
        answer = person.cancel(job)
        ended = person.wait_for(job, "cancelled", "completed", "failed")
        return job, answer.status_code, ended.status

    with ThreadPoolExecutor(PEOPLE) as pool:
        races = pool.map(race, range(TIMES))
        outcomes = list(races)

    ends = [(code, status) for _, code, status in outcomes]
    assert set(ends[:SURE]) == {(303, "cancelled")}, outcomes
    assert set(ends[-SURE:]) == {(409, "completed")}, outcomes
    assert set(ends) == {(303, "cancelled"), (409, "completed")}, outcomes
    last = {job: status for job, _, status in outcomes}
    recorder.until(page, lambda: last_announced(page).keys() >= last.keys())
    assert {job: status for job, status in last_announced(page).items() if job in last} == last


def last_announced(page: Page) -> dict[int, str]:
    """The last status that the page was told of each job that has ended."""
    told = {event["job"]: event["status"] for event in recorder.events(page) if event["status"]}
    return {job: status for job, status in told.items() if status in ("cancelled", "completed")}
