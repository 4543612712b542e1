"""What stands in the database of a real portal."""

from __future__ import annotations

import sqlite3
from typing import Any

from tests.support.portal_server import PortalServer
from tests.support.transfers import MIB


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
