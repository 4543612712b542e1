"""Users by programs of admins: the same acts as on the page."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.program import assert_problem


def test_invited_user_sets_a_password_by_the_link(program: Any, browser: Any) -> None:
    answer = program("alice").post("/users", {"username": "Dora", "role": "viewer"})
    assert answer.status_code == 201
    dora = answer.json
    assert (dora["username"], dora["role"], dora["active"]) == ("dora", "viewer", True)
    assert answer.headers["Location"] == f"/api/v1/users/{dora['id']}"
    path = dora["password_link"].removeprefix("http://localhost")
    assert browser().post(path, {"new_password": "an unlikely phrase 42"}).status_code == 303
    assert browser().sign_in("dora", "an unlikely phrase 42").status_code == 303
    known = program("alice").get(f"/users/{dora['id']}").json
    assert known.keys() == dora.keys() - {"password_link"}


def test_list_of_users_is_searched_and_paged(program: Any) -> None:
    asking = program("alice")
    names = [user["username"] for user in asking.get("/users").json["items"]]
    assert names == ["alice", "bella", "bob", "charlie"]
    page = asking.get("/users?q=b&per_page=1&page=2").json
    assert [user["username"] for user in page["items"]] == ["bob"]
    assert page["total"] == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"username": "bob", "role": "viewer"}, "username"),
        ({"username": "two words", "role": "viewer"}, "username"),
        ({"username": "", "role": "viewer"}, "username"),
        ({"username": "dora", "role": "root"}, "role"),
        ({"username": "dora"}, "role"),
        ({"username": "dora", "role": "viewer", "id": 1}, "id"),
    ],
)
def test_wrong_field_of_a_new_user_is_named(program: Any, body: Any, field: str) -> None:
    assert_problem(program("alice").post("/users", body), 422, field)


def test_role_disabling_and_enabling_take_effect_and_twice_is_harmless(
    program: Any, user: Any
) -> None:
    asking, bella = program("alice"), user("bella").id
    for _ in range(2):
        answer = asking.post(f"/users/{bella}/role", {"role": "viewer"})
        assert (answer.status_code, answer.json["role"]) == (200, "viewer")
    for verb, active in (("disable", False), ("enable", True)):
        for _ in range(2):
            answer = asking.post(f"/users/{bella}/{verb}")
            assert (answer.status_code, answer.json["active"]) == (200, active)


def test_last_admin_stays(program: Any, user: Any) -> None:
    asking, alice = program("alice"), user("alice").id
    assert_problem(asking.post(f"/users/{alice}/disable"), 409)
    assert_problem(asking.post(f"/users/{alice}/role", {"role": "viewer"}), 409)
    assert asking.get("/users").status_code == 200


@pytest.mark.parametrize("number", ["0", "999", str(2**31), str(2**63), str(2**70)])
def test_user_that_cannot_be_is_404(program: Any, number: str) -> None:
    asking = program("alice")
    assert_problem(asking.get(f"/users/{number}"), 404)
    assert_problem(asking.post(f"/users/{number}/disable"), 404)
    assert_problem(asking.post(f"/users/{number}/enable"), 404)
    assert_problem(asking.post(f"/users/{number}/role", {"role": "viewer"}), 404)


def test_nothing_of_a_password_or_token_is_shown(program: Any) -> None:
    page = program("alice").get("/users").text
    for word in ("password", "hash", "argon", "token", "tp_"):
        assert word not in page
