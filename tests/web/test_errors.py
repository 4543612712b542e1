"""Errors have one shape at each entrance, say what to do, and give nothing away."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from portal.db.session import session
from portal.errors import Conflict
from portal.models import Job
from portal.services.actor import Actor
from portal.services.jobs import create
from portal.transfers.request import Transfer
from portal.transfers.states import JobStatus, Operation
from portal.web.access import public

HTMX = {"HX-Request": "true"}


@pytest.fixture
def finished(app: Flask, user: Any) -> int:
    """A job that has completed."""
    transfer = Transfer("Photos", Operation.COPY, "/from", "/to", None, False)
    with app.app_context():
        number = create.create(transfer, actor=Actor(user("bob"))).id
    session.get_one(Job, number).status = JobStatus.COMPLETED
    session.commit()
    return number


def break_dashboard(app: Flask, error: Exception) -> None:
    """From here on the dashboard's view raises this."""

    @public
    def broken() -> NoReturn:
        raise error

    app.view_functions["dashboard.index"] = broken


def assert_page(answer: Any, status: int, title: str) -> None:
    assert answer.status_code == status
    assert answer.content_type == "text/html; charset=utf-8"
    assert f"<h1>{title}</h1>" in answer.text
    assert ("Try now" if status == 503 else "Go to the dashboard") in answer.text


def assert_fragment(answer: Any, status: int, title: str) -> None:
    assert answer.status_code == status
    assert answer.text.startswith('<div class="alert')
    assert title in answer.text
    assert "<html" not in answer.text


def test_404_is_a_page_a_fragment_or_json(browser: Any) -> None:
    bob = browser("bob")
    assert_page(bob.get("/nowhere"), 404, "Page not found")
    assert_fragment(bob.get("/nowhere", headers=HTMX), 404, "Page not found")
    answer = bob.get("/api/v1/nowhere")
    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"
    assert answer.json.keys() == {"status", "title", "detail"}
    assert answer.json["status"] == 404


def test_409_says_why_at_both_doors(browser: Any, finished: int) -> None:
    bob = browser("bob")
    title = "That is not possible now"
    answer = bob.post(f"/jobs/{finished}/cancel")
    assert_page(answer, 409, title)
    assert "already completed" in answer.text
    assert_fragment(bob.post(f"/jobs/{finished}/cancel", headers=HTMX), 409, title)
    assert_page(bob.post(f"/jobs/{finished}/retry"), 409, title)


def test_422_is_the_form_again_with_what_was_typed(browser: Any) -> None:
    answer = browser("bob").post("/jobs", {"name": "Photos", "operation": "explode"})
    assert answer.status_code == 422
    assert 'value="Photos"' in answer.text
    assert answer.text.count("invalid-feedback") >= 3


def test_500_is_a_page_a_fragment_or_nothing_of_ours_in_it(app: Flask, browser: Any) -> None:
    break_dashboard(app, RuntimeError("canary: /secret/path"))
    nobody = browser()
    assert_page(nobody.get("/"), 500, "Something went wrong here")
    assert_fragment(nobody.get("/", headers=HTMX), 500, "Something went wrong here")
    assert "canary" not in nobody.get("/").text


def test_database_that_does_not_answer_is_503_with_a_time_to_come_back(
    app: Flask, browser: Any
) -> None:
    break_dashboard(app, OperationalError("SELECT secret", {}, Exception("disk I/O error")))
    answer = browser().get("/")
    assert_page(answer, 503, "The portal is not available right now")
    assert answer.headers["Retry-After"] == "5"
    assert "SELECT" not in answer.text


def test_error_of_a_service_is_shown_escaped(app: Flask, browser: Any) -> None:
    break_dashboard(app, Conflict("<script>alert(1)</script>"))
    assert "&lt;script&gt;" in browser().get("/").text
    assert "<script>alert" not in browser().get("/", headers=HTMX).text


@pytest.mark.parametrize("path", ["/jobs", "/audit"])
@pytest.mark.parametrize("page", ["-1", "0", "", "one", "1.5", "1" * 10, str(2**70), "１", "1 "])
def test_page_that_cannot_be_is_404(browser: Any, path: str, page: str) -> None:
    answer = browser("alice").get(path, query_string={"page": page})
    assert answer.status_code == 404
    assert "no such page" in answer.text


@pytest.mark.parametrize(
    "number", ["0", "999", str(2**31), str(2**63 - 1), str(2**63), str(2**70), "9" * 5000]
)
def test_job_that_cannot_be_is_404_at_every_door(browser: Any, number: str) -> None:
    alice = browser("alice")
    assert alice.get(f"/jobs/{number}").status_code == 404
    assert alice.get(f"/api/jobs/{number}/progress").status_code == 404
    assert alice.post(f"/jobs/{number}/cancel").status_code == 404
    assert alice.post(f"/jobs/{number}/retry").status_code == 404


@pytest.mark.parametrize(
    "path", ["/jobs/-1", "/jobs/1.5", "/jobs/x", "/jobs/%00", "/jobs/..%2f", "/jobs?status=lost"]
)
def test_address_that_names_nothing_is_404(browser: Any, path: str) -> None:
    assert browser("bob").get(path).status_code == 404


@pytest.mark.parametrize(
    "text", ["%", "_", "\\", "'; DROP TABLE jobs --", "\x00", "\ud83d", "é" * 999]
)
def test_search_for_anything_is_answered(browser: Any, text: str) -> None:
    query = {"q": text.encode("utf-8", "surrogatepass")}
    assert browser("bob").get("/jobs", query_string=query).status_code == 200


@pytest.mark.parametrize("path", ["/", "/jobs", "/jobs/1", "/settings", "/users"])
def test_signed_out_browser_is_sent_to_the_sign_in_page_and_back(browser: Any, path: str) -> None:
    answer = browser().get(path)
    assert (answer.status_code, answer.location) == (302, f"/login?next={path}")


def test_way_back_keeps_the_query(browser: Any) -> None:
    assert browser().get("/jobs?q=a&page=2").location == "/login?next=/jobs?q%3Da%26page%3D2"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", HTMX),
        ("/jobs", HTMX),
        ("/api/dashboard/stats", HTMX),
        ("/api/dashboard/stats", {}),
        ("/api/jobs/1/progress", {}),
        ("/api/session", {}),
        ("/api/connection", {}),
    ],
)
def test_signed_out_fragment_is_401_with_a_redirect_and_no_sign_in_form(
    browser: Any, path: str, headers: dict[str, str]
) -> None:
    answer = browser().get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["HX-Redirect"] == "/login"
    assert 'name="password"' not in answer.text


def test_method_that_is_not_offered_is_405_and_says_which_are(browser: Any) -> None:
    answer = browser("bob").get("/jobs/1/cancel")
    assert_page(answer, 405, "Not allowed here")
    assert "POST" in answer.headers["Allow"]


def test_body_of_two_megabytes_is_413(browser: Any) -> None:
    bob = browser("bob")
    answer = bob.client.post("/jobs", data={"csrf_token": bob.token(), "name": "x" * 2_000_000})
    assert answer.status_code == 413


def test_ten_thousand_fields_are_413_or_400(browser: Any) -> None:
    bob = browser("bob")
    fields = {f"field{number}": "x" for number in range(10_000)}
    assert bob.client.post("/settings", data=fields).status_code in (400, 413)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/login"),
        ("GET", "/jobs"),
        ("GET", "/nowhere"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/api/session"),
        ("GET", "/api/v1/nowhere"),
        ("POST", "/login"),
        ("POST", "/healthz"),
        ("GET", "/socket.io/?EIO=4&transport=websocket"),
    ],
)
@pytest.mark.parametrize("person", [None, "bob"])
def test_every_answer_carries_the_policy_and_its_company(
    browser: Any, method: str, path: str, person: str | None
) -> None:
    if person and path.startswith("/socket.io"):
        pytest.skip("a signed-in upgrade is no answer but a socket")
    headers = browser(person).client.open(path, method=method).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


def test_500_carries_the_policy_too(app: Flask, browser: Any) -> None:
    break_dashboard(app, RuntimeError("fault"))
    headers = browser().get("/").headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"


def test_pages_hold_to_their_own_policy(browser: Any) -> None:
    alice = browser("alice")
    for path in (
        "/",
        "/jobs",
        "/jobs/new",
        "/settings",
        "/users",
        "/workers",
        "/settings/bandwidth",
        "/audit",
        "/connection",
    ):
        page = alice.get(path).text
        assert " style=" not in page, path
        assert " onclick=" not in page, path
        assert "<style" not in page, path
        for script in page.split("<script")[1:]:
            assert "src=" in script.split(">")[0], path


def test_static_files_are_kept_without_end_and_never_sniffed(app: Flask, browser: Any) -> None:
    nobody = browser()
    page = nobody.get("/login").text
    address = page.split('rel="stylesheet" href="')[1].split('"')[0]
    answer = nobody.get(address)
    assert answer.status_code == 200
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    answer.close()


@pytest.mark.parametrize(
    "path", ["../../portal/settings/table.py", "..%2f..%2fmanage.py", "%00", "js/"]
)
def test_static_prefix_leads_to_static_files_alone(browser: Any, path: str) -> None:
    nobody = browser()
    prefix = nobody.get("/login").text.split('href="')[1].split("icon.svg")[0]
    assert nobody.get(f"{prefix}{path}").status_code == 404


@pytest.mark.parametrize(
    ("came_from", "leads_back"),
    [
        ("http://localhost/jobs?status=running", True),
        ("http://elsewhere.test/jobs", False),
        ("http://localhost@elsewhere.test/", False),
        ("javascript:alert(1)", False),
        ("http://[::1", False),
        (None, False),
    ],
)
def test_refused_act_leads_back_to_the_page_of_its_form(
    browser: Any, finished: int, came_from: str | None, leads_back: bool
) -> None:
    headers = {"Referer": came_from} if came_from else {}
    answer = browser("bob").post(f"/jobs/{finished}/cancel", headers=headers)

    assert_page(answer, 409, "That is not possible now")
    assert ('href="http://localhost/jobs?status=running">Go back' in answer.text) is leads_back
    assert ("Go back" in answer.text) is leads_back
