"""The Socket.IO events: connect, subscribe, disconnect. No other event is accepted.

The server picks the rooms from the session; a client can name topics, never rooms.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from flask_socketio import SocketIO
from socketio.exceptions import ConnectionRefusedError as Refused
from sqlalchemy.exc import SQLAlchemyError

from portal.db.session import log_failure, session
from portal.realtime import rooms
from portal.runtime.context import current
from portal.services.accounts import principals, sessions

log = structlog.get_logger(__name__)

_HANDSHAKE = 10.0


@dataclass(slots=True)
class SocketSession:
    """An authenticated socket."""

    user_id: int
    username: str
    role: str
    session_id: int
    address: str
    since: float = field(default_factory=time.monotonic)


def _do_nothing(_sid: str) -> None: ...


class _Sockets:
    """The live sockets of one application: those that were authenticated, and since when each other
    one has been open. ``on_connect`` is called with each socket that is let in."""

    def __init__(self) -> None:
        self.authenticated: dict[str, SocketSession] = {}
        self.unauthenticated: dict[str, float] = {}
        self.on_connect: Callable[[str], None] = _do_nothing


def _sockets() -> _Sockets:
    return current()[_Sockets]


def _server() -> Any:
    return current()[SocketIO].server


def count() -> int:
    return len(_sockets().authenticated)


def _refused() -> Refused:
    error = Refused("unauthorized")
    error.error_args = {
        "message": "unauthorized",
        "code": "unauthorized",
        "data": {"code": "unauthorized"},
    }
    return error


def register(server: Any, *, on_connect: Callable[[str], None] = _do_nothing) -> None:
    """Registers the handlers. ``on_connect`` is called with each client that was let in.

    They run without Flask's request around them: none of them needs it, and when many clients
    reconnect at once it costs more than they do.
    """
    _sockets().on_connect = on_connect
    server.on("connect", connect)
    server.on("subscribe", subscribe)
    server.on("disconnect", disconnect)


def connect(
    sid: str, environ: dict[str, Any] | None = None, auth: object = None, *_more: object
) -> None:
    """Fails closed: whatever goes wrong here, the client is refused and is in no room."""
    if environ is None or sid in _sockets().authenticated:
        return  # a client sent an event with this name; see ``disconnect``
    try:
        known = _authenticate(environ)
    except Exception as error:
        # Any error is carried over as a refusal: left alone, the client would count as connected.
        log.exception("connect failed")
        raise _refused() from error
    if known is None:
        raise _refused()
    _sockets().authenticated[sid] = known
    log.info("socket connected", user=known.username, role=known.role, address=known.address)
    enter = _server().manager.enter_room
    for room in (
        *map(rooms.topic_room, rooms.TOPICS),
        rooms.role_room(known.role),
        rooms.user_room(known.user_id),
        rooms.session_room(known.session_id),
    ):
        enter(sid, "/", room)
    _sockets().on_connect(sid)


def subscribe(sid: str, message: object = None, *_more: object) -> dict[str, Any]:
    """Sets exactly the named topics. Acknowledges them, or answers with ``error`` and changes
    nothing."""
    known = _sockets().authenticated.get(sid)
    topics = message.get("topics") if isinstance(message, dict) else None
    if known is None or not isinstance(topics, list):
        return {"error": 'send {"topics": […]}'}
    if not all(isinstance(topic, str) and topic in rooms.TOPICS for topic in topics):
        return {"error": f"unknown topic; there are: {', '.join(rooms.TOPICS)}"}
    server = _server()
    for topic in rooms.TOPICS:
        change = server.enter_room if topic in topics else server.leave_room
        change(sid, rooms.topic_room(topic))
    log.info("socket subscribed", user=known.username, role=known.role, topics=sorted(set(topics)))
    return {"topics": [topic for topic in rooms.TOPICS if topic in topics], "role": known.role}


def disconnect(sid: str, reason: str = "", *_more: object) -> None:
    # The library calls this handler too when a client sends an event named "disconnect". If it were
    # believed, a socket would remain that still hears everything and that no review knows.
    if _server().manager.is_connected(sid, "/"):
        return
    known = _sockets().authenticated.pop(sid, None)
    if known is not None:
        log.info(
            "socket disconnected",
            user=known.username,
            role=known.role,
            address=known.address,
            reason=reason,
            seconds=round(time.monotonic() - known.since, 1),
        )


def review_forever() -> None:
    """Runs ``review`` in the background of a serving process."""
    while True:
        current()[SocketIO].sleep(sessions.REVIEW_SECONDS)
        try:
            review()
        except SQLAlchemyError as error:
            log_failure(log, "sockets could not be reviewed", error)
        finally:
            session.remove()


def review() -> None:
    """Drops sockets whose session is gone (expired, or ended without an event that reached us) and
    connections that never finished the handshake."""
    sessions.drop_ended({known.session_id for known in _sockets().authenticated.values()})
    _close_unauthenticated()


def _close_unauthenticated() -> None:
    server, sockets = _server(), _sockets()
    unauthenticated = sockets.unauthenticated
    eio_sids = {server.manager.eio_sid_from_sid(sid, "/") for sid in sockets.authenticated}
    open_now = set(server.eio.sockets)
    for eio_sid in unauthenticated.keys() - (open_now - eio_sids):
        del unauthenticated[eio_sid]
    for eio_sid in open_now - eio_sids:
        if time.monotonic() - unauthenticated.setdefault(eio_sid, time.monotonic()) > _HANDSHAKE:
            server.eio.disconnect(eio_sid)


def _authenticate(environ: dict[str, Any]) -> SocketSession | None:
    known = environ.get("portal.principal")
    principal = principals.revalidate(known) if known is not None else None
    if principal is None:
        return None
    address = environ.get("REMOTE_ADDR", "")
    return SocketSession(
        principal.user_id, principal.username, str(principal.role), principal.session_id, address
    )
