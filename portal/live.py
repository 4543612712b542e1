"""The only emitter. Publishes what was committed, and drops sockets whose session ended.

Every emit names a room: a client that is still being authenticated is in none and hears nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from portal.clock import iso, now
from portal.extensions import socketio
from portal.memo import figures, mark
from portal.models import Job
from portal.rendering import display, printable, progress_display
from portal.rooms import PROGRESS, STATUS_CHANGE, session_room, topic_room, user_room
from portal.states import JobStatus

_endings = 0
_order = [threading.RLock() for _ in range(64)]


def in_order(job_id: int) -> AbstractContextManager[bool]:
    """Held from the UPDATE to its event, so that a job's events leave in the order of ``seq``."""
    return _order[job_id % len(_order)]


def created(job: Job) -> None:
    _changed()
    payload = {"job_id": job.id, "status": job.status, "seq": job.seq, "timestamp": iso(now())}
    _emit("job_created", payload, topic_room(STATUS_CHANGE))


def progress(job: Job) -> None:
    payload = {
        "job_id": job.id,
        "bytes_transferred": job.bytes_transferred,
        "total_bytes": job.total_bytes,
        "percent": job.percent,
        "speed_bytes": job.speed_bytes,
        "eta_seconds": job.eta_seconds,
        "files_transferred": job.files_transferred,
        "files_total": job.files_total,
        "phase": job.phase,
        "seq": job.seq,
        "timestamp": iso(job.progress_at or now()),
        "display": progress_display(job),
    }
    _emit("job_progress", payload, topic_room(PROGRESS))


def status_changed(job: Job, old: JobStatus) -> None:
    _changed()
    payload = {
        "job_id": job.id,
        "old_status": old,
        "new_status": job.status,
        "timestamp": iso(now()),
        "seq": job.seq,
        "bytes_transferred": job.bytes_transferred,
        "total_bytes": job.total_bytes,
        "percent": job.percent,
        "name": printable(job.name),
        "owner_id": job.owner_id,
        "display": display(job),
    }
    _emit("job_status_change", payload, topic_room(STATUS_CHANGE))


def endings() -> int:
    """How often sessions were ended here; who compares it sees whether any was since."""
    return _endings


def _changed() -> None:
    figures.clear()
    mark.move()


def end_sessions(session_ids: Iterable[int], reason: str) -> None:
    """Tells the sockets of these sessions why, then closes them."""
    for session_id in session_ids:
        _end(session_room(session_id), reason)


def end_user(user_id: int, reason: str) -> None:
    _end(user_room(user_id), reason)


def _end(room: str, reason: str) -> None:
    global _endings  # noqa: PLW0603 - one process, one count
    _endings += 1  # first: who connects from here on looks the session up anew
    if socketio.server is None:
        return
    _emit("session_ended", {"reason": reason}, room)
    for sid, _ in list(socketio.server.manager.get_participants("/", room)):
        socketio.server.disconnect(sid)


def _emit(event: str, payload: dict[str, Any], room: str) -> None:
    # The command line changes users too, without a socket server.
    if socketio.server is not None:
        socketio.emit(event, payload, to=room)
