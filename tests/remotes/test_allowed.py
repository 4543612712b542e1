"""What may be set of a remote, and which servers it may lead to."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from typing import Any

import pytest

from portal import engine
from portal.errors import Invalid
from portal.remotes import options as parameters
from portal.remotes.backends import BACKENDS, Backend
from portal.remotes.hosts import HostRefused, host_in, refuse_local
from portal.remotes.obscure import obscure

#: Whatever an option of such a name does, nobody may set it here.
FORBIDDEN = re.compile(
    r"command|_file$|^ssh$|env_auth|agent|ask_password|proxy|socket|_path$|credentials_file|profile"
    r"|sts_|role_|token_url|auth_url|^token$|client_credentials|kerberos|ccache|certificate_path"
    r"|use_az|use_msi|msi_|emulator|connection_string|sdk_log|download_url|headers|set_env"
    r"|subsystem|config_|metadata|remote$|upstreams|description"
)
LOCAL = (
    *("127.0.0.1", "127.8.9.10", "::1", "0.0.0.0", "::", "169.254.169.254", "169.254.1.1"),  # noqa: S104
    *("fe80::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"),
    *("2002:7f00:1::", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "224.0.0.1"),
    *("localhost", "localhost.", "LOCALHOST", "0.1.2.3", "::127.0.0.1"),
)
NO_HOST = (
    *("", " ", "two words", "a\nb", "a\r\nHost: b", "a/b", "a@b", "a?b", "a#b", "-oProxyCommand=x"),
    *("127.1", "2130706433", "0x7f000001", "0177.0.0.1", "a..b", ".a", "x" * 64, "fe80::1%lo"),
    *("[::1", "a:22", "${HOME}", "%00", "a\0b", "☃.example"),
)


@pytest.fixture(scope="module")
def known() -> dict[str, dict[str, engine.BackendOption]]:
    return engine.options_of(engine.rclone_path(None))


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=list(BACKENDS))
def test_allowed_options_are_rclones_and_none_of_them_is_dangerous(
    known: Any, backend: Backend
) -> None:
    options = known[backend.rclone]
    assert set(backend.allowed) <= set(options)
    assert len(backend.allowed) == len(set(backend.allowed))
    assert [name for name in backend.allowed if FORBIDDEN.search(name)] == []
    assert backend.passwords == {name for name in backend.allowed if options[name].password}
    sensitive = {name for name in backend.allowed if options[name].sensitive}
    # rclone calls names of users and hosts sensitive as well, which are shown here.
    shown = {"host", "user", "account", "access_key_id", "tenant", "client_id", "domain"}
    shown |= {"spn", "project_number"}
    assert sensitive - shown <= backend.secrets
    assert {name for names in backend.needs for name in names} <= set(backend.allowed)


def test_backends_that_wrap_or_read_the_machine_are_not_among_them() -> None:
    wrong = {"alias", "crypt", "union", "combine", "chunker", "compress", "hasher", "cache"}
    wrong |= {"local", "memory", "http", "archive"}
    assert {backend.rclone for backend in BACKENDS.values()} & wrong == set()
    assert len(BACKENDS) == 8


@pytest.mark.parametrize("host", LOCAL)
def test_own_machine_and_its_neighbourhood_are_refused(host: str) -> None:
    with pytest.raises(HostRefused, match="own machine"):
        refuse_local(host, allow_local=False)
    refuse_local(host, allow_local=True)


@pytest.mark.parametrize("host", ["192.0.2.7", "10.0.0.5", "2001:db8::7"])
def test_other_addresses_are_allowed(host: str) -> None:
    refuse_local(host, allow_local=False)


def test_name_that_leads_here_is_refused_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolved(host: str, *_: Any, **__: Any) -> list[Any]:
        here = ["192.0.2.7", "127.0.0.1"] if host == "both.example" else ["192.0.2.7"]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in here]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    refuse_local("other.example", allow_local=False)
    with pytest.raises(HostRefused, match="own machine"):
        refuse_local("both.example", allow_local=False)


@pytest.mark.parametrize("host", NO_HOST)
def test_what_is_no_host_is_refused_before_anything_is_asked(host: str) -> None:
    with pytest.raises(HostRefused):
        refuse_local(host, allow_local=True)


@pytest.mark.parametrize(
    "address",
    [
        "ftp://files.example",
        "file:///etc/passwd",
        "https://user:password@files.example",
        "https://files.example:70000",
        "https://",
        "https://[::1",
        "javascript:alert(1)",
    ],
)
def test_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(HostRefused):
        host_in(address)


@pytest.mark.parametrize(
    ("backend", "options", "field"),
    [
        ("s3", {"provider": "AWS", "region": "x@169.254.169.254/"}, "region"),
        ("s3", {"provider": "Nobody"}, "provider"),
        ("s3", {"provider": "Other", "endpoint": "https://a.example/?x"}, "endpoint"),
        ("azureblob", {"account": "a.b/c"}, "account"),
        ("azureblob", {"sas_url": "http://a.example/?sig=x"}, "sas_url"),
        ("azureblob", {"account": "abc", "tenant": "../../x"}, "tenant"),
        ("webdav", {"url": "a.example"}, "url"),
        ("sftp", {"host": "a", "user": "b", "key_pem": "/etc/ssh/key"}, "key_pem"),
        ("gcs", {"service_account_credentials": "/etc/passwd"}, "service_account_credentials"),
        ("b2", {"account": "a", "key": "b", "chunk_size": "large"}, "chunk_size"),
        ("sftp", {"host": "a", "user": "b", "pass": "c", "ssh": "touch x"}, "ssh"),
    ],
)
def test_value_that_would_lead_astray_is_named(
    known: Any, backend: str, options: dict[str, str], field: str
) -> None:
    kind = BACKENDS[backend]
    with pytest.raises(Invalid) as caught:
        parameters.validate(kind, known[kind.rclone], options)
    assert f"options.{field}" in caught.value.errors


@pytest.mark.parametrize(
    "change",
    [
        {"type": "external_account", "credential_source": {"file": "/etc/passwd"}},
        {"type": "authorized_user"},
        {"token_uri": "http://169.254.169.254/"},
        {"universe_domain": "evil.example"},
        {"private_key": ["x"]},
    ],
)
def test_only_a_key_of_google_itself_is_taken(known: Any, change: dict[str, Any]) -> None:
    right = {
        "type": "service_account",
        "private_key": "-----BEGIN PRIVATE KEY-----",
        "client_email": "bob@example.org",
        "token_uri": "https://oauth2.googleapis.com/token",
        "extra": "left out",
    }
    kind = BACKENDS["gcs"]
    name = "service_account_credentials"
    taken = parameters.validate(kind, known[kind.rclone], {name: json.dumps(right)})
    assert "left out" not in taken[name]
    with pytest.raises(Invalid):
        parameters.validate(kind, known[kind.rclone], {name: json.dumps(right | change)})


def test_private_key_reaches_rclone_on_one_line(known: Any) -> None:
    lines = ("-----BEGIN PRIVATE KEY-----", "AAAA", "BBBB", "-----END PRIVATE KEY-----", "")
    pem = "\r\n".join(lines)
    kind = BACKENDS["sftp"]
    typed = {"host": "a.example", "user": "bob", "key_pem": pem}
    taken = parameters.validate(kind, known[kind.rclone], typed)["key_pem"]
    assert taken.split("\\n")[1:3] == ["AAAA", "BBBB"]


@pytest.mark.parametrize("password", ["a", "pä ss,%w", "x" * 200])
def test_rclone_reads_what_was_obscured_for_it(password: str) -> None:
    told = subprocess.run(
        [engine.rclone_path(None), "reveal", obscure(password)], capture_output=True, text=True
    )
    assert told.stdout == password + "\n"
