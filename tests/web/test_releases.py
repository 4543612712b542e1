"""Tabs stay open through an upgrade, and processes roll: there may be two releases at once."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.client import Browser

OTHER = "/static/0123456789ab/"


@pytest.fixture
def charlie(browser: Any) -> Browser:
    opened: Browser = browser("charlie")
    return opened


def prefix_of(page: str) -> str:
    found = re.search(r"/static/[0-9a-f]{12}/", page)
    assert found is not None
    return found[0]


def test_page_of_another_release_gets_files_of_the_same_names_and_keeps_none(
    charlie: Browser,
) -> None:
    ours = prefix_of(charlie.get("/").text)
    mine, theirs = (charlie.get(f"{prefix}js/app.js", buffered=True) for prefix in (ours, OTHER))

    assert (mine.status_code, theirs.status_code) == (200, 200)
    assert mine.data == theirs.data
    assert "immutable" in mine.headers["Cache-Control"]
    assert theirs.headers.get_all("Cache-Control") == ["no-store"]
    assert theirs.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["js/none.js", "../portal.sqlite", "%2e%2e/portal.sqlite", ""])
def test_what_is_no_file_is_not_found_in_any_release(charlie: Browser, path: str) -> None:
    assert charlie.get(f"{OTHER}{path}").status_code == 404


def test_answers_to_an_open_page_name_the_release_of_the_server(charlie: Browser) -> None:
    page = charlie.get("/jobs")
    polled = charlie.get("/jobs", headers={"HX-Request": "true"})
    release = prefix_of(page.text).split("/")[2]

    assert f'data-release="{release}"' in page.text
    assert polled.headers["Portal-Release"] == release
    assert "Portal-Release" not in page.headers
    assert re.search(r"data-new-release hidden>A new version is available", page.text)
