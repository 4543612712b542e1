"""The one list of checks, for a developer and for CI alike."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent

# What moves people's data is held to more than the rest.
STRICTER = "portal/engine/*,portal/services/*,portal/worker/*"
STRICTER_PERCENT = 95

# Most tests wait for a server or a browser more than they work.
SIDE_BY_SIDE = 3

Check = tuple[str, list[str]]


def run_checks() -> int:
    """Runs each check in turn and stops at the first that fails; gives its exit code."""
    if not (ROOT / "tests").is_dir():
        click.echo("The checks need a checkout of the sources; this is an installed portal.")
        return 2
    for heading, command in checks():
        click.echo(click.style(f"\n{heading}", bold=True))
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        if code != 0:
            click.echo(f"\nFailed: {heading} ({' '.join(command[:6])})", err=True)
            return code
    return stricter_coverage()


def checks() -> Iterator[Check]:
    python = [sys.executable, "-m"]
    yield "Format", [*python, "ruff", "format", "--check", "."]
    yield "Lint", [*python, "ruff", "check", "."]
    yield "Types", [*python, "mypy"]
    # By name: a folder means one thing to Node 20 and another to later versions.
    scripts = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("tests/js/**/*.test.*js"))]
    yield "JavaScript", ["node", "--test", *scripts]
    tests = [*python, "pytest", "--cov", "--cov-report="]
    several = ["-n", str(SIDE_BY_SIDE), "--dist", "loadfile"]
    yield "Tests and docs", [*tests, *several, "-m", "not alone", "--cov-fail-under=0"]
    # Those that measure time, or take all the machine has.
    yield "Tests that run alone", [*tests, "-m", "alone", "--cov-append"]


def stricter_coverage() -> int:
    """Says nothing when all is well, so that the closing line of pytest stays the last one."""
    command = ["coverage", "report", f"--include={STRICTER}", f"--fail-under={STRICTER_PERCENT}"]
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        click.echo(f"\nCoverage of {STRICTER}\n{done.stdout}{done.stderr}", err=True)
    return done.returncode
