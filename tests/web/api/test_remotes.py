"""Remotes by programs: operators see what they may use, admins all but the secrets."""

from __future__ import annotations

from typing import Any

from tests.support.program import assert_problem

NAS = {
    "name": "nas",
    "backend": "sftp",
    "options": {"host": "192.0.2.7", "user": "bob", "pass": "a password"},
}


def test_remote_is_made_changed_and_deleted_and_its_secret_is_never_shown(program: Any) -> None:
    asking = program("alice")
    made = asking.post("/remotes", NAS)
    assert made.status_code == 201
    remote = made.json
    assert made.headers["Location"] == f"/api/v1/remotes/{remote['id']}"
    assert (remote["secrets"], remote["version"]) == (["pass"], 1)
    assert remote["options"] == {"host": "192.0.2.7", "user": "bob"}
    change = {"version": 1, "role": "admin", "options": {"host": "192.0.2.7", "user": "carol"}}
    changed = asking.post(f"/remotes/{remote['id']}", change)
    assert changed.json["options"]["user"] == "carol"
    assert changed.json["secrets"] == ["pass"]
    assert_problem(asking.post(f"/remotes/{remote['id']}", change), 409)
    elsewhere = {"version": 2, "options": {"host": "192.0.2.8", "user": "carol"}}
    assert_problem(asking.post(f"/remotes/{remote['id']}", elsewhere), 422, "options.pass")
    for answer in (made, changed, asking.get("/remotes"), asking.get(f"/remotes/{remote['id']}")):
        assert "a password" not in answer.text
    assert asking.post(f"/remotes/{remote['id']}/delete").status_code == 200
    assert_problem(asking.get(f"/remotes/{remote['id']}"), 404)


def test_operators_see_what_they_may_use_and_nothing_of_its_options(program: Any) -> None:
    asking = program("alice")
    asking.post("/remotes", NAS)
    asking.post("/remotes", NAS | {"name": "vault", "role": "admin"})
    seen = program("bob").get("/remotes").json["items"]
    assert [one["name"] for one in seen] == ["nas"]
    assert seen[0].keys() == {"id", "name", "backend", "role", "start", "max_jobs"}
    assert_problem(program("bob").get(f"/remotes/{seen[0]['id']}"), 403)
    assert_problem(program("bob").post("/remotes", NAS), 403)
    assert_problem(program("charlie").get("/remotes"), 403)


def test_job_to_a_remote_is_made_within_rights(program: Any, job_fields: Any) -> None:
    program("alice").post("/remotes", NAS | {"role": "admin"})
    wanted = job_fields | {"destination": "nas:copies"}
    assert_problem(program("bob").post("/jobs", wanted), 422, "destination")
    made = program("alice").post("/jobs", wanted)
    assert (made.status_code, made.json["destination"]) == (201, "nas:copies")


def test_wrong_options_are_named(program: Any) -> None:
    asking = program("alice")
    wrong = {"host": "two words", "port": "none", "ssh": "touch /tmp/x"}
    answer = asking.post("/remotes", NAS | {"options": wrong})
    assert answer.status_code == 422
    assert answer.json["errors"].keys() >= {"options.host", "options.port", "options.ssh"}
    assert_problem(asking.post("/remotes", NAS | {"backend": "crypt"}), 422, "backend")
    assert_problem(asking.post("/remotes", NAS | {"role": "viewer"}), 422, "role")
