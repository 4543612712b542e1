"""Signs in and acts over HTTP: faster than a browser, and from outside the page that is watched."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.support.portal_server import PortalServer
from tests.support.users import PASSWORD
from tests.support.waiting import wait_for

MIB = 1024 * 1024


@dataclass(frozen=True)
class Row:
    """What the server shows of a job."""

    status: str
    seq: int
    percent: str
    html: str


class Person:
    """A browser without JavaScript at a real portal: somebody with cookies, signed in if named."""

    def __init__(self, server: PortalServer, name: str | None = None) -> None:
        self.server = server
        self.name = name
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.headers["Connection"] = "close"  # nothing to tidy up when the test is over
        self._token = ""
        self._token_of: list[str | None] = []
        if name is not None:
            assert self.sign_in().status_code == 303

    def sign_in(self, name: str | None = None, password: str = PASSWORD) -> requests.Response:
        return self.post("/login", username=name or self.name or "", password=password)

    @property
    def cookie(self) -> str:
        """As a header says it."""
        return "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())

    @property
    def browser_cookie(self) -> dict[str, str]:
        """For a browser: one session, whatever the port, since cookies know none."""
        (cookie,) = self.http.cookies
        return {
            "name": cookie.name,
            "value": cookie.value or "",
            "domain": "127.0.0.1",
            "path": "/",
        }

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.http.get(
            self.server.url + path, timeout=20, **{"allow_redirects": False, **options}
        )

    def post(self, path: str, **form: str) -> requests.Response:
        return self.http.post(
            self.server.url + path,
            {"csrf_token": self._token_of_a_page(), **form},
            timeout=20,
            allow_redirects=False,
        )

    def _token_of_a_page(self) -> str:
        """Asks for a page only where the cookie is another one than that of the last token."""
        if not self._token_of or self._token_of != self.http.cookies.values():
            page = self.get("/settings")
            if page.status_code != 200:
                page = self.get("/login")
            found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
            assert found is not None, page.text
            self._token, self._token_of = found[1], self.http.cookies.values()
        return self._token

    def start(self, source: Path | str, destination: Path | str, **form: str) -> int:
        """A new job and its id."""
        ends = {"source": str(source), "destination": str(destination)}
        answer = self.post("/jobs", **{"name": "Nightly", "operation": "copy", **ends, **form})
        assert answer.status_code == 303, answer.text
        return int(answer.headers["Location"].rpartition("/")[2])

    def transfer(
        self,
        name: str,
        *,
        files: int = 20,
        mebibytes: float = 1,
        limit: str = "1M",
        operation: str = "copy",
        source: Path | None = None,
    ) -> int:
        """A new job and its id. Its files are sparse, so that they cost no room."""
        folder = source or self.folder(name, files, int(mebibytes * MIB))
        copies = self.server.root / "to" / f"{name} {time.monotonic_ns()}"
        return self.start(folder, copies, name=name, operation=operation, bandwidth_limit=limit)

    def folder(self, name: str, files: int, size: int) -> Path:
        folder = self.server.root / "from" / f"{name} {files} {size}"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(files):
            with (folder / f"part {number:04}.dat").open("wb") as file:
                file.truncate(size)
        return folder

    def cancel(self, job: int) -> requests.Response:
        return self.post(f"/jobs/{job}/cancel")

    def row(self, job: int) -> Row:
        html = self.get(f"/api/jobs/{job}/progress").text
        status = re.search(r'data-status="(\w+)"', html)
        seq = re.search(r'data-seq="(\d+)"', html)
        percent = re.search(r'data-field="percent">([^<]*)<', html)
        assert status is not None, html
        assert seq is not None, html
        assert percent is not None, html
        return Row(status[1], int(seq[1]), percent[1], html)

    def wait_for(self, job: int, *statuses: str, seconds: float = 30) -> Row:
        """The row, once the job has one of these statuses."""

        def there() -> Row | None:
            row = self.row(job)
            return row if row.status in statuses else None

        found: Row = wait_for(there, seconds)
        return found
