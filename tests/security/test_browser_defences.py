"""What answers tell browsers to refuse, and whom the portal believes about itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from socket import gethostname
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from portal import app as factory
from portal.db import session
from portal.settings import Settings, SettingsError, load_settings
from tests.support.applications import engine_of
from tests.support.users import PASSWORD

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "manifest-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}


@pytest.fixture
def portal(app: Flask, settings: Settings) -> Iterator[Callable[..., FlaskClient]]:
    """The same data behind other settings."""
    made: list[Flask] = []

    def build(**changed: Any) -> FlaskClient:
        made.append(factory.build_app(settings.model_copy(update=changed)))
        return made[-1].test_client()

    yield build
    session.session.remove()
    for one in made:
        engine_of(one).dispose()


def test_policy_allows_our_own_files_and_nothing_else(browser: Any) -> None:
    policy = browser().get("/login").headers["Content-Security-Policy"]
    assert dict(part.strip().split(" ", 1) for part in policy.split(";")) == POLICY


def test_every_answer_at_every_address_bears_the_headers(app: Flask, browser: Any) -> None:
    alice = browser("alice")
    for rule in app.url_map.iter_rules():
        path = rule.rule.replace("<big_id:job_id>", "1")
        for client in (alice.client, browser().client):
            headers = client.get(path).headers
            assert headers["X-Content-Type-Options"] == "nosniff", path
            assert headers["X-Frame-Options"] == "DENY", path
            assert headers["Referrer-Policy"] == "same-origin", path
            assert headers["Cross-Origin-Opener-Policy"] == "same-origin", path
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin", path
            assert "camera=()" in headers["Permissions-Policy"], path
            assert "unsafe" not in headers["Content-Security-Policy"], path
            assert "Access-Control-Allow-Origin" not in headers, path
            assert headers["Cache-Control"] == "no-store", path


def test_browsers_are_held_to_tls_where_there_is_tls(portal: Any, browser: Any) -> None:
    header = "Strict-Transport-Security"
    assert header not in browser().get("/login").headers
    behind_tls = portal(trusted_proxies=1).get("/login", headers={"X-Forwarded-Proto": "https"})
    assert int(behind_tls.headers[header].removeprefix("max-age=")) >= 31_536_000
    assert header in portal(secure_cookies=True).get("/login").headers
    lying = portal(trusted_proxies=0).get("/login", headers={"X-Forwarded-Proto": "https"})
    assert header not in lying.headers


def test_secure_cookie_can_be_set_by_no_sister_site(portal: Any) -> None:
    answer = portal(secure_cookies=True).get("/login", base_url="https://localhost")
    name, _, attributes = answer.headers["Set-Cookie"].partition("=")
    # A browser takes this prefix only with Secure, with this path and without a domain.
    assert name == "__Host-portal"
    for word in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert word in attributes
    assert "Domain" not in attributes


# --- names and proxies --------------------------------------------------------------------------

KNOWN = ("portal.example.org", "127.0.0.1:8000", "[::1]:8000", ".example.net")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("portal.example.org", 200),
        ("portal.example.org:8443", 200),
        ("PORTAL.example.org", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("example.net", 200),
        ("a.example.net:80", 200),
        ("badexample.net", 400),
        ("example.net.", 400),
        ("evil.example", 400),
        ("portal.example.org.evil.example", 400),
        ("evil.example?portal.example.org", 400),
        ("portal.example.org@evil.example", 400),
        ("", 400),
        ("a b", 400),
    ],
)
def test_request_for_another_name_is_refused(portal: Any, host: str, status: int) -> None:
    client = portal(allowed_hosts=KNOWN)
    answer = client.get("/login", headers={"Host": host})
    assert answer.status_code == status
    assert "evil.example" not in answer.text
    socket = client.get("/socket.io/?EIO=4&transport=websocket", headers={"Host": host})
    assert socket.status_code == (401 if status == 200 else 400)


def test_portal_on_loopback_alone_answers_to_names_of_this_machine(portal: Any) -> None:
    client = portal(base_url="https://portal.example.org")
    known = ("localhost", "LOCALHOST:8000", "portal.localhost", "127.0.0.1:8000", "127.9.9.9",
             "[::1]:8000", gethostname(), "portal.example.org:444")  # fmt: skip
    strange = ("rebind.example", "rebind.example:8000", "localhost.rebind.example", "10.1.2.3",
               "127.0.0.1.rebind.example", "notlocalhost", "0.0.0.0", "")  # noqa: S104  # fmt: skip
    for host in (*known, *strange):
        headers = {"Host": host}
        for path, status in (
            ("/login", 200),
            ("/socket.io/?EIO=4&transport=websocket", 401),
            ("/api/v1/jobs", 401),
            ("/metrics", 404 if host.startswith("portal.example") else 200),
        ):
            answer = client.get(path, headers=headers).status_code
            assert answer == (status if host in known else 400), (host, path)


@pytest.mark.parametrize("changed", [{"host": "192.0.2.1"}, {"trusted_proxies": 1}])
def test_metrics_of_a_portal_for_others_are_read_by_no_strangers_name(
    portal: Any, changed: dict[str, Any]
) -> None:
    client = portal(**changed)
    here = {"REMOTE_ADDR": "127.0.0.1"}
    for host, status in (("localhost:8000", 200), ("rebind.example", 404), ("10.1.2.3", 404)):
        answer = client.get("/metrics", headers={"Host": host}, environ_base=here)
        assert answer.status_code == status, host
        assert client.get("/login", headers={"Host": host}).status_code == 200


def test_name_of_a_forwarding_header_counts_from_trusted_proxies_alone(portal: Any) -> None:
    headers = {"Host": "portal.example.org", "X-Forwarded-Host": "evil.example"}
    assert portal(allowed_hosts=KNOWN).get("/login", headers=headers).status_code == 200
    behind = portal(allowed_hosts=KNOWN, trusted_proxies=1)
    assert behind.get("/login", headers=headers).status_code == 400


def test_redirects_never_repeat_the_name_that_was_asked_for(portal: Any, browser: Any) -> None:
    nobody = portal(host="192.0.2.1")
    answer = nobody.get("/jobs", headers={"Host": "evil.example"})
    assert answer.location == "/login?next=/jobs"
    answer = browser().sign_in("bob")
    assert answer.location == "/"


@pytest.mark.parametrize("value", ["http://portal.example.org", "a b", "portal/x", "*", "a,,b c"])
def test_name_that_is_none_stops_the_start(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("PORTAL_ALLOWED_HOSTS", value)
    with pytest.raises(SettingsError, match="PORTAL_ALLOWED_HOSTS"):
        load_settings()


def test_names_are_read_from_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_ALLOWED_HOSTS", "portal.example.org, .example.net,[::1]:8000")
    assert load_settings().allowed_hosts == ("portal.example.org", ".example.net", "[::1]:8000")


# --- the way back after a sign-in ----------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "///evil.example",
        "////evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "\\/evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r\n/evil.example",
        "/\x00/evil.example",
        "\t//evil.example",
        " //evil.example",
        "http://evil.example",
        "https:evil.example",
        "https:/evil.example",
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "evil.example",
        "@evil.example",
        "/\u2028/evil.example",
        "/jobs\r\nSet-Cookie: portal=x",
    ],
)
def test_next_leads_to_a_page_of_ours_or_to_the_dashboard(browser: Any, target: str) -> None:
    nobody = browser()
    page = nobody.get("/login", query_string={"next": target})
    assert page.status_code == 200
    answer = nobody.client.post(
        "/login",
        query_string={"next": target},
        data={"csrf_token": nobody.token(), "username": "bob", "password": PASSWORD},
    )
    assert (answer.status_code, answer.location) == (303, "/")
    # Signed in already, it is no way out either.
    assert nobody.get("/login", query_string={"next": target}).location == "/"
