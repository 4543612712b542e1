"""What pages of jobs say."""

from __future__ import annotations

import html
import re

from sqlalchemy import func, select

from portal.db.session import session
from portal.models import Job


def jobs_in_table() -> int:
    try:
        return session.scalar(select(func.count()).select_from(Job)) or 0
    finally:
        session.remove()


def errors_in(page: str) -> dict[str, str]:
    """What is said beside each field."""
    found = re.findall(r'id="(\w+)-error-1">([^<]*)<', page)
    return {field: html.unescape(sentence) for field, sentence in found}
