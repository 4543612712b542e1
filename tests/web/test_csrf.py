"""A form of another site changes nothing here."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize("token", [None, "", "nonsense", "IjEi.x.y"])
def test_form_without_our_token_is_refused_with_a_way_out(browser: Any, token: str | None) -> None:
    bob = browser("bob")
    data = {"theme": "dark"} | ({} if token is None else {"csrf_token": token})
    answer = bob.client.post("/settings", data=data)
    assert answer.status_code == 400
    assert "Reload the page" in answer.text
    assert 'data-theme="auto"' in bob.get("/settings").text


def test_token_of_another_session_is_refused(browser: Any) -> None:
    bob, mallory = browser("bob"), browser("charlie")
    answer = bob.client.post("/settings", data={"csrf_token": mallory.token(), "theme": "dark"})
    assert answer.status_code == 400


def test_token_from_before_the_sign_in_is_worthless_after_it(browser: Any) -> None:
    bob = browser()
    early = bob.token()
    bob.sign_in("bob")
    assert bob.client.post("/settings", data={"csrf_token": early}).status_code == 400


def test_token_works_as_a_header_as_htmx_sends_it(browser: Any) -> None:
    bob = browser("bob")
    headers = {"X-CSRFToken": bob.token(), "HX-Request": "true"}
    answer = bob.client.post("/settings", data={"theme": "dark"}, headers=headers)
    assert answer.status_code == 303


def test_refusal_is_a_fragment_for_htmx(browser: Any) -> None:
    answer = browser("bob").client.post("/settings", headers={"HX-Request": "true"})
    assert answer.status_code == 400
    assert "<html" not in answer.text


def test_every_form_on_every_page_carries_a_token(browser: Any) -> None:
    alice = browser("alice")
    for path in ("/", "/jobs", "/jobs/new", "/history", "/settings", "/users", "/audit"):
        page = alice.get(path).text
        for form in page.split("<form")[1:]:
            head, body = form.split(">", 1)
            if 'method="post"' in head.lower():
                assert 'name="csrf_token"' in body.split("</form>")[0], f"{path}: {head}"


def test_token_of_a_page_that_was_open_for_days_still_works(browser: Any, app: Any) -> None:
    assert app.config["WTF_CSRF_TIME_LIMIT"] is None
