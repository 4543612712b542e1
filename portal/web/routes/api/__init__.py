"""JSON for programs, below ``/api/v1/``. What stands in one module per noun is declared once, and
the rest follows: see ``operations``."""

from portal.web.routes.api import (
    events,
    history,
    jobs,
    openapi,
    remotes,
    speeds,
    statistics,
    users,
)
from portal.web.routes.api.operations import blueprint

__all__ = [
    "blueprint",
    "events",
    "history",
    "jobs",
    "openapi",
    "remotes",
    "speeds",
    "statistics",
    "users",
]
