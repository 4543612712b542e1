"""The runtime requirements alone are enough for every module, command and optional part."""

from __future__ import annotations

import json
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
from portal import postgres
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


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shipped.python(), *arguments],
        cwd=shipped.ROOT,
        env=shipped.environment(),
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
