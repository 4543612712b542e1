"""Markup in everything that is stored or repeated, on every page in a real browser: none of it
becomes an element, and the content policy has nothing to refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, Page

from tests.support import recorder
from tests.support.pages import launched
from tests.support.people import Person
from tests.support.portal_server import CopiedPortal, PortalServer, with_users
from tests.support.scripts import python_program

pytestmark = pytest.mark.browser

#: Whatever becomes an element bears this mark.
PAYLOADS = [
    "<script data-owned>owned=1</script>",
    "<img src=x data-owned onerror=owned=1>",
    "'\"><svg data-owned onload=owned=1>",
    "</title></textarea></select><b data-owned>",
    "<a data-owned href=javascript:owned=1>x</a>",
    "<style data-owned>*{color:red}</style>",
    "<form data-owned action=//evil.example><button>",
    "<iframe data-owned srcdoc='<script>owned=1</script>'>",
    "<meta data-owned http-equiv=refresh content='0;url=//evil.example'>",
    "<base data-owned href=//evil.example>",
    "<div data-owned hx-get=/logout hx-trigger=load>",
    "<li data-owned class=job data-job=1 data-status=running>",
    "{{7*7}}${7*7}<%=7*7%>#{7*7}",
    "&lt;script&gt;owned=1&lt;/script&gt;",
    "javascript:owned=1//",
    '" autofocus onfocus=owned=1 data-owned="',
]
#: Notes what the policy refused and what asked a question.
WATCH = """
window.refused = [];
document.addEventListener('securitypolicyviolation', (event) =>
  refused.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));
"""
RCLONE = """
import json, sys, time
if sys.argv[1:2] == ["version"]:
    print("rclone v1.75.2")
    sys.exit()
name = sys.argv[-2].rpartition("/")[2]
stats = dict(bytes=50, totalBytes=100, speed=1, eta=9, transfers=1, totalTransfers=2, checks=0,
             listed=2, errors=1, transferring=[dict(name=name, size=100, bytes=50, percentage=50)])
def tell(level, text):
    print(json.dumps(dict(level=level, msg=text, stats=stats)), file=sys.stderr, flush=True)
tell("error", name + ": " + {payloads!r})
tell("notice", "")
if "stays" in name:
    while True:
        time.sleep(0.5)
        tell("notice", "")
sys.exit(7)
"""


@pytest.fixture(scope="module")
def server(
    migrated: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[PortalServer]:
    folder = tmp_path_factory.mktemp("payloads")
    rclone = python_program(folder / "rclone", RCLONE.format(payloads="".join(PAYLOADS)))
    running = with_users(
        folder, migrated, CopiedPortal, PORTAL_RCLONE=str(rclone), PORTAL_MAX_RUNNING_JOBS="20"
    )
    running.start()
    yield running
    running.clean_up()


@pytest.fixture(scope="module")
def filled(server: PortalServer) -> dict[str, int]:
    """Payloads in every field that anybody can fill; the jobs by payload."""
    bob, alice = Person(server, "bob"), Person(server, "alice")
    jobs = {}
    for payload in [*PAYLOADS, *(f"{one} stays" for one in PAYLOADS[:4])]:
        name = payload.replace("/", "")
        source = server.root / name
        source.mkdir()
        jobs[payload] = bob.start(source, server.root / "to" / name, name=payload)
    for start in range(0, len(PAYLOADS), 5):
        some = "".join(PAYLOADS[start : start + 5])
        alice.post("/tokens", name=some[:100], scope="read", expires="30")
        bob.http.headers["User-Agent"] = some
        bob.http.cookies.clear()
        bob.post("/login", username=some[:60], password=some)
        bob.sign_in()
    bob.wait_for(jobs[PAYLOADS[0]], "failed")
    bob.wait_for(jobs[PAYLOADS[-1]], "failed")
    for path in ("/tokens", "/audit", "/jobs"):
        assert "&lt;script data-owned" in alice.get(path).text, f"nothing to find on {path}"
    bob.wait_for(jobs[PAYLOADS[0] + " stays"], "running")
    return jobs


@pytest.fixture(scope="module")
def chromium(pytestconfig: pytest.Config) -> Chromium:
    return launched(pytestconfig)


@pytest.fixture
def page(server: PortalServer, chromium: Chromium) -> Iterator[Callable[[str], Page]]:
    contexts: list[BrowserContext] = []

    def open_page(name: str) -> Page:
        context = chromium.new_context()
        contexts.append(context)
        context.add_cookies([Person(server, name).browser_cookie])  # type: ignore[list-item]
        context.add_init_script(WATCH)
        opened = context.new_page()
        opened.on("dialog", lambda dialog: dialog.dismiss())
        return opened

    yield open_page
    for context in contexts:
        context.close()


def faults(page: Page) -> list[Any]:
    found: list[Any] = page.evaluate(
        """() => [
          ...refused,
          ...[...document.querySelectorAll('[data-owned]')].map((one) => one.outerHTML),
          ...(window.owned === undefined ? [] : ['a payload ran']),
          ...(document.title.includes('49') ? ['a template ran'] : []),
        ]"""
    )
    return found


def addresses(jobs: dict[str, int]) -> list[str]:
    everything = quote("".join(PAYLOADS[:4]))
    return [
        "/", "/jobs", "/jobs?page=2", f"/jobs?q={everything}", "/sessions", "/settings", "/tokens",
        "/users", "/users/2/sessions", "/users/3/sessions", f"/users?q={everything}",
        "/audit", "/audit?page=2",
        f"/audit?who={everything}&action={everything}&from={everything}", "/connection",
        f"/{everything}", f"/jobs?status={everything}", "/api/v1/docs",
        *(f"/jobs/{job}" for job in list(jobs.values())[:12]),
    ]  # fmt: skip


def test_no_payload_becomes_an_element_and_no_page_breaks_its_own_policy(
    server: PortalServer, filled: dict[str, int], page: Any
) -> None:
    looked_at = page("alice")
    wrong = {}
    for address in addresses(filled):
        answer = looked_at.goto(server.url + address)
        assert answer is not None
        assert answer.status < 500, address
        looked_at.wait_for_load_state("load")
        if found := faults(looked_at):
            wrong[address] = found
    assert wrong == {}


def test_payload_that_arrives_by_push_poll_and_click_stays_text(
    server: PortalServer, filled: dict[str, int], page: Any
) -> None:
    watched = page("alice")
    watched.goto(f"{server.url}/jobs?status=running")
    recorder.wait_for_state(watched, "connected")
    job = filled[PAYLOADS[1] + " stays"]
    bob = Person(server, "bob")
    bob.cancel(job)
    watched.wait_for_function(
        "(job) => !['running', 'cancelling'].includes("
        "document.getElementById(`job-${job}`)?.dataset.status)",
        arg=job,
    )
    name = PAYLOADS[1]
    source = server.root / "pushed stays"
    source.mkdir()
    bob.start(source, server.root / "to/pushed", name=name)
    watched.get_by_text("pushed stays").first.wait_for(state="attached")
    assert faults(watched) == []


def test_this_watch_would_see_a_payload_that_ran(server: PortalServer, page: Any) -> None:
    watched = page("alice")
    watched.goto(f"{server.url}/")
    watched.evaluate(
        "(html) => document.body.insertAdjacentHTML('beforeend', html)",
        PAYLOADS[1],
    )
    recorder.until(watched, lambda: len(faults(watched)) >= 2)
