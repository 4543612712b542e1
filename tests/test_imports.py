"""Who may import whom: the rooms of the house, held by walking the imports."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PORTAL = ROOT / "portal"

#: Known to all, know nobody: the time, a memory for figures, the words for errors and statuses,
#: what may be asked of a transfer, and what may stand in a name.
NEUTRAL = {"clock", "errors", "left_out", "memo", "names", "options", "states", "timetable"}

#: Room → what it may import inside portal, beside itself and the neutral.
MAY = {
    "engine": {"gate"},
    "gate": set[str](),
    "addresses": set(),
    "private": set(),
    "secret_files": {"private"},
    "stopping": set(),
    "process_one": {"stopping"},
    "settings": {"addresses", "private", "secret_files"},
    "states": set(),
    "errors": set(),
    "clock": set(),
    "left_out": set(),
    "names": set(),
    "options": set(),
    "timetable": set(),
    "rooms": set(),
    "memo": set(),
    "paths": set(),
    "hosts": {"gate"},
    "obscuring": set(),
    "locations": {"paths"},
    "backends": set(),
    "parameters": {"backends", "engine", "hosts", "remote_words"},
    "offload": set(),
    "browsers": set(),
    "database": {"addresses", "postgres", "private"},
    "database_lock": {"addresses", "lock", "postgres", "private"},
    "postgres": set(),
    "extensions": set(),
    "tree": set(),
    "lifeline": set(),
    "pools": set(),
    "lock": set(),
    "logs": set(),
    "models": {"database"},
    "rendering": {"models"},  # for types alone, see below
    "queue": set(),
    "live": {"extensions", "models", "queue", "rendering", "rooms"},
    "services.audit": {"database", "models"},
    "services.passwords": {"offload"},
    "services.sessions": {"database", "live", "models", "services.audit"},
    "services.callers": {"database", "live", "models", "services.sessions"},
    "services.sign_in_limits": {"models"},
    "services.sealing": set(),
    "services.one_time_codes": {"models", "services.sealing"},
    "services.proofs": {"database", "models", "services.passwords", "services.sign_in_limits"},
    "services.second_factor": {
        "database",
        "live",
        "models",
        "services.audit",
        "services.one_time_codes",
        "services.proofs",
        "services.sealing",
        "services.sessions",
    },
    "services.half_way": {
        "database",
        "models",
        "services.sealing",
        "services.sessions",
        "services.sign_in",
    },
    "services.oidc": set(),
    "services.single_sign_on": {
        "database",
        "models",
        "services.accounts",
        "services.audit",
        "services.oidc",
        "services.sign_in",
    },
    "services.sign_in": {
        "database",
        "live",
        "models",
        "services.audit",
        "services.passwords",
        "services.second_factor",
        "services.sessions",
        "services.sign_in_limits",
    },
    "services.accounts": {
        "database",
        "live",
        "models",
        "services.audit",
        "services.passwords",
        "services.sessions",
        "services.tokens",
    },
    "services.password_links": {
        "database",
        "live",
        "models",
        "services.accounts",
        "services.audit",
        "services.passwords",
        "services.sessions",
    },
    "services.totals": {"database", "models"},
    "services.history": {"database", "locations", "models", "services.audit", "services.totals"},
    "services.places": {
        "backends",
        "database",
        "engine",
        "models",
        "paths",
        "services.sealing",
        "settings",
    },
    "services.transitions": {"database", "live", "models", "services.places", "services.totals"},
    "services.reports": {
        "database",
        "live",
        "models",
        "services.places",
        "services.transitions",
    },
    "services.workers": {"database", "live", "models", "pools", "services.audit"},
    "services.recovery": {
        "database",
        "live",
        "models",
        "services.places",
        "services.reports",
        "services.transitions",
    },
    "services.idempotency": {"models"},
    "services.connections": {
        "backends",
        "database",
        "engine",
        "hosts",
        "models",
        "obscuring",
        "parameters",
        "services.sealing",
    },
    "services.remotes": {
        "backends",
        "database",
        "locations",
        "models",
        "parameters",
        "paths",
        "services.audit",
        "services.connections",
        "services.sealing",
    },
    "services.folders": {
        "database",
        "engine",
        "locations",
        "models",
        "offload",
        "paths",
        "services.audit",
        "services.connections",
        "services.remotes",
    },
    "services.key_rotation": {"database", "models", "services.audit", "services.sealing"},
    "services.jobs": {
        "database",
        "live",
        "models",
        "services.audit",
        "services.idempotency",
        "services.places",
        "services.remotes",
        "services.transitions",
    },
    "services.control": {
        "database",
        "live",
        "models",
        "services.audit",
        "services.transitions",
    },
    "services.waiting": {"database", "models", "services.places", "services.workers"},
    "services.plans": {
        "database",
        "models",
        "services.jobs",
        "services.places",
        "services.transitions",
    },
    "services.statistics": {"database", "models", "services.jobs"},
    "charts": {"models", "rendering", "services.statistics"},
    "services.readiness": {"database", "engine", "services.workers", "settings"},
    "own_files": {"engine", "settings", "tree"},
    "services.tokens": {"database", "models", "services.audit"},
    "series": set(),
    "log_text": set(),
    "services.job_logs": {"database", "log_text", "models", "offload"},
    "services.log_reading": {"database", "log_text", "models"},
    "services.job_speeds": {"database", "models", "series"},
    "records": {"database", "engine", "series", "services.job_logs", "services.job_speeds"},
    "worker": {
        "database",
        "engine",
        "locations",
        "models",
        "own_files",
        "paths",
        "records",
        "pools",
        "services.connections",
        "services.places",
        "services.recovery",
        "services.reports",
        "services.sealing",
        "services.workers",
        "settings",
        "",
    },
    "executors": {"engine", "settings", "worker"},
    "access": {"database", "extensions", "models", "services"},
    "startup": {
        "database",
        "engine",
        "models",
        "own_files",
        "services.accounts",
        "services.passwords",
        "settings",
    },
    "supervisor": {
        "database",
        "database_lock",
        "lock",
        "migrate",
        "settings",
        "startup",
        "stopping",
        "tree",
    },
    "forms": {"locations", "models", "services", "validation"},
    "remote_form": {"backends", "models", "parameters", "remote_words", "services"},
    "remote_words": set(),
    "validation": {"locations", "paths", "pools", "services.jobs"},
    "error_pages": {"access", "database", "extensions"},
    "metrics": {"services", "sockets", ""},
    "checks": set(),
    "compression": set(),
    "headers": set(),
    "releases": set(),
    "origins": {"headers"},
    "frames": set(),
    "heads": set(),
    "fanout": {"frames", "heads", "queue"},
    "base_path": {"addresses"},
    "cookies": set(),
    "polls": {"access", "cookies", "headers", "models", "services"},
    "guard": {"cookies", "database", "headers", "origins", "services"},
    "routes": {
        "access",
        "backends",
        "charts",
        "database",
        "error_pages",
        "forms",
        "locations",
        "log_text",
        "metrics",
        "models",
        "origins",
        "parameters",
        "pools",
        "remote_form",
        "remote_words",
        "rendering",
        "services",
        "validation",
    },
    "sockets": {"access", "database", "extensions", "rooms", "services"},
}

#: The composition: what puts the rooms together and is imported by none of them.
TOP = {"cli", "demo", "factory", "migrate", "serve", "work", "services", ""}

#: Room → what it must never import, whatever the table above comes to say.
NEVER = {
    "settings": {"flask", "sqlalchemy", "portal.database"},
    "states": {"flask", "sqlalchemy", "portal.database"},
    "models": {"flask", "portal.services", "portal.routes"},
    "rendering": {"flask", "flask_login", "sqlalchemy", "portal.database"},
    "live": {"portal.services", "portal.routes", "portal.database", "sqlalchemy"},
    "services.reports": {"portal.routes", "portal.executors", "portal.worker"},
    "services.jobs": {"portal.routes", "portal.executors", "portal.worker", "portal.engine"},
    "worker": {"portal.routes", "portal.services.jobs", "flask"},
    "executors": {"portal.routes", "portal.services", "flask"},
    "routes": {"portal.engine", "portal.worker", "portal.live"},
    "sockets": {"portal.engine", "portal.worker", "portal.live"},
    "cli": {"portal.engine", "portal.worker", "portal.live"},
}


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of portal by its name below it: ``services.jobs``, ``engine``."""
    for path in sorted(PORTAL.rglob("*.py")):
        parts = path.relative_to(PORTAL).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


@cache
def trees() -> list[tuple[str, ast.Module]]:
    return [(name, ast.parse(path.read_text(encoding="utf-8"))) for name, path in modules()]


@cache
def imported(tree: ast.AST) -> set[str]:
    """Full names of all modules that are imported anywhere in it, in functions too."""
    names = {module for module, _ in trees()}
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            module = node.module or ""
            below = module.removeprefix("portal").lstrip(".")
            for alias in node.names:
                inner = f"{below}.{alias.name}".lstrip(".")
                is_module = module.split(".")[0] == "portal" and inner in names
                found.add(f"portal.{inner}" if is_module else module)
    return found


def lies_in(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def room_of(module: str, rooms: dict[str, set[str]]) -> str | None:
    return next((room for room in rooms if lies_in(module, room)), None)


def test_every_room_imports_what_the_table_allows_and_nothing_else() -> None:
    wrong = []
    for module, tree in trees():
        room = room_of(module, MAY)
        if room is None:
            assert module in TOP, f"{module} has no line in MAY: say what it may import"
            continue
        allowed = MAY[room] | NEUTRAL | {room}
        for name in imported(tree):
            inner = name.removeprefix("portal").lstrip(".")
            if not lies_in(name, "portal") or (inner == "" and "" in allowed):
                continue
            if not any(lies_in(inner, one) for one in allowed if one):
                wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_no_room_imports_what_it_must_never_know() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, tree in trees()
        for name in imported(tree)
        if (room := room_of(module, NEVER)) and any(lies_in(name, one) for one in NEVER[room])
    ]
    assert wrong == []


@pytest.mark.parametrize("room", sorted({*MAY, *NEVER}))
def test_every_room_of_the_tables_exists(room: str) -> None:
    assert any(lies_in(module, room) for module, _ in modules())


def test_engine_stands_on_the_standard_library_alone() -> None:
    for module, tree in trees():
        if lies_in(module, "engine"):
            outside = {name.split(".")[0] for name in imported(tree)} - {"portal"}
            assert outside <= sys.stdlib_module_names, module


def test_rendering_takes_models_for_their_types_alone() -> None:
    tree = next(tree for module, tree in trees() if module == "rendering")
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            assert node.module != "portal.models"


def calls(tree: ast.AST, name: str) -> bool:
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == name
        for node in ast.walk(tree)
    )


def test_live_alone_emits() -> None:
    emitting = {module for module, tree in trees() if calls(tree, "emit")}
    # The fan-out passes on, by super(), what live has emitted.
    assert {module for module in emitting if not lies_in(module, "fanout")} == {"live"}


def test_services_alone_commit() -> None:
    committing = [module for module, tree in trees() if calls(tree, "commit")]
    assert committing
    assert [module for module in committing if not lies_in(module, "services")] == []


def test_eventlet_is_named_by_the_start_and_the_fan_out_alone() -> None:
    naming = {
        module for module, tree in trees() if any(lies_in(n, "eventlet") for n in imported(tree))
    }
    assert [module for module in naming if not lies_in(module, "fanout")] == []
    assert "eventlet" in imported(ast.parse((ROOT / "manage.py").read_text(encoding="utf-8")))


def test_nothing_patches_the_process_but_manage() -> None:
    assert [module for module, tree in trees() if calls(tree, "monkey_patch")] == []


def test_importing_the_package_imports_nothing_of_it() -> None:
    tree = next(tree for module, tree in trees() if module == "")
    at_the_top = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert {node.module for node in at_the_top if isinstance(node, ast.ImportFrom)} <= {
        "__future__",
        "typing",
    }
