"""When the log of an attempt is written."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from portal.worker import attempt_log
from portal.worker.attempt_log import LOG_PACE, AttemptLog

TICK = 0.005


@pytest.fixture
def kept() -> list[float]:
    """The moments at which the log was written, or tried to be."""
    return []


def follow(monkeypatch: pytest.MonkeyPatch, seconds: float, write: Any, *, waits: bool) -> None:
    """An attempt whose transfer gives a reading every few milliseconds."""
    moment = 0.0
    monkeypatch.setattr(attempt_log.time, "monotonic", lambda: moment)
    monkeypatch.setattr(AttemptLog, "_write_log", lambda _: write(moment))
    kept = AttemptLog(1, 1)
    transfer: Any = SimpleNamespace(log_waits=waits, take_log=lambda: ([], 0))
    for _ in range(round(seconds / TICK)):
        moment = round(moment + TICK, 3)
        kept.keep(transfer)


@pytest.mark.parametrize(("waits", "written"), [(False, 3), (True, 600)])
def test_log_is_written_each_second_and_at_once_where_much_waits(
    monkeypatch: pytest.MonkeyPatch, kept: list[float], waits: bool, written: int
) -> None:
    def write(moment: float) -> bool:
        kept.append(moment)
        return False

    follow(monkeypatch, 3 * LOG_PACE, write, waits=waits)
    assert len(kept) == written


def test_database_that_is_away_is_asked_once_a_second_however_much_waits(
    monkeypatch: pytest.MonkeyPatch, kept: list[float]
) -> None:
    def write(moment: float) -> bool:
        kept.append(moment)
        if moment < 2.5 * LOG_PACE:
            raise OperationalError("INSERT", {}, Exception("away"))
        return False

    follow(monkeypatch, 4 * LOG_PACE, write, waits=True)
    while_away = [moment for moment in kept if moment < 2.5 * LOG_PACE]
    assert len(while_away) == 3
    assert len(kept) - len(while_away) > 100
