"""Neither the words of a refusal nor its time tell whether a name exists."""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask

from portal.db.session import session
from portal.models import SignInLimit, User
from portal.services.accounts import passwords, users
from tests.support.users import PASSWORD

ROUNDS = 100
#: One false alarm in a million runs: a difference has to show twice.
UNLIKELY = 0.001
COSTLY = PasswordHasher(time_cost=1, memory_cost=4096, parallelism=1)
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def rank_test(first: list[float], second: list[float]) -> float:
    """Two-sided p of Mann and Whitney's U, by its normal approximation (no ties among times)."""
    order = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    ranks = sum(rank for rank, (_, which) in enumerate(order, 1) if which == 0)
    m, n = len(first), len(second)
    mean, deviation = m * (m + n + 1) / 2, math.sqrt(m * n * (m + n + 1) / 12)
    return math.erfc(abs(ranks - mean) / deviation / math.sqrt(2))


def test_rank_test_tells_shifted_from_equal() -> None:
    chance = random.Random(1)  # noqa: S311 - noise for a test
    first = [chance.gauss(10, 1) for _ in range(ROUNDS)]
    assert rank_test(first, [chance.gauss(10, 1) for _ in range(ROUNDS)]) > 0.01
    assert rank_test(first, [chance.gauss(11, 1) for _ in range(ROUNDS)]) < UNLIKELY


@pytest.fixture
def costly_hashes(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that cost enough to be seen over the noise of the machine."""
    monkeypatch.setattr(passwords, "_hasher", COSTLY)
    for user in session.query(User):
        user.password_hash = COSTLY.hash(PASSWORD)
    bella = session.query(User).filter_by(username="bella").one()
    bella.active = False
    session.commit()


@pytest.fixture
def refusal(browser: Any) -> Callable[[str, str], Any]:
    nobody = browser()
    form = {"csrf_token": nobody.token()}

    def ask(name: str, password: str) -> Any:
        session.query(SignInLimit).delete()
        session.commit()
        session.remove()
        answer = nobody.client.post("/login", data={**form, "username": name, "password": password})
        assert answer.status_code == 401
        return answer

    return ask


def times(refusal: Any, *cases: tuple[str, str]) -> list[list[float]]:
    """Seconds of each case, the cases mixed."""
    found: list[list[float]] = [[] for _ in cases]
    for _ in range(ROUNDS):
        for index in random.sample(range(len(cases)), len(cases)):
            begun = time.perf_counter()
            refusal(*cases[index])
            found[index].append(time.perf_counter() - begun)
    return found


def differ(refusal: Any, *cases: tuple[str, str]) -> bool:
    return all(rank_test(*times(refusal, *cases)) < UNLIKELY for _ in range(2))


WRONG = ("bob", "a wrong password")


@pytest.mark.slow
@pytest.mark.parametrize(
    "other", [("nobody", "a wrong password"), ("bella", PASSWORD), ("invited", "a wrong password")]
)
@pytest.mark.usefixtures("costly_hashes")
def test_unknown_disabled_and_invited_take_the_time_of_a_wrong_password(
    refusal: Any, other: tuple[str, str]
) -> None:
    users.create_user("invited", "viewer", None)
    assert not differ(refusal, WRONG, other)


@pytest.mark.slow
@pytest.mark.usefixtures("costly_hashes")
def test_this_test_would_see_a_name_that_costs_no_hash(
    refusal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_decoy", lambda _hasher: CHEAP.hash("nobody's"))
    assert differ(refusal, WRONG, ("nobody", "a wrong password"))


@pytest.mark.usefixtures("costly_hashes")
def test_unknown_wrong_disabled_and_invited_are_answered_alike(refusal: Any) -> None:
    users.create_user("invited", "viewer", None)
    cases = [WRONG, ("nobody", "x"), ("bella", PASSWORD), ("bella", "x"), ("invited", "")]
    answers = [refusal(name, password or " ") for name, password in cases]
    pages = {
        re.sub(r'value="[^"]*"', "", answer.text).replace(name, "")
        for (name, _), answer in zip(cases, answers, strict=True)
    }
    assert len(pages) == 1
    headers = {tuple(sorted(answer.headers.keys())) for answer in answers}
    assert len(headers) == 1
