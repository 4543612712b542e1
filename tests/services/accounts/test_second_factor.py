"""A code beside the password: turned on, asked for once each, limited, demanded, reset."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask

from portal.app import build_app
from portal.cli import cli
from portal.db.session import session
from portal.models import AuditEntry, LoginSession, RecoveryCode, SignInLimit, User
from portal.services.accounts import pending_sign_in, second_factor, sessions
from portal.services.accounts.session_policy import SessionPolicy
from portal.services.accounts.sign_in import Proof
from portal.services.actor import Actor
from portal.settings import Settings, SettingsError, load_settings
from tests.support.applications import configure, engine_of
from tests.support.client import Browser
from tests.support.second_factor import Device, shown_codes
from tests.support.users import PASSWORD

PAGE = "/settings/second-factor"


def turn_on(someone: Browser) -> tuple[Device, list[str]]:
    """The device and the recovery codes."""
    assert someone.post(f"{PAGE}/begin").status_code == 303
    device = Device(someone.get(PAGE).text)
    answer = someone.post(f"{PAGE}/enable", {"code": device.code(), "current_password": PASSWORD})
    assert answer.status_code == 303, answer.text
    return device, shown_codes(someone.get(PAGE).text)


def trail(action: str) -> list[tuple[str, str, str]]:
    session.rollback()
    rows = session.query(AuditEntry).filter_by(action=action).order_by(AuditEntry.id)
    return [(row.actor, row.outcome, row.detail) for row in rows]


def number_of_sessions(person: User) -> int:
    session.rollback()
    return session.query(LoginSession).filter_by(user_id=person.id).count()


def forget_waits() -> None:
    session.query(SignInLimit).delete()
    session.commit()


@pytest.fixture
def demanding(app: Flask, settings: Settings) -> Iterator[Callable[[], Browser]]:
    """A browser at a portal that demands the factor of admins and operators."""
    strict = build_app(settings.model_copy(update={"require_second_factor": ("admin", "operator")}))
    yield lambda: Browser(strict)
    engine_of(strict).dispose()


# --- turning it on ------------------------------------------------------------------------------


def test_factor_is_turned_on_by_the_password_and_a_code(browser: Any, user: Any) -> None:
    bob = browser("bob")
    _, codes = turn_on(bob)

    assert len(codes) == len(set(codes)) == 10
    assert second_factor.is_enabled(session(), user("bob").id)
    assert trail("second-factor.enable") == [("bob", "ok", "")]


def test_recovery_codes_are_shown_once_and_kept_as_hashes(browser: Any) -> None:
    bob = browser("bob")
    _, codes = turn_on(bob)

    assert shown_codes(bob.get(PAGE).text) == []
    kept = {row.code_hash for row in session.query(RecoveryCode)}
    assert len(kept) == 10
    assert not kept & {*codes, *(code.replace("-", "") for code in codes)}


def test_secret_lies_in_the_database_encrypted(browser: Any, settings: Settings) -> None:
    device, _ = turn_on(browser("bob"))
    session.remove()

    secret = device.totp.secret
    files = [*settings.data_dir.glob("portal.sqlite*")]
    assert files
    for path in files:
        content = path.read_bytes()
        assert secret.encode() not in content
        assert base64.b32decode(secret) not in content


@pytest.mark.parametrize(
    "wrong", [{"code": "wrong"}, {"current_password": "not this one"}, {"code": "١٢٣٤٥٦"}]
)
def test_factor_stays_off_without_a_right_code_and_the_password(
    browser: Any, user: Any, wrong: dict[str, str]
) -> None:
    bob = browser("bob")
    bob.post(f"{PAGE}/begin")
    device = Device(bob.get(PAGE).text)
    form = {"code": device.code(), "current_password": PASSWORD} | wrong

    assert bob.post(f"{PAGE}/enable", form).status_code == 422
    assert not second_factor.is_enabled(session(), user("bob").id)
    assert browser().sign_in("bob").location == "/"


def test_turning_it_on_ends_the_other_sessions_and_keeps_this_one(browser: Any, user: Any) -> None:
    other, bob = browser("bob"), browser("bob")
    turn_on(bob)

    assert other.get("/").status_code == 302
    assert bob.get("/").status_code == 200
    assert number_of_sessions(user("bob")) == 1


def test_picture_is_an_svg_without_style_and_only_there_to_be_scanned(browser: Any) -> None:
    bob = browser("bob")
    assert bob.get(f"{PAGE}/qr.svg").status_code == 409
    bob.post(f"{PAGE}/begin")
    picture = bob.get(f"{PAGE}/qr.svg")

    assert picture.mimetype == "image/svg+xml"
    assert picture.headers["Cache-Control"] == "no-store"
    assert "style=" not in picture.text
    assert "<script" not in picture.text
    turn_on(bob)
    assert bob.get(f"{PAGE}/qr.svg").status_code == 409


def test_what_is_to_be_scanned_belongs_to_one_browser(browser: Any) -> None:
    # Else who knows the password looks at it, and waits for its owner to put it in force.
    mine, theirs = browser("bob"), browser("bob")
    mine.post(f"{PAGE}/begin")

    assert theirs.get(f"{PAGE}/qr.svg").status_code == 409
    theirs.post(f"{PAGE}/begin")
    assert Device(mine.get(PAGE).text).totp.secret != Device(theirs.get(PAGE).text).totp.secret


def test_proposal_of_one_user_is_worth_nothing_to_another(app: Flask, user: Any) -> None:
    proposed = second_factor.proposal(user("bob"))
    assert second_factor.setup(user("bob"), proposed) is not None
    assert second_factor.setup(user("bella"), proposed) is None
    assert second_factor.setup(user("bob"), "not ours") is None


# --- signing in ---------------------------------------------------------------------------------


def test_sign_in_takes_password_and_code_and_no_session_is_made_between(
    browser: Any, user: Any
) -> None:
    device, _ = turn_on(browser("bob"))
    before = number_of_sessions(user("bob"))
    bob = browser()

    halfway = bob.sign_in("bob")
    assert (halfway.status_code, halfway.location) == (303, "/login/code")
    assert number_of_sessions(user("bob")) == before
    for path in ("/", "/jobs", PAGE, "/settings"):
        assert bob.get(path).location.startswith("/login"), path
    assert bob.get("/api/session").status_code == 401
    entered = bob.post("/login/code", {"code": device.code()})
    assert (entered.status_code, entered.location) == (303, "/")
    assert bob.get("/api/session").json["user"] == "bob"
    assert trail("sign-in")[-1] == ("bob", "ok", "by code")


def test_next_page_and_being_remembered_survive_the_second_step(browser: Any, user: Any) -> None:
    device, _ = turn_on(browser("bob"))
    bob = browser()
    bob.post("/login?next=/jobs", {"username": "bob", "password": PASSWORD, "remember": "y"})
    entered = bob.post("/login/code", {"code": device.code()})

    assert entered.location == "/jobs"
    newest = session.query(LoginSession).order_by(LoginSession.id.desc()).first()
    assert newest is not None
    assert newest.remember
    assert newest.second_step


def test_code_counts_once(browser: Any) -> None:
    device, _ = turn_on(browser("bob"))
    code = device.code()
    first, second = browser(), browser()
    first.sign_in("bob")
    second.sign_in("bob")

    assert first.post("/login/code", {"code": code}).status_code == 303
    again = second.post("/login/code", {"code": code})
    assert again.status_code == 422
    assert "has been used" in again.text


def test_code_of_an_earlier_step_is_refused_after_a_later_one(browser: Any) -> None:
    device, _ = turn_on(browser("bob"))
    older, newer = device.totp.at(time.time() - 30), device.code()
    bob = browser()
    bob.sign_in("bob")
    assert bob.post("/login/code", {"code": newer}).status_code == 303
    bob = browser()
    bob.sign_in("bob")
    assert bob.post("/login/code", {"code": older}).status_code == 422


def test_of_two_who_use_one_code_at_once_one_gets_in(app: Flask, browser: Any, user: Any) -> None:
    device, codes = turn_on(browser("bob"))
    person = user("bob")
    for text in (device.code(), codes[0]):
        outcomes = []
        gate = threading.Barrier(4)

        def use(text: str = text, outcomes: list[bool] = outcomes, gate: Any = gate) -> None:
            with app.app_context():
                gate.wait()
                try:
                    second_factor.check(Actor(person, "10.0.0.1"), text)
                except Exception:  # noqa: BLE001 - too many at once is a refusal as well
                    outcomes.append(False)
                else:
                    outcomes.append(True)

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes.count(True) == 1


@pytest.mark.parametrize(
    "written", [lambda code: code, lambda code: code.upper().replace("-", " ")]
)
def test_recovery_code_signs_in_once(browser: Any, written: Callable[[str], str]) -> None:
    _, codes = turn_on(browser("bob"))
    bob = browser()
    bob.sign_in("bob")
    assert bob.post("/login/code", {"code": written(codes[3])}).status_code == 303
    assert trail("sign-in")[-1] == ("bob", "ok", "by recovery code")
    assert "9 recovery codes left" in bob.get(PAGE).text

    other = browser()
    other.sign_in("bob")
    assert other.post("/login/code", {"code": codes[3]}).status_code == 422


def test_recovery_code_of_somebody_else_is_refused(browser: Any) -> None:
    turn_on(browser("bob"))
    _, codes = turn_on(browser("bella"))
    bob = browser()
    bob.sign_in("bob")
    assert bob.post("/login/code", {"code": codes[0]}).status_code == 422


def test_guessing_codes_has_to_wait_as_guessing_passwords_does(browser: Any) -> None:
    device, _ = turn_on(browser("bob"))
    bob = browser()
    bob.sign_in("bob")
    answers = [bob.post("/login/code", {"code": device.wrong()}) for _ in range(8)]

    assert answers[0].status_code == 422
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert bob.post("/login/code", {"code": device.code()}).status_code == 429
    assert ("bob", "refused", "wrong code") in trail("sign-in")


def test_right_password_alone_forgives_no_wrong_code(browser: Any) -> None:
    # Else guessing would be free for who signs in anew after each few codes.
    device, _ = turn_on(browser("bob"))
    answers = []
    for _ in range(6):
        bob = browser()
        answers.append(bob.sign_in("bob").status_code)
        answers.append(bob.post("/login/code", {"code": device.wrong()}).status_code)
    assert 429 in answers


def test_half_signed_in_token_dies_with_the_password_and_with_the_account(
    app: Flask, browser: Any, user: Any
) -> None:
    device, _ = turn_on(browser("bob"))
    alice = browser("alice")
    for act in ("reset-password", "disable"):
        token = pending_sign_in.issue(
            Proof(user("bob").id, user("bob").password_hash), remember=False, way=""
        )
        assert pending_sign_in.load(token) is not None
        alice.post(f"/users/{user('bob').id}/{act}")
        session.remove()
        assert pending_sign_in.load(token) is None
        alice.post(f"/users/{user('bob').id}/enable")
    assert device


def test_half_signed_in_token_dies_after_some_minutes_and_when_it_is_changed(
    app: Flask, user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = user("bob")
    token = pending_sign_in.issue(Proof(bob.id, bob.password_hash), remember=False, way="")
    assert pending_sign_in.load(token[:-2] + "xx") is None
    assert bob.password_hash not in token
    monkeypatch.setattr(pending_sign_in, "SECONDS", -1)
    assert pending_sign_in.load(token) is None


def test_second_step_without_the_first_leads_to_the_sign_in_page(browser: Any) -> None:
    nobody = browser()
    for path in ("/login/code", "/login/second-factor"):
        assert nobody.get(path).location == "/login"
        assert nobody.post(path, {"code": "123456"}).location == "/login"


def test_no_way_in_passes_the_second_step_by(app: Flask, browser: Any, user: Any) -> None:
    from portal.services.accounts import sign_in

    turn_on(browser("bob"))
    bob = user("bob")
    proof = Proof(bob.id, bob.password_hash)
    assert sign_in.admit(proof, remember=False, address="", user_agent="") is None


# --- changing it --------------------------------------------------------------------------------


def test_turning_it_off_takes_both_proofs_and_ends_other_sessions(browser: Any, user: Any) -> None:
    bob = browser("bob")
    device, _ = turn_on(bob)
    other = browser()
    other.sign_in("bob")
    other.post("/login/code", {"code": device.code()})

    def off(**form: str) -> int:
        forget_waits()
        code = {"code": device.code(), "current_password": PASSWORD}
        return int(bob.post(f"{PAGE}/disable", code | form).status_code)

    assert off(code=device.wrong()) == 422
    assert off(current_password="not this one") == 422
    assert second_factor.is_enabled(session(), user("bob").id)
    assert off() == 303
    assert not second_factor.is_enabled(session(), user("bob").id)
    assert session.query(RecoveryCode).count() == 0
    assert other.get("/").status_code == 302
    assert bob.get("/").status_code == 200
    assert "Set up a second factor" in bob.get(PAGE).text
    assert [entry[1] for entry in trail("second-factor.disable")] == ["refused", "ok"]


def test_new_recovery_codes_make_the_old_ones_worthless(browser: Any) -> None:
    bob = browser("bob")
    device, old = turn_on(bob)
    form = {"code": device.code(), "current_password": PASSWORD}
    assert bob.post(f"{PAGE}/codes", form).status_code == 303
    new = shown_codes(bob.get(PAGE).text)
    assert len(new) == 10
    assert not {*old} & {*new}
    other = browser()
    other.sign_in("bob")
    assert other.post("/login/code", {"code": old[0]}).status_code == 422
    assert other.post("/login/code", {"code": new[0]}).status_code == 303


def test_admin_resets_a_factor_and_the_user_is_signed_out(browser: Any, user: Any) -> None:
    bob, alice = browser("bob"), browser("alice")
    turn_on(bob)
    path = f"/users/{user('bob').id}/reset-second-factor"
    assert path in alice.get("/users").text
    assert browser("bella").post(path).status_code == 403
    assert alice.post(path).status_code == 303

    assert bob.get("/").status_code == 302
    assert browser().sign_in("bob").location == "/"
    assert path not in alice.get("/users").text
    assert alice.post(path).status_code == 409
    assert trail("second-factor.reset") == [("alice", "ok", "")]


def test_admin_cannot_reset_their_own_factor_without_a_code(browser: Any, user: Any) -> None:
    alice = browser("alice")
    turn_on(alice)
    path = f"/users/{user('alice').id}/reset-second-factor"
    assert path not in alice.get("/users").text
    assert alice.post(path).status_code == 409
    assert second_factor.is_enabled(session(), user("alice").id)


def test_command_line_resets_a_factor_where_no_admin_is_left(
    browser: Any, user: Any, settings: Settings
) -> None:
    alice = browser("alice")
    turn_on(alice)
    session.remove()
    environment = {"PORTAL_DATA_DIR": str(settings.data_dir)}
    done = CliRunner().invoke(cli, ["reset-second-factor", "ALICE"], env=environment)
    assert (done.exit_code, "alice is removed" in done.output) == (0, True), done.output
    assert (
        CliRunner().invoke(cli, ["reset-second-factor", "nobody"], env=environment).exit_code == 1
    )
    assert alice.get("/").status_code == 302
    assert not second_factor.is_enabled(session(), user("alice").id)


# --- demanded of a role -------------------------------------------------------------------------


def test_role_that_demands_a_factor_sets_it_up_before_the_first_session(
    demanding: Callable[[], Browser], user: Any
) -> None:
    bob = demanding()
    assert bob.sign_in("bob").location == "/login/second-factor"
    assert number_of_sessions(user("bob")) == 0
    assert bob.get("/login/second-factor/qr.svg").mimetype == "image/svg+xml"
    device = Device(bob.get("/login/second-factor").text)
    assert bob.post("/login/second-factor", {"code": device.wrong()}).status_code == 422
    entered = bob.post("/login/second-factor", {"code": device.code()})

    assert (entered.status_code, entered.location) == (303, PAGE)
    page = bob.get(PAGE).text
    assert len(shown_codes(page)) == 10
    assert bob.get("/").status_code == 200


def test_role_that_demands_a_factor_cannot_turn_it_off(demanding: Callable[[], Browser]) -> None:
    bob = demanding()
    bob.sign_in("bob")
    device = Device(bob.get("/login/second-factor").text)
    bob.post("/login/second-factor", {"code": device.code()})
    bob.get(PAGE)

    assert "Turn off" not in bob.get(PAGE).text
    form = {"code": device.code(), "current_password": PASSWORD}
    assert bob.post(f"{PAGE}/disable", form).status_code == 409


def test_other_roles_sign_in_as_before(demanding: Callable[[], Browser]) -> None:
    assert demanding().sign_in("charlie").location == "/"


def test_session_from_before_the_demand_opens_nothing(app: Flask, browser: Any, user: Any) -> None:
    bob, charlie = browser("bob"), browser("charlie")
    assert bob.get("/").status_code == 200
    configure(app, session_policy=SessionPolicy(second_step=frozenset({"admin", "operator"})))

    assert bob.get("/").status_code == 302
    assert charlie.get("/").status_code == 200
    token = LoginSession.user_id == user("bob").id
    row = session.query(LoginSession).filter(token).one()
    assert sessions.of_user(row.user_id) == []


def test_promotion_to_a_role_that_demands_a_factor_ends_the_rights_of_the_session(
    app: Flask, browser: Any, user: Any
) -> None:
    charlie, alice = browser("charlie"), browser("alice")
    # Of operators alone, so that alice may act.
    configure(app, session_policy=SessionPolicy(second_step=frozenset({"operator"})))
    alice.post(f"/users/{user('charlie').id}/role", {"role": "operator"})
    assert charlie.get("/jobs/new").location.startswith("/login")
    assert charlie.get("/api/session").status_code == 401


# --- keys ---------------------------------------------------------------------------------------


def test_secrets_are_read_by_a_previous_key_and_by_no_other(
    app: Flask, browser: Any, settings: Settings
) -> None:
    device, codes = turn_on(browser("bob"))
    old = settings.signing_key()
    changes: dict[str, Any] = {"secret_key": "n" * 40}
    for previous, answer in (((old,), 303), ((), 422)):
        made = build_app(settings.model_copy(update=changes | {"previous_secret_keys": previous}))
        bob = Browser(made)
        bob.sign_in("bob")
        assert bob.post("/login/code", {"code": device.code()}).status_code == answer
        engine_of(made).dispose()
    # Recovery codes need no key.
    assert bob.post("/login/code", {"code": codes[0]}).status_code == 303


def test_setting_names_roles_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_REQUIRE_SECOND_FACTOR", "admin, operator")
    assert load_settings().require_second_factor == ("admin", "operator")
    monkeypatch.setenv("PORTAL_REQUIRE_SECOND_FACTOR", "root")
    with pytest.raises(SettingsError, match="PORTAL_REQUIRE_SECOND_FACTOR"):
        load_settings()
