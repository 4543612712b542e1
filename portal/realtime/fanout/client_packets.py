"""What a client may send in a message: the few packets of Engine.IO and Socket.IO that ours need.

The libraries take more: binary packets whose attachments they keep until all have come, answers to
questions that were never asked, and shapes on which they fail with a traceback in the log.
"""

from __future__ import annotations

import json
import re

from portal.realtime.fanout.websocket_frames import ProtocolError

#: Engine.IO's packets: the client leaves; it answers a ping; it says something.
CLOSE, PONG, MESSAGE = "1", "3", "4"

#: Socket.IO's packets in a message: CONNECT, DISCONNECT and EVENT, with a namespace, the number
#: under which the client waits for an answer, and JSON.
_PACKET = re.compile(
    r"0(?:/[^,{]*,?)?(?P<auth>\{.*\})?|1(?:/,)?|2(?:/,)?\d{0,15}(?P<event>\[.*\])",
    re.ASCII | re.DOTALL,
)
#: Brackets of an event. Those of our clients have six; the library fails on some hundreds.
_MOST_BRACKETS = 64


def check_message(packet: str) -> None:
    """Raises ProtocolError unless this is the content of a message that the library can handle."""
    parts = _PACKET.fullmatch(packet)
    if parts is None:
        raise _broken("a packet that is none")
    content = parts["auth"] or parts["event"]
    if content is None:
        return
    if content.count("[") + content.count("{") > _MOST_BRACKETS:
        raise _broken("a packet too deep")
    try:
        found = json.loads(content)
    except ValueError:
        raise _broken("a packet that is no JSON") from None
    if parts["event"] and not (found and isinstance(found[0], str)):
        raise _broken("an event without a name")


def _broken(reason: str) -> ProtocolError:
    return ProtocolError(1008, reason, "broken packet")
