"""A last look at source and destination, just before rclone is started."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from portal import engine
from portal.locations import overlap, split
from portal.paths import PathRefused, resolve
from portal.services import connections


def checked(
    order: engine.Order, roots: Sequence[Path], mounts: engine.KnownMounts
) -> tuple[engine.Remote, ...]:
    """The remotes that the order needs. A folder may have become a symlink since the job was made,
    a remote may be gone or lead elsewhere, a disk may be away. Raises PathRefused or Unusable."""
    with contextlib.suppress(OSError):
        # On a full disk a new mount is not written down; all that is known is looked at below.
        mounts.note()
    _check_local("source", order.source, roots, mounts)
    _check_local("destination", order.destination, roots, mounts)
    if overlap(order.source, order.destination):
        raise PathRefused("The source and the destination lie inside one another.")
    if not any(split(path)[0] for path in (order.source, order.destination)):
        return ()
    return connections.of_job(order.job_id)


def _check_local(side: str, path: str, roots: Sequence[Path], mounts: engine.KnownMounts) -> None:
    if split(path)[0] is not None:
        return
    try:
        resolve(path, roots)
    except PathRefused as refused:
        raise PathRefused(f"The {side} may no longer be used. {refused.reason}") from None
    if problem := mounts.problem(path):
        raise PathRefused(problem)
