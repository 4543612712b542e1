"""The audit trail. ``record`` adds an entry to the caller's transaction and never commits.

Each entry holds the hash of the one before it, so a change to an old entry breaks all later ones.
Entries are written at the very end of the transaction: writing them locks the end of the chain, and
a transaction that holds this lock must not wait for another one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, delete, event, func, select
from sqlalchemy.orm import Session, SessionTransaction

from portal.db.clock import now
from portal.db.session import PortalSession, session, write
from portal.models import AuditEntry
from portal.models.audit import AuditChain
from portal.services.actor import COMMAND_LINE, Actor

CUT = "audit.cut"
_CHUNK = 200
_CUT_AT_ONCE = 2_000
_PENDING = "audit entries"


def record(
    session: Session,
    action: str,
    actor: Actor,
    *,
    target: str = "",
    detail: str = "",
    outcome: str = "ok",
) -> None:
    account = actor.account
    if account and account.api_token_id:
        detail = f"API token {account.api_token_id}: {detail}"
    entry = AuditEntry(
        at=now(),
        actor_id=account.id if account else None,
        actor=_storable(actor.name, 64),
        action=action,
        target=_storable(target, 128),
        detail=_storable(detail, 2000),
        outcome=outcome,
        address=_storable(actor.address, 64),
    )
    session.info.setdefault(_PENDING, []).append(entry)


def _storable(text: str, length: int) -> str:
    # PostgreSQL stores no NUL, and no database stores half of a surrogate pair; anybody can type
    # both.
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()[:length]


# --- the chain ----------------------------------------------------------------------------------


def hash_of(entry: AuditEntry, before: str) -> str:
    content = [
        before,
        entry.id,
        entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        entry.actor_id,
        entry.actor,
        entry.action,
        entry.target,
        entry.detail,
        entry.outcome,
        entry.address,
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@event.listens_for(PortalSession, "before_commit")
def _append(tx: Session) -> None:
    if not (pending := tx.info.pop(_PENDING, None)):
        return
    tx.flush()  # so that this transaction takes no other lock after this one
    chain = _locked_chain(tx)
    for entry in pending:
        entry.id = chain.last_id + 1
        entry.hash = hash_of(entry, chain.last_hash)
        tx.add(entry)
        chain.last_id, chain.last_hash = entry.id, entry.hash


@event.listens_for(PortalSession, "after_transaction_end")
def _forget(ended: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        ended.info.pop(_PENDING, None)


def _locked_chain(tx: Session) -> AuditChain:
    query = select(AuditChain).with_for_update()
    return tx.scalars(query, execution_options={"populate_existing": True}).one()


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """``entries``: how many are as they were written, from ``first`` to ``last``. ``fault``: which
    entry is not."""

    entries: int
    first: int
    last: int
    head: str
    fault: str = ""


def verify(known: tuple[int, str] | None = None) -> ChainVerdict:
    """Walks the whole chain. ``known``: id and hash of an entry that were noted elsewhere. They
    reveal even a chain that somebody computed anew from end to end."""
    session.rollback()
    if session.get_bind().dialect.name == "postgresql":
        # A transaction of SQLite reads one snapshot anyway.
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    try:
        return _verify_chain(known)
    finally:
        session.rollback()


def _verify_chain(known: tuple[int, str] | None) -> ChainVerdict:
    chain = session.scalars(select(AuditChain)).one()
    number, before, first, cut = 0, chain.cut_hash, 0, ""
    for entry in _entries(AuditFilter(), chain.cut_id):
        fault = ""
        if entry.hash != hash_of(entry, before):
            fault = f"Entry {entry.id} was changed, or one just before it removed."
        elif known and entry.id == known[0] and entry.hash != known[1]:
            fault = f"Entry {entry.id} is not the one that was noted."
        if fault:
            return ChainVerdict(number, first, entry.id, before, fault)
        number, before, first = number + 1, entry.hash, first or entry.id
        cut = entry.detail if entry.action == CUT else cut
    last = session.scalar(select(func.max(AuditEntry.id))) or chain.cut_id
    return ChainVerdict(number, first, last, before, _fault_around(chain, last, before, cut, known))


def _fault_around(
    chain: AuditChain, last: int, head: str, cut: str, known: tuple[int, str] | None
) -> str:
    """Returns what is wrong at the ends of a chain whose entries follow from one another."""
    if (last, head) != (chain.last_id, chain.last_hash):
        return f"Entries after {last} are missing; the last one was {chain.last_id}."
    if session.scalar(select(func.min(AuditEntry.id)).where(AuditEntry.id <= chain.cut_id)):
        return f"Entries up to {chain.cut_id} were cut off, and yet there are some."
    if chain.cut_id and cut != _cut_words(chain.cut_id, chain.cut_hash):
        return f"Entries up to {chain.cut_id} are missing, and were not cut off as too old."
    if known and not chain.cut_id < known[0] <= last:
        return f"Entry {known[0]} is not there (any more). Note a newer one."
    return ""


# --- retention ----------------------------------------------------------------------------------


def cut(days: int) -> int:
    """Removes entries older than this, and records that in an entry. Returns how many there
    were."""
    removed = 0
    while some := _cut_some(now() - timedelta(days=days)):
        removed += some
    return removed


def _cut_some(before: datetime) -> int:
    with write() as tx:
        chain = _locked_chain(tx)
        oldest = select(AuditEntry.id, AuditEntry.at, AuditEntry.hash).order_by(AuditEntry.id)
        through = None
        for row in tx.execute(oldest.limit(_CUT_AT_ONCE)):
            if row.at >= before:
                break
            through = row
        if through is None:
            return 0
        chain.cut_id, chain.cut_hash = through.id, through.hash
        tx.flush()  # from here on the trigger allows the removal
        old = delete(AuditEntry).where(AuditEntry.id <= through.id)
        number = tx.connection().execute(old).rowcount
        detail = _cut_words(through.id, through.hash)
        record(tx, CUT, COMMAND_LINE, target=f"{number} entries", detail=detail)
        tx.commit()
    return number


def _cut_words(last: int, last_hash: str) -> str:
    return f"through {last}, {last_hash}"


# --- reading ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """The conditions of a search; empty ones are none. ``until`` is the first moment after."""

    actor: str = ""
    action: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        made: list[ColumnElement[bool]] = []
        if self.actor:
            made.append(AuditEntry.actor.icontains(self.actor, autoescape=True))
        if self.action:
            made.append(AuditEntry.action == self.action)
        if self.outcome:
            made.append(AuditEntry.outcome == self.outcome)
        if self.since:
            made.append(AuditEntry.at >= self.since)
        if self.until:
            made.append(AuditEntry.at < self.until)
        return made


def page(wanted: AuditFilter, number: int, size: int) -> tuple[list[AuditEntry], int]:
    """Returns one page of entries, newest first, and how many there are in all."""
    conditions = wanted.conditions()
    total = session.scalar(select(func.count()).select_from(AuditEntry).where(*conditions)) or 0
    query = select(AuditEntry).where(*conditions).order_by(AuditEntry.id.desc())
    return list(session.scalars(query.limit(size).offset((number - 1) * size))), total


def actions() -> list[str]:
    """Returns every action in the trail. It takes one step along an index per action, however many
    entries there are."""
    found: list[str] = []
    while True:
        following = select(func.min(AuditEntry.action))
        if found:
            following = following.where(AuditEntry.action > found[-1])
        action = session.scalar(following)
        if action is None:
            return found
        found.append(action)


def export(wanted: AuditFilter, *, actor: Actor, form: str) -> Iterator[list[AuditEntry]]:
    """Records the export, then yields the entries up to that record, oldest first, a few at a
    time."""
    with write() as tx:
        asked = ", ".join(
            f"{name} {value}" for name in AuditFilter.__slots__ if (value := getattr(wanted, name))
        )
        record(tx, "audit.export", actor, target=form, detail=asked)
        tx.commit()
    through = session.scalars(select(AuditChain.last_id)).one()
    session.rollback()
    return _chunks(wanted, through)


def _chunks(wanted: AuditFilter, through: int) -> Iterator[list[AuditEntry]]:
    after = 0
    try:
        while rows := _chunk(wanted, after, through):
            session.rollback()  # no transaction is open while the reader takes its time
            yield rows
            after = rows[-1].id
    finally:
        session.remove()  # the request that began this is over


def _entries(wanted: AuditFilter, after: int) -> Iterator[AuditEntry]:
    while rows := _chunk(wanted, after):
        yield from rows
        after = rows[-1].id


def _chunk(wanted: AuditFilter, after: int, through: int | None = None) -> list[AuditEntry]:
    query = select(AuditEntry).where(AuditEntry.id > after, *wanted.conditions())
    if through is not None:
        query = query.where(AuditEntry.id <= through)
    rows = list(session.scalars(query.order_by(AuditEntry.id).limit(_CHUNK)))
    for row in rows:
        session.expunge(row)  # otherwise a long walk would keep them all in memory
    return rows
