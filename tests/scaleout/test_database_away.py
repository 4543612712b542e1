"""The database is away, cut off or changed under the workers: each job ends once, in the right
status, with equal files and no rclone left.

Leases last a part of their real time here, see ``SCALE``; what they are held against as well.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from portal.settings import Settings
from tests.support.parts import Postgres
from tests.support.transfers import (
    MIB,
    assert_ended_once,
    fill,
    history,
    rclones,
    status_of,
    tree,
)
from tests.support.waiting import wait_for
from tests.support.worker_process import SCALE, is_moving

pytestmark = pytest.mark.faults


def test_database_that_is_away_for_a_moment_disturbs_no_transfer(
    worker: Any, slow: int, postgres: Postgres, root: Path
) -> None:
    worker()
    wait_for(lambda: is_moving(slow))
    postgres.kill()
    time.sleep(1)  # less than a worker rides through
    postgres.start()
    wait_for(lambda: status_of(slow) == "completed", 20)
    assert history(slow) == ["queued", "running", "completed"]
    assert tree(root / "to") == tree(root / "from")
    assert_ended_once([slow])


def test_worker_that_cannot_reach_the_database_ends_rclone_and_goes_on_when_it_is_back(
    worker: Any, new_job: Any, postgres: Postgres, settings: Settings, root: Path
) -> None:
    source = fill(root / "from", MIB, 16)
    copy = new_job(source=source, bandwidth_limit="1M")
    sync = new_job(
        source=source, destination=root / "synced", operation="sync", bandwidth_limit="1M"
    )
    worker()
    wait_for(lambda: is_moving(copy) and is_moving(sync))
    postgres.freeze()  # it accepts connections and never answers
    frozen_at = time.monotonic()
    wait_for(lambda: rclones(settings.data_dir) == [], 40 * SCALE + 1)
    assert time.monotonic() - frozen_at > 20 * SCALE
    postgres.thaw()
    wait_for(lambda: status_of(copy) == "completed", 30)
    assert history(copy)[1:4] == ["running", "interrupted", "queued"]
    assert history(sync) == ["queued", "running", "interrupted"]
    assert tree(root / "to") == tree(source)
    assert_ended_once([copy])


def test_connections_to_the_database_that_are_cut_disturb_no_transfer(
    worker: Any, slow: int, postgres: Postgres, postgres_url: str, root: Path
) -> None:
    worker()
    wait_for(lambda: is_moving(slow))
    for _ in range(5):
        postgres.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        time.sleep(0.3)
    wait_for(lambda: status_of(slow) == "completed", 20)
    assert history(slow) == ["queued", "running", "completed"]
    assert tree(root / "to") == tree(root / "from")
    assert_ended_once([slow])


def test_tables_that_are_changed_meanwhile_disturb_no_transfer(
    worker: Any, slow: int, postgres_url: str, root: Path
) -> None:
    worker()
    wait_for(lambda: is_moving(slow))
    with psycopg.connect(postgres_url) as migration:
        migration.execute("ALTER TABLE jobs ADD COLUMN later text")
        time.sleep(1)  # as long as a migration locks the table
    wait_for(lambda: status_of(slow) == "completed", 20)
    assert history(slow) == ["queued", "running", "completed"]
    assert tree(root / "to") == tree(root / "from")
