"""The process that is copied, see ``process_copies``: it imports, and then forks on request.

It imports what ``manage.main`` and a serving process or a worker import, and starts nothing: no
thread, no hub of eventlet, no connection. A copy then runs ``manage.main`` from its first line on.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
import warnings
from typing import Any

#: What a serving process imports, all that it imports late as well.
_SERVING = (
    "engineio.async_drivers.eventlet",
    "eventlet.websocket",
    "portal.cli",
    "portal.realtime.bus.reorder_buffer",
    "portal.realtime.fanout.acceptor",
    "portal.realtime.fanout.manager",
    "portal.realtime.fanout.server",
    "portal.server.process",
    "portal.server.supervisor_pipe",
    "sqlalchemy.orm",
)
#: And a worker.
_WORKING = (
    "celery.canvas",
    "celery.events.dispatcher",
    "celery.worker.consumer.consumer",
    "kombu.matcher",
    "kombu.transport.redis",
    "portal.cli",
    "portal.db.postgres",
    "portal.worker.process",
    "sqlalchemy.orm",
)


def main(kind: str) -> None:
    gc.disable()  # meanwhile, as the portal does when it imports
    if kind == "serving":
        _import_as_server()
    else:
        _import("manage", *_WORKING)
    sys.modules["sqlalchemy.orm"].configure_mappers()
    gc.freeze()
    gc.enable()
    # Not by a ``for``: each copy is to leave by the end of manage.main, as a process does.
    while line := sys.stdin.readline():
        order = json.loads(line)
        if "ended" in order:
            pid, status = os.waitpid(order["ended"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        elif not (answer := os.fork()):
            _become(order)
            return
        print(json.dumps(answer), flush=True)  # noqa: T201


def _import_as_server() -> None:
    """As manage.main does: it does so once more in each copy, and finds all done."""
    os.environ["PSYCOPG_WAIT_FUNC"] = "wait_select"
    warnings.filterwarnings("ignore", message=r"(?s).*Eventlet is deprecated")
    _import("manage", "eventlet", "eventlet.tpool")
    sys.modules["eventlet"].monkey_patch()
    sys.modules["portal.server.green_threads"].mend_join()
    _import(*_SERVING)
    # To patch makes a hub. Copies that have it would hear of each other's sockets; in each one
    # manage.main patches once more, and makes one of its own.
    hubs = sys.modules["eventlet.hubs"]
    hubs.get_hub().poll.close()
    hubs.use_hub()


def _import(*names: str) -> None:
    for name in names:
        importlib.import_module(name)


def _become(order: dict[str, Any]) -> None:
    """What ``exec`` and the start of an interpreter would do for the copy."""
    os.setsid()
    os.chdir(order["cwd"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.environ.clear()
    os.environ.update(order["variables"])
    time.tzset()
    sys.argv = ["manage.py", *order["words"]]
    sys.path[0] = order["cwd"]
    sys.modules["manage"].main()


if __name__ == "__main__":
    main(*sys.argv[1:])
