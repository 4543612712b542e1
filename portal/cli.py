"""The command line: ``python manage.py …``, or ``portal …`` where it is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from portal.db import migrate, session
from portal.db.instance_lock import DatabaseLock
from portal.errors import Invalid, PortalError
from portal.models import Role
from portal.runtime import imports, logging, resources, stopping
from portal.runtime.file_lock import Locked
from portal.runtime.version import __version__
from portal.settings import Settings, SettingsError, load_settings, unknown_variables
from portal.transfers.counted import counted
from portal.transfers.pools import POOL_NAME

_HASH_LENGTH = 64
_ABOUT_THE_DATABASE = "PORTAL_DATABASE_URL: the database cannot be used: "


class _Failure(click.ClickException):
    """A plain sentence and exit code 1."""


class _Group(click.Group):
    """Turns what services raise into a sentence, so that nobody reads a traceback for a typo."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except stopping.StopRequested:
            context.exit(0)
        except PortalError as error:
            raise _Failure(error.message) from None
        except DBAPIError as error:
            raise _Failure(f"{_ABOUT_THE_DATABASE}{_one_line(error.orig)}.") from None
        except SQLAlchemyError as error:
            raise _Failure(f"{_ABOUT_THE_DATABASE}{_one_line(error)}.") from None
        finally:
            session.close()
            stopping.ignore_signals()


def _one_line(reason: object) -> str:
    return " ".join(str(reason).split()).rstrip(".")


class _Pool(click.ParamType[str]):
    name = "NAME"

    def convert(self, value: Any, param: Any, context: Any) -> str:
        if not POOL_NAME.fullmatch(str(value)):
            self.fail("use letters, digits, dots, dashes and underscores", param, context)
        return str(value)


POOL = _Pool()


def _settings(**values: Any) -> Settings:
    settings = load_settings(**{name: value for name, value in values.items() if value is not None})
    logging.configure(settings.log_format)
    return settings


def _warn_of_unknown_variables() -> None:
    if unknown := unknown_variables():
        structlog.get_logger(__name__).warning(
            "variables that are no settings of this version are ignored", names=", ".join(unknown)
        )


@click.group(cls=_Group)
@click.version_option(__version__, prog_name="Transfer Portal")
def cli() -> None:
    """Transfer Portal: run long data transfers and watch them live."""


@cli.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on.")
@click.option(
    "--processes", type=click.IntRange(1, 64), default=1, help="Serving processes; see operations."
)
@click.option("--no-migrate", is_flag=True, help="Leave the database as it is.")
@click.option("--slot", type=int, default=0, hidden=True)
# A supervisor that was started before an upgrade calls it --lifeline.
@click.option("--supervisor-pipe", "--lifeline", type=int, hidden=True)
@click.pass_obj
def run(
    server: dict[str, Any],
    host: str | None,
    port: int | None,
    processes: int,
    no_migrate: bool,
    slot: int,
    supervisor_pipe: int | None,
) -> None:
    """Serve the portal; without PORTAL_REDIS_URL, run its transfers too."""
    settings = _settings(host=host, port=port)
    if supervisor_pipe is None:  # of several processes the supervisor says it
        _warn_of_unknown_variables()
    if processes == 1:
        with imports.all_kept():
            from portal.server.process import serve
            from portal.server.supervisor_pipe import SupervisorPipe

        pipe = SupervisorPipe(slot, supervisor_pipe)
        serve(settings, server, migrate_first=not no_migrate, pipe=pipe)
    elif not settings.scale_out:
        raise SettingsError(
            "--processes: several processes need PORTAL_DATABASE_URL with PostgreSQL and "
            "PORTAL_REDIS_URL. Without them one process does everything."
        )
    else:
        from portal.server.supervisor import supervise

        supervise(settings, processes, migrate_first=not no_migrate)


@cli.command()
@click.option("--concurrency", type=click.IntRange(1, 256), help="Transfers at the same time.")
@click.option("--pool", "pools", multiple=True, type=POOL, help="Pool to serve; may be repeated.")
def worker(concurrency: int | None, pools: tuple[str, ...]) -> None:
    """Run transfers for the web processes of the scale-out mode."""
    with imports.all_kept():
        from portal.worker.process import run_worker

    settings = _settings()
    _warn_of_unknown_variables()
    run_worker(settings, pools, concurrency)


@cli.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on.")
@click.pass_obj
def demo(server: dict[str, Any], host: str | None, port: int | None) -> None:
    """Serve the portal with three users and a few slow sample transfers."""
    with imports.all_kept():
        from portal.server import demo as sample
        from portal.server.process import serve

    serve(_settings(host=host, port=port), server, prepare=sample.prepare)


@cli.command("create-user")
@click.argument("name")
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def create_user(name: str, role: str, password_stdin: bool) -> None:
    """Add a user. Without --password-stdin a password is generated and printed."""
    with imports.all_kept():
        from portal.services.accounts import passwords, users

    settings = _settings()
    settings.prepare()
    migrate.upgrade(settings)
    session.connect(settings.database_url)
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else passwords.generate()
    try:
        users.create_user(name, role, password)
    except Invalid as invalid:
        raise _Failure(" ".join(invalid.errors.values())) from None
    finally:
        session.session.remove()
    if weakness := passwords.weakness(password, name, passwords.hosts_of(settings)):
        click.echo(f"Warning: {weakness}", err=True)
    click.echo(f"Created {role} {name.lower()}.")
    if not password_stdin:
        click.echo(f"Password: {password}")


@cli.command("accept-mount")
@click.argument("folder", type=click.Path(path_type=Path))
def accept_mount(folder: Path) -> None:
    """Accept the disk that is mounted at FOLDER now, or that none is."""
    from portal.worker import roots

    settings = _settings()
    settings.prepare()
    is_new = roots.accept_mount(settings, os.path.realpath(folder))
    if is_new is None:
        raise _Failure(
            f"No disk is mounted at {folder}, and none was that the portal remembers. Name the "
            "folder at which one is mounted: one of PORTAL_TRANSFER_ROOTS, or one above or below."
        )
    if is_new:
        click.echo(f"Accepted {folder} as it is now.")
    else:
        click.echo(f"{folder} was accepted already.")


@cli.command("reset-second-factor")
@click.argument("name")
def reset_second_factor(name: str) -> None:
    """Remove the second factor of a user who lost device and recovery codes."""
    from portal.models import User
    from portal.services.accounts import second_factor
    from portal.services.actor import COMMAND_LINE

    settings = _settings()
    settings.prepare()
    migrate.refuse_older(settings)
    session.connect(settings.database_url)
    try:
        user = session.session.query(User).filter_by(username=name.lower()).first()
        if user is None:
            raise _Failure(f"There is no user {name}.")
        second_factor.reset(user.id, actor=COMMAND_LINE)
    finally:
        session.session.remove()
    click.echo(f"The second factor of {name.lower()} is removed; they are signed out everywhere.")


@cli.command("cancel-queued")
@click.option("--all", "everything", is_flag=True, help="Copies and checks as well.")
def cancel_queued(everything: bool) -> None:
    """Cancel the syncs and moves that wait to run, so that a restored portal deletes nothing.

    Where no portal and no worker runs, jobs that ran wait again, and are cancelled with the others.
    """
    from portal.services.actor import COMMAND_LINE
    from portal.services.jobs import control, rescue

    with _runtime():
        if _is_stopped():
            rescue.recover()
        cancelled = control.cancel_queued(everything=everything, actor=COMMAND_LINE)
    numbers = f": {', '.join(map(str, cancelled))}" if cancelled else ""
    click.echo(f"Cancelled {counted(len(cancelled), 'job')}{numbers}.")


@cli.command("rotate-keys")
def rotate_keys() -> None:
    """Encrypt all stored secrets with the current secret key, so that the previous one can be
    removed."""
    from portal.services.storage import key_rotation

    with _runtime():
        rotation = key_rotation.rotate()
    click.echo(f"{rotation.encrypted} secrets are encrypted with the present key.")
    if rotation.lost:
        raise _Failure(f"No known key opens {', '.join(rotation.lost)}. They stay as they were.")


@contextmanager
def _runtime() -> Iterator[None]:
    """The database and the keys, for a command that runs no jobs."""
    from portal.runtime.context import current
    from portal.services.runtime import make_runtime
    from portal.worker.executors import NullExecutor
    from portal.worker.roots import open_to_transfers

    settings = _settings()
    settings.prepare()
    migrate.refuse_older(settings)
    session.connect(settings.database_url)
    current().put(make_runtime(settings, open_to_transfers(settings), NullExecutor()))
    try:
        yield
    finally:
        session.session.remove()


def _is_stopped() -> bool:
    """Whether no portal and no worker uses the database; none can until this command ends."""
    try:
        DatabaseLock(_settings().database_url, alone=True).acquire()
    except Locked:
        return False
    return True


@cli.group()
def db() -> None:
    """Migrations of the database."""


@db.command()
@click.argument("revision", default="head")
def upgrade(revision: str) -> None:
    """Bring the database up to REVISION (default: the newest)."""
    settings = _settings()
    settings.prepare()
    migrate.upgrade(settings, revision)


@db.command()
@click.argument("revision", default="-1")
def downgrade(revision: str) -> None:
    """Take the database down to REVISION (default: one step)."""
    migrate.downgrade(_settings(), revision)


@db.command()
def current() -> None:
    """Print the revision that the database has."""
    migrate.current(_settings())


@cli.group()
def audit() -> None:
    """The audit log."""


class _Known(click.ParamType[tuple[int, str]]):
    name = "ID:HASH"

    def convert(self, value: Any, param: Any, context: Any) -> tuple[int, str]:
        number, _, entry_hash = str(value).partition(":")
        if not (number.isdecimal() and len(entry_hash) == _HASH_LENGTH):
            self.fail("write it as the command printed it: 5012:3f0a…", param, context)
        return int(number), entry_hash


@audit.command()
@click.option("--known", type=_Known(), help="An entry as this command named it on another day.")
def verify(known: tuple[int, str] | None) -> None:
    """Say whether all entries are as they were written. Exit code 1 and the first that is not."""
    from portal.services import audit as trail

    settings = _settings()
    migrate.refuse_older(settings)
    session.connect(settings.database_url)
    try:
        verdict = trail.verify(known)
    finally:
        session.session.remove()
    if verdict.fault:
        raise _Failure(verdict.fault)
    click.echo(f"{verdict.entries} entries are as they were written.")
    click.echo(f"Note elsewhere, and give it to --known next time: {verdict.last}:{verdict.head}")


@cli.command()
@click.pass_context
def check(context: click.Context) -> None:
    """Format, lint, types, tests and docs: the same list as CI."""
    checks = resources.ROOT / "tools" / "check.py"
    if not checks.is_file():
        click.echo("The checks need a checkout of the sources; this is an installed portal.")
        context.exit(2)
    command = [sys.executable, "-m", "tools.check"]
    context.exit(subprocess.run(command, cwd=resources.ROOT, check=False).returncode)
