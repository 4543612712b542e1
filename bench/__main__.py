"""Runs every benchmark, one after the other."""

import subprocess
import sys
from pathlib import Path

for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
    if path.name not in ("report.py", "server.py"):
        subprocess.run([sys.executable, "-m", f"bench.{path.stem}"], check=True)
