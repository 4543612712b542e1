"""What stands in the database of a real portal."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

import requests

from tests.support.portal_server import PortalServer
from tests.support.transfers import MIB
from tests.support.users import PASSWORD


class Bob:
    """Signed in at a real portal; his cookie outlives it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = requests.Session()
        answer = self.post("/login", username="bob", password=PASSWORD)
        assert answer.status_code == 303

    def post(self, path: str, **data: Any) -> requests.Response:
        page = self.http.get(f"{self.url}/login" if path == "/login" else f"{self.url}/jobs/new")
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
        assert token is not None
        return self.http.post(
            self.url + path,
            data={"csrf_token": token[1], **data},
            headers={"Referer": self.url},
            allow_redirects=False,
            timeout=10,
        )

    def start(self, source: Path | str, destination: Path | str, **options: str) -> int:
        order = {"name": "Nightly", "operation": "copy", **options}
        answer = self.post("/jobs", source=str(source), destination=str(destination), **order)
        assert answer.status_code == 303, answer.text
        return int(answer.headers["Location"].rpartition("/")[2])


def ask(portal: PortalServer, question: str, *values: Any) -> list[Any]:
    connection = sqlite3.connect(portal.data / "portal.sqlite", timeout=10)
    try:
        return connection.execute(question, values).fetchall()
    finally:
        connection.close()


def column(portal: PortalServer, job_id: int, name: str) -> Any:
    return ask(portal, f"SELECT {name} FROM jobs WHERE id = ?", job_id)[0][0]  # noqa: S608


def history(portal: PortalServer, job_id: int) -> list[str]:
    rows = ask(portal, "SELECT new_status FROM job_events WHERE job_id = ? ORDER BY id", job_id)
    return [row[0] for row in rows]


def counted(portal: PortalServer) -> bool:
    counters = dict(ask(portal, "SELECT status, jobs FROM job_counts WHERE jobs != 0"))
    return counters == dict(ask(portal, "SELECT status, count(*) FROM jobs GROUP BY status"))


def is_moving(portal: PortalServer, job_id: int) -> bool:
    return bool(column(portal, job_id, "bytes_transferred") > MIB)
