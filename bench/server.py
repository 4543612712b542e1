"""A signed-in client of a portal that a benchmark has started."""

from __future__ import annotations

import re
import time

import requests

from tests.support.portal_server import PortalServer
from tests.support.users import PASSWORD


class Client:
    """alice, an admin, on one connection that is kept open."""

    def __init__(self, server: PortalServer) -> None:
        self._http = requests.Session()
        self._url = server.url
        self._token = self._find_token("/login")
        self.post("/login", {"username": "alice", "password": PASSWORD})
        self._token = self._find_token("/settings")

    def post(self, path: str, fields: dict[str, str]) -> str:
        """The address it leads to."""
        answer = self._http.post(
            self._url + path, {**fields, "csrf_token": self._token}, allow_redirects=False
        )
        assert answer.status_code == 303, f"{path}: {answer.status_code}\n{answer.text}"
        return answer.headers["Location"]

    @property
    def cookie(self) -> str:
        return "; ".join(f"{one.name}={one.value}" for one in self._http.cookies)

    def text(self, path: str) -> str:
        return self._http.get(self._url + path).text

    def seconds(self, path: str) -> float:
        """How long a GET of this path takes, its body read."""
        begun = time.perf_counter()
        answer = self._http.get(self._url + path)
        took = time.perf_counter() - begun
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        return took

    def lines(self, path: str) -> int:
        """How many lines a file has that a POST to this path gives; it is not kept."""
        fields = {"csrf_token": self._token}
        with self._http.post(self._url + path, fields, stream=True) as answer:
            assert answer.status_code == 200, f"{path}: {answer.status_code}"
            return sum(part.count(b"\n") for part in answer.iter_content(65_536))

    def _find_token(self, path: str) -> str:
        page = self._http.get(self._url + path).text
        found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
        assert found is not None, page
        return found[1]


def prepared(server: PortalServer) -> None:
    """Gives the server its database and alice."""
    server.manage("db", "upgrade")
    server.create_users({"alice": "admin"})
