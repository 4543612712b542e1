"""Messages on the event bus: JSON, which the receiver validates. Invalid messages are ignored and
counted.

Several messages travel together as a list, because receiving a list costs as much as parsing one
message.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

#: Bytes of the longest list. One of our messages has a few hundred bytes; a longer list is a
#: mistake, or comes from somebody else.
MAX_LENGTH = 16 * 1024


class IgnoredMessages(Counter[str]):
    """How many messages of one application could not be used, by reason; read by the metrics."""


class Kind(StrEnum):
    """The values travel between processes of two releases during an upgrade, so they stay."""

    #: An event for the sockets in a room.
    EVENT = "event"
    #: The sessions of a room ended: its sockets are told the reason and are closed.
    SESSION_ENDED = "ending"
    #: A process could not publish for a while: pages may have missed events and must fetch again.
    RESYNC = "missed"


@dataclass(frozen=True, slots=True)
class Message:
    """``origin`` names the process that published the message."""

    origin: str
    kind: Kind
    room: str = ""
    event: str = ""
    payload: dict[str, Any] = field(default_factory=dict)


class Unreadable(ValueError):
    """The data is not a message of ours."""


def channel(database: int) -> str:
    """Redis shares channels between its databases, so two portals on one Redis need two names."""
    return f"portal:{database}"


def encode(message: Message) -> bytes:
    text = json.dumps(asdict(message), separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def join_messages(messages: Iterable[bytes]) -> list[bytes]:
    """Joins encoded messages, in order, into as few lists as the greatest length of a list
    allows."""
    lists: list[list[bytes]] = []
    room = 0
    for message in messages:
        room -= len(message) + 1
        if room < 0 or not lists:
            lists.append([])
            room = MAX_LENGTH - len(message) - 2
        lists[-1].append(message)
    return [b"[%b]" % b",".join(each) for each in lists]


def decode(data: bytes) -> list[Message]:
    """Raises Unreadable if any of the messages is invalid."""
    if len(data) > MAX_LENGTH:
        raise Unreadable("too long")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unreadable("unreadable") from error
    if not isinstance(found, list) or not found:
        raise Unreadable("unreadable")
    return [_parse(each) for each in found]


_KINDS: dict[Any, Kind] = {str(kind): kind for kind in Kind}
_FIELDS = frozenset(each.name for each in fields(Message))


def _parse(data: Any) -> Message:
    # Many of these arrive each second, so this creates only the one object.
    if not isinstance(data, dict) or not data.keys() <= _FIELDS:
        raise Unreadable("unreadable")
    origin, kind, room = data.get("origin"), data.get("kind"), data.get("room", "")
    event, payload = data.get("event", ""), data.get("payload", {})
    if not (
        isinstance(origin, str)
        and isinstance(kind, str)
        and kind in _KINDS
        and isinstance(room, str)
        and isinstance(event, str)
        and isinstance(payload, dict)
    ):
        raise Unreadable("unreadable")
    return Message(origin, _KINDS[kind], room, event, payload)
