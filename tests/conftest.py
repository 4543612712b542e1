"""For tests in one process: a portal, its users, a browser without JavaScript.

The portal is that of one process, on SQLite. Tests of jobs and their events run a second time with
what a portal of several processes stands on: PostgreSQL, Redis, and workers that hold a lease.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

import hypothesis
import pytest
import structlog
from argon2 import PasswordHasher
from flask import Flask
from flask_socketio import SocketIO
from jinja2.bccache import Bucket, BytecodeCache
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache
from werkzeug.routing import Rule
from whitenoise import WhiteNoise

import portal.app
from portal import engine
from portal.app import build_app
from portal.db import migrate
from portal.db import session as database
from portal.models import User
from portal.realtime import publish
from portal.services import workers
from portal.services.accounts import passwords, users
from portal.services.runtime import Executor
from portal.settings import Settings, load_settings
from portal.transfers import request as jobs
from portal.transfers.states import FINAL, Operation
from portal.worker import Worker
from portal.worker.executors.in_process import InProcessExecutor
from portal.worker.lease import Lease
from portal.worker.registration import this_process
from portal.worker.timing import GRACE, Timing
from tests.shipped.image import Image
from tests.support.applications import configure, engine_of
from tests.support.client import Browser
from tests.support.databases import Databases
from tests.support.modes import ONE_PROCESS, SCALED_OUT
from tests.support.parts import Postgres, Redis
from tests.support.transfers import Recorder, fill, queue, run_job, status_of
from tests.support.users import PASSWORD, USERS
from tests.support.worker_process import WorkerProcess

#: Files and folders of tests that start real processes and wait for them more than they work. Many
#: run side by side, beside the others, and go before those.
PATIENT = (
    "deploy/",
    "faults/",
    "remotes/test_silence",
    "scaleout/",
    "services/storage/test_bad_days",
    "shipped/",
    "storages/",
    "server/test_bad_starts",
    "server/test_nothing_lost",
    "test_packaging",
    "server/test_process_one",
    "server/test_stops",
)
#: Those that measure processor time, memory or latency: one after the other, with the machine to
#: themselves. In other files single tests are marked so.
EXCLUSIVE = (
    "realtime/fanout/test_apart",
    "realtime/fanout/test_fanout",
    "security/test_floods",
    "security/test_sign_in_timing",
)

#: Files of patient tests that share nothing but what a process has, and take long: each test may
#: run in another process.
APART = (
    "remotes/",
    "scaleout/test_",
    "server/test_nothing_lost",
    "services/storage/",
    "storages/",
)

#: Files of tests that hold in both modes, and run in both; but what is marked ``one_process``.
BOTH_MODES = (
    "realtime/test_job_events",
    "safety/test_in_the_portal",
    "safety/test_two_writers",
    "services/jobs/test_blocking",
    "services/jobs/test_job_",
    "services/jobs/test_plans",
    "services/jobs/test_pools",
    "services/jobs/test_rescue",
    "services/jobs/test_throughput",
    "web/test_job_list",
    "web/test_job_row",
    "worker/test_worker",
)

# As the portal writes them: the default takes a second to paint an exception.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.LogfmtRenderer(),
    ]
)

# argon2id at its least: a hundred sign-ins would else cost a minute. The real cost is held by
# test_command_line.
passwords._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class _Compiled(BytecodeCache):
    """Templates as compiled for the application of an earlier test; each is compiled once."""

    def __init__(self) -> None:
        self._known: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._known:
            bucket.bytecode_from_string(self._known[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._known[bucket.key] = bucket.bytecode_to_string()


_templates = _Compiled()


class _Rule(Rule):
    """Werkzeug compiles two functions for each rule of each application: a third of the time that
    one takes to build. They depend on nothing but the rule, and are compiled once here."""

    _known: ClassVar[dict[object, Any]] = {}

    def _compile_builder(self, append_unknown: bool = True) -> Any:
        key = (self.rule, tuple(self._trace), str(self.defaults), append_unknown)
        if key not in self._known:
            self._known[key] = super()._compile_builder(append_unknown)
        return self._known[key]


Flask.url_rule_class = _Rule


class _StaticFiles(WhiteNoise):
    """Half of what is left of that time goes into looking at each static file. They stay as they
    are while the tests run, and are looked at once."""

    _known: ClassVar[dict[tuple[str, str | None], dict[str, Any]]] = {}

    def add_files(self, root: str, prefix: str | None = None) -> None:
        key = (root, prefix)
        if key not in self._known:
            super().add_files(root, prefix)
            self._known[key] = dict(self.files)
        self.files.update(self._known[key])


portal.app.WhiteNoise = _StaticFiles

# SQLAlchemy writes the SQL of each statement once for each database that is opened. To open a
# database in the same way gives the same SQL, so that here it is written once for all tests.
_statements = {one: LRUCache(2000) for one in (SQLiteDialect_pysqlite, PGDialect_psycopg)}
for _dialect in _statements:
    _dialect.__eq__ = lambda self, other: type(self) is type(other)
    _dialect.__hash__ = lambda self: hash(type(self))


def pytest_configure() -> None:
    gc.disable()  # until all is collected, nearly all of which stays
    # Started by nohup, the tests would hand "ignore hangups" to each portal, and one that is sent
    # a hangup to stop would go on. A handler ends with exec; to ignore a signal is inherited.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)


# An example of 200 ms is slow only on a machine that does nothing else. What has to be fast is
# measured by the tests that run alone.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        file = str(item.path.relative_to(here))
        if file.startswith(EXCLUSIVE):
            item.add_marker("exclusive")
        elif file.startswith(PATIENT) and not item.get_closest_marker("exclusive"):
            item.add_marker("patient")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        """A file stays in one process, for what its tests share; largest files first."""

        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.removeprefix("tests/").partition("::")[0]
            return nodeid if file.startswith(PATIENT) and file.startswith(APART) else file

    return Scheduling(config, log)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    file = str(metafunc.definition.path.relative_to(Path(__file__).parent))
    if not file.startswith(BOTH_MODES) or "mode" not in metafunc.fixturenames:
        return
    if metafunc.definition.get_closest_marker("one_process") is None:
        metafunc.parametrize("mode", [ONE_PROCESS, SCALED_OUT], indirect=True)


def pytest_collection_finish(session: pytest.Session) -> None:
    # To import eventlet is enough to put its sockets into http.server: the servers that other
    # tests run in threads then never answer.
    strays = {item.path.name for item in session.items} - {"backlogs.py", "environs.py"}
    assert not (strays and "eventlet" in sys.modules), "eventlet needs a process of its own"
    gc.enable()
    # Each application of a test is one more large circle of objects. To look for them as often as
    # Python does by itself takes a quarter of the processor time of the tests that build one.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The transfer root."""
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


@pytest.fixture
def mode(request: pytest.FixtureRequest) -> str:
    return str(getattr(request, "param", ONE_PROCESS))


@pytest.fixture
def more_settings() -> dict[str, Any]:
    """For files of tests that need other settings than usual."""
    return {}


@pytest.fixture
def settings(
    mode: str,
    tmp_path: Path,
    root: Path,
    more_settings: dict[str, Any],
    request: pytest.FixtureRequest,
) -> Settings:
    more = dict(more_settings)
    if mode == SCALED_OUT:
        more["database_url"] = request.getfixturevalue("postgres_url")
        more["redis_url"] = request.getfixturevalue("redis").url
    return load_settings(data_dir=tmp_path / "data", transfer_roots=(root,), **more)


@pytest.fixture(scope="session", autouse=True)
def image_to_come(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Any]]:
    """Waits for the image of the portal, which is built once for all the processes of a run: from
    the start on, where a test wants it, so that nobody waits for the minutes that this takes."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    made = Image(folder / "image of the portal")
    with ThreadPoolExecutor(1) as beside:
        wanted = any(_wants_the_image(item) for item in request.session.items)
        building = beside.submit(made.build) if wanted else None
        yield building.result if building else made.build


def _wants_the_image(item: pytest.Item) -> bool:
    chosen = getattr(item, "callspec", None)
    return "image" in getattr(item, "fixturenames", ()) or (
        chosen is not None and chosen.params.get("program") == "image"
    )


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables and the users, made once and copied for each test."""
    folder = tmp_path_factory.mktemp("migrated")
    _fill(load_settings(data_dir=folder))
    return folder / "portal.sqlite"


def _fill(made: Settings) -> None:
    made.prepare()
    migrate.upgrade(made)
    engine = database.connect(made.database_url)
    for name, role in USERS.items():
        users.create_user(name, role, PASSWORD)
    database.session.remove()
    engine.dispose()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres(tmp_path_factory.mktemp("postgres"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a database with its tables and the users, to be copied."""
    url = postgres_server.create()
    folder = tmp_path_factory.mktemp("template")
    _fill(load_settings(data_dir=folder, database_url=url))
    return url.rpartition("/")[2]


@pytest.fixture
def postgres(postgres_server: Postgres) -> Postgres:
    """The server, running, whatever the test before did to it."""
    postgres_server.start()
    return postgres_server


@pytest.fixture(scope="session")
def databases(postgres_server: Postgres, postgres_template: str) -> Databases:
    postgres_server.start()
    return Databases(postgres_server, postgres_template)


@pytest.fixture
def postgres_url(postgres: Postgres, databases: Databases) -> Iterator[str]:
    """A database of this test alone on PostgreSQL, with its tables and the users."""
    url = databases.take()
    yield url
    postgres.start()
    databases.give_back(url)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis(redis_server: Redis) -> Redis:
    """The server, running and empty, whatever the test before did to it."""
    redis_server.start()
    redis_server.wipe()
    return redis_server


@pytest.fixture(autouse=True)
def databases_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Those of further applications, too, and of commands that run in this process."""
    opened: list[database.Database] = []
    connect = database.connect

    def connect_and_note(*arguments: Any, **named: Any) -> Any:
        engine = connect(*arguments, **named)
        opened.append(database.database())
        return engine

    monkeypatch.setattr(database, "connect", connect_and_note)
    yield
    for one in opened:
        one.close()


@pytest.fixture
def app(settings: Settings, migrated: Path) -> Iterator[Flask]:
    """The application, with nobody to run its jobs."""
    settings.prepare()
    if not settings.scale_out:
        (settings.data_dir / "portal.sqlite").write_bytes(migrated.read_bytes())
    made = build_app(settings)
    made.testing = False
    made.jinja_env.bytecode_cache = _templates
    engine_of(made)._compiled_cache = _statements[type(engine_of(made).dialect)]
    yield made
    made.context.enter()
    publish.connect_bus("")
    # One that looks at its jobs once more would be left with a connection of a pool that is gone.
    for thread in threading.enumerate():
        if thread.name == "progress reporter":
            thread.join(5)
    database.database().close()


@pytest.fixture
def executor(app: Flask, settings: Settings, tmp_path: Path) -> Iterator[Executor]:
    """Runs the jobs of ``app`` until the test ends; or has a real worker run them."""
    running = _doorbell(settings) if settings.scale_out else InProcessExecutor(settings)
    configure(app, executor=running)
    running.start()
    beside = _worker_beside(settings, tmp_path)
    with beside if settings.scale_out else nullcontext():
        yield running
    running.stop()


def _doorbell(settings: Settings) -> Executor:
    # Only here: Celery takes half a second to import.
    from portal.worker.executors.celery import CeleryExecutor

    return CeleryExecutor(settings)


@contextmanager
def _worker_beside(settings: Settings, folder: Path) -> Iterator[None]:
    publish.subscribe(settings.redis_url)
    worker = WorkerProcess(settings, folder / "worker.log", is_copy=True)
    try:
        worker.start()
        yield
    finally:
        worker.clean_up()


@pytest.fixture
def browser(app: Flask) -> Callable[..., Browser]:
    """``browser()`` is signed out, ``browser("bob")`` is bob's."""

    def open_browser(username: str | None = None) -> Browser:
        opened = Browser(app)
        if username is not None:
            assert opened.sign_in(username).status_code == 303
        return opened

    return open_browser


@pytest.fixture
def user(app: Flask) -> Callable[[str], User]:
    def find(name: str) -> User:
        found = database.session.query(User).filter_by(username=name).all()
        database.session.remove()  # so that it keeps what was loaded
        return found[0]

    return find


@pytest.fixture
def job_fields(root: Path) -> dict[str, Any]:
    """What a person or a program sends to make a job: three small files are to be copied."""
    fill(root / "from")
    return {
        "name": "Nightly",
        "operation": "copy",
        "source": str(root / "from"),
        "destination": str(root / "to"),
    }


@pytest.fixture
def worker_process(app: Flask) -> Callable[..., int]:
    """Puts a worker into the database that says it lives; its id."""

    def add(name: str = "filer1:4711", **more: Any) -> int:
        presence: dict[str, Any] = {
            "name": name,
            "host": "filer1",
            "pid": 4711,
            "machine": "boot",
            "process": "1:1",
            "pools": ("default",),
            "version": "1.0",
            "concurrency": 4,
        }
        with app.app_context():
            return workers.register(workers.WorkerDescription(**presence | more))

    return add


@pytest.fixture
def new_job(app: Flask, root: Path, user: Callable[[str], User]) -> Callable[..., int]:
    """Makes a job as the form does, and gives its id. A source that is not there has gone since.
    Without a source: three small files. Without a destination: ``to``, or ``to 2`` and so on while
    others are open, for which it would wait."""
    made: list[int] = []

    def folder() -> Path:
        still_open = sum(status_of(job_id) not in FINAL for job_id in made)
        return root / (f"to {still_open + 1}" if still_open else "to")

    def make(owner: str = "bob", **options: Any) -> int:
        order: dict[str, Any] = {
            "name": "Nightly",
            "operation": Operation.COPY,
            "source": root / "from",
            "destination": root / "to",
            "bandwidth_limit": None,
            "dry_run": False,
        } | options
        if "source" not in options:
            fill(root / "from")
        if "destination" not in options:
            order["destination"] = folder()
        for side in ("source", "destination"):
            order[side] = str(order[side])
        with app.app_context():
            job_id = queue(jobs.Transfer(**order), user(owner)).id
        if "destination" not in options:
            made.append(job_id)
        return job_id

    return make


@pytest.fixture
def lease(app: Flask, settings: Settings) -> Iterator[Lease | None]:
    """Of the worker that the test itself is, where others might take its jobs."""
    if not settings.scale_out:
        yield None
        return
    timing = Timing()
    watchdog = engine.Watchdog(timing.watchdog_timeout, GRACE)
    watchdog.start()
    yield Lease(workers.register(this_process((), 4)), timing, watchdog)
    watchdog.close()


@pytest.fixture
def execute(settings: Settings, lease: Lease | None) -> Callable[..., None]:
    """Runs one job to its end in this thread, as a worker does. ``backoff``: seconds before the
    second try."""

    def run(job_id: int, *, backoff: float = 0.1, **changed: Any) -> None:
        configured = settings.model_copy(update=changed)
        run_job(Worker(configured, "test:1", grace=2.0, backoff=backoff, lease=lease), job_id)

    return run


@pytest.fixture
def events(app: Flask, settings: Settings) -> Iterator[Recorder]:
    """What leaves for the browsers. None leaves without a room, or before its commit."""
    recorder = Recorder(settings.database_url)
    server = app.context[SocketIO].server
    recorder.set_server(server)
    server.manager = recorder
    yield recorder
    recorder.end()
    assert [event for event in recorder.all if not event.room] == []
    assert [event for event in recorder.all if event.committed < event.data.get("seq", 0)] == []
