"""A bare Flask route on the portal's own web server: what a request costs that does nothing."""

import sys
import warnings

warnings.filterwarnings("ignore", message=r"(?s).*Eventlet is deprecated")

import eventlet  # noqa: E402

eventlet.monkey_patch()

from flask import Flask  # noqa: E402 - after the patch

from portal.realtime.fanout import server as fanout  # noqa: E402
from portal.realtime.fanout.acceptor import Acceptor  # noqa: E402

app = Flask("bare")


@app.get("/")
def constant() -> str:
    return "constant"


if __name__ == "__main__":
    acceptor = Acceptor("127.0.0.1", int(sys.argv[1]))
    print("ready", flush=True)
    fanout.serve(app, acceptor, most_requests=1000, request_timeout=60.0)
