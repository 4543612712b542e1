"""Sessions, as their cookies and as their rows."""

from __future__ import annotations

import hashlib
from typing import Any

from portal.db.session import session
from portal.models import LoginSession


def cookie_of(browser: Any) -> str:
    cookie = browser.client.get_cookie("portal")
    assert cookie is not None
    return str(cookie.value)


def token_of(browser: Any) -> str:
    app = browser.app
    serializer = app.session_interface.get_signing_serializer(app)
    return str(serializer.loads(cookie_of(browser))["_user_id"])


def change(browser: Any, **values: Any) -> None:
    row = row_of(browser)
    for name, value in values.items():
        setattr(row, name, value)
    session.commit()


def is_open(browser: Any) -> bool:
    return bool(browser.get("/api/session").status_code == 200)


def row_of(browser: Any) -> LoginSession:
    session.rollback()
    digest = hashlib.sha256(token_of(browser).encode()).hexdigest()
    return session.query(LoginSession).filter_by(token_hash=digest).one()
