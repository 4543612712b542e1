"""Puts the application together: settings, extensions, routes, error pages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request, url_for
from flask_socketio import SocketIO
from flask_wtf.csrf import generate_csrf
from werkzeug.middleware.proxy_fix import ProxyFix
from whitenoise import WhiteNoise

from portal.db import session
from portal.models import Role
from portal.presentation import formatting, job_words, result_words
from portal.realtime import publish
from portal.runtime import context, resources
from portal.services.runtime import Executor, make_runtime
from portal.settings import Settings, load_settings
from portal.transfers import bandwidth
from portal.transfers.counted import counted
from portal.transfers.states import CANCELLABLE, RETRYABLE, STATES, goes_on
from portal.web import (
    access,
    error_pages,
    origins,
    rate_limits,
    routes,
)
from portal.web.extensions import csrf
from portal.web.middleware import base_path
from portal.web.middleware.poll_cache import PollCacheMiddleware
from portal.web.middleware.session_cookie import SessionCookieReader
from portal.web.middleware.stale_assets import HEADER, StaleAssetMiddleware
from portal.web.middleware.static_gzip import GzipStaticMiddleware
from portal.web.security_headers import SecurityHeadersMiddleware
from portal.web.sockets import handlers
from portal.web.sockets.handshake import HandshakeGuard
from portal.web.user_agents import browser_name
from portal.worker.executors import NullExecutor
from portal.worker.roots import open_to_transfers

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from flask.ctx import AppContext

_MAX_BODY = 1024 * 1024
#: Seconds between pings: proxies cut silent connections, the impatient ones after 15 s.
_PING_INTERVAL = 10
_PING_TIMEOUT = 20
#: Seconds for a statement of a page; nobody waits longer for one.
_ANSWER_WITHIN = 10.0
#: Messages a browser may send; ours sends one every ten seconds.
_MESSAGES_A_SECOND = 20
_MESSAGES_AT_ONCE = 40
#: Socket.IO without an event loop: tests and the command line.
_IN_PROCESS = "threading"


class Portal(Flask):
    """An application with what it has for itself; several in a process share nothing."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.context = context.begin()
        super().__init__(*arguments, **named)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.context.enter()
        return super().__call__(environ, start_response)

    def app_context(self) -> AppContext:
        self.context.enter()
        return super().app_context()


def build_app(
    settings: Settings | None = None,
    *,
    executor: Executor | None = None,
    async_mode: str = _IN_PROCESS,
) -> Portal:
    """``async_mode`` is Socket.IO's; ``executor`` runs the jobs (default: nobody does)."""
    settings = settings or load_settings()
    settings.prepare()
    session.session.remove()  # of another application, which this thread has worked for
    app = Portal(
        "portal",
        root_path=str(resources.ROOT),
        template_folder=str(resources.TEMPLATES),
        static_folder=None,
    )
    runtime = make_runtime(settings, open_to_transfers(settings), executor or NullExecutor())
    app.context.put(runtime)
    policy = runtime.session_policy
    app.config.update(
        SECRET_KEY=settings.signing_key(),
        MAX_CONTENT_LENGTH=_MAX_BODY,
        MAX_FORM_PARTS=200,
        PERMANENT_SESSION_LIFETIME=max(policy.longest, policy.remembered),
        SESSION_COOKIE_NAME=_cookie_name(settings),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.secure_cookies,
        SESSION_REFRESH_EACH_REQUEST=False,
        REMEMBER_COOKIE_DURATION=timedelta(0),
        WTF_CSRF_TIME_LIMIT=None,  # a dashboard stays open for days
    )
    session.connect(settings.database_url, answer_within=_ANSWER_WITHIN)
    app.teardown_appcontext(lambda _error: session.session.remove())
    publish.connect_bus(settings.redis_url)
    csrf.init_app(app)
    origins.init_app(app)
    access.init_app(app)
    rate_limits.init_app(app, settings)
    routes.init_app(app)
    error_pages.init_app(app)
    _templates(app, settings)
    _wsgi(app, settings, async_mode)
    return app


def _cookie_name(settings: Settings) -> str:
    if not settings.secure_cookies:
        return "portal"
    return "__Secure-portal" if settings.base_path else "__Host-portal"


def _wsgi(app: Portal, settings: Settings, async_mode: str) -> None:
    """Puts around Flask what answers before it, the outermost last."""
    sockets = _sockets(app, settings, async_mode)
    files = _static_files(app.wsgi_app)
    cookies = SessionCookieReader(app)
    polls = PollCacheMiddleware(app, cookies, files)
    guard = HandshakeGuard(
        cookies, sockets=sockets, wsgi=polls, sockets_per_user=settings.sockets_per_user
    )
    app.context.put(guard)
    app.wsgi_app = guard  # type: ignore[method-assign]
    app.wsgi_app = origins.trusted_hosts(app.wsgi_app, settings)  # type: ignore[assignment,method-assign]
    app.wsgi_app = SecurityHeadersMiddleware(app.wsgi_app, always_secure=settings.secure_cookies)  # type: ignore[method-assign]
    base_path.init_app(app, fixed=settings.base_path, trusted=settings.trusted_proxies > 0)
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]


def _sockets(app: Portal, settings: Settings, async_mode: str) -> WSGIApplication:
    """Puts Socket.IO around Flask. Returns what answers its requests: they pass by what is put
    around it later."""
    fanout: Any = None
    options: dict[str, Any] = {}
    if async_mode != _IN_PROCESS:
        # Only here: importing it brings the cooperative loop with it.
        from portal.realtime.fanout import server as fanout
        from portal.realtime.fanout.manager import FanoutManager, OrderedFanoutManager

        manager = OrderedFanoutManager if settings.redis_url else FanoutManager
        options = {"client_manager": manager(), "monitor_clients": False}
    socketio = app.context[SocketIO]
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
    publish.use_sockets(socketio)
    handlers.register(socketio.server, on_connect=publish.on_connect)
    if fanout is None:
        return app.wsgi_app
    fanout.install(socketio.server, rate=_MESSAGES_A_SECOND, burst=_MESSAGES_AT_ONCE)
    if settings.redis_url:
        publish.subscribe(settings.redis_url)
    entrance: WSGIApplication = fanout.entrance(socketio.server, app.wsgi_app)
    return entrance


def _static_files(wsgi: WSGIApplication) -> WSGIApplication:
    """Returns what answers requests for static files, and hands on the others."""
    files = WhiteNoise(
        wsgi,
        max_age=31_536_000,
        immutable_file_test=lambda _path, _url: True,
        allow_all_origins=False,
        add_headers_function=_name_type,
    )
    prefix = _static_prefix()
    files.add_files(str(resources.STATIC), prefix=prefix.strip("/") + "/")
    return StaleAssetMiddleware(GzipStaticMiddleware(files, resources.STATIC, prefix), prefix)


def _name_type(headers: Any, path: str, _url: str) -> None:
    # Our pages and modules are UTF-8 anyway, and there are forty of them.
    if path.endswith(".js"):
        headers["Content-Type"] = "text/javascript"
    headers["Cache-Control"] = headers["Cache-Control"].replace(" public,", "")


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
        size=formatting.size,
        speed=formatting.speed,
        duration=formatting.duration,
        count=formatting.count,
        counted=counted,
        files=formatting.files,
        relative=formatting.relative,
        exact=formatting.exact,
        clock_time=formatting.clock_time,
        shorten=formatting.shorten,
        printable=formatting.printable,
        browser_name=browser_name,
    )
    app.jinja_env.globals.update(
        asset=lambda path: f"{request.script_root}{prefix}{path}",
        release=release,
        csrf_token=generate_csrf,
        display=job_words.display,
        age=job_words.age,
        run_time=job_words.run_time,
        moved_words=job_words.moved_words,
        left_out_words=job_words.left_out_words,
        remaining_words=job_words.remaining_words,
        result_line=result_words.result_line,
        differing=result_words.differing,
        mean_speed=formatting.mean_speed,
        today=formatting.today,
        may_change=access.may_change,
        goes_on=goes_on,
        size_of=formatting.size_of,
        speed_of=formatting.speed_of,
        bandwidth_words=bandwidth.words,
        event_words=job_words.event_words,
        options_words=job_words.options_words,
        place_words=job_words.place_words,
        waits_words=job_words.waits_words,
        plan_words=result_words.plan_words,
        plan_lists=result_words.plan_lists,
        sparkline=formatting.sparkline,
        summary=job_words.summary,
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
    for path in sorted(resources.STATIC.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(resources.STATIC)).encode())
            digest.update(_content_digest(path))
    return f"/static/{digest.hexdigest()[:12]}/"


def _content_digest(path: Path) -> bytes:
    # The vendored files are large and change only with their size or their release.
    if "vendor" in path.parts:
        return str(path.stat().st_size).encode()
    return path.read_bytes()
