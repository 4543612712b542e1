"""What other programs ask: is it up, is it ready, how is it doing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from portal import engine
from portal.app import build_app
from portal.db import session
from portal.settings import Settings
from tests.support.applications import engine_of
from tests.support.mounts import Mounts


def parts(client: FlaskClient) -> dict[str, str]:
    answer = client.get("/readyz").json
    assert answer is not None
    found: dict[str, str] = answer["parts"]
    return found


REMOTE = {"REMOTE_ADDR": "192.0.2.7"}


@contextmanager
def portal(settings: Settings, migrated: Path, **changed: object) -> Iterator[FlaskClient]:
    """Another portal with these settings."""
    settings = settings.model_copy(update=changed)
    settings.prepare()
    (settings.data_dir / "portal.sqlite").write_bytes(migrated.read_bytes())
    app = build_app(settings)
    yield app.test_client()
    session.session.remove()
    engine_of(app).dispose()


def test_healthz_says_that_the_process_is_up(browser: Any) -> None:
    answer = browser().get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_readyz_is_200_when_every_part_answers(browser: Any, executor: Any) -> None:
    answer = browser().get("/readyz")
    assert answer.status_code == 200
    assert answer.json == {
        "status": "ready",
        "parts": {"database": "ok", "queue": "ok", "rclone": "ok", "roots": "ok"},
    }


@pytest.mark.parametrize("binary", ["/nowhere/rclone", "/bin/true", "/etc/hostname"])
def test_readyz_is_503_with_a_broken_rclone(
    settings: Settings, migrated: Path, binary: str
) -> None:
    with portal(settings, migrated, rclone=Path(binary)) as client:
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json is not None
        assert binary in answer.json["parts"]["rclone"]
        assert answer.json["parts"]["database"] == "ok"
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("becomes", ["nothing", "another program", "a folder"])
def test_readyz_sees_an_rclone_that_goes_and_one_that_comes_back(
    settings: Settings, migrated: Path, tmp_path: Path, becomes: str
) -> None:
    binary = tmp_path / "rclone"
    binary.symlink_to(engine.rclone_path(None))
    with portal(settings, migrated, rclone=binary) as client:
        assert parts(client)["rclone"] == "ok"
        binary.unlink()
        if becomes == "another program":
            binary.symlink_to("/bin/true")
        elif becomes == "a folder":
            binary.mkdir()
        assert str(binary) in parts(client)["rclone"]
        assert client.get("/readyz").status_code == 503
        binary.rmdir() if becomes == "a folder" else binary.unlink(missing_ok=True)
        binary.symlink_to(engine.rclone_path(None))
        assert parts(client)["rclone"] == "ok"


@pytest.mark.parametrize("becomes", ["nothing", "an older copy", "an empty file"])
def test_readyz_sees_that_the_file_of_the_database_is_another_one(
    settings: Settings, migrated: Path, becomes: str
) -> None:
    file = settings.data_dir / "portal.sqlite"
    with portal(settings, migrated) as client:
        assert parts(client)["database"] == "ok"
        other = file.with_name("other")
        other.write_bytes(b"" if becomes == "an empty file" else migrated.read_bytes())
        if becomes == "nothing":
            file.unlink()
        else:
            other.rename(file)
        assert client.get("/readyz").status_code == 503
        assert str(file) in parts(client)["database"]
        assert client.get("/healthz").status_code == 200


def test_readyz_sees_that_the_disk_of_the_database_is_full(
    settings: Settings, migrated: Path, tmp_path: Path
) -> None:
    with Mounts(tmp_path) as mounts:
        mounts.memory(settings.data_dir, "2m")
        with portal(settings, migrated) as client:
            assert parts(client)["database"] == "ok"
            fill = settings.data_dir / "fill"
            with suppress(OSError), fill.open("wb") as file:
                file.write(b"x" * 4_000_000)
            assert client.get("/readyz").status_code == 503
            said = parts(client)["database"]
            assert said.startswith("There is no room left on the disk of the database")
            assert str(settings.data_dir) in said
            assert client.get("/healthz").status_code == 200
            fill.unlink()
            assert parts(client)["database"] == "ok"


def test_readyz_is_503_when_nobody_runs_the_queue(browser: Any, executor: Any) -> None:
    executor.stop()
    answer = browser().get("/readyz")
    assert answer.status_code == 503
    assert "stopped" in answer.json["parts"]["queue"]


def test_readyz_is_503_when_the_database_has_no_tables(app: Flask, browser: Any) -> None:
    session.session.execute(text("ALTER TABLE jobs RENAME TO elsewhere"))
    session.session.commit()
    answer = browser().get("/readyz")
    assert answer.status_code == 503
    assert answer.json["parts"]["database"].startswith("The database does not answer")


def test_metrics_tell_jobs_by_status_in_prometheus_text(browser: Any) -> None:
    answer = browser().get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain")
    assert 'portal_jobs{status="queued"} 0.0' in answer.text
    assert 'portal_sockets{process="0"} 0.0' in answer.text
    assert "process_resident_memory_bytes" in answer.text


@pytest.mark.parametrize(
    ("environ", "headers"),
    [
        (REMOTE, {}),
        ({}, {"X-Forwarded-For": "192.0.2.7"}),
        ({}, {"X-Real-IP": "192.0.2.7"}),
        ({}, {"Forwarded": "for=192.0.2.7"}),
        ({}, {"Via": "1.1 proxy"}),
        ({"REMOTE_ADDR": ""}, {}),
        ({"REMOTE_ADDR": "not an address"}, {}),
    ],
)
def test_metrics_are_nothing_to_others_and_to_visitors_through_a_proxy(
    browser: Any, environ: dict[str, str], headers: dict[str, str]
) -> None:
    answer = browser().client.get("/metrics", environ_base=environ, headers=headers)
    assert answer.status_code == 404


def test_metrics_with_a_token_open_to_it_from_anywhere_and_to_nothing_else(
    settings: Settings, migrated: Path
) -> None:
    def ask(client: FlaskClient, value: str | None) -> int:
        headers = {} if value is None else {"Authorization": value}
        return client.get("/metrics", headers=headers, environ_base=REMOTE).status_code

    with portal(settings, migrated, metrics_token="a token of metrics") as client:
        assert ask(client, "Bearer a token of metrics") == 200
        assert ask(client, "Bearer a token of metric") == 404
        assert ask(client, "Bearer ünlike") == 404
        assert ask(client, None) == 404
        assert client.get("/metrics").status_code == 404, "from this machine, without the token"


def test_health_does_not_tell_who_is_signed_in_or_set_cookies(browser: Any) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert "Set-Cookie" not in browser().get(path).headers


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3:8000", "localhost", "[::1]:8000", "evil"])
def test_probes_are_answered_by_whatever_name(
    settings: Settings, migrated: Path, path: str, host: str
) -> None:
    with portal(settings, migrated, allowed_hosts="portal.example.org") as client:
        answer = client.get(path, headers={"Host": host}, environ_base=REMOTE)
        assert answer.status_code != 400
        assert client.get("/login", headers={"Host": host}).status_code == 400
        assert client.get(f"{path}/more", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]"])
def test_metrics_are_read_from_this_machine_by_its_address(
    settings: Settings, migrated: Path, peer: str, host: str
) -> None:
    with portal(settings, migrated, allowed_hosts="portal.example.org") as client:
        here = {"REMOTE_ADDR": peer}
        answer = client.get("/metrics", headers={"Host": host}, environ_base=here)
        assert answer.status_code == 200
        # A page of somebody else, whose name leads here, asks through a browser on this machine.
        for name in ("evil.example", "127.0.0.1.evil.example", "10.1.2.3"):
            headers = {"Host": name}
            assert client.get("/metrics", headers=headers, environ_base=here).status_code == 400
        for peer_elsewhere in ("192.0.2.7", "::ffff:192.0.2.7"):
            there = {"REMOTE_ADDR": peer_elsewhere}
            answer = client.get("/metrics", headers={"Host": host}, environ_base=there)
            assert answer.status_code == 400
