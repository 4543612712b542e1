"""``PORTAL_*`` variables: their defaults, and a bad value that stops the start by name."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from portal.db import session
from portal.settings import Settings, SettingsError, load_settings, unknown_variables

BAD = [
    ("PORTAL_PORT", "http", "integer"),
    ("PORTAL_PORT", "0", "greater than or equal to 1"),
    ("PORTAL_PORT", "65536", "less than or equal to 65535"),
    ("PORTAL_MAX_RUNNING_JOBS", "0", "greater than or equal to 1"),
    ("PORTAL_MAX_RUNNING_JOBS", "many", "integer"),
    ("PORTAL_TRUSTED_PROXIES", "-1", "greater than or equal to 0"),
    ("PORTAL_TRUSTED_PROXIES", "all", "integer"),
    ("PORTAL_SOCKETS_PER_USER", "0", "greater than or equal to 1"),
    ("PORTAL_RATE_LIMIT_API", "-1", "greater than or equal to 0"),
    ("PORTAL_RATE_LIMIT_EXPORTS", "few", "integer"),
    ("PORTAL_LOG_FORMAT", "xml", "'text' or 'json'"),
    ("PORTAL_SECRET_KEY", "short", "at least 32 characters"),
    ("PORTAL_ADMIN_PASSWORD", "x" * 1025, "at most 1024 characters"),
    ("PORTAL_SESSION_IDLE_HOURS", "0", "greater than 0"),
    ("PORTAL_SESSION_HOURS", "a day", "valid number"),
    ("PORTAL_SESSION_REMEMBERED_DAYS", "366", "less than or equal to 365"),
    ("PORTAL_SESSION_VIEWERS_IDLE", "perhaps", "boolean"),
    ("PORTAL_SECURE_COOKIES", "perhaps", "boolean"),
    ("PORTAL_TRANSFER_ROOTS", "files:/srv", "not a full path: files"),
    ("PORTAL_DATABASE_URL", "mysql://localhost/portal", "sqlite:// or postgresql://"),
    ("PORTAL_DATABASE_URL", "portal.sqlite", "sqlite:// or postgresql://"),
    ("PORTAL_REDIS_URL", "redis://localhost", "cannot share SQLite; set PORTAL_DATABASE_URL"),
    ("PORTAL_REDIS_URL", "localhost:6379", "redis:// or rediss://"),
    ("PORTAL_BASE_URL", "portal.example.org", "https://example.org/portal"),
    ("PORTAL_BASE_URL", "ftp://portal.example.org", "https://example.org/portal"),
    ("PORTAL_BASE_URL", "https:///portal", "https://example.org/portal"),
    ("PORTAL_BASE_URL", "https://host:port/portal", "https://example.org/portal"),
    ("PORTAL_BASE_URL", "https://me:secret@host/portal", "without a user name"),
    ("PORTAL_BASE_URL", "https://host/portal?x=1", "without a user name, ? or #"),
    ("PORTAL_BASE_URL", "https://host/a b", "letters, digits"),
    ("PORTAL_BASE_URL", "https://host//portal", "letters, digits"),
    ("PORTAL_BASE_URL", "https://host/../portal", "letters, digits"),
    ("PORTAL_TEST_TIME_SCALE", "0", "greater than 0"),
    ("PORTAL_ALLOWED_HOSTS", ",", "names nothing; unset it if that is meant"),
    ("PORTAL_ALLOWED_HOSTS", " , ,", "names nothing; unset it if that is meant"),
    ("PORTAL_REQUIRE_SECOND_FACTOR", ",", "names nothing; unset it if that is meant"),
    ("PORTAL_PREVIOUS_SECRET_KEYS", ",,", "names nothing; unset it if that is meant"),
    ("PORTAL_PREVIOUS_SECRET_KEYS", "short", "each must have at least 32 characters"),
    ("PORTAL_PREVIOUS_SECRET_KEYS", f"{'k' * 40}, {'x' * 31}", "each must have at least 32"),
    ("PORTAL_REMOTES_REFUSE", ",", "names nothing; unset it if that is meant"),
    ("PORTAL_REMOTES_REFUSE", "10.0.0.0/8, nas.example", "no network: 'nas.example'"),
    ("PORTAL_REMOTES_REFUSE", "10.1.2.3/8", "has host bits set; write one such as 10.1.0.0/16"),
    ("PORTAL_TRANSFER_ROOTS", ":", "names no folder; unset it if the default is meant"),
    ("PORTAL_DATA_DIR", "~/portal", "write the full path: ~/portal"),
    ("PORTAL_DATA_DIR", "~portal", "write the full path: ~portal"),
    ("PORTAL_DATA_DIR", "/srv/portal\n", "a line break or another control character"),
    ("PORTAL_DATA_DIR", "\t", "a line break or another control character"),
]


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of the machine that runs the tests reaches them."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"PORTAL_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("name", "value", "reason"), BAD)
def test_bad_value_names_its_variable_and_the_reason(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert refused.value.message.startswith(f"{name}: ")
    assert reason in refused.value.message


def test_redis_goes_with_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_REDIS_URL", "redis://:secret@localhost/0")
    monkeypatch.setenv("PORTAL_DATABASE_URL", "postgres://localhost/portal")
    settings = load_settings()
    assert settings.scale_out
    assert "secret" not in repr(settings)


def test_all_bad_values_are_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_PORT", "http")
    monkeypatch.setenv("PORTAL_LOG_FORMAT", "xml")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert [line.split(":")[0] for line in refused.value.message.splitlines()] == [
        "PORTAL_PORT",
        "PORTAL_LOG_FORMAT",
    ]


def test_secret_is_not_repeated_by_the_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_SECRET_KEY", "canary")
    monkeypatch.setenv("PORTAL_ADMIN_PASSWORD", "canary")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert "canary" not in refused.value.message


def test_defaults_lie_in_the_instance_folder(tmp_path: Path) -> None:
    settings = load_settings()
    data = tmp_path / "instance"
    assert settings.data_dir == data
    assert settings.database_url == f"sqlite:///{data}/portal.sqlite"
    assert settings.transfer_roots == (data / "files",)
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert (settings.max_running_jobs, settings.sockets_per_user) == (4, 50)
    assert (settings.trusted_proxies, settings.log_format) == (0, "text")


def test_variable_that_is_no_setting_is_reported_with_the_one_that_was_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in os.environ if name.startswith("PORTAL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PORTAL_PORT", "8000")
    monkeypatch.setenv("PORTAL_SECRET_KEY_FILE", "/run/secrets/key")
    assert unknown_variables() == []
    monkeypatch.setenv("PORTAL_DATABSE_URL", "postgresql://db/portal")
    monkeypatch.setenv("PORTAL_PORT_FILE", "/run/secrets/port")
    monkeypatch.setenv("PORTAL_COLOUR", "blue")
    assert unknown_variables() == [
        "PORTAL_COLOUR",
        "PORTAL_DATABSE_URL (is PORTAL_DATABASE_URL meant?)",
        "PORTAL_PORT_FILE",
    ]


def test_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_PORT", "")
    monkeypatch.setenv("PORTAL_TRANSFER_ROOTS", "")
    assert load_settings().port == 8000


def test_roots_are_separated_by_colons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_TRANSFER_ROOTS", "/srv/a:/srv/b c:")
    assert load_settings().transfer_roots == (Path("/srv/a"), Path("/srv/b c"))


def test_default_root_is_made_and_another_one_that_is_missing_is_refused(tmp_path: Path) -> None:
    load_settings().prepare()
    assert (tmp_path / "instance" / "files").is_dir()
    with pytest.raises(
        SettingsError, match="PORTAL_TRANSFER_ROOTS: there is no folder /proc/nowhere"
    ):
        load_settings(transfer_roots="/proc/nowhere").prepare()


def test_data_folder_that_cannot_be_made_is_said_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="PORTAL_DATA_DIR: cannot make the folder"):
        load_settings(data_dir=tmp_path / "file" / "data").prepare()
    with pytest.raises(SettingsError, match="PORTAL_DATA_DIR: cannot make the folder"):
        load_settings(data_dir=tmp_path / "file").prepare()


def test_data_folder_and_key_are_the_owners_alone(tmp_path: Path) -> None:
    settings = load_settings()
    settings.prepare()
    key = settings.signing_key()
    file = tmp_path / "instance" / "secret_key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert len(key) >= 32
    assert settings.signing_key() == key, "the second start reads what the first one wrote"


def test_given_key_is_used_and_not_written_down(tmp_path: Path) -> None:
    settings = load_settings(secret_key="k" * 32)
    settings.prepare()
    assert settings.signing_key() == "k" * 32
    assert not (tmp_path / "instance" / "secret_key").exists()


def test_printed_settings_hide_what_is_secret() -> None:
    settings = load_settings(
        secret_key="canary" * 8, admin_password="canary 2", metrics_token="canary"
    )
    assert "canary" not in repr(settings)


def test_short_form_of_a_postgresql_address_is_understood() -> None:
    settings = load_settings(database_url="postgres://portal@localhost/portal")
    assert settings.database_url.startswith("postgresql")


@pytest.mark.parametrize(
    ("address", "path", "secure"),
    [
        ("https://example.org/portal", "/portal", True),
        ("https://example.org/portal/", "/portal", True),
        ("https://example.org", "", True),
        ("https://example.org/", "", True),
        ("http://example.org:8080/a/b", "/a/b", False),
        ("", "", False),
    ],
)
def test_base_address_tells_the_path_and_whether_cookies_are_secure(
    address: str, path: str, secure: bool
) -> None:
    settings = load_settings(base_url=address)
    assert (settings.base_path, settings.secure_cookies) == (path, secure)
    assert not load_settings(base_url=address, secure_cookies=False).secure_cookies


def test_data_folder_of_any_name_holds_its_database(tmp_path: Path) -> None:
    for name in ("what?now", "100%", "100%25", "a#b", 'it\'s "here"', "a b", "a:b;c&d=e", "ü☃"):
        settings = load_settings(data_dir=tmp_path / name)
        settings.prepare()
        session.connect(settings.database_url).connect().close()
        session.close()
        assert (tmp_path / name / "portal.sqlite").exists(), name
    assert len(list(tmp_path.iterdir())) == 8


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("::1", "http://[::1]:8000"),
        ("[::1]", "http://[::1]:8000"),
        ("::", "http://[::]:8000"),
        ("192.0.2.7", "http://192.0.2.7:8000"),
        ("portal.example.org", "http://portal.example.org:8000"),
    ],
)
def test_address_that_is_printed_can_be_opened(host: str, url: str) -> None:
    assert load_settings(host=host).own_url == url
