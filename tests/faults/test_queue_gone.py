"""Redis dies under a page and comes back: the page says so, fetches meanwhile, and goes on live."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Request, expect

from portal.realtime.bus.messages import Kind
from portal.realtime.bus.publisher import Publisher
from portal.realtime.rooms import STATUS_CHANGE, topic_room
from tests.support import recorder
from tests.support.pages import Visit
from tests.support.parts import Postgres, Redis
from tests.support.people import Person
from tests.support.portal_server import CopiedPortal, PortalServer

BACK_MILLISECONDS = 5_000
#: A page that was told to fetch does so within this, spread over everybody.
FETCHED_MILLISECONDS = 4_000


@pytest.fixture(scope="module")
def scaled_out(
    postgres_server: Postgres, redis_server: Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PortalServer]:
    """With its first admin and nobody else."""
    server = CopiedPortal(
        tmp_path_factory.mktemp("portal"),
        PORTAL_DATABASE_URL=postgres_server.create(),
        PORTAL_REDIS_URL=redis_server.url,
    )
    server.start()
    yield server
    server.clean_up()


def is_of_the_page(request: Request) -> bool:
    return request.url.endswith("/jobs") and request.is_navigation_request() is False


def test_page_says_that_updates_are_delayed_polls_and_fetches_when_redis_is_back(
    scaled_out: PortalServer, redis: Redis, visit: Visit
) -> None:
    page: Page = visit(Person(scaled_out, "admin"), "/jobs")
    recorder.wait_for_state(page, "connected")
    strip = page.locator("[data-connection=strip]")

    redis.kill()
    expect(page.locator("[data-connection=text]")).to_have_text(
        "Live updates are delayed", timeout=BACK_MILLISECONDS
    )
    assert page.evaluate("document.body.dataset.state") == "connected"
    for _ in range(2):
        page.wait_for_event("request", is_of_the_page, timeout=7_000)

    with page.expect_event("request", is_of_the_page, timeout=30_000):
        redis.start()
        expect(strip).to_be_hidden(timeout=BACK_MILLISECONDS)
    assert recorder.states(page)[-1] == "connected"
    assert "reconnecting" not in recorder.states(page)

    worker = Publisher(redis.url)
    worker.publish(
        Kind.EVENT,
        topic_room(STATUS_CHANGE),
        "job_status_change",
        {"job_id": 9001, "seq": 1, "new_status": "running", "old_status": "queued"},
    )
    page.wait_for_function(
        "() => portalLog.events.some((event) => event.job === 9001)", timeout=BACK_MILLISECONDS
    )
    worker.close()
