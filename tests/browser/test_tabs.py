"""Many tabs of one person share one connection."""

from __future__ import annotations

import time

import pytest

from tests.support import recorder, scripted
from tests.support.pages import Visit
from tests.support.people import Person
from tests.support.portal_server import PortalServer

SETTINGS = scripted.SETTINGS
TABS = 10


def open_sockets(server: PortalServer) -> int:
    return server.log.count("socket connected") - server.log.count("socket disconnected")


@pytest.mark.slow
def test_ten_tabs_hold_one_socket_and_its_end_hands_over_with_nothing_missed(
    portal: PortalServer, visit: Visit
) -> None:
    bob = Person(portal, "bob")
    first = visit(bob, "/jobs")
    recorder.wait_for_state(first, "connected")
    tabs = [visit(bob, "/jobs", inside=first.context) for _ in range(TABS - 1)]
    for tab in tabs:
        recorder.wait_for_state(tab, "connected")
    assert open_sockets(portal) == 1
    assert [len(recorder.attempts(tab)) for tab in tabs] == [0] * len(tabs)

    job = bob.transfer("Shared", source=scripted.endless(portal.root / "shared"))
    for tab in tabs:
        tab.wait_for_function(
            "(job) => document.querySelector(`#job-${job}[data-status=running]`)", arg=job
        )
    first.close()
    closed = time.monotonic()
    bob.cancel(job)  # In the very gap between two leaders.
    leaders = recorder.until(
        tabs[0], lambda: [tab for tab in tabs if recorder.attempts(tab)], seconds=1
    )
    assert time.monotonic() - closed < 1.5
    bob.wait_for(job, "cancelled")
    for tab in tabs:
        tab.wait_for_function(
            "(job) => document.querySelector(`#job-${job}[data-status=cancelled]`)",
            arg=job,
            timeout=3000,
        )
        recorder.wait_for_state(tab, "connected", seconds=1)
    assert len(leaders) == 1
    assert open_sockets(portal) == 1
