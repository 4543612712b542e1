"""The only module that emits events. It publishes changes after their commit, and drops sockets
whose session has ended.

Every emit names a room: a client that is still being authenticated is in none and receives nothing.

With a bus, events reach the sockets of every web process, and a process without sockets (a worker,
the command line) publishes as well. Without a bus they reach only the sockets of this process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from portal.db.clock import iso, now
from portal.engine import FIGURES
from portal.models import Job, Role
from portal.presentation.formatting import printable
from portal.presentation.job_words import allowed_now, display, progress_display
from portal.realtime import cache
from portal.realtime.bus.messages import Kind, Message
from portal.realtime.rooms import (
    PROGRESS,
    STATUS_CHANGE,
    role_room,
    session_room,
    topic_room,
    user_room,
)
from portal.runtime.context import current, in_same_context
from portal.transfers.states import JobStatus

if TYPE_CHECKING:
    from flask_socketio import SocketIO

    from portal.realtime.bus.publisher import Publisher
    from portal.realtime.bus.subscriber import Subscriber


class _Live:
    """The live connections of one application, and the bus to those of its other processes."""

    def __init__(self) -> None:
        self.session_epoch = 0
        #: None in workers and the command line, which have no socket server.
        self.sockets: SocketIO | None = None
        self.publisher: Publisher | None = None
        self.subscriber: Subscriber | None = None
        self.order = [threading.RLock() for _ in range(64)]


def _live() -> _Live:
    return current()[_Live]


def use_sockets(sockets: SocketIO) -> None:
    """Called by an application at its start: its events reach these sockets."""
    _live().sockets = sockets


@contextmanager
def in_order(*job_ids: int) -> Iterator[None]:
    """A lock, held from the UPDATE to its event, so that a job's events leave in the order of
    ``seq``."""
    order = _live().order
    with ExitStack() as held:
        # Sorted, so that two threads that need the same locks never wait for each other.
        for number in sorted({job_id % len(order) for job_id in job_ids}):
            held.enter_context(order[number])
        yield


def created(job: Job) -> None:
    _changed()
    payload = {"job_id": job.id, "status": job.status, "seq": job.seq, "timestamp": iso(now())}
    _emit("job_created", payload, topic_room(STATUS_CHANGE))


def progress(job: Job) -> None:
    payload = {
        "job_id": job.id,
        **{name: getattr(job, name) for name, figure in FIGURES.items() if figure.published},
        "allowed_bytes": allowed_now(job),
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
        "outcome": job.outcome,
        "name": printable(job.name),
        "owner_id": job.owner_id,
        "display": display(job),
    }
    _emit("job_status_change", payload, topic_room(STATUS_CHANGE))


def changed(job: Job) -> None:
    """Publishes that a job was paused or resumed, or has another speed limit; its status is the
    same."""
    _changed()
    payload = {
        "job_id": job.id,
        "status": job.status,
        "paused": job.paused_at is not None,
        "bandwidth_limit": job.bandwidth_limit,
        "seq": job.seq,
        "timestamp": iso(now()),
        "percent": job.percent,
        "display": display(job),
    }
    _emit("job_changed", payload, topic_room(STATUS_CHANGE))


def pools_changed() -> None:
    """Tells only the pages of this process: each process notices the change itself."""
    _refresh()


def workers_changed() -> None:
    """Tells only admins, because nobody else sees the page of workers."""
    _emit("refresh", {}, role_room(Role.ADMIN))


def session_epoch() -> int:
    """Grows whenever a session ends. Compare it to see whether a cached session may be stale."""
    return _live().session_epoch


def _changed() -> None:
    caches = cache.caches()
    caches.figures.clear()
    caches.rows.clear()
    caches.state_version.advance()


def end_sessions(session_ids: Iterable[int], reason: str) -> None:
    """Tells the sockets of these sessions why, then closes them."""
    for session_id in session_ids:
        _end(session_room(session_id), reason)


def reconnect_session(session_id: int) -> None:
    """Closes the sockets of a session that has another token now. The browser that has it connects
    again by itself; it is told nothing, because its answer with the token may still be under
    way."""
    _end(session_room(session_id), "")


def end_user(user_id: int, reason: str) -> None:
    _end(user_room(user_id), reason)


def user_changed() -> None:
    """Called when cached data about a user has changed: it is looked up again."""
    _live().session_epoch += 1


def _end(room: str, reason: str) -> None:
    _end_here(room, reason)
    if (publisher := _live().publisher) is not None:
        publisher.publish(Kind.SESSION_ENDED, room, payload={"reason": reason})


def _end_here(room: str, reason: str) -> None:
    _live().session_epoch += 1  # first: each session is looked up anew from here on
    sockets = _live().sockets
    if sockets is None:
        return
    if reason:
        _emit_here("session_ended", {"reason": reason}, room)
    server = sockets.server
    for sid, connection in list(server.manager.get_participants("/", room)):
        server.disconnect(sid)
        # A client that only leaves the namespace could keep its connection for as long as it likes.
        server.eio.disconnect(connection)


def _emit(event: str, payload: dict[str, Any], room: str) -> None:
    _emit_here(event, payload, room)
    if (publisher := _live().publisher) is not None:
        publisher.publish(Kind.EVENT, room, event, payload)


def _emit_here(event: str, payload: dict[str, Any], room: str) -> None:
    if (sockets := _live().sockets) is not None:
        sockets.emit(event, payload, to=room)


# --- the bus between processes ------------------------------------------------------------------


def connect_bus(url: str) -> None:
    """Publishes to the web processes at this Redis as well from now on; an empty address ends that.
    It never blocks and makes no request fail: see ``Publisher``."""
    live = _live()
    if live.publisher is not None:
        live.publisher.close()
    if live.subscriber is not None:
        live.subscriber.stop()
    live.publisher, live.subscriber = None, None
    if url:
        from portal.realtime.bus.publisher import Publisher  # its client takes a while to import

        live.publisher = Publisher(url)


def subscribe(url: str) -> None:
    """Called by a web process after ``connect_bus``: its sockets get the events of other
    processes."""
    from portal.realtime.bus.subscriber import Subscriber

    live = _live()
    assert live.publisher is not None  # noqa: S101 - the order of the start, not input
    live.subscriber = Subscriber(
        url,
        origin=live.publisher.origin,
        on_message=in_same_context(_on_message),
        on_status=in_same_context(_on_status),
    )
    live.subscriber.start()


def delayed() -> bool:
    """Returns whether events of other processes do not arrive, or ours do not leave."""
    live = _live()
    broken = live.publisher is not None and live.publisher.broken
    return broken or (live.subscriber is not None and live.subscriber.disconnected)


def on_connect(sid: str) -> None:
    """Tells a new client what earlier clients have been told already."""
    subscriber = _live().subscriber
    if subscriber is not None and subscriber.disconnected:
        _emit_here("live_delayed", {"delayed": True}, sid)


def _on_message(message: Message) -> None:
    match message.kind:
        case Kind.EVENT:
            if message.event != "job_progress":
                _changed()
            _emit_here(message.event, message.payload, message.room)
        case Kind.SESSION_ENDED:
            _end_here(message.room, str(message.payload.get("reason", "expired")))
        case Kind.RESYNC:
            _resync()


def _on_status(connected: bool) -> None:
    if connected:
        _resync()
    for role in Role:
        _emit_here("live_delayed", {"delayed": not connected}, role_room(role))


def _resync() -> None:
    """Called when anything may have happened: pages fetch, and sessions are looked up again."""
    user_changed()
    _refresh()


def _refresh() -> None:
    _changed()
    for role in Role:
        _emit_here("refresh", {}, role_room(role))
