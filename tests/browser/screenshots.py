"""Pictures of every page: `python -m tests.browser.screenshots FOLDER`, or `--readme` for those
that the README and the tutorial show.

Starts a portal of its own in a temporary folder, gives it real transfers in every state, and
photographs what each role sees, light and dark, at three widths. It says which pages are wider
than the screen.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from tests.browser import chromium
from tests.support.people import Person
from tests.support.portal_server import PortalServer
from tests.support.project import ROOT
from tests.support.users import PASSWORD, USERS
from tests.support.waiting import wait_for

README_PICTURES = ROOT / "docs" / "images"
WIDTHS = (360, 768, 1440)
THEMES = ("light", "dark")
MIB = 1024 * 1024
LONG_NAME = "Quarterly measurements of all stations " * 5 + "end"

# Name, operation, number of files, size of each in MiB, bandwidth limit.
Sample = tuple[str, str, int, int, str]
ENDED = (
    ("Nightly photos", "copy", 24, 6, ""),
    ("Compare the backups", "check", 40, 1, ""),
    ("Empty inbox", "move", 12, 2, ""),
)
RUNNING = (
    ("Laboratory archive", "copy", 48, 8, "4M"),
    ("Web site mirror", "sync", 300, 1, "2M"),
    ("Music library", "copy", 90, 4, "6M"),
)
WAITING = (("Weekly dumps", "copy", 10, 4, "1M"), (LONG_NAME[:200], "copy", 6, 2, "512k"))


def begin(person: Person, name: str, operation: str, files: int, mebibytes: int, limit: str) -> int:
    """A new job. Its files are sparse, so that they cost no room."""
    root = person.server.root
    folder = root / "sources" / re.sub(r"\W+", "-", name.lower())[:180]
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        with (folder / f"part-{number:04}.dat").open("wb") as file:
            file.truncate(mebibytes * MIB)
    copies = root / "copies" / folder.name
    if operation == "check":
        folder, copies = (side / "nightly-photos" for side in (folder.parent, copies.parent))
    return person.start(folder, copies, name=name, operation=operation, bandwidth_limit=limit)


def fill(server: PortalServer, waiting: Sequence[Sample]) -> dict[str, str]:
    """Transfers in every state; the paths of a few of them by what they show."""
    bob = Person(server, "bob")
    interrupted = begin(bob, "Staging mirror", "sync", 40, 4, "1M")
    bob.wait_for(interrupted, "running")
    server.kill()  # What deletes files stays interrupted when the portal comes back.
    server.start()
    ended = []
    for sample in ENDED:
        ended.append(begin(bob, *sample))
        bob.wait_for(ended[-1], "completed", "failed")
    emptied = server.root / "sources" / "scans"
    emptied.mkdir(parents=True, exist_ok=True)
    scans = server.root / "copies" / "scans"
    failed = bob.start(emptied, scans, name="Scans of last week", operation="sync")
    cancelled = begin(bob, "Old projects", "copy", 20, 4, "1M")
    bob.wait_for(cancelled, "running")
    bob.cancel(cancelled)
    bob.wait_for(cancelled, "cancelled")
    bob.wait_for(failed, "failed")
    running = [begin(bob, *sample) for sample in RUNNING]
    for job in running:
        bob.wait_for(job, "running")
    for sample in waiting:
        begin(bob, *sample)
    shown = {
        "completed": ended[0],
        "failed": failed,
        "cancelled": cancelled,
        "interrupted": interrupted,
        "running": running[0],
    }
    return {state: f"/jobs/{job}" for state, job in shown.items()}


PAGES_OF = {
    "bob": {
        "dashboard": "/",
        "dashboard-day": "/?period=day",
        "jobs": "/jobs",
        "settings": "/settings",
        "sessions": "/sessions",
        "new-job": "/jobs/new",
    },
    "charlie": {"dashboard": "/", "jobs": "/jobs", "doctor": "/connection"},
    "alice": {
        "dashboard": "/",
        "remotes": "/remotes",
        "new-remote": "/remotes/new?backend=s3",
        "users": "/users",
        "workers": "/workers",
        "bandwidth": "/settings/bandwidth",
        "audit": "/audit",
        "not-found": "/nothing",
    },
}


def photograph(browser: Browser, server: PortalServer, folder: Path, jobs: dict[str, str]) -> None:
    """Every page, as each role sees it, in both themes and all widths."""
    for theme in THEMES:
        with signed_out(browser, theme) as page:
            page.goto(f"{server.url}/login")
            at_all_widths(page, folder, f"login-{theme}")
            page.goto(server.url + invitation(server, theme))
            at_all_widths(page, folder, f"password-link-{theme}")
        for name, own in PAGES_OF.items():
            role = USERS[name]
            with signed_in(browser, server, name, theme) as page:
                pages = dict(own)
                if name == "bob":
                    pages |= {f"job-{state}": job for state, job in jobs.items()}
                    pages |= {
                        "jobs-no-match": "/jobs?q=nowhere",
                        "jobs-failed": "/jobs?status=failed",
                        "history": "/history",
                        "history-errors": "/history?from=x&user=nobody",
                    }
                for title, path in pages.items():
                    page.goto(server.url + path)
                    settle(page)
                    at_all_widths(page, folder, f"{title}-{role}-{theme}")
                if name == "bob":
                    refused_form(page, server)
                    at_all_widths(page, folder, f"new-job-errors-{role}-{theme}")


def invitation(server: PortalServer, theme: str) -> str:
    """The path of the link that invites one more user."""
    alice = Person(server, "alice")
    made = alice.post("/users", username=f"new-{theme}", by="link", role="viewer")
    shown = alice.get("/users").text if made.status_code == 303 else made.text
    found = re.search(r"/password/[\w-]+", shown)
    assert found is not None, shown
    return found[0]


def photograph_empty(browser: Browser, server: PortalServer, folder: Path) -> None:
    for name in ("bob", "charlie"):
        with signed_in(browser, server, name, "light") as page:
            for title, path in (("dashboard", "/"), ("jobs", "/jobs"), ("history", "/history")):
                page.goto(server.url + path)
                settle(page)
                at_all_widths(page, folder, f"empty-{title}-{USERS[name]}")


def refused_form(page: Page, server: PortalServer) -> None:
    page.goto(f"{server.url}/jobs/new")
    page.check("[name=operation][value=sync]")
    page.fill("[name=source]", "/etc")
    page.fill("[name=destination]", str(server.root / "copies"))
    page.click("[data-job-form] summary")
    page.fill("[name=bandwidth_limit]", "fast")
    page.click("[data-check]")
    page.wait_for_selector(".invalid-feedback")


def settle(page: Page) -> None:
    """Until the page is live, and its chart is drawn if it has one that does not rest."""
    page.wait_for_selector("body[data-state=connected]", state="attached", timeout=15_000)
    drawn = "document.querySelector('.uplot')"
    page.wait_for_function(f"!document.querySelector('[data-chart]:not([data-rests])') || {drawn}")


def at_all_widths(page: Page, folder: Path, name: str) -> None:
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.screenshot(path=folder / f"{name}-{width}.png", full_page=True)
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            click.echo(f"{name}: {wide} px wide on a screen of {width}")


def readme_pictures(browser: Browser, server: PortalServer, jobs: dict[str, str]) -> None:
    """The form, a running job and the dashboard."""
    README_PICTURES.mkdir(parents=True, exist_ok=True)
    with signed_in(browser, server, "bob", "light") as page:
        page.set_viewport_size({"width": 1100, "height": 1150})
        page.goto(f"{server.url}/jobs/new")
        page.fill("[name=name]", "My first copy")
        page.fill("[name=source]", str(server.root / "sources" / "nightly-photos"))
        page.fill("[name=destination]", str(server.root / "copies" / "my-first-copy"))
        settle(page)
        picture(page, "new-job")
        page.set_viewport_size({"width": 1100, "height": 800})
        page.goto(server.url + jobs["running"])
        settle(page)
        # The curve comes whole with the next poll.
        words = page.locator("#speed-words")
        first = words.inner_text()
        wait_for(lambda: words.inner_text() != first, 30, lambda: page.wait_for_timeout(100))
        picture(page, "job")
        page.set_viewport_size({"width": 1440, "height": 900})
        page.goto(server.url)
        settle(page)
        # Bars that have come some way show what the page is for.
        bars = "(all) => all.map((bar) => bar.value)"
        wait_for(lambda: max(page.eval_on_selector_all("progress", bars)) >= 45, 60)
        picture(page, "dashboard")


def picture(page: Page, name: str) -> None:
    page.wait_for_selector(".connection-word:text-is('Live')", timeout=15_000)
    path = README_PICTURES / f"{name}.png"
    page.screenshot(path=path)
    click.echo(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1024} KB")


@contextmanager
def signed_out(browser: Browser, theme: str) -> Iterator[Page]:
    context = browser.new_context(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
    yield context.new_page()
    context.close()


@contextmanager
def signed_in(browser: Browser, server: PortalServer, name: str, theme: str) -> Iterator[Page]:
    with signed_out(browser, theme) as page:
        page.goto(f"{server.url}/login")
        page.fill("[name=username]", name)
        page.fill("[name=password]", PASSWORD)
        page.press("[name=password]", "Enter")
        page.wait_for_selector("body[data-user]", state="attached")
        yield page


def launch(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(
        executable_path=chromium.executable(),
        args=chromium.ARGUMENTS,
        env=chromium.environment(),
        chromium_sandbox=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Take pictures of every page.")
    parser.add_argument("folder", type=Path, nargs="?", help="where the pictures go")
    parser.add_argument(
        "--readme", action="store_true", help="only those of the README and the tutorial"
    )
    chosen = parser.parse_args()
    if not chosen.readme and chosen.folder is None:
        parser.error("name a folder, or use --readme")
    # A short path with a familiar look where that is possible, because the pictures show it.
    place = "/srv" if os.access("/srv", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="portal-", dir=place) as temporary:
        server = PortalServer(Path(temporary), PORTAL_MAX_RUNNING_JOBS="3")
        server.manage("db", "upgrade")
        server.create_users()
        server.start()
        try:
            with sync_playwright() as playwright:
                browser = launch(playwright)
                if chosen.folder is not None:
                    chosen.folder.mkdir(parents=True, exist_ok=True)
                    photograph_empty(browser, server, chosen.folder)
                jobs = fill(server, WAITING[:1] if chosen.folder is None else WAITING)
                if chosen.folder is not None:
                    photograph(browser, server, chosen.folder, jobs)
                else:
                    readme_pictures(browser, server, jobs)
                browser.close()
        except BaseException:
            click.echo(server.log[-4000:])
            raise
        finally:
            server.clean_up()


if __name__ == "__main__":
    main()
