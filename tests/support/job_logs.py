"""Logs of jobs, as they are written and as they are found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from portal.services.jobs import logs
from portal.services.jobs.logs import Tail


@dataclass(frozen=True)
class LoggedLine:
    object: str
    message: str = "Copied (new)"
    level: str = "info"
    at: float = 1_795_000_000.25


def lines(number: int, first: int = 1, **more: Any) -> list[LoggedLine]:
    return [LoggedLine(f"folder/file {n}", **more) for n in range(first, first + number)]


def begun(job_id: int, attempt: int = 1) -> Tail:
    tail = logs.begin(job_id, attempt)
    assert tail is not None
    return tail


def kept(job_id: int, said: list[LoggedLine], left_out: int = 0) -> Tail:
    tail = begun(job_id)
    logs.append_lines(tail, said, left_out)
    assert logs.save(tail)
    return tail
