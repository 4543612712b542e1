"""The browser of these tests is one that our pages may rely on."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

POLICY = "default-src 'none'; style-src 'self'"
PAGE = b"""<!doctype html><html lang="en"><title>Page</title><link rel="stylesheet" href="page.css">
<h1>Nightly photos</h1><progress max="100" value="62"></progress>
<p>62 % \xc2\xb7 2.5 of 4.0 GiB \xe2\x80\x93 45 s left</p>
<p id="inline" style="display: none">inline style</p></html>"""
STYLE = b"body { font: 20px sans-serif; margin: 2rem; background: #f4f7fb } h1 { color: #066fd1 }"


class OnePage(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        style = self.path.endswith(".css")
        body = STYLE if style else PAGE
        self.send_response(200)
        self.send_header("Content-Type", "text/css" if style else "text/html; charset=utf-8")
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the page is what is looked at."""


@pytest.fixture
def address() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), OnePage) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def test_browser_renders_a_page_and_holds_to_its_content_security_policy(
    page: Page, address: str
) -> None:
    page.goto(address)

    assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") == (
        "rgb(6, 111, 209)"
    )
    assert page.locator("#inline").is_visible(), "an inline style got past the policy"
    assert len(page.screenshot()) > 5_000
