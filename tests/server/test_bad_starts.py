"""What cannot be started says why: one sentence with the name of what is to be changed, an exit
code that is not 0, and no traceback."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from portal.db import session
from portal.runtime import secret_files
from portal.settings import SECRETS, SettingsError, load_settings
from tests.shipped import environment as shipped
from tests.support.ports import free_port
from tests.support.project import ROOT
from tests.support.users import PASSWORD

Start = Callable[..., str]

#: What makes root somebody whom permissions hold back.
WEAK = (
    *("setpriv", "--bounding-set", "-dac_override,-dac_read_search,-net_bind_service"),
    *("--inh-caps", "-dac_override,-dac_read_search,-net_bind_service", "--"),
)
as_root = pytest.mark.skipif(os.getuid() != 0, reason="needs the rights of root")


def environment(folder: Path, **variables: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PORTAL_", "RCLONE_"))}
    return {
        **kept,
        "PORTAL_DATA_DIR": str(folder / "data"),
        "PORTAL_PORT": str(free_port()),
        "PORTAL_ADMIN_PASSWORD": PASSWORD,
        **variables,
    }


@pytest.fixture
def refused(tmp_path: Path) -> Start:
    """Starts a real portal that must end by itself, and gives the one line that it says."""

    def start(*arguments: str, weak: bool = False, **variables: str) -> str:
        done = subprocess.run(
            [*(WEAK if weak else ()), shipped.python(), "manage.py", *(arguments or ("run",))],
            cwd=ROOT,
            env=shipped.environment(environment(tmp_path, **variables)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=40,
        )
        said = done.stdout + done.stderr
        assert done.returncode > 0, said
        assert "Traceback" not in said
        lines = [line for line in said.splitlines() if not line.startswith("timestamp=")]
        assert len(lines) == 1, said
        assert lines[0].startswith("Error: ")
        return lines[0].removeprefix("Error: ")

    return start


def refusal(**values: str) -> str:
    with pytest.raises(SettingsError) as refused:
        load_settings(**values)
    return refused.value.message


# --- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("postgresql://u@h:abc/x", "the port is a number"),
        ("postgresql://u:secret@h:5432a/x", "the port is a number"),
        ("postgresql://u:secret@h:5432:1/x", "write / as %2F"),
        ("postgresql://u@h:70000/x", "between 1 and 65535"),
        ("postgresql://u@[::1/x", "is no address of a database"),
        ("postgresql+asyncpg://u@h/x", "write postgresql:// without +asyncpg"),
        ("postgresql+psycopg2://u@h/x", "write postgresql:// without +psycopg2"),
        ("sqlite+aiosqlite:////tmp/x", "write sqlite:// without +aiosqlite"),
        ("mysql://u@h/x", "must begin with sqlite:// or postgresql://"),
        ("oracle+cx_oracle://u@h/x", "must begin with sqlite:// or postgresql://"),
        ("/srv/portal.sqlite", "must begin with sqlite:// or postgresql://"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite://srv/portal.sqlite", "four slashes"),
        ("sqlite:////srv/portal.sqlite?mode=ro", "takes no options"),
        ("sqlite:////srv/what?now/portal.sqlite", "write ? as %3F"),
    ],
)
def test_database_address_that_is_none(address: str, reason: str) -> None:
    said = refusal(database_url=address)

    assert said.startswith("PORTAL_DATABASE_URL: ")
    assert reason in said
    assert "secret" not in said


@pytest.mark.parametrize("command", ["run", "worker"])
def test_start_is_refused_by_an_address_in_one_sentence(refused: Start, command: str) -> None:
    database = {"PORTAL_DATABASE_URL": "postgresql://u@h:abc/x"}
    assert refused(command, **database).startswith("PORTAL_DATABASE_URL: ")
    redis = {"PORTAL_REDIS_URL": "redis://h:abc/0", "PORTAL_DATABASE_URL": "postgresql://u@h/x"}
    assert refused(command, **redis).startswith("PORTAL_REDIS_URL: ")


def test_database_that_cannot_be_reached(refused: Start) -> None:
    there = f"postgresql://u:secret@127.0.0.1:{free_port()}/x?connect_timeout=1"
    said = refused("run", PORTAL_DATABASE_URL=there)

    assert said.startswith("PORTAL_DATABASE_URL: the database cannot be used: ")
    assert "secret" not in said


def test_database_address_with_an_option_that_nobody_knows(refused: Start) -> None:
    said = refused(PORTAL_DATABASE_URL="postgresql://u@127.0.0.1/x?colour=green")

    assert said.startswith("PORTAL_DATABASE_URL: the database cannot be used: ")
    assert "colour" in said


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("localhost:6379", "must begin with redis:// or rediss://"),
        ("unix:///run/redis.sock", "must begin with redis:// or rediss://"),
        ("redis://:secret@localhost:abc/0", "the port is a number"),
        ("redis://localhost:99999/0", "the port is a number"),
        ("redis://:sec/ret@localhost/0", "write / as %2F"),
        ("redis://:sec#ret@localhost/0", "# as %23"),
        ("redis:///0", "names no server"),
        ("redis://localhost/jobs", "the database is a number"),
        ("redis://[::1/0", "is no address of Redis"),
    ],
)
def test_redis_address_that_is_none(address: str, reason: str) -> None:
    said = refusal(redis_url=address, database_url="postgresql://u@h/x")

    assert said.startswith("PORTAL_REDIS_URL: ")
    assert reason in said
    assert "secret" not in said


# --- where it listens ---------------------------------------------------------------------------


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http", "80.5", "80 80"])
def test_port_that_is_none(port: str) -> None:
    assert refusal(port=port).startswith("PORTAL_PORT: ")


@pytest.mark.parametrize("host", ["no such host.", "203.0.113.7", "a" * 70 + ".example", "::g"])
def test_host_that_is_not_this_machine(refused: Start, host: str) -> None:
    assert refused(PORTAL_HOST=host).startswith("PORTAL_HOST: ")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_port_that_is_taken(refused: Start, host: str, tmp_path: Path) -> None:
    family = socket.AF_INET6 if host == "::1" else socket.AF_INET
    with socket.socket(family) as taken:
        taken.bind(("127.0.0.1" if host == "localhost" else host, 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = refused(PORTAL_HOST=host, PORTAL_PORT=port)

    assert said.startswith("PORTAL_PORT: cannot listen on ")
    assert "Address already in use" in said
    assert ("[::1]:" if host == "::1" else f":{port}") in said
    assert not (tmp_path / "data" / "portal.sqlite").exists(), "it was not migrated before"


@as_root
def test_port_that_needs_more_rights(refused: Start) -> None:
    unprivileged = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()
    if int(unprivileged) < 81:
        pytest.skip("everybody may listen there on this machine")
    said = refused(weak=True, PORTAL_PORT="80")

    assert said == "PORTAL_PORT: cannot listen on 127.0.0.1:80: Permission denied."


@pytest.mark.parametrize("path", ["/jobs", "/login/here", "/static", "/socket.io"])
def test_base_path_that_is_a_page_of_the_portal(refused: Start, path: str) -> None:
    said = refused(PORTAL_BASE_URL=f"https://example.org{path}")
    assert said.startswith(f"PORTAL_BASE_URL: /{path.split('/')[1]} is a page of the portal itself")


# --- the data folder ----------------------------------------------------------------------------


@pytest.fixture
def of_others(tmp_path: Path) -> Path:
    """A folder in which others than its owner may read."""
    folder = tmp_path / "of others"
    folder.mkdir(0o755)
    os.chown(folder, 65_534, 65_534)
    return folder


@as_root
@pytest.mark.parametrize("deeper", [".", "data"], ids=["it is there", "it is to be made"])
def test_data_folder_that_cannot_be_written(refused: Start, of_others: Path, deeper: str) -> None:
    data = of_others / deeper
    said = refused(weak=True, PORTAL_DATA_DIR=str(data))

    assert said.startswith("PORTAL_DATA_DIR: cannot ")
    assert str(data) in said
    assert "Permission denied" in said


@as_root
def test_data_folder_on_a_read_only_file_system(refused: Start, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    (disk / "data").mkdir(parents=True)
    mounted = ["unshare", "--mount", "sh", "-c"]
    script = f"mount -t tmpfs -o ro none '{disk}' && exec '{shipped.python()}' manage.py run"
    done = subprocess.run(
        [*mounted, script],
        cwd=ROOT,
        env=shipped.environment(environment(tmp_path, PORTAL_DATA_DIR=str(disk / "data"))),
        capture_output=True,
        text=True,
        timeout=40,
    )
    if "mount" in done.stderr and "PORTAL" not in done.stderr:
        pytest.skip("nothing can be mounted here")

    assert done.returncode == 1
    assert done.stderr == (
        f"Error: PORTAL_DATA_DIR: cannot make the folder {disk / 'data'}: Read-only file system\n"
    )


@pytest.mark.parametrize("deeper", [".", "data"])
def test_file_where_the_data_folder_should_be(refused: Start, tmp_path: Path, deeper: str) -> None:
    (tmp_path / "a file").write_text("a letter")
    said = refused(PORTAL_DATA_DIR=str(tmp_path / "a file" / deeper))

    assert said.startswith("PORTAL_DATA_DIR: cannot make the folder")
    assert (tmp_path / "a file").read_text() == "a letter"


def test_folder_where_the_lock_file_should_be(refused: Start, tmp_path: Path) -> None:
    (tmp_path / "data" / "portal.lock").mkdir(parents=True)

    assert refused().startswith("PORTAL_DATA_DIR: the lock file ")


@pytest.mark.parametrize("what", ["folder", "letter", "link to nowhere"])
def test_database_file_that_is_none(refused: Start, tmp_path: Path, what: str) -> None:
    file = tmp_path / "data" / "portal.sqlite"
    file.parent.mkdir()
    if what == "folder":
        file.mkdir()
    elif what == "letter":
        file.write_text("a letter to somebody" * 100)
    else:
        file.symlink_to("/proc/nowhere/portal.sqlite")

    assert refused().startswith("PORTAL_DATABASE_URL: the database ")
    assert what != "letter" or file.read_text() == "a letter to somebody" * 100


@pytest.mark.parametrize(
    ("name", "what"),
    [
        *(("portal.sqlite", "a device"), ("portal.sqlite", "a pipe"), ("secret_key", "a device")),
        *(("secret_key", "a pipe"), ("portal.lock", "a device"), ("portal.lock", "a socket")),
    ],
)
def test_what_is_no_file_is_refused_and_left_as_it_is(
    refused: Start, tmp_path: Path, name: str, what: str
) -> None:
    """A portal of root took everybody's /dev/null away, and waited for ever at a pipe."""
    own = tmp_path / "data" / name
    own.parent.mkdir()
    other = tmp_path / "other"
    if what == "a pipe":
        os.mkfifo(other)
    elif what == "a socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(other))
    else:
        make_device(other)
    other.chmod(0o666)
    own.symlink_to(other)

    assert f"It is {what}, not a file" in refused()
    assert stat.S_IMODE(other.stat().st_mode) == 0o666


def make_device(path: Path) -> None:
    """As /dev/null is one, which the tests leave alone."""
    try:
        os.mknod(path, stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("needs the rights of root")


def test_database_address_that_leads_to_a_device(refused: Start, tmp_path: Path) -> None:
    null = tmp_path / "null"
    make_device(null)
    null.chmod(0o666)

    said = refused(PORTAL_DATABASE_URL=f"sqlite:///{null}")

    assert said.startswith(f"PORTAL_DATABASE_URL: the database {null} cannot be opened: It is a ")
    assert stat.S_IMODE(null.stat().st_mode) == 0o666


def test_secret_may_come_through_a_pipe(tmp_path: Path) -> None:
    """As a shell writes it: PORTAL_SECRET_KEY_FILE=<(pass show portal)"""
    done = subprocess.run(
        [
            *("bash", "-c", 'PORTAL_SECRET_KEY_FILE=<(printf %040d 7) exec "$@"', "bash"),
            *(shipped.python(), "manage.py", "create-user", "alice", "--role", "viewer"),
        ],
        cwd=ROOT,
        env=shipped.environment(environment(tmp_path)),
        capture_output=True,
        text=True,
        timeout=40,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "data" / "secret_key").exists()


# --- the key ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"k" * 31, "is damaged"),
        (b"\0" * 64, "is damaged"),
        (b"\xff\xfe" * 40, "is damaged"),
        ("ключ".encode() * 20, "is damaged"),
        (b"k" * 100_000, "is too large"),
    ],
)
def test_key_that_is_none(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "secret_key"
    file.write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        load_settings(data_dir=tmp_path).signing_key()

    assert refused.value.message.startswith(f"PORTAL_SECRET_KEY: the file {file} {reason}")
    assert "put it back from a backup" in refused.value.message
    assert file.read_bytes() == content


def test_start_is_refused_by_an_empty_key(refused: Start, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret_key").touch()

    assert refused().startswith(f"PORTAL_SECRET_KEY: the file {tmp_path}/data/secret_key is empty")


def test_folder_where_the_key_should_be(refused: Start, tmp_path: Path) -> None:
    (tmp_path / "data" / "secret_key").mkdir(parents=True)

    assert "cannot be read (Is a directory)" in refused()


def test_key_that_is_a_link_to_nowhere(refused: Start, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret_key").symlink_to("/proc/nowhere/key")

    assert "cannot be read (No such file or directory)" in refused()


@as_root
def test_key_that_may_not_be_read(refused: Start, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    key = tmp_path / "data" / "secret_key"
    key.write_text("k" * 64)
    key.chmod(0o600)
    os.chown(key, 65_534, 65_534)
    said = refused(weak=True)

    assert said.startswith("PORTAL_SECRET_KEY: ")
    assert "Permission denied" in said


def test_key_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """Killed in the very moment between the file and its content: the next start goes on."""
    script = (
        "import os, signal, pathlib\n"
        "from portal.runtime import secret_files\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"secret_files.own_key(pathlib.Path({str(tmp_path / 'secret_key')!r}))\n"
    )
    done = subprocess.run([shipped.python(), "-c", script], cwd=ROOT, timeout=20)
    assert done.returncode == -9
    assert not (tmp_path / "secret_key").exists()

    key = secret_files.own_key(tmp_path / "secret_key")
    assert len(key) == 64
    assert secret_files.own_key(tmp_path / "secret_key") == key


def test_key_is_one_for_all_who_start_at_once(tmp_path: Path) -> None:
    script = (
        "import pathlib\n"
        "from portal.runtime import secret_files\n"
        f"print(secret_files.own_key(pathlib.Path({str(tmp_path / 'secret_key')!r})))\n"
    )
    command = [shipped.python(), "-c", script]
    several = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(6)
    ]
    keys = {process.communicate(timeout=20)[0].strip() for process in several}

    assert keys == {(tmp_path / "secret_key").read_text()}
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


# --- secrets in files ---------------------------------------------------------------------------


SECRET_VARIABLES = (
    *("PORTAL_SECRET_KEY", "PORTAL_DATABASE_URL", "PORTAL_REDIS_URL", "PORTAL_ADMIN_PASSWORD"),
    *("PORTAL_METRICS_TOKEN", "PORTAL_PREVIOUS_SECRET_KEYS", "PORTAL_OIDC_CLIENT_SECRET"),
)


def test_every_secret_may_lie_in_a_file() -> None:
    assert {f"PORTAL_{name.upper()}" for name in SECRETS} >= {*SECRET_VARIABLES}


@pytest.fixture
def in_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes], None]:
    def put(variable: str, content: bytes) -> None:
        (tmp_path / "secret").write_bytes(content)
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / "secret"))

    return put


def test_secret_is_read_from_its_file(in_file: Callable[[str, bytes], None]) -> None:
    in_file("PORTAL_SECRET_KEY", b"k" * 40 + b"\n")
    in_file("PORTAL_ADMIN_PASSWORD", b"k" * 40 + b"\n")
    settings = load_settings()
    assert (settings.secret_key, settings.admin_password) == ("k" * 40, "k" * 40)


def test_spaces_of_a_password_in_a_file_are_its_own(
    in_file: Callable[[str, bytes], None],
) -> None:
    in_file("PORTAL_ADMIN_PASSWORD", b" a good one \r\n")
    assert load_settings().admin_password == " a good one "


def test_secret_file_that_cannot_be_read(refused: Start) -> None:
    variables = {"PORTAL_ADMIN_PASSWORD": "", "PORTAL_ADMIN_PASSWORD_FILE": "/proc/nowhere/secret"}
    assert refused(**variables) == (
        "PORTAL_ADMIN_PASSWORD_FILE: the file /proc/nowhere/secret cannot be read "
        "(No such file or directory)"
    )


@pytest.mark.parametrize("variable", SECRET_VARIABLES)
def test_folder_where_a_secret_file_should_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(f"{variable}_FILE", str(tmp_path))
    said = refusal()
    assert said == f"{variable}_FILE: the file {tmp_path} cannot be read (Is a directory)"


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "is empty"), (b"\r\n", "is empty"), (b"\xff\xff", "is damaged")]
)
def test_secret_file_without_a_secret(
    tmp_path: Path, in_file: Callable[[str, bytes], None], content: bytes, reason: str
) -> None:
    in_file("PORTAL_SECRET_KEY", content)
    said = refusal()

    assert said.startswith(f"PORTAL_SECRET_KEY_FILE: the file {tmp_path / 'secret'} {reason}")


def test_secret_that_is_given_twice(
    in_file: Callable[[str, bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_file("PORTAL_SECRET_KEY", b"k" * 40)
    monkeypatch.setenv("PORTAL_SECRET_KEY", "k" * 40)

    assert refusal() == "PORTAL_SECRET_KEY: set it or PORTAL_SECRET_KEY_FILE, not both"


def test_wrong_value_from_a_file_names_the_file_variable(
    in_file: Callable[[str, bytes], None],
) -> None:
    in_file("PORTAL_SECRET_KEY", b"canary")

    assert refusal() == "PORTAL_SECRET_KEY_FILE: must have at least 32 characters"


# --- rclone, what was installed, and where it speaks to -----------------------------------------


def script(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_rclone_that_is_missing(refused: Start) -> None:
    said = refused(PORTAL_RCLONE="/proc/nowhere/rclone")
    assert said == "PORTAL_RCLONE: rclone is missing: there is no file /proc/nowhere/rclone."


def test_rclone_that_is_a_folder(refused: Start, tmp_path: Path) -> None:
    assert refused(PORTAL_RCLONE=str(tmp_path)).startswith("PORTAL_RCLONE: rclone is missing")


def test_rclone_that_is_not_executable(refused: Start, tmp_path: Path) -> None:
    said = refused(PORTAL_RCLONE=script(tmp_path / "rclone", "#!/bin/sh\n", 0o644))
    assert said.startswith("PORTAL_RCLONE: rclone cannot be started: ")
    assert "not executable" in said


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#!/bin/sh\necho rclone v1.60.1-DEV\n", "rclone 1.60.1-DEV"),
        ("#!/bin/sh\necho I am somebody else\n", "does not answer as rclone does"),
        ("#!/bin/sh\necho no library >&2; exit 127\n", "cannot be run: no library"),
        ("#!/proc/nowhere/interpreter\n", "rclone at"),
    ],
)
def test_rclone_that_is_not_fit(refused: Start, tmp_path: Path, text: str, reason: str) -> None:
    said = refused(PORTAL_RCLONE=script(tmp_path / "rclone", text))
    assert said.startswith("PORTAL_RCLONE: ")
    assert reason in said


@pytest.mark.parametrize("missing", ["templates", "static/css", "static/vendor", "migrations"])
def test_installation_that_is_not_complete(tmp_path: Path, missing: str) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("portal", "templates", "static", "migrations", "manage.py"):
        (copy / name).symlink_to(ROOT / name)
    for name in ("portal", missing.partition("/")[0]):
        (copy / name).unlink()
        if name == "portal":
            shutil.copytree(ROOT / name, copy / name)
        elif "/" in missing:
            (copy / name).mkdir()
            for entry in (ROOT / name).iterdir():
                if entry.name != missing.partition("/")[2]:
                    (copy / name / entry.name).symlink_to(entry)
    (copy / "manage.py").unlink()
    shutil.copy(ROOT / "manage.py", copy)
    done = subprocess.run(
        [shipped.python(), "manage.py", "run"],
        cwd=copy,
        env=environment(tmp_path, PORTAL_RCLONE=f"{sysconfig.get_path('scripts')}/rclone"),
        capture_output=True,
        text=True,
        timeout=40,
    )

    assert done.returncode == 1, done.stderr
    assert "The installation is not complete: " in done.stderr
    assert missing.partition("/")[0] in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_first_start_without_a_place_for_the_password(tmp_path: Path) -> None:
    """Nobody would ever know it, and there would be no second first start."""
    variables = environment(tmp_path, PORTAL_ADMIN_PASSWORD="")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [shipped.python(), "manage.py", "run"],
            cwd=ROOT,
            env=shipped.environment(variables),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=40,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: PORTAL_ADMIN_PASSWORD: standard output cannot be ")
    assert len(done.stderr.splitlines()) == 1


# --- what it leaves behind ----------------------------------------------------------------------


def test_files_are_the_owners_alone_in_a_folder_that_was_there(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    (data / "portal.sqlite").touch(0o644)
    (data / "secret_key").write_text("k" * 64)
    (data / "secret_key").chmod(0o644)
    settings = load_settings(data_dir=data)
    settings.prepare()
    settings.signing_key()
    engine = session.connect(settings.database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE kept (content)")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in data.iterdir()}
    session.close()

    private = ("portal.sqlite", "portal.sqlite-wal", "portal.sqlite-shm", "secret_key")
    assert modes == dict.fromkeys(private, 0o600) | {"files": 0o700}
