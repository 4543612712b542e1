"""Real servers of every storage that the portal offers, as far as they can be run here."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from portal.engine import rclone_path
from tests.storages import environment
from tests.storages.certificates import make_certificate, ssh_key
from tests.support.ports import free_port

USER = "bob"
PASSWORD = "pä ss%w+ord&1"
HERE = Path(__file__).resolve().parent

# Known to everybody: the account of Microsoft's own emulators.
_AZURE_ACCOUNT = "devstoreaccount1"
_AZURE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
_S3_KEYS = ("ACCESSKEYID1", "secret/access+key=1")


@dataclass(frozen=True, slots=True)
class Kind:
    """A storage as one server offers it. ``backend``: the form of its remote. ``top``: what paths
    begin with. ``options`` are typed beside address and secret; ``wrong`` opens nothing."""

    name: str
    server: str
    backend: str
    command: Callable[[Server], list[str]]
    top: str = ""
    options: tuple[tuple[str, str], ...] = ()
    secret: tuple[tuple[str, str], ...] = (("user", USER), ("pass", PASSWORD))
    wrong: tuple[tuple[str, str], ...] = (("pass", "not the right one"),)
    address: str = "host"
    #: Why it cannot be run here, if it cannot.
    missing: Callable[[], str] = lambda: ""


class Server:
    """``stop`` is as a crash would be; ``start`` again keeps its port, and what is stored unless
    that was in memory."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind = kind
        self.place = folder
        self.port = free_port()
        #: What it stores, where that lies in plain files; of the rest an inner matter.
        self.files = folder / "files"
        self.files.mkdir(parents=True, exist_ok=True)
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def options(self, **changed: str) -> dict[str, str]:
        """As they are typed into the form of a remote."""
        if self.kind.address == "host":
            where = {"host": "127.0.0.1", "port": str(self.port)}
        else:
            name, _, pattern = self.kind.address.partition("=")
            where = {name: pattern.format(port=self.port)}
        return {**where, **dict(self.kind.secret), **dict(self.kind.options), **changed}

    def start(self) -> Server:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.kind.command(self),
                env={"PATH": os.environ["PATH"], "HOME": str(self.place), "LANG": "C.UTF-8"},
                cwd=self.place,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + 60
        while True:
            code = self._process.poll()
            assert code is None, f"{self.kind.server} ended, {code}:\n{self._log.read_text()}"
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            assert time.monotonic() < deadline, self._log.read_text(errors="replace")
            time.sleep(0.02)

    def freeze(self) -> None:
        """It takes connections, and never answers."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        """To the children too: some servers have one for each connection."""
        if self._process is not None:
            os.killpg(self._process.pid, number)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


# --- how each is started --------------------------------------------------------------------------


def script(name: str, *more: str) -> Callable[[Server], list[str]]:
    """One of ``serve/`` with the Python of the storages' environment."""

    def command(server: Server) -> list[str]:
        script = [str(environment.python()), str(HERE / "serve" / name)]
        return [*script, str(server.port), str(server.files), USER, PASSWORD, *more]

    return command


def _ftp_with_tls(server: Server) -> list[str]:
    return script("ftp.py", "--certificate", str(make_certificate(server.place)))(server)


def _gcs(server: Server) -> list[str]:
    script = [str(environment.python()), str(HERE / "serve" / "gcs.py")]
    return [*script, str(server.port)]


def _azurite(server: Server) -> list[str]:
    blob = environment.node_module("azurite/dist/src/blob/main.js")
    listen = ["--blobHost", "127.0.0.1", "--blobPort", str(server.port)]
    quiet = ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    return ["node", str(blob), *listen, *quiet, "--location", str(server.files)]


def _rclone(protocol: str, *more: str) -> Callable[[Server], list[str]]:
    def command(server: Server) -> list[str]:
        serve = [str(rclone_path(None)), "serve", protocol, str(server.files), "--config", ""]
        listen = ["--addr", f"127.0.0.1:{server.port}", "--vfs-cache-mode", "off"]
        if protocol == "s3":
            return [*serve, *listen, "--auth-key", ",".join(_S3_KEYS), *more]
        return [*serve, *listen, "--user", USER, "--pass", PASSWORD, *more]

    return command


_CLIENT_KEY, _CLIENT_PUBLIC = ssh_key()


def _openssh(*, confined: bool) -> Callable[[Server], list[str]]:
    """As root, who owns all there is in the test's folder. Confined, there are files and no shell,
    as hosts of web pages do it."""

    def command(server: Server) -> list[str]:
        place = server.place
        host_key = place / "host_key"
        if not host_key.exists():
            host_key.write_text(ssh_key()[0])
            host_key.chmod(0o600)
        (place / "known").write_text(f"{_CLIENT_PUBLIC}\n")
        lines = [
            f"Port {server.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {host_key}",
            f"AuthorizedKeysFile {place}/known",
            "StrictModes no",
            "UsePAM no",
            "PermitRootLogin yes",
            "PidFile none",
            "MaxStartups 100",
            f"Subsystem sftp internal-sftp -d {server.files}",
        ]
        if confined:
            # Every folder on the way to a changed root must be root's alone.
            lines += [f"ForceCommand internal-sftp -d {server.files}", "ChrootDirectory /"]
        (place / "sshd_config").write_text("\n".join(lines) + "\n")
        return [_sshd(), "-D", "-e", "-f", str(place / "sshd_config")]

    return command


def _sshd() -> str:
    return shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin") or ""


def _no_sshd() -> str:
    if not _sshd():
        return "OpenSSH's sshd is not installed on this machine"
    if os.geteuid() != 0:
        return "OpenSSH's sshd needs root"
    return "" if Path("/run/sshd").is_dir() else "OpenSSH's sshd has no /run/sshd"


# --- all of them ----------------------------------------------------------------------------------

#: The form begins with TLS.
_PLAIN = (("explicit_tls", ""),)
_OPENSSH = {
    "backend": "sftp",
    "secret": (("user", "root"), ("key_pem", _CLIENT_KEY)),
    "wrong": (("key_pem", ssh_key()[0]),),
    "missing": _no_sshd,
}

KINDS = {
    kind.name: kind
    for kind in (
        Kind("smb", "impacket", "smb", script("smb.py"), top="SHARE/"),
        Kind(
            "azure",
            "Azurite",
            "azureblob",
            _azurite,
            top="container/",
            secret=(("account", _AZURE_ACCOUNT), ("key", _AZURE_KEY)),
            wrong=(("key", "bm90IHRoZSByaWdodCBvbmU="),),
            address="endpoint=http://127.0.0.1:{port}/" + _AZURE_ACCOUNT,
        ),
        Kind(
            "google",
            "gcp-storage-emulator",
            "gcs",
            _gcs,
            top="bucket/",
            secret=(("anonymous", "true"), ("project_number", "1234")),
            wrong=(),  # it lets everybody in
            address="endpoint=http://127.0.0.1:{port}/storage/v1/",
        ),
        Kind(
            "s3",
            "rclone serve s3",
            "s3",
            _rclone("s3"),
            top="bucket/",
            options=(("provider", "Rclone"),),
            secret=(("access_key_id", _S3_KEYS[0]), ("secret_access_key", _S3_KEYS[1])),
            wrong=(("secret_access_key", "not the right one"),),
            address="endpoint=http://127.0.0.1:{port}",
        ),
        Kind("ftp", "pyftpdlib", "ftp", script("ftp.py"), options=_PLAIN),
        Kind(
            "ftp without MFMT",
            "pyftpdlib",
            "ftp",
            script("ftp.py", "--without", "MFMT"),
            options=_PLAIN,
        ),
        Kind(
            "ftp without MLSD",
            "pyftpdlib",
            "ftp",
            script("ftp.py", "--without", "MLSD", "--without", "MLST"),
            options=_PLAIN,
        ),
        Kind(
            "ftp with TLS",
            "pyftpdlib",
            "ftp",
            _ftp_with_tls,
            options=(
                ("explicit_tls", "true"),
                ("no_check_certificate", "true"),
                ("disable_tls13", "true"),
            ),
        ),
        Kind(
            "webdav",
            "WsgiDAV",
            "webdav",
            script("webdav.py"),
            address="url=http://127.0.0.1:{port}",
        ),
        Kind(
            "webdav of rclone",
            "rclone serve webdav",
            "webdav",
            _rclone("webdav", "--etag-hash", "MD5"),
            options=(("vendor", "rclone"),),
            address="url=http://127.0.0.1:{port}",
        ),
        Kind("sftp", "rclone serve sftp", "sftp", _rclone("sftp")),
        Kind(
            "sftp without hashes",
            "rclone serve sftp",
            "sftp",
            _rclone("sftp"),
            options=(("disable_hashcheck", "true"),),
        ),
        Kind("sftp with a shell", "OpenSSH", command=_openssh(confined=False), **_OPENSSH),
        Kind("sftp without a shell", "OpenSSH", command=_openssh(confined=True), **_OPENSSH),
    )
}
