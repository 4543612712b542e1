"""Runs courses until one fails: ``python -m tests.simulation 1000000``, or one of them again, with
its story: ``python -m tests.simulation --seed 4711``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.world import Failed, replay, run

#: How many courses one process runs at a time.
_BATCH = 2000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("courses", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--seed", type=int, help="replay this course alone, and tell its story")
    parser.add_argument("--first", type=int, help="the first seed; by default another each time")
    chosen = parser.parse_args()
    if chosen.seed is not None:
        print(replay(chosen.seed))  # noqa: T201 - for people at a terminal
        return 0
    first = time.time_ns() // 1000 if chosen.first is None else chosen.first
    print(f"Seeds {first} to {first + chosen.courses - 1}")  # noqa: T201
    batches = [
        range(begin, min(begin + _BATCH, first + chosen.courses))
        for begin in range(first, first + chosen.courses, _BATCH)
    ]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for failed in pool.map(first_failure, batches):
            if failed:
                pool.shutdown(cancel_futures=True)
                print(failed)  # noqa: T201
                return 1
    print(f"{chosen.courses} courses, all well")  # noqa: T201
    return 0


def first_failure(seeds: range) -> str:
    """Returns the story of the first course that fails; empty if none does."""
    for seed in seeds:
        try:
            run(seed)
        except Failed as failed:
            return str(failed)
    return ""


if __name__ == "__main__":
    sys.exit(main())
