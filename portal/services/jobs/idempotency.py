"""Idempotency keys: a program that asks for a job twice under one key gets one job.

All functions act in the caller's transaction; nothing here commits.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from portal.db.clock import now
from portal.errors import Invalid
from portal.models import IdempotencyKey, Job, User

LIFE = timedelta(hours=24)
HEADER = "Idempotency-Key"


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """A key, and the request that was sent with it. Only the hashes of both are stored."""

    key: str
    body: str


def job_of(tx: Session, user: User, idempotent: IdempotentRequest) -> Job | None:
    """Returns the job that was created under this key within the last day. Raises Invalid if it was
    created from another request."""
    row = tx.get(IdempotencyKey, (user.id, _digest(idempotent.key)), populate_existing=True)
    if row is None or row.created_at < now() - LIFE:
        return None
    if row.body_hash != _digest(idempotent.body):
        raise Invalid({HEADER: "This key was used for another job. Use a new one."})
    return tx.get(Job, row.job_id, populate_existing=True)


def remember(tx: Session, user: User, idempotent: IdempotentRequest, job: Job) -> None:
    """Raises IntegrityError if the same key was used at the same moment."""
    tx.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < now() - LIFE))
    tx.add(
        IdempotencyKey(
            user_id=user.id,
            key_hash=_digest(idempotent.key),
            body_hash=_digest(idempotent.body),
            job_id=job.id,
        )
    )
    tx.flush()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
