"""A chart whose page was cut off has no hole once it is back: the worker went on measuring."""

from __future__ import annotations

from tests.support import recorder, scripted
from tests.support.pages import Visit, drawn, points
from tests.support.people import Person
from tests.support.portal_server import PortalServer
from tests.support.proxies import FaultyWay

SETTINGS = {**scripted.SETTINGS, "PORTAL_TEST_TIME_SCALE": "0.2"}


def test_chart_has_no_hole_after_a_reconnect(
    portal: PortalServer, way: FaultyWay, bob: Person, visit: Visit
) -> None:
    job = bob.transfer("Cut off", source=scripted.endless(portal.root / "cut off"))
    bob.wait_for(job, "running")
    page = visit(bob, f"/jobs/{job}", at=way.url)
    recorder.wait_for_state(page, "connected")
    page.wait_for_selector(".uplot")
    recorder.until(page, lambda: drawn(page) >= 5, seconds=20)

    way.fault = "refuse"
    recorder.wait_for_state(page, "reconnecting", seconds=3)
    page.wait_for_timeout(5000)  # Longer than a figure holds.
    way.fault = ""
    recorder.wait_for_state(page, "connected")

    # Its worker writes every ten seconds, and the page asks as often.
    recorder.until(page, lambda: is_whole(points(page)), seconds=40)
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1
    bob.cancel(job)


def is_whole(said: list[str]) -> bool:
    """It goes well beyond the time without a line, and says something of each second of that."""
    return len(said) >= 15 and not [one for one in said[2:] if "–" in one]
