"""Who may import whom: the rooms of the house, held by walking the imports of every module."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from tests.support.project import ROOT

PORTAL = ROOT / "portal"
ARCHITECTURE = ROOT / "docs" / "architecture.md"

#: From the top of the house down. A room may import the rooms of lower floors, never one of its own
#: floor or above; what stands beside it here is what it holds.
FLOORS: tuple[dict[str, str], ...] = (
    {"cli": "the command line"},
    {"server": "processes, ports, signals"},
    {"app": "the factory `create_app(settings)`"},
    {
        "web": "HTTP and sockets in, HTML and JSON out",
        "worker": "everything between a queued row and rclone",
    },
    {"services": "the only writers; they commit, then publish"},
    {"realtime": "everything between a commit and a browser's socket"},
    {"presentation": "figures and states as words"},
    {
        "models": "the tables, one file per noun",
        "remotes": "what may be asked of a storage elsewhere",
    },
    {
        "db": "engine and sessions, migrations, the database's clock",
        "engine": "rclone: command line, processes, statistics, safety",
    },
    {"settings": "every `PORTAL_*` variable"},
    {"runtime": "what every process needs: logging, files, threads, signals"},
    {"transfers": "what may be asked of a transfer: pure rules"},
    {"errors": "what services raise"},
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

#: The same within the engine: folders, and the few modules that stand beside them.
ENGINE: tuple[dict[str, str], ...] = (
    {"run": "one attempt of a job"},
    {"rclone_runner": "its rclones, one after another, and what people ask of them meanwhile"},
    {"precautions": "its steps before anything may be deleted"},
    {"running": "one rclone that transfers: started, steered, watched, ended; how it has ended"},
    {"safety": "what is proven about both ends, and by what: places, names, marker files"},
    {"answers": "short runs of rclone that answer a question: lists, what a source is"},
    {"failures": "why it failed, in words, and whether another try may help"},
    {"order": "what rclone is told: command line, environment, remotes, what it may reach"},
    {"output": "what rclone says, parsed: log, figures, plan, report"},
    {"process": "processes of this machine: confined, held as a group, watched; the egress proxy"},
    {
        "errors": "the one error",
        "markers": "names of marker files",
        "partials": "names of files that are not whole yet",
    },
)
ENGINE_FLOOR_OF = {part: number for number, parts in enumerate(ENGINE) for part in parts}

#: Outside of the package that a room must not know, whatever its floor.
NEVER = {
    "settings": {"flask", "sqlalchemy"},
    "transfers": {"flask", "sqlalchemy"},
    "remotes": {"flask", "sqlalchemy"},
    "models": {"flask"},
    "presentation": {"flask", "flask_login"},
    "worker": {"flask"},
    "services": {"flask", "flask_login", "flask_socketio"},
}


@cache
def modules() -> dict[str, Path]:
    """Every module of portal by its name below it: ``services.jobs.create``; ``""`` is portal."""
    return {
        ".".join(part for part in parts if part != "__init__"): path
        for path in sorted(PORTAL.rglob("*.py"))
        if (parts := path.relative_to(PORTAL).with_suffix("").parts)
    }


@cache
def trees() -> tuple[tuple[str, ast.Module], ...]:
    return tuple(
        (name, ast.parse(path.read_text(encoding="utf-8"))) for name, path in modules().items()
    )


def room_of(module: str) -> str:
    return module.partition(".")[0]


def imported(tree: ast.AST) -> set[str]:
    """Full names of all modules that are imported anywhere in it, in functions too."""
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
                is_module = module.split(".")[0] == "portal" and inner in modules()
                found.add(f"portal.{inner}" if is_module else module)
    return found


def of_ours(tree: ast.AST) -> set[str]:
    """The modules of portal among them, by their names below it."""
    return {
        name.removeprefix("portal").lstrip(".")
        for name in imported(tree)
        if name.split(".")[0] == "portal"
    }


def test_every_module_stands_in_a_room_that_is_known() -> None:
    unknown = [name for name in modules() if name and room_of(name) not in FLOOR_OF]
    assert unknown == []


@pytest.mark.parametrize("room", sorted(FLOOR_OF))
def test_every_room_of_the_list_exists(room: str) -> None:
    assert any(room_of(module) == room for module in modules())


def test_imports_lead_down_the_house() -> None:
    wrong = [
        f"{module} imports portal.{name}"
        for module, tree in trees()
        if module
        for name in of_ours(tree)
        if room_of(name) != room_of(module)
        and FLOOR_OF.get(room_of(name), -1) <= FLOOR_OF[room_of(module)]
    ]
    assert wrong == []


def test_the_engine_knows_the_standard_library_and_the_rules_of_transfers_alone() -> None:
    may = sys.stdlib_module_names | {"orjson"}  # docs/decisions/0037
    for module, tree in trees():
        if room_of(module) == "engine":
            outside = {name.split(".")[0] for name in imported(tree)} - {"portal"}
            assert outside <= may, module
            assert {room_of(name) for name in of_ours(tree)} <= {"engine", "transfers"}, module


def part_of(module: str) -> str:
    """``engine.output.log`` → ``output``; of what engine/__init__.py offers to others, nothing."""
    return module.partition(".")[2].partition(".")[0]


def test_imports_lead_down_the_engine() -> None:
    wrong = [
        f"{module} imports portal.{name}"
        for module, tree in trees()
        if room_of(module) == "engine" and part_of(module)
        for name in of_ours(tree)
        if room_of(name) == "engine"
        and part_of(name) != part_of(module)
        and ENGINE_FLOOR_OF.get(part_of(name), -1) <= ENGINE_FLOOR_OF[part_of(module)]
    ]
    assert wrong == []


def test_every_part_of_the_engine_stands_in_its_list() -> None:
    there = {part_of(module) for module in modules() if room_of(module) == "engine"}
    assert there - {""} == set(ENGINE_FLOOR_OF)


def test_folders_of_the_engine_say_what_they_hold_and_import_nothing() -> None:
    folders = {
        module: tree
        for module, tree in trees()
        if module.startswith("engine.") and modules()[module].name == "__init__.py"
    }
    assert folders
    for module, tree in folders.items():
        assert ast.get_docstring(tree), module
        assert len(tree.body) == 1, module


def test_no_room_imports_what_it_must_never_know() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, tree in trees()
        for name in imported(tree)
        if name.split(".")[0] in NEVER.get(room_of(module), ())
    ]
    assert wrong == []


def test_nothing_of_ours_is_imported_by_a_string() -> None:
    # Such an import is one that the tests above cannot see.
    hidden = [
        f"{module}:{node.lineno}"
        for module, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", ""))
        in ("import_module", "__import__")
    ]
    assert hidden == []


def calls(tree: ast.AST, name: str) -> bool:
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == name
        for node in ast.walk(tree)
    )


def test_publish_alone_emits() -> None:
    emitting = {module for module, tree in trees() if calls(tree, "emit")}
    # The fan-out passes on, by super(), what publish has emitted.
    outside = {module for module in emitting if not module.startswith("realtime.fanout")}
    assert outside == {"realtime.publish"}


def test_services_alone_commit() -> None:
    committing = [module for module, tree in trees() if calls(tree, "commit")]
    assert committing
    assert [module for module in committing if room_of(module) != "services"] == []


def test_eventlet_is_named_by_the_start_and_the_fan_out_alone() -> None:
    naming = {
        module
        for module, tree in trees()
        if any(name.split(".")[0] == "eventlet" for name in imported(tree))
    }
    outside = [m for m in naming if not m.startswith(("realtime.fanout", "server"))]
    assert outside == []
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


# --- the tests ----------------------------------------------------------------------------------


def test_no_test_imports_a_test() -> None:
    # Nor a conftest, whose names are for pytest: what two files share stands in tests/support.
    wrong = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in ("tests", "bench")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r" *(from|import) tests\b.*\b(test_|conftest\b)", line)
    ]
    assert wrong == []


def test_benchmarks_take_from_the_tests_what_is_shared_alone() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted((ROOT / "bench").rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r" *(from|import) tests\b(?!\.support\b)", line)
    ]
    assert wrong == []


def test_programs_in_strings_import_modules_that_exist() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if (found := re.match(r"\W*from portal\.?([\w.]*) import (\w+)", line))
        and found[1] not in modules().keys() - {""}
        and found[2] not in modules()
    ]
    assert wrong == []


#: Classes of one name: a remote as rclone gets it, and as the database keeps it.
SHARED_NAMES = {"Remote": {"engine.order.remotes", "models.remote"}}


def test_every_class_has_a_name_of_its_own() -> None:
    """The shapes of the API are left out: their names are public, as its schemas."""
    named = defaultdict(list)
    for module, tree in trees():
        if not module.startswith("web.routes.api."):
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    named[node.name].append(module)
    shared = {name: set(places) for name, places in named.items() if len(places) > 1}
    assert len(named) > 200
    assert shared == SHARED_NAMES


def test_every_shape_of_the_api_has_a_name_of_its_own() -> None:
    names = [
        node.name
        for module, tree in trees()
        if module.startswith("web.routes.api.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    ]
    assert names
    assert sorted(names) == sorted(set(names))


def table(floors: tuple[dict[str, str], ...], heading: str) -> str:
    """One of the tables of docs/architecture.md."""
    rows = [
        f"| {number} | {', '.join(f'`{room}`' for room in rooms)} | {'; '.join(rooms.values())} |"
        for number, rooms in enumerate(floors, 1)
    ]
    return "\n".join([f"| floor | {heading} | what they hold |", "| --- | --- | --- |", *rows])


@pytest.mark.parametrize(("floors", "heading"), [(FLOORS, "rooms"), (ENGINE, "parts")])
def test_the_documents_show_the_same_house(
    floors: tuple[dict[str, str], ...], heading: str
) -> None:
    said = ARCHITECTURE.read_text(encoding="utf-8")
    shown = table(floors, heading)
    assert shown in said, f"docs/architecture.md should hold:\n{shown}"
