"""Secrets that a page shows once: generated passwords, links, tokens, recovery codes.

Between the form and the page they are in the session's row, encrypted. In the cookie anybody who
gets a copy of it could read them, and show them again.
"""

from __future__ import annotations

import json

from sqlalchemy import select

from portal.db.session import session, write
from portal.models import LoginSession, User
from portal.services.runtime import runtime

#: After this time they are not shown any more.
_SECONDS = 600


def keep(user: User, kind: str, texts: list[str]) -> None:
    """Keeps what the next page of this ``kind`` shows to the session of this user."""
    with write() as tx:
        row = tx.get_one(LoginSession, user.session_id, with_for_update={"of": LoginSession})
        kept = _decrypt(row.shown_once)
        kept[kind] = [*kept.get(kind, []), *texts]
        row.shown_once = runtime().keys.encrypt(json.dumps(kept))
        tx.commit()


def take(user: User, kind: str) -> list[str]:
    """Returns what was kept, and forgets it: a second page gets nothing."""
    mine = select(LoginSession.shown_once).where(LoginSession.id == user.session_id)
    if session.scalar(mine) is None:
        return []
    with write() as tx:
        row = tx.get_one(LoginSession, user.session_id, with_for_update={"of": LoginSession})
        kept = _decrypt(row.shown_once)
        taken = kept.pop(kind, [])
        row.shown_once = runtime().keys.encrypt(json.dumps(kept)) if kept else None
        tx.commit()
    return taken


def _decrypt(stored: str | None) -> dict[str, list[str]]:
    text = runtime().keys.decrypt(stored, seconds=_SECONDS) if stored else None
    kept: dict[str, list[str]] = json.loads(text) if text else {}
    return kept
