"""An admin says which job runs next; everybody sees it at once."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.support import recorder, scripted
from tests.support.pages import Visit
from tests.support.people import Person
from tests.support.portal_server import PortalServer

SETTINGS = {**scripted.SETTINGS, "PORTAL_MAX_RUNNING_JOBS": "1"}


def test_job_that_is_to_run_next_goes_before_the_others_on_every_screen(
    portal: PortalServer, visit: Visit
) -> None:
    alice, bob, charlie = (Person(portal, name) for name in ("alice", "bob", "charlie"))
    endless = [scripted.endless(portal.root / name) for name in ("now", "second", "third")]
    running, second, third = (bob.transfer(one.name, source=one) for one in endless)
    bob.wait_for(running, "running")
    hers, his = visit(alice, "/jobs"), visit(charlie, "/jobs")
    for page in (hers, his):
        recorder.wait_for_state(page, "connected")
        expect(page.locator(f"#job-{second} .job-phase")).to_have_text("next in the queue")
        expect(page.locator(f"#job-{third} .job-phase")).to_have_text("2nd in the queue")
    expect(his.locator(f"#next-{third}")).to_have_count(0)

    hers.click(f"#next-{third}")

    for page in (hers, his):
        place = page.locator(f"#job-{third} .job-phase")
        expect(place).to_have_text("next, high priority")
        expect(page.locator(f"#job-{second} .job-phase")).to_have_text("2nd in the queue")
    expect(hers.locator(f"#next-{third}")).to_have_count(0)
    bob.cancel(running)
    expect(his.locator(f"#job-{third}")).to_have_attribute("data-status", "running")
    expect(his.locator(f"#job-{second}")).to_have_attribute("data-status", "queued")
    for job in (second, third):
        bob.cancel(job)
