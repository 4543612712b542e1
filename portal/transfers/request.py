"""A validated transfer, as a person asked for it."""

from __future__ import annotations

from dataclasses import dataclass, field

from portal.transfers.options import Options
from portal.transfers.states import (
    Operation,
)


@dataclass(frozen=True, slots=True)
class Transfer:
    """A validated transfer: paths are absolute and below a root, or ``name:path`` of the remote
    that has the id next to it."""

    name: str
    operation: Operation
    source: str
    destination: str
    bandwidth_limit: str | None
    dry_run: bool
    options: Options = field(default_factory=Options)
    source_remote_id: int | None = None
    destination_remote_id: int | None = None
    #: Whose workers alone may run it; None for those of no special pool.
    pool: str | None = None
