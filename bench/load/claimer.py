"""A worker whose jobs do nothing: it claims the next one and ends it, until none is left."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from portal.db import session
from portal.runtime.context import current
from portal.services.jobs import reports, scheduler
from portal.services.jobs.claims import Claim
from portal.services.jobs.reports import Ending
from portal.services.runtime import make_runtime
from portal.settings import load_settings
from portal.worker.executors import NullExecutor


def work() -> int:
    """Returns how many jobs it has ended."""
    ended = 0
    while (job := scheduler.find_next([None])) is not None:
        claimed = scheduler.claim(job, f"bench:{os.getpid()}")
        if claimed is not None:
            reports.finish(Claim(claimed.id, claimed.attempt), Ending(True, None, 0), None)
            ended += 1
        session.session.remove()
    return ended


def main() -> None:
    folder, url = sys.argv[1:]
    settings = load_settings(data_dir=Path(folder), database_url=url)
    session.connect(settings.database_url)
    current().put(make_runtime(settings, settings.transfer_roots, NullExecutor()))
    print("ready", flush=True)
    for _ in sys.stdin:
        print(work(), flush=True)


if __name__ == "__main__":
    main()
