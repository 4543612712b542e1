"""Encodes and frames an event once, then writes it to each socket in the room.

Progress is collected for 0.2 s, the newest event of each job, and sent as one write per client. Any
other event is sent at once, behind the progress collected so far, so that no event overtakes
another.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

import eventlet
from engineio import packet
from socketio import Manager
from socketio.packet import EVENT, Packet

from portal.realtime.bus.reorder_buffer import OrderedEvent, ReorderBuffer, is_of_a_job
from portal.realtime.fanout.connection import Connection
from portal.realtime.fanout.send_buffer import Part
from portal.realtime.fanout.websocket_frames import frame

#: Events of which only the newest is needed for each value of a field, and the name of that field.
GATHERED = {"job_progress": "job_id"}
GATHER_SECONDS = 0.2

Recipient = tuple[Connection, Callable[[bytes], int]]


def _send_to_each(
    recipients: Iterable[Recipient], slow: set[Connection], run: bytes, parts: Iterable[Part]
) -> None:
    """Does what ``Connection.deliver`` does for many clients. Nearly all need only ``send``: the
    connection objects, which are scattered over the memory, are not even read."""
    size = len(run)
    for connection, send in recipients:
        if slow and connection in slow:
            connection.deliver(run, parts)
            continue
        try:
            sent = send(run)
        except OSError:  # the socket would block, or is closed
            connection.deliver(run, parts)
            continue
        if sent < size:
            connection.start_buffering(sent, parts)


class FanoutManager(Manager):
    """Socket.IO's client manager with a broadcast that costs one ``send`` per client."""

    def __init__(self) -> None:
        super().__init__()
        self._gathered: dict[str, dict[Hashable, bytes]] = {}
        self._flush_due = False
        self._recipients: dict[str, list[Recipient]] = {}
        self._rooms_of: dict[str, list[str | None]] = {}

    def emit(
        self,
        event: str,
        data: Any,
        namespace: str,
        room: Any = None,
        skip_sid: Any = None,
        callback: Any = None,
        to: Any = None,
        **options: Any,
    ) -> None:
        room = to or room
        if callback or skip_sid or namespace != "/" or not isinstance(room, str):
            super().emit(event, data, namespace, room, skip_sid, callback, **options)
        else:
            self.emit_to_room(event, data, room)

    def emit_to_room(self, event: str, data: Any, room: str) -> None:
        message = Packet(EVENT, data=[event, data], namespace="/").encode()
        encoded = frame(packet.Packet(packet.MESSAGE, message).encode().encode())
        if event in GATHERED:
            self._gather(room, (event, data[GATHERED[event]]), encoded)
        else:
            self._broadcast(room, encoded)

    def _gather(self, room: str, key: Hashable, data: bytes) -> None:
        if not self._flush_due:
            self._flush_due = True
            eventlet.spawn_after(GATHER_SECONDS, self._flush_in_time)
        waiting = self._gathered.setdefault(room, {})
        waiting.pop(key, None)
        waiting[key] = data

    def _flush_in_time(self) -> None:
        self._flush_due = False
        self._flush()

    def _flush(self) -> None:
        gathered, self._gathered = self._gathered, {}
        for room, parts in gathered.items():
            run, items = b"".join(parts.values()), list(parts.items())
            _send_to_each(self.recipients(room), self.server.eio.pings.slow, run, items)

    def _broadcast(self, room: str, data: bytes) -> None:
        """Sends at once; a client that also has collected progress gets both in one write."""
        here, slow = self.recipients(room), self.server.eio.pings.slow
        part = (object(), data)
        if len(self._gathered) != 1:
            self._flush()
            _send_to_each(here, slow, data, (part,))
            return
        [(other, parts)] = self._gathered.items()
        self._gathered = {}
        run, items = b"".join(parts.values()), list(parts.items())
        audience = {connection for connection, _ in here}
        both = [each for each in self.recipients(other) if each[0] in audience]
        _send_to_each(both, slow, run + data, [*items, part])
        served = {connection for connection, _ in both}
        _send_to_each(
            [each for each in self.recipients(other) if each[0] not in served], slow, run, items
        )
        _send_to_each([each for each in here if each[0] not in served], slow, data, (part,))

    def recipients(self, room: str) -> list[Recipient]:
        """The clients in a room; cached until a client enters or leaves it."""
        found = self._recipients.get(room)
        if found is None:
            members = self.rooms.get("/", {}).get(room, {})
            known = self.server.eio.sockets
            connections = [known[eio_sid] for eio_sid in members.values() if eio_sid in known]
            found = [(connection, connection.write) for connection in connections]
            if members:  # an event for an empty room must leave nothing behind
                self._recipients[room] = found
        return found

    def get_participants(self, namespace: str, room: Any) -> Iterable[tuple[str, str]]:
        rooms = self.rooms.get(namespace, {})
        found: dict[str, str] = {}
        for name in room if isinstance(room, list | tuple) else [room]:
            found.update(rooms.get(name, {}))
        yield from found.items()

    def basic_enter_room(
        self, sid: str, namespace: str, room: str | None, eio_sid: str | None = None
    ) -> None:
        if room is None or namespace not in self.rooms:
            super().basic_enter_room(sid, namespace, room, eio_sid=eio_sid)
        elif sid != room and self.is_sid_room(namespace, room):
            raise ValueError("cannot enter a sid room")
        else:
            # A plain dictionary: only the room of all clients is ever searched by value, and each
            # client is in two rooms of its own.
            members = self.rooms[namespace].setdefault(room, {})
            members[sid] = eio_sid or self.rooms[namespace][None][sid]
        entered = self._rooms_of.setdefault(sid, [])
        if room not in entered:
            entered.append(room)
        self._recipients.pop(room or "", None)

    def basic_leave_room(self, sid: str, namespace: str, room: str | None) -> None:
        super().basic_leave_room(sid, namespace, room)
        entered = self._rooms_of.get(sid, [])
        if room in entered:
            entered.remove(room)
        self._recipients.pop(room or "", None)

    def connect(self, sid: str, namespace: str) -> str | None:
        """Registers a client, and unregisters it again if its connection has closed meanwhile."""
        sid = super().connect(sid, namespace)
        eio_sid = self.eio_sid_from_sid(sid, namespace)
        connection = self.server.eio.sockets.get(eio_sid)
        if connection is None or connection.closed:
            self.server._handle_disconnect(eio_sid, namespace, self.server.reason.TRANSPORT_CLOSE)
        return sid

    def basic_disconnect(self, sid: str, namespace: str, **options: Any) -> None:
        """Leaves the client's own rooms. The parent class searches all rooms."""
        for room in self._rooms_of.pop(sid, []):
            self.basic_leave_room(sid, namespace, room)
        self.callbacks.pop(sid, None)
        for pending in (self.pending_connect, self.pending_disconnect):
            if sid in pending.get(namespace, ()):
                pending[namespace].remove(sid)
                if not pending[namespace]:
                    del pending[namespace]


class OrderedFanoutManager(FanoutManager):
    """Sends the events of each job in the order of ``seq``, whichever process they come from."""

    def __init__(self) -> None:
        super().__init__()
        self._reorder = ReorderBuffer(self._emit_in_order, eventlet.spawn_after)

    def emit_to_room(self, event: str, data: Any, room: str) -> None:
        if is_of_a_job(data):
            self._reorder.add(OrderedEvent(room, event, data))
        else:
            super().emit_to_room(event, data, room)

    def _emit_in_order(self, event: OrderedEvent) -> None:
        super().emit_to_room(event.event, event.payload, event.room)
