"""The audit trail. ``record`` adds an entry to the caller's transaction and never commits."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from portal.models import AuditEntry, User


def record(
    session: Session,
    action: str,
    *,
    actor: User | None = None,
    name: str = "",
    target: str = "",
    detail: str = "",
    outcome: str = "ok",
    address: str = "",
) -> None:
    """``name`` is what somebody called themselves where no ``actor`` is known."""
    session.add(
        AuditEntry(
            actor_id=actor.id if actor else None,
            actor=actor.username if actor else name[:64],
            action=action,
            target=target[:128],
            detail=detail[:2000],
            outcome=outcome,
            address=address,
        )
    )


def page(session: Session, number: int, size: int) -> tuple[list[AuditEntry], int]:
    """Entries of one page, newest first, and how many there are in all."""
    total = session.scalar(select(func.count()).select_from(AuditEntry)) or 0
    query = select(AuditEntry).order_by(AuditEntry.id.desc())
    return list(session.scalars(query.limit(size).offset((number - 1) * size))), total
