"""Signs in and acts over HTTP: faster than a browser, and from outside the page that is watched."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.support.portal_server import PortalServer
from tests.support.users import PASSWORD

MIB = 1024 * 1024


@dataclass(frozen=True)
class Row:
    """What the server shows of a job."""

    status: str
    seq: int
    percent: str
    html: str


class Person:
    def __init__(self, server: PortalServer, name: str) -> None:
        self.server = server
        self.name = name
        self.http = requests.Session()
        self._token = ""
        self.sign_in()

    def sign_in(self) -> None:
        self.http.cookies.clear()
        self._token = ""
        answer = self.post("/login", username=self.name, password=PASSWORD)
        assert answer.status_code == 303, answer.text
        self._token = ""

    @property
    def cookie(self) -> dict[str, str]:
        """For a browser: one session, whatever the port, since cookies know none."""
        (cookie,) = self.http.cookies
        return {
            "name": cookie.name,
            "value": cookie.value or "",
            "domain": "127.0.0.1",
            "path": "/",
        }

    def get(self, path: str, **options: object) -> requests.Response:
        return self.http.get(self.server.url + path, timeout=10, **options)  # type: ignore[arg-type]

    def post(self, path: str, **fields: str) -> requests.Response:
        if not self._token:
            self._token = self._fresh_token("/login" if path == "/login" else "/settings")
        return self.http.post(
            self.server.url + path,
            {**fields, "csrf_token": self._token},
            allow_redirects=False,
            timeout=10,
        )

    def _fresh_token(self, path: str) -> str:
        page = self.get(path)
        found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
        assert found is not None, page.text
        return found[1]

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
        answer = self.post(
            "/jobs",
            name=name,
            operation=operation,
            source=str(folder),
            destination=str(self.server.root / "to" / f"{name} {time.monotonic_ns()}"),
            bandwidth_limit=limit,
        )
        assert answer.status_code == 303, answer.text
        return int(answer.headers["Location"].rsplit("/", 1)[1])

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
        deadline = time.monotonic() + seconds
        while (row := self.row(job)).status not in statuses:
            assert time.monotonic() < deadline, f"job {job} is {row.status}, not {statuses}"
            time.sleep(0.05)
        return row
