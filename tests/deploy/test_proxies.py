"""The shipped sites of the proxies: a real nginx takes requests and WebSockets through its own."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import websocket
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.people import Person
from tests.support.portal_server import PortalServer, with_users
from tests.support.ports import free_port
from tests.support.project import ROOT
from tests.support.proxies import HEAD, nginx_command, wait_until_open

AROUND = (
    HEAD
    + """\
  include {folder}/site.conf;
}}
"""
)


class Site:
    """The shipped site in an nginx of its own; only addresses and paths are put in its place."""

    def __init__(self, folder: Path, upstream: int) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        write_certificate(folder)
        site = (ROOT / "deploy" / "nginx.conf").read_text()
        for shipped, here in {
            "listen 443": f"listen 127.0.0.1:{self.port}",
            "127.0.0.1:8000": f"127.0.0.1:{upstream}",
            "/etc/ssl/portal.example.org": str(folder / "site"),
        }.items():
            assert shipped in site
            site = site.replace(shipped, here)
        (folder / "site.conf").write_text(site)
        user = "" if os.getuid() else "user root;"
        (folder / "nginx.conf").write_text(AROUND.format(folder=folder, user=user))

    def command(self, *options: str) -> list[str]:
        config = self.folder / "nginx.conf"
        return [
            nginx_command(),
            "-p",
            str(self.folder),
            "-c",
            str(config),
            "-e",
            "stderr",
            *options,
        ]


def write_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "portal.example.org")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "site.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "site.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@pytest.fixture(scope="module")
def server(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalServer]:
    behind = {"PORTAL_TRUSTED_PROXIES": "1", "PORTAL_SECURE_COOKIES": "true"}
    started = with_users(tmp_path_factory.mktemp("portal"), migrated, **behind)
    started.start()
    yield started
    started.clean_up()


@pytest.fixture(scope="module")
def site(server: PortalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"), server.port)
    with (made.folder / "log").open("wb") as log:
        process = subprocess.Popen(made.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    wait_until_open(made.port, process)
    yield made
    process.terminate()
    process.wait(10)


@pytest.fixture
def bob(server: PortalServer, site: Site) -> Iterator[Person]:
    """Signed in through the proxy, over TLS."""
    person = Person(server)
    server_url, server.url = server.url, site.url
    person.http.verify = str(site.folder / "site.pem")
    person.http.headers["Referer"] = f"{site.url}/login"
    assert person.sign_in("bob").status_code == 303
    yield person
    server.url = server_url


def test_nginx_finds_the_site_in_order(site: Site) -> None:
    done = subprocess.run(site.command("-t"), capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr


def test_person_signs_in_through_the_site_and_cookies_stay_on_tls(bob: Person) -> None:
    assert bob.get("/jobs").status_code == 200
    (cookie,) = [one for one in bob.http.cookies if "portal" in one.name]
    assert cookie.secure


def test_websocket_passes_through_the_site(bob: Person, site: Site) -> None:
    connection = websocket.create_connection(
        f"wss://127.0.0.1:{site.port}/socket.io/?EIO=4&transport=websocket",
        cookie=bob.cookie,
        origin=site.url,
        sslopt={"ca_certs": str(site.folder / "site.pem")},
        timeout=10,
    )
    assert str(connection.recv()).startswith("0{")
    connection.send("40")
    assert str(connection.recv()).startswith("40{")
    connection.close()


def test_foreign_page_cannot_connect_through_the_site(bob: Person, site: Site) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as refusal:
        websocket.create_connection(
            f"wss://127.0.0.1:{site.port}/socket.io/?EIO=4&transport=websocket",
            cookie=bob.cookie,
            origin="https://evil.example",
            sslopt={"ca_certs": str(site.folder / "site.pem")},
            timeout=10,
        )
    assert refusal.value.status_code == 403


def test_metrics_do_not_pass(site: Site) -> None:
    with requests.Session() as session:
        session.trust_env = False
        pem = str(site.folder / "site.pem")
        assert session.get(f"{site.url}/metrics", verify=pem, timeout=10).status_code == 404


@pytest.mark.parametrize("name", ["nginx.conf", "Caddyfile"])
def test_waits_of_a_proxy_are_longer_than_the_portal_is_silent(name: str) -> None:
    waits = re.findall(r"(?:read|send|write)_timeout (\d+)s", (ROOT / "deploy" / name).read_text())

    assert len(waits) == 2
    assert all(int(wait) > 10 + 20 for wait in waits)
