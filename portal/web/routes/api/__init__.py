"""JSON for programs, below ``/api/v1/``. Each noun has a module that declares its operations once;
everything else is derived from them: see ``operations``."""

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
