"""What was measured, in a form that somebody else can repeat and compare."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
#: One round of each, to see that they work; what they print is then no measurement.
QUICK = bool(os.environ.get("BENCH_QUICK"))
HEAD = """# Performance

The scripts in `bench/` measured these figures. `make bench` runs them all and rewrites these
sections. Each script runs what it compares by turns, so a busy machine slows both sides alike.
"""


def publish(title: str, command: str, text: str) -> None:
    """Prints a section and puts it in its place in docs/performance.md, unless it was quick."""
    where = f"`{command}`, {datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {machine()}"
    section = f"## {title}\n\n{where}\n\n{text.strip()}\n"
    print(f"\n{section}", flush=True)
    if QUICK:
        return
    page = PAGE.read_text() if PAGE.exists() else HEAD
    there = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if there.search(page):
        page = there.sub(lambda _found: f"{section}\n", page)
    else:
        page = f"{page.rstrip()}\n\n{section}"
    PAGE.write_text(page.rstrip() + "\n")


def rounds(number: int) -> int:
    return 1 if QUICK else number


def table(rows: dict[str, list[float]], unit: str, digits: int = 2) -> str:
    """One line a series: its median, least and greatest."""
    lines = [f"| {unit} | median | min | max | n |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, values in rows.items():
        figures = (median(values), min(values), max(values))
        shown = " | ".join(f"{figure:.{digits}f}" for figure in figures)
        lines.append(f"| {name} | {shown} | {len(values)} |")
    return "\n".join(lines)


def verdict(name: str, value: float, limit: float) -> str:
    held = "held" if value <= limit else "MISSED"
    return f"- {name}: **{value:.2f}**, at most {limit:g} wanted: {held}"


def commit() -> str:
    asked = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    known = subprocess.run(asked, capture_output=True, text=True, check=False)
    changed = subprocess.run(
        ["git", "-C", str(ROOT), "status", "--porcelain", "--", "portal", "templates"],
        capture_output=True,
        text=True,
        check=False,
    )
    return (known.stdout.strip() or "unknown") + (" with changes" if changed.stdout.strip() else "")


def machine() -> str:
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} × {model[1] if model else platform.machine()}, {memory:.0f} GiB, "
        f"Linux {platform.release().split('-')[0]}, Python {sys.version.split()[0]}, "
        f"load {load:.1f} at the end"
    )
