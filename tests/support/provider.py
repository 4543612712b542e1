"""A real provider of OpenID Connect, which signs in whom the test wants."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from typing import Any

import requests

from tests.support.ports import free_port
from tests.support.project import ROOT

BACK = "http://localhost/sign-on/callback"


class Provider:
    """The process, and who is signed in there."""

    def __init__(self, back: str = BACK) -> None:
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            ["node", str(ROOT / "tests/support/provider.mjs"), str(self.port), back],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def ready(self) -> bool:
        assert self.process.poll() is None
        with suppress(requests.ConnectionError):
            return self.http().get(f"{self.issuer}/.well-known/openid-configuration").ok
        return False

    def http(self) -> requests.Session:
        made = requests.Session()
        made.trust_env = False
        made.headers["Connection"] = "close"
        return made

    def person(self, sub: str, *, amr: tuple[str, ...] = (), refuses: bool = False, **claims: Any):
        """Who signs in there from now on."""
        told = {"sub": sub, "amr": amr or None, "refuses": refuses, "claims": claims}
        with self.http() as http:
            http.post(f"{self.issuer}/test/person", data=json.dumps(told)).raise_for_status()

    def visit(self, address: str) -> str:
        """The address that the provider sends the browser back to."""
        with self.http() as http:
            while address.startswith(self.issuer):
                answer = http.get(address, allow_redirects=False, timeout=20)
                assert answer.status_code in (302, 303), answer.text
                address = requests.compat.urljoin(address, answer.headers["Location"])
        return address

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
