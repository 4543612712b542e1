"""The last check of source and destination, just before rclone is started."""

from __future__ import annotations

import contextlib
import stat
from dataclasses import replace
from pathlib import Path

from portal import engine
from portal.services.jobs import places
from portal.services.storage import connections
from portal.services.storage.connections import Unusable
from portal.transfers.local_paths import PathRefused, Roots, resolve
from portal.transfers.locations import overlap, split
from portal.transfers.states import Operation


def check_endpoints(
    order: engine.TransferOrder, roots: Roots, mounts: engine.KnownMounts
) -> engine.TransferOrder:
    """Returns the order with real paths and the remotes that it needs.

    Since the job was created, a folder may have become a symlink, a remote may be deleted or lead
    elsewhere, a disk may be missing. Raises PathRefused or Unusable.
    """
    with contextlib.suppress(OSError):
        # On a full disk a new mount cannot be recorded; the known ones are checked below.
        mounts.note()
    source = _real("source", order.source, roots, mounts)
    destination = _real("destination", order.destination, roots, mounts)
    if overlap(source, destination):
        raise PathRefused("The source and the destination overlap.")
    remote = any(split(path)[0] for path in (source, destination))
    remotes = connections.of_job(order.job_id) if remote else ()
    return replace(order, source=source, destination=destination, remotes=remotes)


def unfilled_source(order: engine.TransferOrder) -> int | None:
    """Returns the job that was to fill the source and did not, so that a copy takes a part for all.
    Raises Unusable for a sync, which would delete what is missing there. Whoever has confirmed a
    list of deletions has seen which files are missing."""
    if order.dry_run or order.operation == Operation.CHECK or order.confirmed is not None:
        return None
    found = places.unfilled_source(order.job_id)
    if found is None:
        return None
    if order.operation != Operation.SYNC:
        return found.job_id
    through = "" if found.by == found.job_id else f" by way of job {found.by}"
    raise Unusable(
        f"Job {found.job_id}, which was to fill the source{through}, did not complete. What is "
        "missing there would be deleted at the destination, so nothing was changed. Check the "
        "source, then retry this job."
    )


def missing_disk(order: engine.TransferOrder, mounts: engine.KnownMounts) -> str | None:
    """Returns a sentence about a disk of the order that is missing now; None if all are there.
    rclone itself only knows that it may not write, because the folder that is left of the mount is
    on another file system."""
    local = (path for path in (order.source, order.destination) if split(path)[0] is None)
    return next((problem for path in local if (problem := mounts.problem(path))), None)


def _real(side: str, path: str, roots: Roots, mounts: engine.KnownMounts) -> str:
    if split(path)[0] is not None:
        return path
    try:
        real = str(resolve(path, roots))
    except PathRefused as refused:
        raise PathRefused(f"The {side} may no longer be used. {refused.reason}") from None
    if problem := mounts.problem(path):
        raise PathRefused(problem)
    with contextlib.suppress(OSError):  # nothing is there, which rclone says better
        kind = Path(real).stat().st_mode
        if not (stat.S_ISDIR(kind) or stat.S_ISREG(kind)):
            raise PathRefused(
                f"The {side} {real} is neither a folder nor a file but a pipe, a socket or a "
                "device. Choose another one."
            )
    return real
