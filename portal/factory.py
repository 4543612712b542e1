"""Puts the application together: settings, extensions, routes, error pages."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from flask import Flask, Response, request, url_for
from flask_wtf.csrf import generate_csrf
from werkzeug.middleware.proxy_fix import ProxyFix
from whitenoise import WhiteNoise

from portal import (
    access,
    base_path,
    database,
    error_pages,
    headers,
    live,
    origins,
    paths,
    rendering,
    routes,
    sockets,
    tree,
)
from portal.access import may_change
from portal.browsers import browser_name
from portal.compression import Compressed
from portal.cookies import Cookies
from portal.executors import Executor, Idle
from portal.extensions import csrf, socketio
from portal.guard import Guard
from portal.models import Role
from portal.own_files import OwnFiles
from portal.polls import Polls
from portal.queue import messages
from portal.releases import HEADER, AnyRelease
from portal.services import connections, sealing, sessions, single_sign_on, waiting
from portal.services.oidc import Provider
from portal.settings import Settings, load_settings
from portal.states import CANCELLABLE, RETRYABLE, STATES

_MAX_BODY = 1024 * 1024
#: Seconds between pings: proxies cut what is silent, the impatient ones after 15 s.
_PING_INTERVAL = 10
_PING_TIMEOUT = 20
#: Seconds for a statement of a page; nobody waits longer for one.
_ANSWER_WITHIN = 10.0
#: What a browser may say; ours says a word every ten seconds.
_MESSAGES_A_SECOND = 20
_MESSAGES_AT_ONCE = 40
#: Socket.IO without an event loop: tests and the command line.
_IN_PROCESS = "threading"


def build_app(
    settings: Settings | None = None,
    *,
    executor: Executor | None = None,
    async_mode: str = _IN_PROCESS,
) -> Flask:
    """``async_mode`` is Socket.IO's; ``executor`` runs the jobs (default: nobody does)."""
    settings = settings or load_settings()
    settings.prepare()
    app = Flask(
        "portal", root_path=str(tree.ROOT), template_folder=str(tree.TEMPLATES), static_folder=None
    )
    lives = _lives(settings)
    sessions.use(lives)
    sealing.use(settings.signing_key(), settings.previous_secret_keys)
    connections.use(settings.rclone, allow_local=settings.remotes_allow_local)
    paths.use(OwnFiles(settings).refusal)
    single_sign_on.use(_provider(settings))
    app.config.update(
        SECRET_KEY=settings.signing_key(),
        MAX_CONTENT_LENGTH=_MAX_BODY,
        MAX_FORM_PARTS=200,
        PERMANENT_SESSION_LIFETIME=max(lives.longest, lives.remembered),
        SESSION_COOKIE_NAME=_cookie_name(settings),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.secure_cookies,
        SESSION_REFRESH_EACH_REQUEST=False,
        REMEMBER_COOKIE_DURATION=timedelta(0),
        WTF_CSRF_TIME_LIMIT=None,  # a dashboard stays open for days
    )
    app.extensions["settings"] = settings
    app.extensions["executor"] = executor or Idle()
    app.extensions["engine"] = database.connect(settings.database_url, answer_within=_ANSWER_WITHIN)
    app.teardown_appcontext(lambda _error: database.session.remove())
    live.use_queue(settings.redis_url)
    app.extensions["delayed"] = live.delayed
    app.extensions["ignored"] = messages.ignored
    csrf.init_app(app)
    headers.init_app(app, always_secure=settings.secure_cookies)
    origins.init_app(app)
    access.init_app(app)
    routes.init_app(app)
    error_pages.init_app(app)
    _templates(app, settings)
    _wsgi(app, settings, async_mode)
    return app


def _cookie_name(settings: Settings) -> str:
    if not settings.secure_cookies:
        return "portal"
    return "__Secure-portal" if settings.base_path else "__Host-portal"


def _lives(settings: Settings) -> sessions.Lives:
    return sessions.Lives(
        idle=timedelta(hours=settings.session_idle_hours),
        longest=timedelta(hours=settings.session_hours),
        remembered=timedelta(days=settings.session_remembered_days),
        viewers_idle=settings.session_viewers_idle,
        second_step=frozenset(settings.require_second_factor),
    )


def _provider(settings: Settings) -> Provider | None:
    """Of single sign-on, if there is one."""
    if not settings.oidc_issuer:
        return None
    return Provider(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        client_secret=settings.oidc_client_secret,
        scopes=settings.oidc_scopes,
        name=settings.oidc_name,
        role_claim=settings.oidc_role_claim,
        roles=settings.oidc_roles,
        second_factor=settings.oidc_second_factor,
    )


def _wsgi(app: Flask, settings: Settings, async_mode: str) -> None:
    if async_mode != _IN_PROCESS:
        # Only here: importing it brings the cooperative loop with it.
        fanout = import_module("portal.fanout")
        manager = fanout.OrderedFanoutManager if settings.redis_url else fanout.FanoutManager
        options = {"client_manager": manager(), "monitor_clients": False}
    else:
        fanout, options = None, {}
    socketio.init_app(
        app,
        async_mode=async_mode,
        **options,
        transports=["websocket"],
        manage_session=False,
        async_handlers=False,  # in order, and no greenlet for each
        # None: the same origin only. An empty list would switch the check off.
        cors_allowed_origins=None,
        max_http_buffer_size=16 * 1024,
        ping_interval=_PING_INTERVAL,
        ping_timeout=_PING_TIMEOUT,
    )
    sockets.register(socketio.server, greet=live.greet)
    if fanout is not None:
        fanout.install(socketio.server, rate=_MESSAGES_A_SECOND, burst=_MESSAGES_AT_ONCE)
        app.extensions["dropped"] = fanout.dropped
        if settings.redis_url:
            live.listen(settings.redis_url)
    sockets_wsgi = app.wsgi_app  # no sockets among the static files
    if fanout is not None:
        sockets_wsgi = fanout.entrance(socketio.server, sockets_wsgi)
    files = WhiteNoise(
        app.wsgi_app,
        max_age=31_536_000,
        immutable_file_test=lambda _path, _url: True,
        allow_all_origins=False,
        add_headers_function=headers.of_static_files,
    )
    prefix = _static_prefix()
    files.add_files(str(tree.STATIC), prefix=prefix.strip("/") + "/")
    served = AnyRelease(Compressed(files, tree.STATIC, prefix), prefix)
    cookies = Cookies(app)
    polls = Polls(app, cookies, served, always_secure=settings.secure_cookies)
    guard = Guard(
        cookies, sockets=sockets_wsgi, wsgi=polls, sockets_per_user=settings.sockets_per_user
    )
    app.extensions["look_ahead"] = guard.look_ahead
    app.wsgi_app = guard  # type: ignore[method-assign]
    if settings.allowed_hosts:
        app.wsgi_app = origins.KnownHosts(app.wsgi_app, settings.allowed_hosts)  # type: ignore[method-assign]
    base_path.init_app(app, fixed=settings.base_path, trusted=settings.trusted_proxies > 0)
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]


def _templates(app: Flask, settings: Settings) -> None:
    prefix = _static_prefix()
    release = prefix.split("/")[2]

    def name_release(response: Response) -> Response:
        if error_pages.is_htmx():
            response.headers[HEADER] = release
        return response

    app.after_request(name_release)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        size=rendering.size,
        speed=rendering.speed,
        duration=rendering.duration,
        count=rendering.count,
        files=rendering.files,
        relative=rendering.relative,
        exact=rendering.exact,
        clock_time=rendering.clock_time,
        shortened=rendering.shortened,
        printable=rendering.printable,
        browser_name=browser_name,
    )
    app.jinja_env.globals.update(
        asset=lambda path: f"{request.script_root}{prefix}{path}",
        release=release,
        csrf_token=generate_csrf,
        display=rendering.display,
        age=rendering.age,
        took=rendering.took,
        moved_words=rendering.moved_words,
        left_out_words=rendering.left_out_words,
        result_line=rendering.result_line,
        differing=rendering.differing,
        mean_speed=rendering.mean_speed,
        today=rendering.today,
        may_change=may_change,
        size_of=rendering.size_of,
        event_words=rendering.event_words,
        options_words=rendering.options_words,
        place_words=lambda job: rendering.place_words(waiting.place(job)),
        waits_for=waiting.waits_for,
        waits_words=rendering.waits_words,
        plan_words=rendering.plan_words,
        plan_lists=rendering.plan_lists,
        sparkline=rendering.sparkline,
        summary=rendering.summary,
        Role=Role,
        STATES=STATES,
        CANCELLABLE=CANCELLABLE,
        RETRYABLE=RETRYABLE,
        time_scale=settings.test_time_scale,
        page_url=_page_url,
    )


def _page_url(endpoint: str, **arguments: Any) -> str:
    """``url_for`` without the arguments that say nothing."""
    return url_for(endpoint, **{name: value for name, value in arguments.items() if value})


@cache
def _static_prefix() -> str:
    """A name for this very set of files, so that browsers may keep them for ever. A process serves
    those that it found when it started."""
    digest = hashlib.sha256()
    for path in sorted(tree.STATIC.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(tree.STATIC)).encode())
            digest.update(_content_mark(path))
    return f"/static/{digest.hexdigest()[:12]}/"


def _content_mark(path: Path) -> bytes:
    # The vendored files are large and change only with their size or their release.
    if "vendor" in path.parts:
        return str(path.stat().st_size).encode()
    return path.read_bytes()
