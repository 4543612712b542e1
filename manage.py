#!/usr/bin/env python3
"""Prepares the process for the command, then hands over to ``portal.cli``."""

import os
import sys
import warnings
from typing import Any

from portal.runtime import imports
from portal.server import green_threads, process_one


def main() -> None:
    server: dict[str, Any] = {}
    if process_one.begin(sys.argv[1:]):
        # Only a serving process uses eventlet, which has to patch before other imports.
        os.environ.setdefault("PSYCOPG_WAIT_FUNC", "wait_select")
        warnings.filterwarnings("ignore", message=r"(?s).*Eventlet is deprecated")
        with imports.all_kept():
            import eventlet
            from eventlet import patcher, tpool

            eventlet.monkey_patch()  # in the block: it looks through all that is not kept yet
            green_threads.mend_join()
        server = {"async_mode": "eventlet", "offload": tpool.execute}
        server["thread"] = patcher.original("threading").Thread
    with imports.all_kept():
        from portal.cli import cli

    cli(obj=server)


if __name__ == "__main__":
    main()
