"""Parts of libraries that are private, or have no promise, and that the portal uses or replaces. A
release that changes one of them is found here, and not by a client.

Those of eventlet are in environs.py, which runs in a process of its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import engineio
import flask_wtf.form
import pytest
import socketio
from engineio import packet
from engineio.base_server import BaseServer as EngineBase
from engineio.socket import Socket
from socketio.base_manager import BaseManager

OVERRIDDEN_OR_CALLED: list[tuple[Callable[..., Any], list[str]]] = [
    (engineio.Server._trigger_event, ["self", "event", "args", "kwargs"]),
    (engineio.Server._handle_connect,
     ["self", "environ", "start_response", "transport", "jsonp_index"]),
    (EngineBase._bad_request, ["self", "message"]),
    (EngineBase.generate_id, ["self"]),
    (Socket.send, ["self", "pkt"]),
    (Socket.close, ["self", "wait", "abort", "reason"]),
    (Socket.check_ping_timeout, ["self"]),
    (Socket.schedule_ping, ["self"]),
    (socketio.Server._handle_disconnect, ["self", "eio_sid", "namespace", "reason"]),
    (socketio.Server._handle_eio_message, ["self", "eio_sid", "data"]),
    (socketio.Manager.emit,
     ["self", "event", "data", "namespace", "room", "skip_sid", "callback", "to", "kwargs"]),
    (BaseManager.connect, ["self", "sid", "namespace"]),
    (BaseManager.basic_enter_room, ["self", "sid", "namespace", "room", "eio_sid"]),
    (BaseManager.basic_leave_room, ["self", "sid", "namespace", "room"]),
    (BaseManager.basic_disconnect, ["self", "sid", "namespace", "kwargs"]),
    (BaseManager.get_participants, ["self", "namespace", "room"]),
    (BaseManager.is_sid_room, ["self", "namespace", "room"]),
    (BaseManager.eio_sid_from_sid, ["self", "sid", "namespace"]),
]  # fmt: skip


@pytest.mark.parametrize(("part", "arguments"), OVERRIDDEN_OR_CALLED)
def test_part_takes_what_it_took(part: Callable[..., Any], arguments: list[str]) -> None:
    assert list(inspect.signature(part).parameters) == arguments


def test_server_has_the_parts_that_are_read_or_replaced() -> None:
    server = socketio.Server(async_mode="threading")
    for name in ("sockets", "ping_interval", "ping_timeout", "max_http_buffer_size", "reason"):
        assert hasattr(server.eio, name), name
    assert set(server.eio.handlers) == {"connect", "message", "disconnect"}
    for name in ("rooms", "callbacks", "pending_connect", "pending_disconnect"):
        assert hasattr(server.manager, name), name
    assert hasattr(server, "environ")
    for reason in ("TRANSPORT_CLOSE", "TRANSPORT_ERROR", "PING_TIMEOUT", "SERVER_DISCONNECT",
                   "CLIENT_DISCONNECT"):  # fmt: skip
        assert hasattr(server.reason, reason)
        assert hasattr(server.eio.reason, reason)
    kinds = (packet.OPEN, packet.CLOSE, packet.PING, packet.PONG, packet.MESSAGE)
    assert kinds == (0, 1, 2, 3, 4)


def test_form_library_has_the_mark_of_a_form_without_data() -> None:
    arguments = inspect.signature(flask_wtf.FlaskForm.__init__).parameters
    assert arguments["formdata"].default is flask_wtf.form._Auto
    assert hasattr(flask_wtf.FlaskForm.Meta, "wrap_formdata")
