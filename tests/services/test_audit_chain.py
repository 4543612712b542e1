"""Entries of the audit log follow from one another: what is changed, removed or added is found."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from portal.cli import cli
from portal.db import migrate
from portal.db import session as database
from portal.db.session import session, write
from portal.models import AuditEntry
from portal.services import audit
from portal.services.actor import Actor
from portal.settings import Settings, load_settings

_CUT = """UPDATE audit_chain SET cut_id = 3,
cut_hash = (SELECT hash FROM audit WHERE id = 3)"""
_SHORTER = """UPDATE audit_chain SET last_id = 11,
last_hash = (SELECT hash FROM audit WHERE id = 11)"""
_BEFORE = """INSERT INTO audit (at, actor, action, target, detail, outcome, address)
VALUES ('2026-01-01 00:00:00.000000', 'älice', 'sign-in', :target, '', 'ok', '')"""
_DOUBLED = """INSERT INTO audit SELECT 15, at, actor_id, actor, action, target, detail, outcome,
address, hash FROM audit WHERE id = 14"""
TRIGGERS = ("audit_no_update", "audit_no_delete", "audit_no_replace")


def note(*targets: str) -> None:
    for target in targets:
        with write() as tx:
            audit.record(tx, "test", Actor(), target=target)
            tx.commit()


@pytest.fixture
def trail(app: Flask) -> None:
    """Ten entries, beside those of the users' making."""
    note(*(f"entry {number}" for number in range(10)))


def behind_the_back(*statements: str) -> None:
    """As somebody does who may write to the database's file: the triggers are no obstacle."""
    with session.get_bind().begin() as connection:
        for trigger in TRIGGERS:
            connection.execute(text(f"DROP TRIGGER {trigger}"))
        for statement in statements:
            connection.execute(text(statement))


def last_id() -> int:
    session.rollback()
    return int(session.execute(text("SELECT max(id) FROM audit")).scalar_one())


def entry(number: int) -> AuditEntry:
    session.rollback()
    return session.get_one(AuditEntry, number, populate_existing=True)


def test_untouched_chain_is_right(trail: None) -> None:
    verdict = audit.verify()
    assert verdict.fault == ""
    assert (verdict.first, verdict.last) == (1, last_id())
    assert verdict.entries == last_id()


def test_hash_is_that_of_the_documented_content(trail: None) -> None:
    before, one = entry(5), entry(6)
    content = [
        before.hash,
        one.id,
        one.at.isoformat(timespec="microseconds"),
        one.actor_id,
        one.actor,
        one.action,
        one.target,
        one.detail,
        one.outcome,
        one.address,
    ]
    assert one.hash == hashlib.sha256(json.dumps(content).encode()).hexdigest()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET detail = 'nothing' WHERE id = 3",
        "UPDATE audit SET hash = hash",
        "DELETE FROM audit WHERE id = 3",
        "DELETE FROM audit",
    ],
)
def test_database_itself_refuses_to_change_or_remove_an_entry(trail: None, statement: str) -> None:
    number = last_id()
    with pytest.raises(IntegrityError, match="only ever added to"):
        session.execute(text(statement))
    session.rollback()
    assert last_id() == number
    assert audit.verify().fault == ""


@pytest.mark.parametrize(
    "column", ["at", "actor_id", "actor", "action", "target", "detail", "outcome", "address"]
)
def test_change_of_any_column_is_found_and_named(trail: None, column: str) -> None:
    value = "'2020-01-01 00:00:00.000000'" if column == "at" else "7"
    behind_the_back(f"UPDATE audit SET {column} = {value} WHERE id = 5")  # noqa: S608 - as a thief would
    verdict = audit.verify()
    assert verdict.last == 5
    assert verdict.fault.startswith("Entry 5 was changed")


@pytest.mark.parametrize(
    ("statements", "fault"),
    [
        (["DELETE FROM audit WHERE id = 5"], "Entry 6 was changed, or one just before it removed."),
        (["DELETE FROM audit WHERE id = 1"], "Entry 2 was changed, or one just before it removed."),
        (["DELETE FROM audit WHERE id > 11"], "Entries after 11 are missing; the last one was 14."),
        (["DELETE FROM audit"], "Entries after 0 are missing; the last one was 14."),
        (
            [_DOUBLED],
            "Entry 15 was changed, or one just before it removed.",
        ),
        (
            [
                _CUT,
                "DELETE FROM audit WHERE id <= 3",
            ],
            "Entries up to 3 are missing, and were not cut off as too old.",
        ),
        (
            [_SHORTER],
            "Entries after 14 are missing; the last one was 11.",
        ),
    ],
)
def test_what_was_removed_or_added_is_found(trail: None, statements: list[str], fault: str) -> None:
    assert last_id() == 14
    behind_the_back(*statements)
    assert audit.verify().fault == fault


def test_chain_that_was_computed_again_is_found_by_an_entry_noted_elsewhere(trail: None) -> None:
    known = (12, entry(12).hash)
    assert audit.verify(known).fault == ""
    behind_the_back("UPDATE audit SET actor = 'charlie' WHERE id = 5")
    before = entry(4).hash
    for number in range(5, 15):
        before = audit.hash_of(entry(number), before)
        behind = text("UPDATE audit SET hash = :hash WHERE id = :id")
        session.execute(behind, {"hash": before, "id": number})
        session.commit()
    session.execute(text("UPDATE audit_chain SET last_hash = :hash"), {"hash": before})
    session.commit()

    assert audit.verify().fault == "", "a chain alone cannot tell"
    assert audit.verify(known).fault == "Entry 12 is not the one that was noted."


def test_known_entry_that_is_gone_is_reported(trail: None) -> None:
    assert "Entry 99 is not there" in audit.verify((99, "0" * 64)).fault


# --- writing ------------------------------------------------------------------------------------


def test_entry_of_a_transaction_that_is_rolled_back_is_never_written(trail: None) -> None:
    number = last_id()
    with write() as tx:
        audit.record(tx, "test", Actor(), target="undone")
    note("done")
    assert last_id() == number + 1
    assert entry(number + 1).target == "done"
    assert audit.verify().fault == ""


def test_writers_at_the_same_time_make_one_chain(trail: None) -> None:
    def write(name: int) -> None:
        note(*(f"{name}.{number}" for number in range(20)))
        session.remove()

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    verdict = audit.verify()
    assert verdict.fault == ""
    assert verdict.entries == 14 + 80


@given(st.text(), st.text(), st.text())
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_chain_holds_whatever_was_typed(app: Flask, name: str, target: str, detail: str) -> None:
    with write() as tx:
        audit.record(tx, "test", Actor(address=name, alias=name), target=target, detail=detail)
        tx.commit()
    assert audit.verify().fault == ""
    assert "\0" not in entry(last_id()).actor


def test_entries_from_before_the_chain_are_taken_into_it(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    settings.prepare()
    migrate.upgrade(settings, "0004")
    engine = database.connect(settings.database_url)
    with engine.begin() as connection:
        for number in range(1_200):
            connection.execute(text(_BEFORE), {"target": f"“{number}”"})
    engine.dispose()
    migrate.upgrade(settings)
    engine = database.connect(settings.database_url)
    note("after")
    verdict = audit.verify()
    assert (verdict.fault, verdict.entries) == ("", 1_201)
    session.remove()
    engine.dispose()


# --- retention ----------------------------------------------------------------------------------


@pytest.fixture
def in_days(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """From here on it is so many days later."""

    def go(days: int) -> None:
        monkeypatch.setattr(audit, "now", lambda: datetime.now(UTC) + timedelta(days=days))

    return go


def test_old_entries_go_the_others_stay_and_the_chain_is_right(in_days: Any) -> None:
    in_days(100)
    note("later")
    assert audit.cut(90) == 4, "the making of the users"
    verdict = audit.verify()
    assert (verdict.fault, verdict.first) == ("", 5)
    assert [entry(n).target for n in (5, 6)] == ["later", "4 entries"]
    assert audit.cut(90) == 0, "nothing is old any more"
    assert audit.verify().fault == ""


def test_cut_goes_on_in_small_transactions_and_the_last_one_counts(
    in_days: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "_CUT_AT_ONCE", 3)
    for days in (100, 200, 300):
        in_days(days)
        note(*(f"{days}.{number}" for number in range(5)))
        assert audit.cut(50) > 0
        assert audit.verify().fault == "", days
    session.rollback()
    entries = session.query(AuditEntry).order_by(AuditEntry.id)
    kept = [row.target for row in entries if row.action == "test"]
    assert kept == [f"300.{number}" for number in range(5)]


def test_after_a_cut_the_database_still_refuses_to_remove_the_rest(in_days: Any) -> None:
    in_days(100)
    note("later")
    audit.cut(90)
    with pytest.raises(IntegrityError, match="only ever added to"):
        session.execute(text("DELETE FROM audit WHERE id = 5"))
    session.rollback()


# --- the command --------------------------------------------------------------------------------


@pytest.fixture
def verify(trail: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("PORTAL_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("PORTAL_TRANSFER_ROOTS", str(settings.transfer_roots[0]))

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(cli, ["audit", "verify", *arguments])

    return run


def test_command_says_that_all_is_well_and_what_to_note(verify: Any) -> None:
    done = verify()
    assert done.exit_code == 0, done.output
    assert "14 entries are as they were written." in done.output
    noted = done.output.split()[-1]
    assert verify("--known", noted).exit_code == 0
    assert verify("--known", f"14:{'0' * 64}").exit_code == 1
    assert verify("--known", "nonsense").exit_code == 2


def test_command_ends_with_1_and_names_the_first_bad_entry(verify: Any) -> None:
    behind_the_back("UPDATE audit SET actor = 'nobody' WHERE id IN (5, 9)")
    done = verify()
    assert done.exit_code == 1
    assert "Entry 5 was changed" in done.output
