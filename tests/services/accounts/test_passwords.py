"""Which passwords people may choose, and what becomes of their hashes."""

from __future__ import annotations

from typing import Any

import pytest
from argon2 import PasswordHasher

from portal.db.session import session
from portal.models import User
from portal.runtime import thread_offload
from portal.services.accounts import passwords
from tests.support.client import Browser, sign_in_at_once
from tests.support.users import PASSWORD

ACCEPTED = [
    "correct horse battery staple",
    "Ub4!kz-9q",  # short, but hard to guess
    "пароль из многих слов",
    "   spaces   count   ",
    "🐎🔋📎🐎🔋📎🧷🪀🎏🪁🧩🎲",
    "pasted\tfrom\na manager of them",
    "x7" + "kq" * 3 + "!vB2" * 40,
]
REFUSED = {
    "": "Enter a password.",
    "x7!qz": "Use at least 12 characters",
    "Tr0ub4dour": "Use at least 12 characters",
    "iloveyou": "most common",
    "PASSWORD": "most common",
    "aaaaaaaaaaaaaaaaaaaa": "too easy to guess",
    "bobbobbobbob": "too easy to guess",
    "passwordpassword": "too easy to guess",
    "x" * 1025: "at most 1024",
}


@pytest.mark.parametrize("password", ACCEPTED)
def test_long_or_hard_to_guess_is_accepted_whatever_the_characters(password: str) -> None:
    assert passwords.weakness(password, "bob") is None


@pytest.mark.parametrize(("password", "words"), REFUSED.items(), ids=lambda text: text[:16])
def test_short_common_and_regular_ones_are_refused(password: str, words: str) -> None:
    assert words in (passwords.weakness(password, "bob") or "")


def test_generated_ones_are_accepted() -> None:
    assert passwords.weakness(passwords.generate(), "bob") is None


def test_longest_password_is_told_apart_from_one_that_differs_in_its_last_character() -> None:
    hashed = passwords.hash_password("x" * 1023 + "y")
    assert passwords.is_right(hashed, "x" * 1023 + "y")
    assert not passwords.is_right(hashed, "x" * 1024)


@pytest.mark.parametrize("stored", ["", "x", "$argon2id$", "plain text"])
def test_nothing_is_right_for_what_is_no_hash(stored: str) -> None:
    assert not passwords.is_right(stored, "")
    assert not passwords.is_right(stored, stored)


def test_fields_of_passwords_allow_managers_and_pasting(browser: Any) -> None:
    login, settings = browser().get("/login").text, browser("bob").get("/settings").text
    assert 'autocomplete="current-password"' in login
    assert 'autocomplete="new-password"' in settings
    for page in (login, settings):
        assert "onpaste" not in page
        assert 'maxlength="' not in page.partition('type="password"')[2].partition(">")[0]


def test_every_character_counts_at_sign_in(browser: Any) -> None:
    bob = browser("bob")
    new = "  ünï𝄞 <&>\"' and spaces  "
    form = {"current_password": PASSWORD, "new_password": new}
    assert bob.post("/settings/password", form).status_code == 303
    assert browser().sign_in("bob", new.strip()).status_code == 401
    assert browser().sign_in("bob", new).status_code == 303


def stored(name: str) -> str:
    session.rollback()
    return session.query(User).filter_by(username=name).one().password_hash


def test_hash_is_made_again_at_sign_in_when_the_parameters_rose(
    browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stored("bob")
    higher = PasswordHasher(time_cost=2, memory_cost=64, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", higher)
    assert browser().sign_in("bob", "wrong").status_code == 401
    assert stored("bob") == before
    assert browser().sign_in("bob").status_code == 303
    after = stored("bob")
    assert "m=64,t=2" in after
    assert higher.verify(after, PASSWORD)
    assert browser().sign_in("bob").status_code == 303
    assert stored("bob") == after


def test_sign_ins_at_once_agree_on_one_new_hash(
    browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        passwords, "_hasher", PasswordHasher(time_cost=2, memory_cost=64, parallelism=1)
    )
    people: list[Browser] = [browser() for _ in range(4)]
    forms = [{"csrf_token": one.token(), "username": "bob", "password": PASSWORD} for one in people]
    codes = sign_in_at_once(people, forms)
    assert codes == [303] * 4


def test_hashing_and_judging_go_off_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere: list[str] = []

    def execute(function: Any, *arguments: Any) -> Any:
        elsewhere.append(function.__name__)
        return function(*arguments)

    monkeypatch.setattr(thread_offload, "_execute", execute)
    hashed = passwords.hash_password("a password")
    passwords.is_right(hashed, "a password")
    passwords.is_right("", "a password")
    passwords.weakness("a password", "bob")
    assert elsewhere == ["hash", "_verify", "_verify", "_weakness"]
