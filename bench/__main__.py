"""Runs every benchmark, one after the other. One that fails, or takes too long, spoils no other."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench.report import QUICK

MAX_SECONDS = 25 * 60
NO_BENCHMARKS = ("report.py", "server.py")


def run(name: str) -> bool:
    """Whether it came to its end; what it started is gone in either case."""
    begun = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", f"bench.{name}"], start_new_session=True)
    try:
        code: int | str = process.wait(MAX_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGINT)  # it ends its servers, if it can
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        code = "too long"
    took = time.monotonic() - begun
    print(f"bench.{name}: {took:.0f} s, ended with {code}", file=sys.stderr, flush=True)
    return code == 0


def main() -> None:
    names = [path.stem for path in sorted(Path(__file__).parent.glob("[a-z]*.py"))
             if path.name not in NO_BENCHMARKS]  # fmt: skip
    if QUICK:
        print("quick: few rounds, and nothing is written", file=sys.stderr, flush=True)
    failed = [name for name in names if not run(name)]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
