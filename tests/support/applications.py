"""Changes to an application that has been built."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from portal.db.session import Database
from portal.services.runtime import Runtime


def configure(app: Any, **parts: Any) -> None:
    """``settings``, ``executor``, ``session_policy`` and the like of ``Runtime``; and from here on
    this thread works for the application."""
    app.context.put(replace(app.context[Runtime], **parts))
    app.context.enter()


def engine_of(app: Any) -> Any:
    return app.context[Database].engine
