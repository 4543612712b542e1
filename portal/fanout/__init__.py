"""Fan-out: frames a broadcast once for everyone; reads and writes the sockets.

Importing it brings the cooperative loop: only a serving process does.
"""

from portal.fanout.door import Door
from portal.fanout.manager import FanoutManager, OrderedFanoutManager
from portal.fanout.outlet import BACKLOG, BOOKS, dropped
from portal.fanout.pulse import Pulse
from portal.fanout.server import entrance, install, serve
from portal.fanout.wire import Wire

__all__ = [
    "BACKLOG",
    "BOOKS",
    "Door",
    "FanoutManager",
    "OrderedFanoutManager",
    "Pulse",
    "Wire",
    "dropped",
    "entrance",
    "install",
    "serve",
]
