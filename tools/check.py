"""The one list of checks, for a developer and for CI alike: `python -m tools.check`."""

from __future__ import annotations

import os
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

# Processes of tests that work: one for each core of the smallest machine, and two for the time in
# which the others wait for a server or for rclone.
WORKING = 4
# And of those that wait three quarters of their time. They run beside the ones that work, and go
# before them: to start a server takes the processor for a second, and somebody waits for it. With
# more processes deadlines are missed.
WAITING = 3
POLITE = ["nice", "-n", "10"]

PYTHON = [sys.executable, "-m"]

Check = tuple[str, list[str]]


def run_checks() -> int:
    """Gives 0 if all checks passed, and otherwise the exit code of one that failed.

    Those of a second stop at once. Of the long ones all are run, so that one run says all there is
    to mend.
    """
    # Where it is set, each process that a test starts would compile the portal anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for check in at_once():
        if code := run(check):
            return code
    with ThreadPoolExecutor(2) as meanwhile:
        waiting = [(check, meanwhile.submit(run_silently, check)) for check in beside()]
        code = run(tests())
        for (heading, command), done in waiting:
            ended = done.result()
            say(heading)
            if ended.returncode != 0 or "pytest" in command:
                click.echo(ended.stdout.rstrip())
            if ended.returncode != 0:
                say_failed(heading, command)
                code = code or ended.returncode
    code = run(alone()) or code
    return code or coverage_is_enough()


def run(check: Check) -> int:
    heading, command = check
    say(heading)
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code != 0:
        say_failed(heading, command)
    return code


def run_silently(check: Check) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        check[1], cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def say(heading: str) -> None:
    click.echo(click.style(f"\n{heading}", bold=True))


def say_failed(heading: str, command: list[str]) -> None:
    click.echo(f"\nFailed: {heading}\n{' '.join(command[:9])}", err=True)


def at_once() -> Iterator[Check]:
    """The checks that take a second."""
    yield "Format", [*PYTHON, "ruff", "format", "--check", "."]
    yield "Lint", [*PYTHON, "ruff", "check", "."]
    yield "JavaScript format and lint", ["node_modules/.bin/biome", "check", "--error-on-warnings"]


def beside() -> Iterator[Check]:
    """The checks that run beside the tests that work."""
    # Real processes that are killed, frozen and waited for.
    yield "Patient tests", [*PYTHON, "pytest", *processes(WAITING), "-m", "patient"]
    yield "Types", [*POLITE, *PYTHON, "mypy"]
    yield "JavaScript types", [*POLITE, "node_modules/.bin/tsc"]
    # By file names: Node 20 and later versions understand a folder differently.
    scripts = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("tests/js/**/*.test.*js"))]
    yield "JavaScript", [*POLITE, "node", "--test", *scripts]


def tests() -> Check:
    """Coverage is of these alone, and not of the portals and workers that they start: to measure
    one costs half a second of processor at its start, and a third more afterwards."""
    measured = ["pytest", "--cov", "--cov-report=", "--cov-fail-under=0"]
    those = ["-m", "not patient and not exclusive"]
    return "Tests and docs", [*POLITE, *PYTHON, *measured, *processes(WORKING), *those]


def alone() -> Check:
    """These measure: nothing runs beside them."""
    return "Tests that run alone", [*PYTHON, "pytest", "-m", "exclusive"]


def processes(number: int) -> list[str]:
    """tests/conftest.py says which tests stay together."""
    return ["-n", str(number), "--dist", "loadscope"]


def coverage_is_enough() -> int:
    """Prints nothing when all is well: pytest's closing line stays the last one."""
    stricter = [f"--include={STRICTER}", f"--fail-under={STRICTER_PERCENT}"]
    for options in (["report"], ["report", *stricter]):
        done = subprocess.run(
            [*PYTHON, "coverage", *options],
            cwd=ROOT, check=False, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode != 0:
            click.echo(f"\nCoverage: {' '.join(options)}\n{done.stdout}{done.stderr}", err=True)
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(run_checks())
