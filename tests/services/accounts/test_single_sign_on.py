"""Signing in by a real provider of OpenID Connect, and what must not get in by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from flask import Flask

from portal.app import build_app
from portal.db.session import session
from portal.models import AuditEntry, Identity, LoginSession, Role, User
from portal.services.accounts import oidc, single_sign_on
from portal.settings import Settings, SettingsError, load_settings
from portal.settings import table as settings_table
from tests.support.applications import engine_of
from tests.support.client import Browser
from tests.support.ports import free_port
from tests.support.provider import BACK, Provider
from tests.support.second_factor import Device, shown_codes
from tests.support.users import PASSWORD
from tests.support.waiting import wait_for

ROLES = (("admins", "admin"), ("ops", "operator"), ("watchers", "viewer"))


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    started = Provider()
    try:
        wait_for(started.ready, 30)
        yield started
    finally:
        started.stop()


@pytest.fixture
def portal(
    app: Flask, settings: Settings, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Flask]]:
    """Makes a portal that knows the provider, on the database of ``app``."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = []

    def make(**changed: Any) -> Flask:
        known = {
            "oidc_issuer": provider.issuer,
            "oidc_client_id": "portal",
            "oidc_client_secret": "a secret that the two share, of forty letters",
            "oidc_roles": ROLES,
        }
        made.append(build_app(settings.model_copy(update=known | changed)))
        return made[-1]

    yield make
    for one in made:
        engine_of(one).dispose()


@pytest.fixture
def somebody(portal: Callable[..., Flask]) -> Callable[[], Browser]:
    """A signed-out browser at such a portal."""
    made = portal()
    return lambda: Browser(made)


def sign_on(browser: Browser, provider: Provider, start: str = "/sign-on") -> Any:
    """There and back; the portal's answer."""
    left = browser.get(start)
    assert left.status_code == 302, left.text
    return visit_callback(browser, provider.visit(left.location))


def visit_callback(browser: Browser, address: str) -> Any:
    assert address.startswith(BACK), address
    return browser.get(address.removeprefix("http://localhost"))


def changed(address: str, **arguments: str | None) -> str:
    parts = urlsplit(address)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | arguments
    kept = {name: value for name, value in query.items() if value is not None}
    return parts._replace(query=urlencode(kept)).geturl()


def who(browser: Browser) -> dict[str, str] | None:
    answer = browser.get("/api/session")
    return answer.json if answer.status_code == 200 else None


def last_refusal() -> str:
    session.rollback()
    query = session.query(AuditEntry).filter_by(action="sign-in", outcome="refused")
    return str(query.order_by(AuditEntry.id.desc()).first().detail)  # type: ignore[union-attr]


# --- getting in ---------------------------------------------------------------------------------


def test_sign_in_by_the_provider_makes_a_user_with_the_role_of_the_claim(
    somebody: Any, provider: Provider, user: Any
) -> None:
    provider.person("s-1", preferred_username="Dora", groups=["ops", "watchers", "others"])
    browser = somebody()
    entered = sign_on(browser, provider, "/sign-on?next=/jobs")

    assert (entered.status_code, entered.location) == (303, "/jobs")
    found = who(browser)
    assert found is not None
    assert (found["user"], found["role"]) == ("dora", "operator")
    assert user("dora").password_hash == ""
    kept = session.query(Identity).one()
    assert (kept.issuer, kept.subject) == (provider.issuer, "s-1")


def test_same_person_is_the_same_user_whatever_they_are_called(
    somebody: Any, provider: Provider
) -> None:
    provider.person("s-2", preferred_username="dora", groups=["ops"])
    sign_on(somebody(), provider)
    provider.person("s-2", preferred_username="dora-married", groups=["ops"])
    browser = somebody()
    sign_on(browser, provider)

    assert (who(browser) or {})["user"] == "dora"
    assert session.query(Identity).count() == 1


def test_authorization_request_carries_pkce_state_and_nonce(
    somebody: Any, provider: Provider
) -> None:
    asked = parse_qs(urlsplit(somebody().get("/sign-on").location).query)
    assert asked["code_challenge_method"] == ["S256"]
    for name in ("code_challenge", "state", "nonce"):
        assert len(asked[name][0]) >= 43
    assert asked["response_type"] == ["code"]


def test_role_follows_the_claim_at_each_sign_in(somebody: Any, provider: Provider) -> None:
    for groups, role in ((["watchers"], "viewer"), (["admins"], "admin"), ("ops", "operator")):
        provider.person("s-3", preferred_username="dora", groups=groups)
        browser = somebody()
        sign_on(browser, provider)
        assert (who(browser) or {})["role"] == role
    changes = session.query(AuditEntry).filter_by(action="user.role").all()
    assert [entry.actor for entry in changes] == [single_sign_on.AUTHOR] * 2


def test_provider_cannot_leave_the_portal_without_an_admin(
    somebody: Any, provider: Provider, user: Any
) -> None:
    provider.person("s-4", preferred_username="dora", groups=["admins"])
    sign_on(somebody(), provider)
    session.query(User).filter_by(username="alice").update({"role": Role.VIEWER})
    session.commit()
    provider.person("s-4", preferred_username="dora", groups=["watchers"])
    sign_on(somebody(), provider)
    session.rollback()
    assert user("dora").role == Role.ADMIN


def test_claim_inside_a_claim_and_everybody_give_roles(
    portal: Callable[..., Flask], provider: Provider
) -> None:
    made = portal(oidc_role_claim="realm.roles", oidc_roles=(("admins", "admin"), ("*", "viewer")))
    for subject, claims, role in (
        ("s-5", {"realm": {"roles": ["admins"]}}, "admin"),
        ("s-6", {}, "viewer"),
    ):
        provider.person(subject, preferred_username=subject, **claims)
        browser = Browser(made)
        sign_on(browser, provider)
        assert (who(browser) or {})["role"] == role


# --- what does not get in -----------------------------------------------------------------------


def test_name_and_mail_of_an_admin_take_over_nothing(
    somebody: Any, provider: Provider, user: Any
) -> None:
    provider.person(
        "mallory", preferred_username="alice", email="alice@example.org", groups=["watchers"]
    )
    browser = somebody()
    sign_on(browser, provider)

    found = who(browser)
    assert found is not None
    assert (found["user"], found["role"]) == ("alice-2", "viewer")
    assert user("alice").role == Role.ADMIN
    assert session.query(LoginSession).filter_by(user_id=user("alice").id).count() == 0


def test_subject_of_another_issuer_is_somebody_else(
    somebody: Any, provider: Provider, user: Any
) -> None:
    session.add(Identity(issuer="https://elsewhere.example", subject="s-7", user_id=1))
    session.commit()
    provider.person("s-7", preferred_username="dora", groups=["watchers"])
    browser = somebody()
    sign_on(browser, provider)
    assert (who(browser) or {})["user"] == "dora"


@pytest.mark.parametrize("state", ["", "another", None])
def test_wrong_state_is_refused(somebody: Any, provider: Provider, state: str | None) -> None:
    provider.person("s-8", groups=["ops"])
    browser = somebody()
    back = provider.visit(browser.get("/sign-on").location)
    answer = visit_callback(browser, changed(back, state=state))

    assert answer.status_code == 403
    assert who(browser) is None
    assert "wrong state" in last_refusal()
    # And the trip is over: the right state does not help any more.
    assert visit_callback(browser, back).status_code == 403


def test_answer_that_another_browser_asked_for_is_refused(
    somebody: Any, provider: Provider
) -> None:
    provider.person("s-9", groups=["ops"])
    mine, theirs = somebody(), somebody()
    back = provider.visit(mine.get("/sign-on").location)

    assert visit_callback(theirs, back).status_code == 403
    theirs.get("/sign-on")
    assert visit_callback(theirs, back).status_code == 403
    assert who(theirs) is None


def test_wrong_nonce_is_refused(somebody: Any, provider: Provider) -> None:
    provider.person("s-10", groups=["ops"])
    browser = somebody()
    there = changed(browser.get("/sign-on").location, nonce="of-another-sign-in")

    assert visit_callback(browser, provider.visit(there)).status_code == 403
    assert who(browser) is None
    assert "nonce" in last_refusal()


def test_code_of_another_verifier_is_refused(somebody: Any, provider: Provider) -> None:
    provider.person("s-11", groups=["ops"])
    browser = somebody()
    there = changed(browser.get("/sign-on").location, code_challenge="A" * 43)
    assert visit_callback(browser, provider.visit(there)).status_code == 403
    assert who(browser) is None


def test_code_is_of_no_use_twice(somebody: Any, provider: Provider) -> None:
    provider.person("s-12", preferred_username="dora", groups=["ops"])
    browser = somebody()
    first = provider.visit(browser.get("/sign-on").location)
    code = parse_qs(urlsplit(first).query)["code"][0]
    visit_callback(browser, first)
    thief = somebody()
    own = provider.visit(thief.get("/sign-on").location)
    assert visit_callback(thief, changed(own, code=code)).status_code == 403
    assert who(thief) is None


def test_answer_of_another_issuer_is_refused(somebody: Any, provider: Provider) -> None:
    provider.person("s-13", groups=["ops"])
    browser = somebody()
    back = provider.visit(browser.get("/sign-on").location)
    answer = visit_callback(browser, changed(back, iss="https://elsewhere.example"))
    assert answer.status_code == 403
    assert "another issuer" in last_refusal()


@pytest.mark.parametrize("claims", [{}, {"groups": ["strangers"]}, {"groups": {"admins": 1}}])
def test_missing_claim_and_unknown_value_give_no_role_and_no_user(
    somebody: Any, provider: Provider, claims: dict[str, Any]
) -> None:
    provider.person("s-14", preferred_username="dora", **claims)
    browser = somebody()
    answer = sign_on(browser, provider)

    assert answer.status_code == 403
    assert "no role" in answer.text
    assert session.query(User).filter_by(username="dora").count() == 0
    assert who(browser) is None


def test_disabled_user_stays_out(somebody: Any, provider: Provider, user: Any) -> None:
    provider.person("s-15", preferred_username="dora", groups=["ops"])
    sign_on(somebody(), provider)
    session.query(User).filter_by(username="dora").update({"active": False})
    session.commit()
    browser = somebody()

    assert sign_on(browser, provider).status_code == 403
    assert who(browser) is None
    assert "disabled" in last_refusal()


def test_refusal_of_the_provider_is_said_and_written_down(
    somebody: Any, provider: Provider
) -> None:
    provider.person("s-16", refuses=True)
    browser = somebody()
    assert sign_on(browser, provider).status_code == 403
    assert "access_denied" in last_refusal()


def test_callback_without_a_trip_is_refused(somebody: Any) -> None:
    assert somebody().get("/sign-on/callback?code=1&state=2").status_code == 403


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_sign_on_leads_to_pages_of_this_site_alone(
    somebody: Any, provider: Provider, target: str
) -> None:
    provider.person("s-17", preferred_username="dora", groups=["ops"])
    browser = somebody()
    assert sign_on(browser, provider, f"/sign-on?{urlencode({'next': target})}").location == "/"


def test_provider_that_does_not_answer_is_said_in_a_sentence(portal: Callable[..., Flask]) -> None:
    browser = Browser(portal(oidc_issuer=f"http://127.0.0.1:{free_port()}"))
    answer = browser.get("/sign-on")
    assert answer.status_code == 503
    assert "is not responding" in answer.text
    assert browser.sign_in("bob").status_code == 303


def test_provider_that_calls_itself_otherwise_is_not_believed(
    portal: Callable[..., Flask], provider: Provider
) -> None:
    browser = Browser(portal(oidc_issuer=provider.issuer + "/"))
    assert browser.get("/sign-on").status_code == 503


def test_only_signatures_of_public_keys_count() -> None:
    assert not [name for name in oidc._ALGORITHMS if name.startswith("HS") or name == "none"]


# --- linking ------------------------------------------------------------------------------------


def test_local_user_links_the_account_by_their_password(
    somebody: Any, provider: Provider, user: Any
) -> None:
    provider.person("bob-there", preferred_username="robert", groups=["ops"])
    bob = somebody()
    bob.sign_in("bob")
    # Signed in, and not asked for a password: no way to the provider.
    assert bob.get("/sign-on").location == "/"
    wrong = bob.post("/settings/sign-on/link", {"current_password": "not this one"})
    assert wrong.status_code == 422
    assert bob.get("/sign-on").location == "/"
    bob.post("/settings/sign-on/link", {"current_password": PASSWORD})
    assert 'href="/sign-on"' in bob.get("/settings/sign-on").text
    sign_on(bob, provider)

    later = somebody()
    sign_on(later, provider)
    assert (who(later) or {})["user"] == "bob"
    assert somebody().sign_in("bob").status_code == 303
    assert session.query(Identity).filter_by(user_id=user("bob").id).count() == 1
    bob.post("/settings/sign-on/unlink", {"current_password": PASSWORD})
    session.rollback()
    assert session.query(Identity).count() == 0


def test_account_of_one_user_cannot_be_linked_by_another(
    somebody: Any, provider: Provider, user: Any
) -> None:
    provider.person("s-18", preferred_username="dora", groups=["ops"])
    sign_on(somebody(), provider)
    bob = somebody()
    bob.sign_in("bob")
    bob.post("/settings/sign-on/link", {"current_password": PASSWORD})
    assert sign_on(bob, provider).status_code == 409
    session.rollback()
    assert session.query(Identity).one().user_id == user("dora").id


def test_link_begun_by_one_user_is_not_finished_as_another(
    somebody: Any, provider: Provider
) -> None:
    provider.person("s-19", groups=["ops"])
    browser = somebody()
    browser.sign_in("bob")
    browser.post("/settings/sign-on/link", {"current_password": PASSWORD})
    back = provider.visit(browser.get("/sign-on").location)
    browser.post("/logout")
    assert visit_callback(browser, back).status_code == 403
    session.rollback()
    assert session.query(Identity).count() == 0


def test_only_way_in_cannot_be_unlinked(somebody: Any, provider: Provider) -> None:
    provider.person("s-20", preferred_username="dora", groups=["ops"])
    dora = somebody()
    sign_on(dora, provider)
    dora.post("/settings/sign-on/unlink", {"current_password": "anything"})
    session.rollback()
    assert session.query(Identity).count() == 1


# --- the second factor --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amr", "setting", "location"),
    [
        ((), False, "/login/second-factor"),
        (("pwd",), False, "/login/second-factor"),
        (("pwd", "mfa"), False, "/"),
        ((), True, "/"),
    ],
)
def test_demanded_factor_is_asked_for_unless_the_provider_says_that_it_was(
    portal: Callable[..., Flask],
    provider: Provider,
    amr: tuple[str, ...],
    setting: bool,
    location: str,
) -> None:
    made = portal(require_second_factor=("operator",), oidc_second_factor=setting)
    provider.person("s-21", preferred_username="dora", groups=["ops"], amr=amr)
    browser = Browser(made)
    assert sign_on(browser, provider).location == location
    assert (who(browser) is not None) == (location == "/")


def test_user_of_the_provider_turns_a_factor_on_without_a_password(
    somebody: Any, provider: Provider
) -> None:
    provider.person("s-22", preferred_username="dora", groups=["ops"])
    dora = somebody()
    sign_on(dora, provider)
    dora.post("/settings/second-factor/begin")
    page = dora.get("/settings/second-factor").text
    assert "current_password" not in page
    device = Device(page)
    dora.post("/settings/second-factor/enable", {"code": device.code()})
    assert len(shown_codes(dora.get("/settings/second-factor").text)) == 10

    again = somebody()
    assert sign_on(again, provider).location == "/login/code"
    assert who(again) is None
    assert again.post("/login/code", {"code": device.code()}).status_code == 303
    assert (who(again) or {})["user"] == "dora"


# --- settings -----------------------------------------------------------------------------------


def test_button_is_there_with_a_provider_and_not_without(
    somebody: Any, browser: Any, portal: Callable[..., Flask]
) -> None:
    assert 'href="/sign-on"' in somebody().get("/login").text
    page = browser().get("/login").text
    assert "/sign-on" not in page
    assert browser().get("/sign-on").location == "/login"


def test_passwords_are_taken_unless_a_setting_says_otherwise(
    portal: Callable[..., Flask], provider: Provider
) -> None:
    closed = Browser(portal(password_sign_in=False))
    page = closed.get("/login").text
    assert 'name="password"' not in page
    assert 'href="/sign-on"' in page
    provider.person("s-23", preferred_username="dora", groups=["ops"])
    sign_on(closed, provider)
    assert who(closed) is not None
    assert closed.post("/login", {"username": "bob", "password": PASSWORD}).status_code == 403


WHOLE = {
    "PORTAL_OIDC_ISSUER": "https://id.example.org",
    "PORTAL_OIDC_CLIENT_ID": "portal",
    "PORTAL_OIDC_ROLES": "urn:example:admins:admin, ops:operator",
}


def test_roles_are_read_from_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)
    assert load_settings().oidc_roles == (("urn:example:admins", "admin"), ("ops", "operator"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORTAL_OIDC_ISSUER", "http://id.example.org"),
        ("PORTAL_OIDC_ISSUER", "id.example.org"),
        ("PORTAL_OIDC_ISSUER", "https://id.example.org/?a=b"),
        ("PORTAL_OIDC_CLIENT_ID", ""),
        ("PORTAL_OIDC_ROLES", ""),
        ("PORTAL_OIDC_ROLES", "admins"),
        ("PORTAL_OIDC_ROLES", "admins:root"),
        ("PORTAL_OIDC_SCOPES", "profile"),
    ],
)
def test_bad_value_stops_the_start_with_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    for known, good in (WHOLE | {name: value}).items():
        monkeypatch.setenv(known, good)
    with pytest.raises(SettingsError, match=name):
        load_settings()


def test_passwords_cannot_be_closed_without_another_way_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PORTAL_PASSWORD_SIGN_IN", "false")
    with pytest.raises(SettingsError, match="PORTAL_PASSWORD_SIGN_IN"):
        load_settings()


def test_missing_package_stops_the_start_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)
    found = util.find_spec
    monkeypatch.setattr(
        settings_table, "find_spec", lambda name: None if name == "authlib" else found(name)
    )
    with pytest.raises(SettingsError, match=r"PORTAL_OIDC_ISSUER.*transfer-portal\[oidc\]"):
        load_settings(data_dir=tmp_path).prepare()
