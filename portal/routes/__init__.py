"""HTTP only: declare the right, load, call one service, answer."""

from flask import Flask

from portal.routes import (
    audit,
    dashboard,
    doctor,
    health,
    jobs,
    password_links,
    sessions,
    settings,
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
    ):
        app.register_blueprint(room.blueprint)
