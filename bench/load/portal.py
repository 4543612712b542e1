"""The real portal, with a great many people signed in, and told what to emit."""

import hashlib
import json
import secrets
import sys
import warnings
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore", message=r"(?s).*Eventlet is deprecated")

import eventlet  # noqa: E402

eventlet.monkey_patch()

from eventlet import tpool  # noqa: E402 - after the patch
from flask import Flask  # noqa: E402
from flask.sessions import SecureCookieSessionInterface  # noqa: E402
from flask_socketio import SocketIO  # noqa: E402
from sqlalchemy import insert  # noqa: E402

from bench.load.commands import follow_commands  # noqa: E402
from portal.db.clock import now  # noqa: E402
from portal.db.session import write  # noqa: E402
from portal.models import Job, LoginSession, User, UserSettings  # noqa: E402
from portal.realtime import publish, rooms  # noqa: E402
from portal.runtime import logging  # noqa: E402
from portal.runtime.context import current  # noqa: E402
from portal.server.process import serve  # noqa: E402
from portal.services.accounts import passwords  # noqa: E402
from portal.settings import Settings, load_settings  # noqa: E402
from portal.transfers.states import JobStatus, Operation  # noqa: E402

PEOPLE, SESSIONS = 250, 2500
#: Those of the people who sign in by the form; the sessions of all others are written beforehand,
#: since each sign-in takes a tenth of a second on purpose.
BY_FORM, PASSWORD = 10, "correct horse battery staple"


def emit(event: dict[str, Any], order: dict[str, Any]) -> None:
    """Alone: as a change of status, which leaves at once. Else as progress, which is gathered. To
    ``rooms`` one after the other, among which the clients are spread evenly, or to all at once."""
    if order.get("rooms"):
        for room in spread(order["rooms"]):
            publish._emit("job_status_change", event, room)
    elif order["alone"]:
        publish._emit("job_status_change", event, rooms.topic_room(rooms.STATUS_CHANGE))
    else:
        event["job_id"] = event["n"] % 50
        publish._emit("job_progress", event, rooms.topic_room(rooms.PROGRESS))


@cache
def spread(number: int) -> list[str]:
    """The rooms, with each client in one of them."""
    names = [f"room {index}" for index in range(number)]
    server = current()[SocketIO].server
    sids = list(server.manager.get_participants("/", rooms.topic_room(rooms.STATUS_CHANGE)))
    for index, (sid, _) in enumerate(sids):
        server.enter_room(sid, names[index % number])
    return names


def sign_everyone_in(settings: Settings) -> None:
    tokens = [secrets.token_urlsafe(32) for _ in range(SESSIONS)]
    right = passwords.hash_password(PASSWORD)
    with write() as tx:
        people = range(1000, 1000 + PEOPLE)
        by_form = people[:BY_FORM]
        tx.execute(
            insert(User),
            [
                {
                    "id": n,
                    "username": f"viewer{n}",
                    "password_hash": right if n in by_form else "",
                    "role": "viewer",
                }
                for n in people
            ],
        )
        tx.execute(insert(UserSettings), [{"user_id": n} for n in people])
        tx.execute(
            insert(LoginSession),
            [
                {
                    "token_hash": hashlib.sha256(token.encode()).hexdigest(),
                    "user_id": 1000 + n % PEOPLE,
                    "expires_at": now() + timedelta(hours=1),
                }
                for n, token in enumerate(tokens)
            ],
        )
        tx.add(
            Job(
                name="Nightly photos",
                operation=Operation.COPY,
                source="/srv/photos",
                destination="/srv/archive",
                status=JobStatus.COMPLETED,
                owner_id=people[0],
                started_at=now(),
                bytes_transferred=4_294_967_296,
                total_bytes=4_294_967_296,
                percent=100.0,
            )
        )
        tx.commit()
    flask = Flask("cookies")
    flask.secret_key = settings.signing_key()
    serializer: Any = SecureCookieSessionInterface().get_signing_serializer(flask)
    cookies = [f"portal={serializer.dumps({'_user_id': token})}" for token in tokens]
    (settings.data_dir / "cookies.json").write_text(json.dumps(cookies))
    guests = [(f"viewer{n}", PASSWORD) for n in by_form]
    (settings.data_dir / "people.json").write_text(json.dumps(guests))
    eventlet.spawn(follow_commands, emit)


if __name__ == "__main__":
    logging.configure("text")
    port, folder, *queue = sys.argv[1:]
    serve(
        load_settings(
            port=int(port),
            data_dir=Path(folder),
            admin_password="not-for-anybody",
            **dict(zip(("database_url", "redis_url"), queue, strict=False)),
        ),
        {"async_mode": "eventlet", "offload": tpool.execute},
        prepare=sign_everyone_in,
    )
