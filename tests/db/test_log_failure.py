"""A database that is away is a line of the log, and a fault of the program a traceback."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from structlog.testing import CapturingLogger

from portal.db.session import log_failure
from portal.server import process

AWAY = OperationalError("DELETE", {}, Exception("the server closed the connection"))


@pytest.mark.parametrize(
    "error", [AWAY, InterfaceError("SELECT", {}, Exception("closed")), PoolExhausted("no place")]
)
def test_database_that_is_away_leaves_no_traceback(error: Exception) -> None:
    log = CapturingLogger()
    log_failure(log, "it was not done", error, what="rows")
    (call,) = log.calls
    assert (call.method_name, call.args, call.kwargs["what"]) == (
        "warning",
        ("it was not done",),
        "rows",
    )
    assert "exc_info" not in call.kwargs
    assert "DELETE" not in call.kwargs["error"]


@pytest.mark.parametrize("error", [IntegrityError("INSERT", {}, Exception()), ValueError("odd")])
def test_fault_keeps_its_traceback(error: Exception) -> None:
    log = CapturingLogger()
    log_failure(log, "it was not done", error)
    (call,) = log.calls
    assert (call.method_name, call.kwargs["exc_info"]) == ("error", error)


def test_removal_of_old_rows_outlives_a_database_that_is_away(
    app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, tries = CapturingLogger(), []
    monkeypatch.setattr(process, "log", log)
    monkeypatch.setattr(process, "_REMOVE_EVERY", 0.0)

    class Enough(Exception):
        pass

    def remove(days: int) -> int:
        tries.append(days)
        if len(tries) == 3:
            raise Enough
        raise AWAY

    with pytest.raises(Enough):
        process._remove_forever("minutes", remove, 7)
    assert [call.method_name for call in log.calls] == ["warning", "warning"]
