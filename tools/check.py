"""The one list of checks, for a developer and for CI alike: `python -m tools.check`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent

# The code that moves people's data needs more coverage than the rest.
STRICTER = "portal/engine/**,portal/services/**,portal/worker/**"
STRICTER_PERCENT = 95

# One for each core of the smallest machine. With more, servers wait so long for the processor that
# tests miss deadlines.
SIDE_BY_SIDE = 2

PYTHON = [sys.executable, "-m"]

Check = tuple[str, list[str]]


def run_checks() -> int:
    """Gives 0 if all checks passed, and otherwise the exit code of one that failed.

    Those of a second stop at once. Of the long ones all are run, so that one run says all there is
    to mend.
    """
    for check in at_once():
        if code := run(check):
            return code
    with ThreadPoolExecutor(1) as meanwhile:
        waiting = [(check, meanwhile.submit(run_silently, check)) for check in beside()]
        code = next(filter(None, [run(check) for check in tests()]), 0)
        for (heading, _), done in waiting:
            if (ended := done.result()).returncode != 0:
                say_failed(heading, ended.stdout)
                code = code or ended.returncode
    return code or coverage_is_enough()


def run(check: Check) -> int:
    heading, command = check
    click.echo(click.style(f"\n{heading}", bold=True))
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code != 0:
        say_failed(heading, " ".join(command[:6]))
    return code


def run_silently(check: Check) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        check[1], cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def say_failed(heading: str, why: str) -> None:
    click.echo(f"\nFailed: {heading}\n{why}", err=True)


def at_once() -> Iterator[Check]:
    """The checks that take a second."""
    yield "Format", [*PYTHON, "ruff", "format", "--check", "."]
    yield "Lint", [*PYTHON, "ruff", "check", "."]
    yield "JavaScript format and lint", ["node_modules/.bin/biome", "check", "--error-on-warnings"]


def beside() -> Iterator[Check]:
    """The checks that run beside the tests, which mostly wait."""
    yield "Types", [*PYTHON, "mypy"]
    yield "JavaScript types", ["node_modules/.bin/tsc"]
    # By file names: Node 20 and later versions understand a folder differently.
    scripts = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("tests/js/**/*.test.*js"))]
    yield "JavaScript", ["node", "--test", *scripts]


def tests() -> Iterator[Check]:
    pytest = [*PYTHON, "pytest"]
    measured = [*pytest, "--cov", "--cov-report=", "--cov-fail-under=0"]
    several = ["-n", str(SIDE_BY_SIDE), "--dist", "loadfile"]
    yield "Tests and docs", [*measured, *several, "-m", "not patient and not exclusive"]
    # Real processes that are killed, frozen and waited for.
    yield "Patient tests", [*measured, *several, "-m", "patient", "--cov-append"]
    # These measure: nothing runs beside them, and no coverage tracer inside them.
    yield "Tests that run alone", [*pytest, "-m", "exclusive"]


def coverage_is_enough() -> int:
    """Prints nothing when all is well: pytest's closing line stays the last one."""
    stricter = [f"--include={STRICTER}", f"--fail-under={STRICTER_PERCENT}"]
    for options in ([], stricter):
        done = subprocess.run(
            [*PYTHON, "coverage", "report", *options],
            cwd=ROOT, check=False, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode != 0:
            click.echo(f"\nCoverage {' '.join(options)}\n{done.stdout}{done.stderr}", err=True)
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(run_checks())
