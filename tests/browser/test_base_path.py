"""The portal below a path of a host that it shares: everything that leads somewhere stays below
it, whether the proxy takes the path off or not, and whoever says it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
import requests
from playwright.sync_api import BrowserContext, expect

from tests.support.people import Person
from tests.support.portal_server import CopiedPortal, PortalServer, with_users
from tests.support.ports import free_port
from tests.support.proxies import NGINX, PLAIN, nginx_command, wait_until_open
from tests.support.transfers import fill
from tests.support.users import PASSWORD

PREFIX = "/tools/portal"
SITE = """
    location {prefix}/ {{ proxy_pass http://127.0.0.1:{upstream}{end};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Host $http_host;
      {header}
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
    }}
    location / {{ return 410; }}
"""
#: What nginx does, and how the portal knows.
WAYS = {
    "takes it off and says so": ("/", True, {"PORTAL_TRUSTED_PROXIES": "1"}),
    "leaves it and says so": ("", True, {"PORTAL_TRUSTED_PROXIES": "1"}),
    "takes it off, and a setting says so": ("/", False, {"PORTAL_BASE_URL": "http://x" + PREFIX}),
    "leaves it, and a setting says so": ("", False, {"PORTAL_BASE_URL": "http://x" + PREFIX}),
}
#: What a page asks for or leads to.
LEADS = re.compile(r'\b(href|src|hx-get|action|formaction|hx-post|hx-put|hx-delete)="([^"]*)"')
ASKED = ("href", "src", "hx-get")


class Site:
    """An nginx in front of a portal; ``url`` is that of the portal."""

    def __init__(self, folder: Path, server: PortalServer, end: str, header: bool) -> None:
        port = free_port()
        self.host = f"http://127.0.0.1:{port}"
        self.url = self.host + PREFIX
        set_header = f"proxy_set_header X-Forwarded-Prefix {PREFIX};" if header else ""
        text = NGINX.format(
            user="user root;",
            folder=folder,
            port=port,
            plain=PLAIN.format(upstream=server.port),
            socket_io=" return 410; ",
        )
        begun, ended = text.index("    location /"), text.rindex("  }\n}")
        site = SITE.format(prefix=PREFIX, upstream=server.port, end=end, header=set_header)
        folder.mkdir()
        (folder / "nginx.conf").write_text(text[:begun] + site + text[ended:])
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [nginx_command(), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        wait_until_open(port, self._process)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._log.close()


@pytest.fixture(params=list(WAYS))
def site(
    request: pytest.FixtureRequest, migrated: Path, tmp_path: Path
) -> Iterator[tuple[Site, PortalServer]]:
    end, header, settings = WAYS[request.param]
    server = with_users(tmp_path, migrated, CopiedPortal, **settings)
    server.start()
    made = Site(tmp_path / "nginx", server, end, header)
    yield made, server
    made.stop()
    server.clean_up()


def enter(site: Site, server: PortalServer, name: str) -> Person:
    server.url = site.url
    person = Person(server)
    answer = person.sign_in(name, PASSWORD)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{PREFIX}/")
    return person


def leads_of(page: str) -> set[tuple[str, str]]:
    """Attributes and their values."""
    return {(found[1], unescape(found[2])) for found in LEADS.finditer(page)}


def test_every_link_form_and_redirect_stays_below_the_path(
    site: tuple[Site, PortalServer],
) -> None:
    nginx, server = site
    asked = requests.get(f"{nginx.url}/jobs?status=failed", timeout=10, allow_redirects=False)
    assert asked.headers["Location"].startswith(f"{PREFIX}/login?next=")
    assert "%2Ftools%2Fportal%2Fjobs" in asked.headers["Location"].replace("/", "%2F")
    alice = enter(nginx, server, "alice")
    (cookie,) = alice.http.cookies
    assert (cookie.name, cookie.path) == ("portal", PREFIX)

    order = {"name": "Nightly", "operation": "copy", "source": str(fill(server.root / "from"))}
    made = alice.post("/jobs", **order, destination=str(server.root / "to"), bandwidth_limit="")
    assert (made.status_code, made.headers["Location"]) == (303, f"{PREFIX}/jobs/1")

    seen: dict[str, int] = {}
    waiting = [f"{PREFIX}/", f"{PREFIX}/nothing", f"{PREFIX}/api/v1/openapi.json"]
    while waiting:
        path = waiting.pop()
        answer = alice.http.get(nginx.host + path, timeout=20, allow_redirects=False)
        seen[path] = answer.status_code
        # 204: the log of a job that still runs has no news.
        assert answer.status_code in (200, 204, 303, 302, 404), path
        if "Location" in answer.headers:
            assert answer.headers["Location"].startswith(f"{PREFIX}/"), path
        if "text/html" not in answer.headers.get("Content-Type", ""):
            continue
        for attribute, lead in leads_of(answer.text):
            if lead.startswith(("#", "data:", "https://")):
                continue
            absolute = urlsplit(urljoin(nginx.host + path, lead))
            assert absolute.netloc == urlsplit(nginx.host).netloc, f"{path} leads to {lead}"
            assert absolute.path.startswith(f"{PREFIX}/"), f"{path} leads to {lead}"
            whole = absolute.path + (f"?{absolute.query}" if absolute.query else "")
            # Of the pages that differ by a filter alone, a few are enough.
            if (
                attribute in ASKED
                and whole not in seen
                and whole not in waiting
                and len(seen) < 150
            ):
                waiting.append(whole)
    assert len(seen) > 40
    assert {f"{PREFIX}/jobs", f"{PREFIX}/settings", f"{PREFIX}/users"} <= seen.keys()
    assert [path for path, code in seen.items() if code == 404] == [f"{PREFIX}/nothing"]

    stranger = requests.get(
        f"{nginx.url}/api/dashboard/stats", headers={"HX-Request": "true"}, timeout=10
    )
    assert (stranger.status_code, stranger.headers["HX-Redirect"]) == (401, f"{PREFIX}/login")
    listed = alice.http.get(f"{nginx.url}/api/v1/jobs?per_page=1")
    assert listed.links
    assert all(link["url"].startswith(f"{PREFIX}/api/v1/jobs") for link in listed.links.values())


def test_page_is_connected_and_asks_for_nothing_beside_the_path(
    site: tuple[Site, PortalServer], new_context: Callable[..., BrowserContext]
) -> None:
    nginx, server = site
    page = new_context().new_page()
    beside: list[str] = []
    page.on("request", lambda asked: beside.append(asked.url) if outside(asked.url) else None)
    failed: list[str] = []
    page.on("response", lambda got: failed.append(got.url) if got.status >= 400 else None)
    page.goto(f"{nginx.url}/login")
    page.fill("[name=username]", "bob")
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    expect(page.locator("body[data-state=connected]")).to_be_attached(timeout=20_000)
    assert page.url == f"{nginx.url}/"

    source = fill(server.root / "from", 400_000, 6)
    page.goto(f"{nginx.url}/jobs/new")
    page.fill("[name=name]", "Seen live")
    page.fill("[name=source]", str(source))
    page.fill("[name=destination]", str(server.root / "to"))
    page.get_by_role("button", name="Start job").click()
    page.wait_for_url(f"{nginx.url}/jobs/1")
    expect(page.locator("body[data-state=connected]")).to_be_attached(timeout=20_000)
    expect(page.locator("#job-1[data-status=completed]")).to_be_attached(timeout=30_000)

    page.goto(f"{nginx.url}/connection")
    expect(page.locator("body[data-state=connected]")).to_be_attached(timeout=20_000)
    assert beside == []
    assert failed == []
    page.close()


def outside(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "ws") and not parts.path.startswith(f"{PREFIX}/")


@pytest.mark.parametrize(
    "header",
    [
        *("//evil.example", "/\\evil.example", "evil", "/a b", '/a"onload="x', "/../x", "/jobs"),
        *("/" + "a" * 200, "/a//b", "/a/./b", "https://evil.example/"),
    ],
)
def test_header_that_is_no_path_changes_nothing(header: str, untouched: PortalServer) -> None:
    answer = requests.get(
        f"{untouched.url}/jobs",
        headers={"X-Forwarded-Prefix": header},
        timeout=10,
        allow_redirects=False,
    )
    assert answer.headers["Location"].startswith("/login?next=")


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalServer]:
    server = CopiedPortal(tmp_path_factory.mktemp("portal"), PORTAL_TRUSTED_PROXIES="1")
    server.start()
    yield server
    server.clean_up()


def test_header_is_nothing_where_no_proxy_is_trusted(portal: PortalServer) -> None:
    answer = requests.get(
        f"{portal.url}/jobs",
        headers={"X-Forwarded-Prefix": "/elsewhere"},
        timeout=10,
        allow_redirects=False,
    )
    assert answer.headers["Location"].startswith("/login?next=")
