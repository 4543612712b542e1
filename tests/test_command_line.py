"""``manage.py``: what each command prints, refuses and leaves behind."""

from __future__ import annotations

import logging
import os
import re
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import structlog
from argon2 import PasswordHasher
from click.testing import CliRunner, Result

from portal.cli import cli
from portal.db import session
from portal.runtime.version import __version__
from tests.shipped import environment as shipped
from tests.support.portal_server import PortalServer
from tests.support.ports import free_port
from tests.support.project import ROOT
from tests.support.users import PASSWORD

Command = Callable[..., Result]

HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def command(data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Runs a command in this process on a data folder of its own."""
    for name in [name for name in os.environ if name.startswith("PORTAL_")]:
        monkeypatch.delenv(name)
    # Of this very process, which is not to end as a portal does.
    heard = {number: signal.getsignal(number) for number in HEARD}
    handlers, level, configured = (
        logging.root.handlers[:],
        logging.root.level,
        structlog.get_config(),
    )

    def run(*arguments: str, typed: str = "", **variables: str) -> Result:
        environment = {"PORTAL_DATA_DIR": str(data), **variables}
        return CliRunner().invoke(cli, arguments, input=typed, env=environment, obj={})

    yield run
    for number, handler in heard.items():
        signal.signal(number, handler)
    session.session.remove()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    structlog.configure(**configured)


def manage(server: PortalServer, *arguments: str, **variables: str) -> tuple[int, str]:
    """Exit code and output of a real process that should end by itself."""
    done = subprocess.run(
        [shipped.python(), "manage.py", *arguments],
        cwd=ROOT,
        env=shipped.environment({**server.environment, **variables}),
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.returncode, done.stdout + done.stderr


def password_hash(data: Path, name: str) -> str:
    with closing(sqlite3.connect(data / "portal.sqlite")) as opened:
        query = "SELECT password_hash FROM users WHERE username = ?"
        return str(opened.execute(query, (name,)).fetchone()[0])


# --- create-user --------------------------------------------------------------------------------


def test_create_user_prints_a_password_that_works(command: Command, data: Path) -> None:
    done = command("create-user", "Dora", "--role", "operator")
    assert done.exit_code == 0
    assert "Created operator dora." in done.output
    found = re.search(r"^Password: (\S{16,})$", done.output, re.MULTILINE)
    assert found is not None
    assert PasswordHasher().verify(password_hash(data, "dora"), found.group(1))


def test_create_user_takes_a_password_from_standard_input_and_prints_none(
    command: Command, data: Path
) -> None:
    done = command(
        "create-user", "dora", "--role", "viewer", "--password-stdin", typed="a good  one \r\n"
    )
    assert (done.exit_code, done.output) == (0, "Created viewer dora.\n")
    assert PasswordHasher().verify(password_hash(data, "dora"), "a good  one ")


def test_existing_name_is_refused_with_exit_code_1(command: Command, data: Path) -> None:
    command("create-user", "dora", "--role", "viewer")
    before = password_hash(data, "dora")
    done = command("create-user", "DORA", "--role", "admin")
    assert done.exit_code == 1
    assert done.output == "Error: There is already a user named dora.\n"
    assert password_hash(data, "dora") == before


@pytest.mark.parametrize(
    ("arguments", "typed", "code", "words"),
    [
        (["a b", "--role", "viewer"], "", 1, "Use 1 to 64 letters"),
        (["", "--role", "viewer"], "", 1, "Use 1 to 64 letters"),
        (["dora", "--role", "viewer", "--password-stdin"], "", 1, "Error: "),
        (["dora", "--role", "owner"], "", 2, "'owner' is not one of"),
        (["dora"], "", 2, "Missing option '--role'"),
    ],
)
def test_wrong_user_is_refused_in_a_sentence(
    command: Command, arguments: list[str], typed: str, code: int, words: str
) -> None:
    done = command("create-user", *arguments, typed=typed)
    assert done.exit_code == code
    assert words in done.output
    assert "Traceback" not in done.output


def test_refused_password_is_told_once_and_a_weak_one_warned_of(command: Command) -> None:
    arguments = ("create-user", "dora", "--role", "viewer", "--password-stdin")
    refused = command(*arguments, typed="")
    assert refused.exit_code == 1
    assert len(refused.output.splitlines()) == 1
    weak = command(*arguments, typed="dora")
    assert weak.exit_code == 0
    assert "Warning: " in weak.output


# --- db -----------------------------------------------------------------------------------------


def test_database_goes_up_and_down(command: Command, data: Path) -> None:
    def tables() -> set[str]:
        with closing(sqlite3.connect(data / "portal.sqlite")) as opened:
            return {name for (name,) in opened.execute("SELECT name FROM sqlite_master")}

    assert command("db", "upgrade").exit_code == 0
    assert "users" in tables()
    assert command("db", "downgrade", "base").exit_code == 0
    assert "users" not in tables()
    assert command("db", "upgrade").exit_code == 0
    assert "users" in tables()


def test_unknown_revision_is_refused_in_a_sentence(command: Command) -> None:
    done = command("db", "upgrade", "nowhere")
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    assert "nowhere" in done.output


def revision(data: Path, new: str | None = None) -> str:
    with closing(sqlite3.connect(data / "portal.sqlite")) as opened, opened:
        if new is not None:
            opened.execute("UPDATE alembic_version SET version_num = ?", [new])
        (found,) = opened.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(found)


@pytest.mark.parametrize(
    "arguments",
    [["db", "upgrade"], ["db", "downgrade"], ["create-user", "dora", "--role", "viewer"], ["run"]],
    ids=" ".join,
)
def test_database_of_a_newer_version_is_reported_as_that(
    command: Command, data: Path, arguments: list[str]
) -> None:
    assert command("db", "upgrade").exit_code == 0
    mine = revision(data)
    revision(data, "9999")
    done = command(*arguments, PORTAL_PORT=str(free_port()))
    assert done.exit_code == 1
    assert "a newer version has changed the database (revision 9999" in done.output
    assert f"portal db downgrade {mine}" in done.output
    assert "Traceback" not in done.output
    assert revision(data) == "9999"


NEED_A_DATABASE = [
    *(["rotate-keys"], ["cancel-queued"], ["reset-second-factor", "alice"], ["audit", "verify"]),
    ["run", "--no-migrate"],
]


@pytest.mark.parametrize("arguments", NEED_A_DATABASE, ids=" ".join)
def test_database_of_an_older_version_is_reported_as_that(
    command: Command, data: Path, arguments: list[str]
) -> None:
    assert command("db", "upgrade", "0005").exit_code == 0
    done = command(*arguments, PORTAL_PORT=str(free_port()))
    assert done.exit_code == 1
    assert "is that of an older version (revision 0005; this one needs" in done.output
    assert "portal db upgrade" in done.output
    assert revision(data) == "0005"


@pytest.mark.parametrize("arguments", NEED_A_DATABASE, ids=" ".join)
def test_database_without_a_portal_is_reported_as_that(
    command: Command, data: Path, arguments: list[str]
) -> None:
    data.mkdir()
    done = command(*arguments, PORTAL_PORT=str(free_port()))
    assert done.exit_code == 1
    assert "there is no portal in the database yet" in done.output


@pytest.mark.parametrize("tables", [["moz_places"], ["users", "jobs"]], ids=", ".join)
def test_database_of_another_program_is_left_as_it_is(
    command: Command, data: Path, tables: list[str]
) -> None:
    data.mkdir()
    file = data / "portal.sqlite"
    with closing(sqlite3.connect(file)) as opened, opened:
        for table in tables:
            opened.execute(f"CREATE TABLE {table} (number)")
    before = file.read_bytes()
    for arguments in (["db", "upgrade"], ["create-user", "dora", "--role", "viewer"]):
        done = command(*arguments)
        assert done.exit_code == 1
        assert f"the database {file} is that of another program (it holds" in done.output
    assert file.read_bytes() == before


def test_file_that_is_no_database_is_refused_in_a_sentence(command: Command, data: Path) -> None:
    data.mkdir()
    (data / "portal.sqlite").write_bytes(b"a letter to somebody" * 100)
    for arguments in (["db", "upgrade"], ["create-user", "dora", "--role", "viewer"]):
        done = command(*arguments)
        assert done.exit_code == 1
        assert (
            "PORTAL_DATABASE_URL: the database cannot be used: file is not a database."
            in done.output
        )


# --- wrong values -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        (["run"], {"PORTAL_PORT": "http"}, "PORTAL_PORT"),
        (["run", "--port", "70000"], {}, "PORTAL_PORT"),
        (["run", "--host", "no such host."], {}, "PORTAL_HOST"),
        (["run", "--processes", "2"], {}, "--processes"),
        (["worker"], {}, "PORTAL_REDIS_URL: a worker needs it"),
        (["run"], {"PORTAL_DATA_DIR": "/dev/null/data"}, "PORTAL_DATA_DIR"),
        (["run"], {"PORTAL_TRANSFER_ROOTS": "/proc/nowhere"}, "PORTAL_TRANSFER_ROOTS"),
        (["db", "upgrade"], {"PORTAL_DATABASE_URL": "mysql://x"}, "PORTAL_DATABASE_URL"),
        (["create-user", "x", "--role", "viewer"], {"PORTAL_LOG_FORMAT": "x"}, "PORTAL_LOG_FORMAT"),
    ],
)
def test_bad_value_stops_the_command_with_its_name(
    command: Command, arguments: list[str], variables: dict[str, str], words: str
) -> None:
    done = command(*arguments, **variables)
    assert done.exit_code == 1, done.output
    assert words in done.output
    assert "Traceback" not in done.output


def test_version_is_reported(command: Command) -> None:
    assert __version__ in command("--version").output


# --- run ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalServer]:
    """A portal at its very first start, without a password given for its admin."""
    first = PortalServer(tmp_path_factory.mktemp("first start"), PORTAL_ADMIN_PASSWORD="")
    first.start()
    yield first
    first.clean_up()


def test_first_start_makes_an_admin_and_prints_the_password_once(server: PortalServer) -> None:
    found = re.findall(r"sign in as admin with the password (\S+)", server.log)
    assert len(found) == 1
    stored = password_hash(server.data, "admin")
    assert PasswordHasher().verify(stored, found[0])
    # The library's own parameters, and not those of the tests.
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_database_says_where_it_is(server: PortalServer) -> None:
    assert "(head)" in server.manage("db", "current")


def test_second_portal_on_the_same_data_refuses_and_says_why(server: PortalServer) -> None:
    code, said = manage(server, "run", "--port", "1")
    assert code == 1
    assert f"Another portal (process {server.pid}) runs on {server.data}" in said
    assert "Traceback" not in said


def test_port_that_is_taken_is_said(server: PortalServer, tmp_path: Path) -> None:
    code, said = manage(server, "run", PORTAL_DATA_DIR=str(tmp_path / "other"))
    assert code == 1
    assert f"PORTAL_PORT: cannot listen on 127.0.0.1:{server.port}: Address already in use." in said


def test_rclone_that_cannot_be_used_stops_the_start(server: PortalServer, tmp_path: Path) -> None:
    other = {"PORTAL_DATA_DIR": str(tmp_path / "other"), "PORTAL_PORT": str(free_port())}
    code, said = manage(server, "run", PORTAL_RCLONE="/proc/nowhere/rclone", **other)
    assert code == 1
    assert "PORTAL_RCLONE: rclone is missing: there is no file /proc/nowhere/rclone." in said
    assert "Traceback" not in said


def test_nothing_is_taken_from_the_database_of_a_running_portal(server: PortalServer) -> None:
    code, said = manage(server, "db", "downgrade")
    assert code == 1
    assert "A portal or a worker runs on this database" in said
    assert "Stop all of them first." in said
    assert "(head)" in server.manage("db", "current")


def test_user_is_made_while_the_portal_runs(server: PortalServer) -> None:
    assert (
        server.manage("create-user", "erin", "--role", "viewer", "--password-stdin", stdin=PASSWORD)
        == "Created viewer erin.\n"
    )


def test_stopped_portal_ends_well_and_starts_again_without_a_new_admin(
    server: PortalServer,
) -> None:
    assert server.stop() == 0
    server.start()
    assert server.log.count("sign in as admin with the password") == 1
    os.kill(server.pid, signal.SIGINT)
    assert server._process is not None
    assert server._process.wait(10) == 0
    assert "Traceback" not in server.log


def test_command_leaves_the_signals_of_its_process_alone(command: Command) -> None:
    before = [signal.getsignal(number) for number in HEARD]
    assert command("create-user", "dora", "--role", "viewer").exit_code == 0
    assert [signal.getsignal(number) for number in HEARD] == before
