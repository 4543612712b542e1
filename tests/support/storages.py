"""Real storages: `rclone serve` on a folder of the test."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from portal.engine import rclone_path
from tests.support.ports import free_port

USER = "bob"
PASSWORD = "pä ss%w+ord&1"
KEY = "ACCESSKEYID1"
SECRET = "secret/access+key=1"


class Storage:
    """``kind``: s3, sftp, webdav or ftp. ``stop`` and ``start`` keep its folder and its port. It
    has no room for a file that is larger than ``largest_file``. ``shows``: a remote that it serves
    instead of its folder."""

    def __init__(
        self,
        kind: str,
        folder: Path,
        largest_file: int | None = None,
        flags: Sequence[str] = (),
        shows: str | None = None,
    ) -> None:
        self.kind = kind
        self._shows = shows or str(folder)
        self._flags = flags
        self._largest_file = largest_file
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Storage:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def options(self, port: int | None = None, **changed: str) -> dict[str, str]:
        """As they are typed into the form of a remote."""
        port = port or self.port
        if self.kind == "s3":
            options = {
                "provider": "Rclone",
                "access_key_id": KEY,
                "secret_access_key": SECRET,
                "endpoint": f"http://127.0.0.1:{port}",
            }
        elif self.kind == "webdav":
            options = {"url": f"http://127.0.0.1:{port}", "user": USER, "pass": PASSWORD}
        else:
            options = {"host": "127.0.0.1", "port": str(port), "user": USER, "pass": PASSWORD}
        return {**options, **changed}

    def wrong(self) -> dict[str, str]:
        """The name of the secret, and one that is not it."""
        return {"secret_access_key" if self.kind == "s3" else "pass": "not the right one"}

    def start(self) -> Storage:
        serve = [str(rclone_path(None)), "serve", self.kind, self._shows, "--config", ""]
        serve += [
            "--addr",
            f"127.0.0.1:{self.port}",
            "--vfs-cache-mode",
            "off",
        ]
        if self.kind == "s3":
            serve += ["--auth-key", f"{KEY},{SECRET}"]
        else:
            serve += ["--user", USER, "--pass", PASSWORD]
        serve += self._flags
        if self._largest_file is not None:
            serve = ["prlimit", f"--fsize={self._largest_file}", *serve]
        self._process = subprocess.Popen(
            serve,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait_until_open()
        return self

    def stop(self) -> None:
        """As a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It takes connections, and never answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _wait_until_open(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + 20
        while True:
            assert self._process.poll() is None, "the storage ended at its start"
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            assert time.monotonic() < deadline, "the storage does not listen"
            time.sleep(0.02)


def typed(options: dict[str, str], **fields: str) -> dict[str, Any]:
    """The form of a remote, filled."""
    return {
        "role": "operator",
        **fields,
        **{f"option_{key}": text for key, text in options.items()},
    }
