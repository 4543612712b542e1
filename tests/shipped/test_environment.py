"""The runtime requirements alone are enough for every module, command and optional part."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

from tests.shipped import environment as shipped

#: Imports every module of the package; what it prints are those that could not be.
WALK = """
import importlib, json, pkgutil, sys, warnings
warnings.simplefilter("ignore")
import portal
failed = {}
def note(name):
    failed.setdefault(name, repr(sys.exc_info()[1]))
for module in pkgutil.walk_packages(portal.__path__, "portal.", onerror=note):
    try:
        importlib.import_module(module.name)
    except BaseException:
        note(module.name)
print(json.dumps({"failed": failed, "seen": len(sys.modules)}))
"""
#: Imports what libraries import only when they are used.
LATE = """
import warnings
warnings.simplefilter("ignore")
import eventlet, kombu, psycopg, socketio, sqlalchemy
from portal.db import postgres
kombu.Connection("redis://127.0.0.1:1/0").transport
socketio.RedisManager("redis://127.0.0.1:1/0")
sqlalchemy.create_engine("postgresql+psycopg://u@127.0.0.1:1/x").dialect.import_dbapi()
from celery import Celery
app = Celery("portal", broker="redis://127.0.0.1:1/0", set_as_current=False)
app.WorkController(app=app, hostname="portal@here", concurrency=1, pool_cls="threads")
"""
#: Asks every command, and every command of its commands, for help.
HELP = """
import json
from click import Group
from click.testing import CliRunner
from portal.cli import cli
def asked(command, words):
    done = CliRunner().invoke(cli, [*words, "--help"], obj={})
    yield " ".join(words), done.exit_code, done.output.partition(":")[0]
    for name, child in getattr(command, "commands", {}).items():
        yield from asked(child, [*words, name])
print(json.dumps(list(asked(cli, []))))
"""
COMMANDS = {
    *("", "run", "worker", "demo", "create-user", "reset-second-factor", "rotate-keys", "check"),
    *("db", "db upgrade", "db downgrade", "db current", "audit", "audit verify"),
}


#: What the extra for single sign-on is for.
SIGN_ON = """
import authlib.oidc.core, authlib.common.errors, requests
from authlib.integrations.requests_client import OAuth2Session
OAuth2Session("client", "secret", redirect_uri="https://portal.example.org/back")
"""
CONFIGURED = {
    "PORTAL_OIDC_ISSUER": "https://id.example.org",
    "PORTAL_OIDC_CLIENT_ID": "portal",
    "PORTAL_OIDC_CLIENT_SECRET": "a secret",
    "PORTAL_OIDC_ROLES": "staff:operator",
}


def run(
    *arguments: str, extras: tuple[str, ...] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shipped.python(), *arguments],
        cwd=shipped.ROOT,
        env=shipped.environment({**os.environ, **variables}, *extras),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_it_has_what_the_lock_names_and_nothing_else() -> None:
    locked = {
        name.lower() for name in re.findall(r"(?m)^([\w.-]+)==", shipped.REQUIREMENTS.read_text())
    }
    told = run("-m", "pip", "list", "--format=json", "--disable-pip-version-check")
    installed = {re.sub(r"[-_.]+", "-", one["name"]).lower() for one in json.loads(told.stdout)}
    assert installed - {"pip", "setuptools"} == locked - {"setuptools"}
    checked = run("-m", "pip", "check", "--disable-pip-version-check")
    assert checked.returncode == 0, checked.stdout


def test_every_module_of_the_portal_is_imported() -> None:
    done = run("-c", WALK)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["failed"] == {}
    assert told["seen"] > 500


def test_what_libraries_import_late_is_there() -> None:
    done = run("-c", LATE)
    assert done.returncode == 0, done.stderr


def test_extra_for_single_sign_on_is_whole() -> None:
    done = run("-W", "ignore", "-c", SIGN_ON, extras=("oidc",))
    assert done.returncode == 0, done.stderr


def test_single_sign_on_without_its_extra_is_refused_with_the_way_to_get_it(
    tmp_path: Path,
) -> None:
    done = run("manage.py", "db", "upgrade", PORTAL_DATA_DIR=str(tmp_path), **CONFIGURED)
    assert done.returncode == 1
    assert "pip install 'transfer-portal[oidc]'" in done.stderr


def test_every_command_says_what_it_does() -> None:
    done = run("-c", HELP)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [one for one in told if one[1:] != [0, "Usage"]] == []
    assert {name for name, *_ in told} >= COMMANDS


def test_tests_start_the_product_with_what_ships() -> None:
    """By the interpreter of the tests nothing of the product is started as a process."""
    own = re.compile(r"sys\.executable[^\n]*\n?[^\n]*(?:manage\.py|portal\.)")
    strays = [
        str(path.relative_to(shipped.ROOT))
        for path in Path(shipped.ROOT, "tests").rglob("*.py")
        if path != Path(__file__) and own.search(path.read_text())
    ]
    assert strays == []
