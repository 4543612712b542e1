"""HTTP only: each view declares its right, loads, calls one service, and answers."""

from flask import Flask

from portal.web.routes import (
    api,
    audit,
    bandwidth,
    browse,
    dashboard,
    doctor,
    health,
    history,
    job_logs,
    job_speeds,
    jobs,
    password_links,
    remotes,
    second_factor,
    sessions,
    settings,
    single_sign_on,
    tokens,
    users,
    workers,
)
from portal.web.routes.converters import CONVERTERS


def init_app(app: Flask) -> None:
    app.url_map.converters.update(CONVERTERS)
    for room in (
        dashboard,
        jobs,
        job_logs,
        history,
        job_speeds,
        browse,
        sessions,
        password_links,
        second_factor,
        single_sign_on,
        settings,
        bandwidth,
        users,
        remotes,
        workers,
        audit,
        doctor,
        health,
        tokens,
        api,
    ):
        app.register_blueprint(room.blueprint)
