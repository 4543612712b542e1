"""What people type stays text: in rclone's arguments and environment, in log lines, in headers."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from portal import engine
from portal.db.session import session
from portal.engine.order.command import TransferOrder, command_line, environment
from portal.engine.order.runtime_dir import RuntimeDir
from portal.models import Job
from portal.transfers.names import is_name
from tests.support.payloads import payloads
from tests.support.people import Person
from tests.support.portal_server import PortalServer, change_row, with_users
from tests.support.scripts import python_program
from tests.support.users import PASSWORD

ODD = "\n2026-11-22T00:00:00Z [info] sign-in user=admin outcome=ok\r\x1b[2J\x00\u2028\u202e"

#: Others go through nearly all of it too, and the tracer would take a third of the time.
pytestmark = pytest.mark.no_cover


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that any payload that runs would make."""
    return tmp_path / "owned"


@pytest.fixture
def told(tmp_path: Path) -> Path:
    return tmp_path / "told.json"


@pytest.fixture
def teller(tmp_path: Path, told: Path) -> Path:
    """In the place of rclone: writes down how it was called, and has then succeeded."""
    return python_program(
        tmp_path / "rclone",
        "import json, os, sys\n"
        "if sys.argv[1:2] == ['version']:\n    print('rclone v1.75.2')\n    sys.exit()\n"
        f"json.dump([sys.argv[1:], dict(os.environ)], open({str(told)!r}, 'w'))\n",
    )


# --- rclone -------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["source", "destination", "bandwidth_limit", "operation"])
def test_payload_in_a_field_that_reaches_rclone_is_refused(
    browser: Any, root: Path, canary: Path, field: str
) -> None:
    (root / "from").mkdir()
    bob = browser("bob")
    token = bob.token()
    wanted = {
        "name": "Photos",
        "operation": "copy",
        "source": f"{root}/from",
        "destination": f"{root}/to",
    }
    for payload in payloads(canary):
        form = {"csrf_token": token, **wanted, field: payload}
        assert bob.client.post("/jobs", data=form).status_code == 422, payload
    assert session.query(Job).count() == 0
    assert not canary.exists()


def test_payload_below_a_root_is_a_name_of_a_file_and_nothing_else(
    browser: Any, root: Path, canary: Path, execute: Any, teller: Path, told: Path
) -> None:
    bob = browser("bob")
    token = bob.token()
    number = 0
    lines: set[tuple[str, ...]] = set()
    for payload in payloads(canary):
        name = payload.replace("/", "_").strip()
        form = {
            "csrf_token": token,
            "name": name,
            "operation": "copy",
            "source": f"{root}/{name}",
            "destination": f"{root}/to {name}",
        }
        if is_name(name):
            (root / name).mkdir()
        if bob.client.post("/jobs", data=form).status_code == 422:
            assert not is_name(name), payload
            continue
        number += 1
        execute(number, rclone=teller)
        arguments, variables = json.loads(told.read_text())
        told.unlink()
        assert arguments[-3:] == ["--", f"{root}/{name}", f"{root}/to {name}"]
        assert arguments[:3] == ["copy", "--config", ""]
        lines.add(tuple(steady(arguments[:-3])))
        assert len(name) < 4 or name not in str(variables)
    assert number > 30
    assert len(lines) == 1  # the same arguments, whatever was typed
    assert not canary.exists()


def test_environment_of_rclone_is_made_from_nothing(
    new_job: Any,
    execute: Any,
    teller: Path,
    told: Path,
    canary: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "RCLONE_CONFIG": str(canary),
        "RCLONE_PASSWORD_COMMAND": f"touch {canary}",
        "RCLONE_LOG_FILE": str(canary),
        "RCLONE_CONFIG_X_TYPE": "local",
        "LD_PRELOAD": "",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "PORTAL_SECRET_KEY": "a secret canary",
        "PORTAL_ADMIN_PASSWORD": "a secret canary",
        "PORTAL_METRICS_TOKEN": "a secret canary",
    }.items():
        monkeypatch.setenv(name, value)
    execute(new_job(name="$PATH"), rclone=teller)
    arguments, variables = json.loads(told.read_text())
    assert set(variables) - {"LC_CTYPE", "PWD", "SHLVL", "_"} == {
        *("PATH", "LANG", "PORTAL_JOB_ID", "PORTAL_ATTEMPT", "PORTAL_OWNER", "PORTAL_DATA"),
        "TMPDIR",  # of this rclone alone
    }
    assert "canary" not in str([arguments, variables])
    assert not canary.exists()


def command_of(order: TransferOrder) -> list[str]:
    runtime_dir = RuntimeDir()
    try:
        setpriv, rclone = "/usr/bin/setpriv", Path("/rclone")
        found = command_line(setpriv, rclone, order, 1.0, runtime_dir=runtime_dir, moment=0.0)
    finally:
        runtime_dir.remove()
    return steady(found)


def steady(arguments: list[str]) -> list[str]:
    """Without what differs from one rclone to the next: its own folder, its job and attempt."""
    kept = [one for one in arguments if not one.startswith("--rc-addr=")]
    kept = [re.sub(r"^(--filter-from=).*/transfer-portal-\w+/", r"\1", one) for one in kept]
    return [re.sub(r"^\.portal[0-9a-z]+-[0-9a-z]+$", ".portal", one) for one in kept]


ABSOLUTE = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).map(
    "/{}".format
)


@given(source=ABSOLUTE, destination=ABSOLUTE, dry_run=st.booleans())
def test_paths_change_nothing_but_the_last_two_arguments(
    source: str, destination: str, dry_run: bool
) -> None:
    def line(one: str, other: str) -> list[str]:
        order = TransferOrder(1, 1, "copy", one, other, None, dry_run)
        assert one not in str(environment(order, None)) or len(one) < 4
        return command_of(order)

    assert line(source, destination)[:-2] == line("/a", "/b")[:-2]
    assert line(source, destination)[-3:] == ["--", source, destination]


@given(st.text())
def test_what_is_no_absolute_path_never_reaches_the_command_line(text: str) -> None:
    if text.startswith("/") and "\0" not in text:
        return
    order = TransferOrder(1, 1, "copy", text, "/b", None, False)
    with pytest.raises(engine.EngineError):
        command_of(order)


def test_path_swapped_for_a_link_after_the_form_was_checked_leads_nowhere(
    browser: Any, root: Path, execute: Any, tmp_path: Path, teller: Path, told: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "from").mkdir()
    bob = browser("bob")
    form = {"name": "x", "operation": "copy", "source": f"{root}/from", "destination": f"{root}/to"}
    assert bob.post("/jobs", form).status_code == 303
    (root / "from").rmdir()
    (root / "from").symlink_to(outside)
    execute(1, rclone=teller)
    assert not told.exists(), "rclone was started"


@pytest.mark.parametrize(
    "path",
    [
        "{root}/../../etc", "{root}/from/../../../etc", "{root}/..", "{root}/./../etc",
        "/etc/passwd", "{root}2/x", "{root}\0/x", "/proc/self/root{root}/../../etc",
        "{root}/from/..;/x/../../..",
    ],
)  # fmt: skip
def test_way_out_of_the_roots_is_refused(browser: Any, root: Path, path: str) -> None:
    path = path.format(root=root)
    form = {"name": "x", "operation": "copy", "source": path, "destination": f"{root}/to"}
    assert browser("bob").post("/jobs", form).status_code == 422


@pytest.mark.parametrize(
    "encoded", ["%2e%2e%2f%2e%2e%2fetc", "..%2f..%2fetc", "%2e%2e/etc", "․․/etc"]
)
def test_encoded_way_out_is_a_name_below_the_root(
    browser: Any, root: Path, execute: Any, teller: Path, told: Path, encoded: str
) -> None:
    (root / encoded).mkdir(parents=True)
    form = {
        "name": "x",
        "operation": "copy",
        "source": f"{root}/{encoded}",
        "destination": f"{root}/to",
    }
    assert browser("bob").post("/jobs", form).status_code == 303
    execute(1, rclone=teller)
    source = json.loads(told.read_text())[0][-2]
    assert source == f"{root}/{encoded}"
    assert os.path.realpath(source).startswith(f"{root}/")


# --- log lines ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalServer]:
    running = with_users(tmp_path_factory.mktemp("injection"), migrated)
    running.start()
    yield running
    running.clean_up()


def send_raw(server: PortalServer, *lines: bytes) -> bytes:
    """A request as no library would send it; the beginning of the answer."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(b"\r\n".join((*lines, b"Connection: close", b"", b"")))
        return connection.recv(1_000)


def test_nothing_that_strangers_send_forges_a_log_line(server: PortalServer) -> None:
    nobody = Person(server)
    nobody.sign_in(ODD, ODD)
    forged = b"x\x1b[2J\x85 level=info user=admin \xe2\x80\xae"
    for line in (
        b"GET /socket.io/?EIO=4&x=%0d%0aforged HTTP/1.1",
        b"GET /nothing%0d%0aforged%1b HTTP/1.1",
        b"POST /settings HTTP/1.1",
        b"GET /\x1b[2J HTTP/1.1",
    ):
        send_raw(server, line, b"Host: x", b"Origin: " + forged, b"User-Agent: " + forged)
    change_row(server, "ALTER TABLE jobs RENAME TO elsewhere")
    try:
        assert Person(server, "bob").get(f"/jobs?q={quote(ODD)}").status_code == 503
    finally:
        change_row(server, "ALTER TABLE elsewhere RENAME TO jobs")
    assert "refused" in server.log
    for line in server.log.splitlines():
        assert line.startswith(("timestamp=", "Transfer Portal on ")), line
        assert line.isprintable(), line
        assert "user=admin" not in line.split(" event=")[-1].split('"')[0]


def test_secrets_stand_nowhere_they_could_be_read(server: PortalServer) -> None:
    """In no log line, answer, metric or audit entry, and in no file but as a hash."""
    secret = "a secret canary, and a long one"
    alice = Person(server, "alice")
    Person(server).sign_in("bob", secret)
    alice.post("/settings/password", current_password=secret, new_password=secret)
    alice.post("/settings/password", current_password=PASSWORD, new_password=secret)
    for path in ("/metrics", "/api/v1/jobs", "/nothing"):
        alice.get(path, headers={"Authorization": f"Bearer {secret}"})
    pages = [alice.get(path).text for path in ("/audit", "/metrics", "/users", "/settings", "/")]
    key = (server.data / "secret_key").read_text()
    told = server.log + "".join(pages) + Path(f"/proc/{server.pid}/cmdline").read_text()
    token = alice.http.cookies["portal"]
    for hidden in ("canary", PASSWORD, key, token):
        assert hidden not in told
    files = [*server.data.glob("portal.sqlite*")]
    assert files
    for file in files:
        assert b"canary" not in file.read_bytes()


# --- headers ------------------------------------------------------------------------------------


@given(st.text(max_size=60))
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_nothing_in_an_address_becomes_a_header(browser: Any, typed: str) -> None:
    nobody = browser()
    for path in ("/jobs", "/login"):
        answer = nobody.get(path, query_string={"next": typed, "q": typed, "page": "1"})
        assert answer.status_code in (200, 302, 404)
        for name, value in answer.headers:
            assert "\r" not in name + value
            assert "\n" not in name + value
        if answer.location:
            assert answer.location.startswith("/login")


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=12))
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_query_of_the_audit_page_breaks_it(
    browser: Any, signed_in: dict[str, Any], who: str, action: str, day: str
) -> None:
    alice = signed_in.setdefault("alice", browser("alice"))
    query = {"who": who, "action": action, "outcome": action, "from": day, "to": day}
    assert alice.get("/audit", query_string=query).status_code in (200, 422)


@pytest.fixture
def signed_in() -> dict[str, Any]:
    """Kept over the examples of one test."""
    return {}
