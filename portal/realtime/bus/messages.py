"""Messages on the queue: JSON, checked by who reads one. What is none is ignored and counted.

Several go together, as a list: to be heard costs a reader as much as to be understood.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

#: Bytes of what goes together. A message of ours has a few hundred; what is longer than this is a
#: mistake or somebody else's.
LONGEST = 16 * 1024

#: Messages that were no use, by reason; read by the metrics.
ignored: Counter[str] = Counter()


class Kind(StrEnum):
    #: An event for the sockets in a room.
    EVENT = "event"
    #: The sessions of a room ended: its sockets are told why, and closed.
    ENDING = "ending"
    #: Somebody could not publish for a while: pages may have missed something.
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class Message:
    """``origin`` names the process that published it."""

    origin: str
    kind: Kind
    room: str = ""
    event: str = ""
    payload: dict[str, Any] = field(default_factory=dict)


class Unreadable(ValueError):
    """No message of ours."""


def channel(database: int) -> str:
    """Redis' channels are the same in all its databases: two portals on one Redis use two."""
    return f"portal:{database}"


def encode(message: Message) -> bytes:
    text = json.dumps(asdict(message), separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def together(messages: Iterable[bytes]) -> list[bytes]:
    """Encoded messages as few lists, none longer than is allowed, in their order."""
    lists: list[list[bytes]] = []
    room = 0
    for message in messages:
        room -= len(message) + 1
        if room < 0 or not lists:
            lists.append([])
            room = LONGEST - len(message) - 2
        lists[-1].append(message)
    return [b"[%b]" % b",".join(each) for each in lists]


def decode(data: bytes) -> list[Message]:
    """Raises Unreadable, whichever of them it is that cannot be read."""
    if len(data) > LONGEST:
        raise Unreadable("too long")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unreadable("unreadable") from error
    if not isinstance(found, list) or not found:
        raise Unreadable("unreadable")
    return [_understood(fields) for fields in found]


_KINDS: dict[Any, Kind] = {str(kind): kind for kind in Kind}
_FIELDS = frozenset(each.name for each in fields(Message))


def _understood(said: Any) -> Message:
    # Many of these come in a second, so that each is made but once, and nothing else for it.
    if not isinstance(said, dict) or not said.keys() <= _FIELDS:
        raise Unreadable("unreadable")
    origin, kind, room = said.get("origin"), said.get("kind"), said.get("room", "")
    event, payload = said.get("event", ""), said.get("payload", {})
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
