"""A secret goes to rclone's environment, and is found nowhere else; nor does what is typed into any
field run, read or open anything."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portal.db.session import session
from portal.engine import Remote, Run, TransferOrder, list_folder, options_of, rclone_path
from portal.engine.process.processes import inspect, pids
from portal.errors import Invalid
from portal.models import AuditEntry, Job
from portal.models import Remote as Stored
from portal.remotes import options as parameters
from portal.remotes.backends import BACKENDS
from portal.remotes.hosts import HostRefused
from portal.remotes.obscure import obscure
from portal.remotes.options import hosts
from portal.transfers.names import is_name
from portal.transfers.states import JobStatus
from tests.support.client import Browser
from tests.support.payloads import payloads
from tests.support.scripts import python_program
from tests.support.storages import typed
from tests.support.transfers import stored

CANARY = 'Kanarie%nvogel & "7" ÿ'
#: Enough of each backend to be saved, with the canary in each secret that takes any text.
COMPLETE = {
    "s3": {"provider": "Minio", "endpoint": "http://127.0.0.1:1", "access_key_id": "id"},
    "sftp": {"host": "127.0.0.1", "port": "1", "user": "bob"},
    "webdav": {"url": "http://127.0.0.1:1", "user": "bob"},
    "ftp": {"host": "127.0.0.1", "port": "1", "user": "bob"},
    "smb": {"host": "127.0.0.1", "port": "1", "user": "bob"},
    "azureblob": {"account": "abc", "endpoint": "http://127.0.0.1:1"},
    "gcs": {"anonymous": "true", "endpoint": "http://127.0.0.1:1"},
    "b2": {"account": "0012", "endpoint": "http://127.0.0.1:1"},
}
STRUCTURED = {"key_pem", "sas_url", "service_account_credentials"}


def filled(backend: str) -> dict[str, str]:
    secrets = BACKENDS[backend].secrets - STRUCTURED
    return COMPLETE[backend] | dict.fromkeys(secrets, CANARY)


@pytest.fixture
def told(tmp_path: Path) -> Path:
    return tmp_path / "told.json"


@pytest.fixture
def talker(tmp_path: Path, told: Path) -> Path:
    """In the place of rclone: writes down how it was called, repeats its whole environment in an
    error, and fails."""
    return python_program(
        tmp_path / "rclone",
        "import json, os, sys\n"
        f"json.dump([sys.argv[1:], dict(os.environ)], open({str(told)!r}, 'w'))\n"
        "for value in os.environ.values():\n"
        "    said = {'level': 'error', 'msg': 'cannot use ' + value, 'object': value}\n"
        "    print(json.dumps(said), file=sys.stderr)\n"
        "    print('plainly: ' + value, file=sys.stderr, flush=True)\n"
        "sys.exit(1)\n",
    )


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, capfd: Any) -> Callable[[], str]:
    """All that was logged and printed so far."""
    caplog.set_level(logging.DEBUG)
    heard: list[str] = []

    def everything() -> str:
        out, error = capfd.readouterr()
        heard.extend((out, error))
        return caplog.text + "".join(heard)

    return everything


@pytest.mark.parametrize("backend", BACKENDS)
def test_secret_reaches_rclone_by_its_environment_and_nothing_else(
    browser: Callable[..., Browser],
    new_remote: Any,
    new_job: Any,
    execute: Any,
    events: Any,
    settings: Any,
    talker: Path,
    told: Path,
    said: Callable[[], str],
    backend: str,
) -> None:
    remote = new_remote("there", backend, filled(backend))
    job = new_job(destination="there:x", destination_remote_id=remote.id)
    execute(job, rclone=talker)
    arguments, environment = json.loads(told.read_text())
    has_secrets = bool(BACKENDS[backend].secrets - STRUCTURED)
    hidden = {CANARY, *(environment[name] for name in environment if name.endswith("_PASS"))}
    assert any(CANARY in value for value in environment.values()) or not (
        BACKENDS[backend].tokens - STRUCTURED
    )
    row = stored(job)
    assert row.status == JobStatus.FAILED
    assert "***" in json.dumps(row.error_lines) or not has_secrets
    alice = browser("alice")
    alice.post(f"/remotes/{remote.id}/test")
    pages = [
        alice.get(path).text
        for path in (
            *("/remotes", f"/remotes/{remote.id}", "/audit", "/jobs", f"/jobs/{job}", "/"),
            *(f"/jobs/{job}/log", "/browse?at=there:", f"/api/jobs/{job}/progress"),
            *(f"/jobs/{job}/log/download", f"/api/jobs/{job}/log", "/metrics"),
        )
    ]
    pages += [alice.post("/audit/export", {"format": form}).text for form in ("csv", "jsonl")]
    pages.append(alice.post("/history/export").text)
    assert "remote there" in pages[-2]
    assert "there:x" in pages[-1]
    session.remove()
    tables = [
        str(vars(one)) for kind in (Job, Stored, AuditEntry) for one in session.query(kind).all()
    ]
    session.remove()
    database = b"".join(path.read_bytes() for path in settings.data_dir.glob("portal.sqlite*"))
    for secret in hidden:
        assert secret not in " ".join(arguments)
        assert secret not in "".join(pages)
        assert secret not in "".join(tables)
        assert secret not in said()
        assert secret not in str([event.data for event in events.all])
        assert secret.encode() not in database
        assert json.dumps(secret)[1:-1].encode() not in database


@pytest.mark.parametrize("confined", [False, True])
def test_secret_stands_in_no_command_line_of_the_machine(tmp_path: Path, confined: bool) -> None:
    """Asks the kernel for setpriv, egress proxy and rclone, which waits for its storage."""
    hidden = obscure(CANARY)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = {"url": f"http://127.0.0.1:{silent.getsockname()[1]}", "user": "x"}
        remote = Remote("there", "webdav", {**options, "pass": hidden}, confined=confined)
        order = TransferOrder(
            7, 1, "copy", "there:x", str(tmp_path), None, False, remotes=(remote,)
        )
        run, leaders, lines = Run(rclone_path(None), order, grace=5.0), list[int](), set[bytes]()
        for _ in run.readings(leaders.append, tick=0.02):
            for pid in pids():
                found = inspect(pid)
                if found is not None and found.group in leaders:
                    lines.add(Path(f"/proc/{pid}/cmdline").read_bytes())
                    if any(b"rclone\0rcd" in line for line in lines):
                        run.stop()
        run.close()
    assert any(b"rclone\0rcd" in line for line in lines)
    assert not [line for line in lines if hidden.encode() in line or CANARY.encode() in line]


@pytest.mark.parametrize("backend", BACKENDS)
def test_payload_in_every_field_of_every_storage_does_nothing(tmp_path: Path, backend: str) -> None:
    """It is refused, or a mere value to the real rclone, which is asked with as many of them at
    once as are taken."""
    canary = tmp_path / "owned"
    kind, rclone = BACKENDS[backend], rclone_path(None)
    known = options_of(rclone)[kind.rclone]
    asked = []
    for number, payload in enumerate(payloads(canary)):
        taken: dict[str, str] = {}
        for name in kind.allowed:
            job_fields = filled(backend) | {name: payload}
            try:
                value = parameters.validate(kind, known, job_fields).get(name)
                hosts(kind, job_fields)
            except (Invalid, HostRefused):
                continue
            if value is not None:
                taken[name] = obscure(value) if name in kind.passwords else value
        for name in kind.endpoints:
            taken.pop(name, None)
        if number % 4 == 0 and taken not in asked:
            asked.append(taken)
    for taken in asked:
        remote = Remote("there", kind.rclone, {**COMPLETE[backend], **taken})
        found = list_folder(rclone, remote, "x", seconds=10)
        assert found.problem or found.missing
    assert len(asked) > 3
    assert not canary.exists()


@pytest.mark.parametrize(
    ("backend", "fields"),
    [
        ("sftp", ("host", "port", "pass", "key_pem")),
        ("s3", ("provider", "secret_access_key", "endpoint")),
    ],
)
def test_payload_in_a_field_of_a_remote_does_nothing(
    browser: Callable[..., Browser], tmp_path: Path, backend: str, fields: tuple[str, ...]
) -> None:
    canary = tmp_path / "owned"
    alice = browser("alice")
    token = alice.token()
    made, answers = 0, set()
    for payload in payloads(canary):
        for field in ("name", "role", "start", *(f"option_{name}" for name in fields)):
            form = typed(filled(backend), backend=backend, name=f"remote-{made}") | {field: payload}
            answer = alice.client.post("/remotes", data={"csrf_token": token, **form})
            answers.add(answer.status_code)
            made += answer.status_code == 303
    assert answers <= {303, 422}
    assert 0 < made < len(payloads(canary)) * len(fields)
    assert not canary.exists()


def test_payload_that_is_a_password_or_a_user_is_nothing_else_to_rclone(
    browser: Callable[..., Browser], new_remote: Any, tmp_path: Path
) -> None:
    canary = tmp_path / "owned"
    alice = browser("alice")
    plain = [text for text in payloads(canary) if is_name(text)][::4]
    for number, payload in enumerate(plain):
        job_fields = filled("sftp") | {"user": payload.strip() or "x", "pass": payload}
        remote = new_remote(f"remote-{number}", "sftp", job_fields)
        assert alice.post(f"/remotes/{remote.id}/test").status_code == 303
    assert "refuses the connection" in alice.get("/remotes").text
    assert not canary.exists()


@pytest.mark.parametrize("side", ["source", "destination"])
def test_payload_behind_the_name_of_a_remote_is_a_path_or_refused(
    browser: Callable[..., Browser],
    new_remote: Any,
    root: Path,
    tmp_path: Path,
    side: str,
) -> None:
    canary = tmp_path / "owned"
    new_remote("there", "sftp", filled("sftp"))
    bob = browser("bob")
    token = bob.token()
    (root / "from").mkdir()
    jobs, texts = [], []
    for payload in payloads(canary):
        for text in (f"there:{payload}", f"there,{payload}:x", f"{payload}there:x"):
            form = {
                "name": "x",
                "operation": "copy",
                "source": str(root / "from"),
                "destination": str(root / "to"),
                side: text,
            }
            answer = bob.client.post("/jobs", data={"csrf_token": token, **form})
            if answer.status_code == 303:
                jobs.append(int(answer.location.rpartition("/")[2]))
                assert stored(jobs[-1]).source_remote_id or stored(jobs[-1]).destination_remote_id
                assert text.startswith("there:")
                texts.append(text)
            else:
                assert answer.status_code == 422
    assert len(jobs) > 20
    for text in texts[::4]:  # as rclone itself sees them
        assert "refuses the connection" in bob.get("/browse", query_string={"at": text}).text
    assert not canary.exists()
