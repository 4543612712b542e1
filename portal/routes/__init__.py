"""HTTP only: declare the right, load, call one service, answer."""

from flask import Flask

from portal.routes import (
    api,
    audit,
    dashboard,
    doctor,
    health,
    jobs,
    password_links,
    sessions,
    settings,
    tokens,
    users,
)


def init_app(app: Flask) -> None:
    for room in (
        dashboard,
        jobs,
        sessions,
        password_links,
        settings,
        users,
        audit,
        doctor,
        health,
        tokens,
        api,
    ):
        app.register_blueprint(room.blueprint)
