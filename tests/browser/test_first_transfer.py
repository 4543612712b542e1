"""The main job, as an operator sees it: start a transfer, watch it, find the files."""

from __future__ import annotations

import hashlib
import re
import secrets
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from tests.support.portal_server import PortalServer


def fill(folder: Path, files: int, size: int) -> None:
    folder.mkdir(parents=True)
    for number in range(files):
        (folder / f"photo {number:02}.jpg").write_bytes(secrets.token_bytes(size))


def checksums(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def start_transfer(page: Page, server: PortalServer, **fields: str) -> None:
    page.goto(f"{server.url}/jobs/new")
    for name, value in fields.items():
        if name == "bandwidth_limit":
            page.click("summary:has-text('Options')")
        page.fill(f"[name={name}]", value)
    page.click("button:has-text('Start job')")
    page.wait_for_url(re.compile(r"/jobs/\d+$"))


def test_operator_starts_a_copy_sees_the_bar_move_and_finds_the_files(
    page: Page, portal_server: PortalServer, sign_in: Any
) -> None:
    source, destination = portal_server.root / "photos", portal_server.root / "copies"
    fill(source, files=24, size=500_000)
    polls: list[str] = []
    page.on(
        "request", lambda request: polls.append(request.url) if "/progress" in request.url else None
    )
    sign_in(page, portal_server, "bob")
    expect(page.locator("body")).to_have_attribute("data-state", "connected")

    start_transfer(
        page,
        portal_server,
        name="Nightly photos",
        source=str(source),
        destination=str(destination),
        bandwidth_limit="3M",
    )

    bar = page.locator("progress")
    page.wait_for_function("() => document.querySelector('progress').value > 5")
    first = float(bar.get_attribute("value") or 0)
    page.wait_for_function("(first) => document.querySelector('progress').value > first", arg=first)
    expect(page.locator("[data-status=completed]")).to_be_visible(timeout=30_000)
    expect(bar).to_have_attribute("value", "100")

    assert polls == [], "the bar moved by events alone"
    assert checksums(destination) == checksums(source)
