"""Flask-SocketIO on eventlet as its manual shows it."""

import sys

import eventlet

eventlet.monkey_patch()

from flask import Flask  # noqa: E402 - after the patch
from flask_socketio import SocketIO, join_room  # noqa: E402

from bench.load.commands import follow_commands  # noqa: E402

app = Flask(__name__)
socketio = SocketIO(app, async_mode="eventlet", transports=["websocket"])


@app.route("/")
def page() -> str:
    return "a page\n"


@socketio.on("connect")
def connect() -> None:
    join_room("everyone")


if __name__ == "__main__":
    eventlet.spawn(
        follow_commands, lambda event, _order: socketio.emit("job_progress", event, to="everyone")
    )
    socketio.run(app, port=int(sys.argv[1]), max_size=20_000)
