"""Notes what was refused, so that attacks leave a trace and can fill neither the log nor the disk.

Each refusal is counted. Within a minute there is one line in the log for each reason and source,
and one entry in the audit log if it is about an account.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from portal.db.session import session, write
from portal.realtime.cache import TTLCache
from portal.runtime.context import current
from portal.services import audit
from portal.services.accounts.sign_in_limits import network
from portal.services.actor import Actor

log = structlog.get_logger(__name__)

_SECONDS = 60.0
_MAX_SOURCES = 10_000


class NotedRefusals:
    """``counts``: of one application, by reason; read by the metrics."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.noted: TTLCache[bool] = TTLCache(_SECONDS, _MAX_SOURCES)


def note(
    reason: str, actor: Actor, *, target: str = "", into_audit: bool = True, **details: Any
) -> None:
    """``target``: what was asked for. ``into_audit``: False if the caller has written an entry, or
    if it was no act of the account. Ends the session's transaction if an entry is written."""
    refusals = current()[NotedRefusals]
    refusals.counts[reason] += 1
    source = (reason, actor.account.id if actor.account else network(actor.address))
    if refusals.noted.peek(source):
        return
    refusals.noted.get(source, lambda: True)
    log.warning(
        "request refused",
        reason=reason,
        user=actor.account.username if actor.account else "",
        address=actor.address,
        target=target[:200],
        **details,
    )
    if actor.account and into_audit:
        _record(reason, actor, target)


def _record(reason: str, actor: Actor, target: str) -> None:
    try:
        with write() as tx:
            audit.record(tx, "request", actor, target=target, detail=reason, outcome="refused")
            tx.commit()
    except SQLAlchemyError as error:
        # The refusal itself is answered all the same.
        session.rollback()
        log.warning("a refusal is not in the audit log", error=str(getattr(error, "orig", error)))
