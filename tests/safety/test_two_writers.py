"""Two jobs that write to one place: never at once, whatever the place is called."""

from __future__ import annotations

import itertools
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from portal.db.session import read_connection, session
from portal.engine.safety.places import overlap
from portal.models import Job, JobPlace, Remote, Role
from portal.services.actor import Actor
from portal.services.jobs import (
    blocking,
    claims,
    control,
    create,
    places,
    reports,
    rescue,
    scheduler,
)
from portal.services.jobs.claims import Claim
from portal.services.jobs.places import UsedPlaces
from portal.services.jobs.reports import Ending
from portal.settings import Settings
from portal.transfers.states import FINAL, JobStatus, Operation
from portal.worker.executors.in_process import InProcessExecutor
from tests.support.applications import configure
from tests.support.transfers import (
    MIB,
    Recorder,
    events_of,
    fill,
    startable,
    status_of,
    stored,
    tree,
)
from tests.support.waiting import wait_for

COMPLETED = Ending(True, None, 0)


def end(job_id: int, ending: Ending = COMPLETED) -> None:
    reports.finish(Claim(job_id, stored(job_id).attempt), ending, None)


def claim(job_id: int) -> bool:
    """As a worker does, by what it sees now."""
    try:
        found = places.of_queued(job_id)
        return found is not None and claims.claim(job_id, "test:1", None, found) is not None
    finally:
        session.remove()


def times_of(job_id: int) -> tuple[int, int]:
    """Ids of the events by which it began last, and ended."""
    told = events_of(job_id)
    begun = [event.id for event in told if event.new_status == JobStatus.RUNNING]
    return begun[-1], told[-1].id


# --- what overlaps ------------------------------------------------------------------------------


@pytest.fixture
def same(root: Path) -> Iterator[Path]:
    """Folders that are one under two names: `link` of `to`, and `bound`, `deep/bound` where root
    permits it."""
    (root / "to/inner").mkdir(parents=True)
    (root / "link").symlink_to(root / "to")
    bound = [root / "bound", root / "deep/bound"]
    for folder in bound:
        folder.mkdir(parents=True)
    mounted = [
        folder
        for folder in bound
        if subprocess.run(["mount", "--bind", root / "to", folder], check=False).returncode == 0
    ]
    yield root
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=True)


OVERLAPS = [
    ("to", "to", True),
    ("to", "to/inner", True),
    ("to/inner/new", "to", True),
    ("link", "to/inner", True),
    ("link/new", "to/new/deeper", True),
    (".", "to", True),
    ("to/inner", "to/other", False),
    ("to", "to-old", False),
    ("other", "to", False),
    ("bound/x", "to/x/y", True),
    ("bound", "deep/bound/inner", True),
    # What is mounted below a folder is written to as well.
    ("deep", "to/inner", True),
    ("deep/elsewhere", "to/inner", False),
]


@pytest.mark.parametrize(("first", "second", "waits"), OVERLAPS)
def test_second_job_waits_only_for_what_overlaps(
    same: Path, new_job: Any, first: str, second: str, waits: bool
) -> None:
    if first.startswith(("bound", "deep")) and not (same / "deep/bound/inner").is_dir():
        pytest.skip("nobody but root may mount")
    for one, other in ((first, second), (second, first)):
        source = fill(same.parent / "elsewhere")
        running, behind = (new_job(source=source, destination=same / end) for end in (one, other))
        assert claim(running)
        assert claim(behind) is not waits
        end(running)
        if waits:
            assert claim(behind)
        end(behind)


def test_move_writes_at_its_source_too(root: Path, new_job: Any) -> None:
    source = fill(root / "from")
    moving = new_job(operation=Operation.MOVE, source=source, destination=root / "away")
    into = new_job(source=fill(root / "new"), destination=source / "in")
    assert claim(moving)
    assert not claim(into)
    end(moving)
    assert claim(into)


@pytest.mark.parametrize("operation", [Operation.COPY, Operation.SYNC, Operation.MOVE])
@pytest.mark.parametrize("read", ["between", "between/inner", "."])
def test_job_waits_for_the_one_that_is_filling_its_source(
    root: Path, new_job: Any, operation: Operation, read: str
) -> None:
    """It would take what is not there yet for deleted, or a part for the whole."""
    (root / "between/inner").mkdir(parents=True)
    filling = new_job(source=fill(root.parent / "from"), destination=root / "between")
    then = new_job(operation=operation, source=root / read, destination=root.parent / "backup")
    assert claim(filling)
    assert not claim(then)
    with read_connection() as connection:
        assert blocking.blockers(connection, [then])[then].job_id == filling
    assert startable() == []
    end(filling)
    assert startable() == [then]
    assert claim(then)


#: How the job that fills the source of another one may end, and how it is called then.
UNFILLED = {
    "failed": lambda job_id, _: end(job_id, Ending(False, "No room.", 1)),
    "cancelled": lambda job_id, actor: (control.cancel(job_id, actor=actor), end(job_id)),
    "interrupted": lambda *_: rescue.recover(),
}


@pytest.mark.parametrize("status", UNFILLED)
@pytest.mark.parametrize("read", ["between", "between/inner", "link"])
def test_sync_deletes_nothing_after_a_job_that_did_not_fill_its_source(
    root: Path, new_job: Any, user: Any, execute: Any, status: str, read: str
) -> None:
    (root / "between/inner").mkdir(parents=True)
    (root / "link").symlink_to("between")
    fill(root / "between/inner")
    backup = fill(root / "backup", files=5)
    before = tree(backup)
    filling = new_job(
        operation=Operation.MOVE, source=fill(root / "from"), destination=root / "between"
    )
    then = new_job(operation=Operation.SYNC, source=root / read, destination=backup)
    assert claim(filling)
    assert not claim(then)
    UNFILLED[status](filling, Actor(user("bob")))
    assert status_of(filling) == status
    execute(then)
    job = stored(then)
    assert (job.status, job.files_deleted) == (JobStatus.FAILED, 0)
    assert job.error is not None
    assert job.error.startswith(f"Job {filling}, which was to fill the source, did not complete.")
    assert tree(backup) == before
    again = new_job(operation=Operation.SYNC, source=root / read, destination=backup)
    execute(again)
    assert status_of(again) == JobStatus.COMPLETED


@pytest.mark.parametrize("operation", [Operation.COPY, Operation.MOVE])
def test_sync_deletes_nothing_after_a_chain_whose_first_job_did_not_fill_its_part(
    root: Path, new_job: Any, user: Any, execute: Any, browser: Any, operation: Operation
) -> None:
    backup = fill(root / "backup", files=5)
    before = tree(backup)
    fill(root / "one")
    filling = new_job(source=fill(root / "from"), destination=root / "one")
    middle = new_job(operation=operation, source=root / "one", destination=root / "two")
    last = new_job(operation=operation, source=root / "two", destination=root / "three")
    then = new_job(operation=Operation.SYNC, source=root / "three", destination=backup)
    assert claim(filling)
    UNFILLED["cancelled"](filling, Actor(user("bob")))
    for job_id in (middle, last):
        execute(job_id)
        job = stored(job_id)
        assert (job.status, job.unfilled_source_id) == (JobStatus.COMPLETED, filling)
        page = browser("bob").get(f"/jobs/{job_id}").text
        assert f"Job {filling}</a>, which was to fill it, did not complete" in page
    execute(then)
    job = stored(then)
    assert (job.status, job.files_deleted) == (JobStatus.FAILED, 0)
    assert f"Job {filling}, which was to fill the source by way of job {last}," in str(job.error)
    assert tree(backup) == before
    later = new_job(operation=operation, source=root / "three", destination=root / "four")
    execute(later)
    assert stored(later).unfilled_source_id is None


def test_sync_goes_on_after_a_retry_that_filled_its_source(
    root: Path, new_job: Any, execute: Any, user: Any
) -> None:
    source = fill(root / "from")
    (root / "between").mkdir()
    filling = new_job(source=source, destination=root / "between")
    then = new_job(operation=Operation.SYNC, source=root / "between", destination=root / "to")
    for ending in (Ending(False, "No room.", 1), Ending(False, "No room.", 1), None):
        assert claim(filling)
        if ending is None:
            (root / "between/a").write_text("a")
            end(filling)
        else:
            end(filling, ending)
            assert places.unfilled_source(then) is not None
            filling = create.retry(stored(filling), actor=Actor(user("bob"))).id
    execute(then)
    assert status_of(then) == JobStatus.COMPLETED


@pytest.mark.parametrize("operation", [Operation.COPY, Operation.SYNC])
@pytest.mark.parametrize("tries", [1, 2])
def test_retry_comes_before_those_who_waited_for_its_first_try(
    root: Path, new_job: Any, execute: Any, user: Any, operation: Operation, tries: int
) -> None:
    """It writes to what they have still to read, and would have to wait for them instead."""
    (between := root / "between").mkdir()
    busy = new_job(source=fill(root / "other"), destination=root / "to/other")
    filling = new_job(source=fill(root / "from"), destination=between)
    then = new_job(operation=operation, source=between, destination=root / "to")
    assert claim(busy)
    for _ in range(tries):
        assert claim(filling)
        (between / "half").write_text("half")
        UNFILLED["cancelled"](filling, Actor(user("bob")))
        filling = create.retry(stored(filling), actor=Actor(user("bob"))).id
    with read_connection() as connection:
        assert blocking.blockers(connection, [then, filling])[then].job_id == busy
    end(busy)
    assert startable() == [filling]
    assert not claim(then)
    with read_connection() as connection:
        blocker = blocking.blockers(connection, [then, filling])[then]
    assert (blocker.job_id, blocker.clash) == (filling, blocking.Clash.CHANGES_SOURCE)
    execute(filling)
    execute(then)
    assert status_of(then) == JobStatus.COMPLETED
    assert stored(then).unfilled_source_id is None


@pytest.mark.parametrize("hours", [-2, 2])
def test_source_that_was_not_filled_is_known_whatever_the_clock_says(
    root: Path, new_job: Any, user: Any, hours: int
) -> None:
    """It was set while the job waited."""
    (root / "between").mkdir()
    earlier = new_job(source=fill(root / "from"), destination=root / "between")
    assert claim(earlier)
    UNFILLED["failed"](earlier, None)
    filling = new_job(source=root / "from", destination=root / "between")
    then = new_job(operation=Operation.SYNC, source=root / "between", destination=root / "to")
    assert claim(filling)
    UNFILLED["cancelled"](filling, Actor(user("bob")))
    for job_id in (earlier, filling):
        job = session.get_one(Job, job_id)
        assert job.finished_at is not None
        job.finished_at += timedelta(hours=hours)
    session.commit()
    session.remove()
    assert places.unfilled_source(then) == (filling, filling)
    later = new_job(operation=Operation.SYNC, source=root / "between", destination=root / "to")
    assert places.unfilled_source(later) is None


@pytest.mark.parametrize("hosts", [("localhost", "127.0.0.1"), ("127.0.0.1", "localhost")])
def test_source_that_was_not_filled_is_known_by_each_name_of_its_server(
    root: Path, new_job: Any, remote: Callable[..., int], hosts: tuple[str, str]
) -> None:
    one, two = (remote(f"nas-{host}", "sftp", host=host, user="bob") for host in hosts)
    fill(root / "backup")
    filling = new_job(destination=f"nas-{hosts[0]}:photos", destination_remote_id=one)
    then, other = (
        new_job(
            operation=Operation.SYNC,
            source=f"nas-{hosts[1]}:{folder}",
            source_remote_id=two,
            destination=root / "backup" / folder,
        )
        for folder in ("photos/2026", "music")
    )
    assert claim(filling)
    end(filling, Ending(False, "No room.", 1))
    assert places.unfilled_source(then) == (filling, filling)
    assert places.unfilled_source(other) is None


def test_sync_goes_on_after_jobs_that_have_nothing_to_do_with_its_source(
    root: Path, new_job: Any, execute: Any
) -> None:
    source = fill(root / "photos")
    for other, more in (
        ("photos-old", {}),
        ("photos", {"dry_run": True}),
        ("photos", {"operation": Operation.CHECK}),
    ):
        (root / other).mkdir(exist_ok=True)
        failed = new_job(source=fill(root / "from"), destination=root / other, **more)
        then = new_job(operation=Operation.SYNC, source=source, destination=root / "backup")
        assert claim(failed)
        end(failed, Ending(False, "No room.", 1))
        execute(then)
        assert status_of(then) == JobStatus.COMPLETED, (other, more)


def places_of(job_id: int, root: Path) -> frozenset[str]:
    return places.look_up(places.ends_of(stored(job_id))).used.written


@pytest.mark.parametrize("there", [False, True])
def test_readers_of_one_folder_wait_for_nobody_and_no_copy_into_a_new_folder_for_them(
    root: Path, new_job: Any, there: bool
) -> None:
    source = fill(root / "from")
    if there:
        (source / "in").mkdir()
    one, other = (new_job(source=source, destination=root / name) for name in ("one", "other"))
    writer = new_job(source=fill(root / "new"), destination=source / "in")
    assert claim(one)
    assert claim(other)
    assert claim(writer)


def test_copy_waits_for_readers_once_its_folder_is_no_longer_empty(
    root: Path, new_job: Any
) -> None:
    source = fill(root / "from")
    backup = new_job(source=source, destination=root / "backup")
    writer = new_job(source=fill(root / "new"), destination=source / "in")
    fill(source / "in")
    assert not claim(writer)
    assert writer not in startable()
    assert claim(backup)
    end(backup)
    assert claim(writer)


def test_copy_to_a_storage_waits_for_readers_of_it(
    root: Path, new_job: Any, remote: Callable[..., int]
) -> None:
    nas = remote("nas", "sftp", host="192.0.2.1", user="bob")
    backup = new_job(source="nas:photos", source_remote_id=nas, destination=root / "backup")
    writer = new_job(destination="nas:photos/2026", destination_remote_id=nas)
    other = new_job(destination="nas:music", destination_remote_id=nas)
    assert not claim(writer)
    assert claim(other)
    assert claim(backup)
    end(backup)
    assert claim(writer)


@pytest.mark.parametrize("state", ["running", "queued"])
@pytest.mark.parametrize(
    ("operation", "source", "destination"),
    [
        (Operation.SYNC, "new", "from"),
        (Operation.SYNC, "new", "."),
        (Operation.MOVE, "from", "away"),
        (Operation.MOVE, "from/inner", "away"),
        (Operation.COPY, "new", "from"),
        (Operation.COPY, "new", "from/inner"),
        (Operation.COPY, "new", "."),
    ],
)
def test_job_that_replaces_or_deletes_waits_for_older_ones_that_read_there(
    root: Path, new_job: Any, operation: Operation, source: str, destination: str, state: str
) -> None:
    """First the backup, then the replacement."""
    fill(root / "from/inner")
    fill(root.parent / "new")
    backup = new_job(source=root / "from", destination=root.parent / "backup")
    then = new_job(
        operation=operation,
        source=root.parent / source if source == "new" else root / source,
        destination=root.parent / destination if destination == "away" else root / destination,
    )
    if state == "running":
        assert claim(backup)
    assert not claim(then)
    with read_connection() as connection:
        blocker = blocking.blockers(connection, [then])[then]
    assert (blocker.job_id, blocker.clash) == (backup, blocking.Clash.STILL_READS)
    assert then not in startable()
    if state == "queued":
        assert claim(backup)
    end(backup)
    assert startable() == [then]
    assert claim(then)


@pytest.mark.parametrize("more", [{"operation": Operation.CHECK}, {"dry_run": True}])
def test_job_that_writes_nothing_waits_for_nobody_and_nobody_for_it(
    root: Path, new_job: Any, more: dict[str, Any]
) -> None:
    looking = new_job(destination=root / "to", **more)
    writing = new_job(destination=root / "to")
    again = new_job(destination=root / "to", **more)
    assert claim(looking)
    assert claim(writing)
    assert claim(again)


def test_older_job_goes_first_also_while_it_is_paused_or_was_interrupted(
    root: Path, new_job: Any
) -> None:
    first, second = new_job(destination=root / "to"), new_job(destination=root / "to")
    assert not claim(second)
    assert claim(first)
    rescue.recover()  # its worker is dead; a copy goes on by itself
    assert status_of(first) == "queued"
    assert not claim(second)
    assert claim(first)
    end(first)
    assert claim(second)


def test_nobody_waits_for_an_interrupted_sync_that_waits_for_a_person(
    root: Path, new_job: Any
) -> None:
    first = new_job(operation=Operation.SYNC, destination=root / "to")
    second = new_job(destination=root / "to")
    assert claim(first)
    rescue.recover()
    assert status_of(first) == "interrupted"
    assert claim(second)


def test_folder_that_became_a_link_since_is_found_at_the_claim(root: Path, new_job: Any) -> None:
    (root / "a").mkdir()
    first, second = new_job(destination=root / "a"), new_job(destination=root / "b")
    (root / "b").symlink_to(root / "a")
    assert claim(first)
    assert not claim(second)
    assert startable() == [], "the next look at the queue knows it"
    end(first)
    assert startable() == [second]


@pytest.fixture
def remote(app: Flask) -> Callable[..., int]:
    """Puts a remote into the database; its id."""

    def add(name: str, backend: str, **options: str) -> int:
        row = Remote(name=name, backend=backend, options=options, secrets={}, role=Role.OPERATOR)
        row.start, row.changed_by = "", "alice"
        session.add(row)
        session.commit()
        number = row.id
        session.remove()
        return number

    return add


def test_two_remotes_of_one_server_are_one_place(new_job: Any, remote: Callable[..., int]) -> None:
    one = remote("dav", "webdav", url="http://127.0.0.1:81", user="bob")
    two = remote("dav-admin", "webdav", url="http://localhost:81/team/", user="root")
    first = new_job(destination="dav:team/photos", destination_remote_id=one)
    second = new_job(destination="dav-admin:photos/2024", destination_remote_id=two)
    third = new_job(destination="dav-admin:music", destination_remote_id=two)
    assert claim(first)
    assert not claim(second)
    assert claim(third)
    end(first)
    assert claim(second)


def test_remote_that_leads_elsewhere_since_is_looked_at_again(
    new_job: Any, remote: Callable[..., int]
) -> None:
    one = remote("nas", "sftp", host="192.0.2.1", user="bob")
    two = remote("old-nas", "sftp", host="192.0.2.2", user="bob")
    first = new_job(destination="nas:photos", destination_remote_id=one)
    second = new_job(destination="old-nas:photos", destination_remote_id=two)
    session.get_one(Remote, two).options = {"host": "192.0.2.1", "user": "eve"}
    session.commit()
    session.remove()
    assert claim(first)
    assert not claim(second)


# --- who runs, and when -------------------------------------------------------------------------


@pytest.mark.patient
def test_two_jobs_of_one_folder_run_one_after_the_other_and_lose_nothing(
    executor: Any, root: Path, new_job: Any
) -> None:
    source = fill(root / "from", MIB, 3)
    ids = [
        new_job(source=source, destination=root / "to", operation=Operation(operation))
        for operation in ("copy", "copy", "sync", "sync", "copy")
    ]
    wait_for(lambda: all(status_of(job_id) in FINAL for job_id in ids), 40)
    assert [str(status_of(job_id)) for job_id in ids] == ["completed"] * 5
    spans = [times_of(job_id) for job_id in ids]
    for before, after in itertools.pairwise(spans):
        assert before[1] < after[0], spans
    assert tree(root / "to") == tree(source)


def test_one_that_waits_takes_no_place_from_others(
    app: Flask, settings: Settings, root: Path, new_job: Any
) -> None:
    running = InProcessExecutor(settings.model_copy(update={"max_running_jobs": 2}))
    configure(app, executor=running)
    running.start()
    try:
        slow = new_job(
            source=fill(root / "slow", MIB, 8), destination=root / "to", bandwidth_limit="50k"
        )
        wait_for(lambda: status_of(slow) == "running")
        behind = [new_job(destination=root / "to/in") for _ in range(5)]
        free = new_job(destination=root / "elsewhere")
        wait_for(lambda: status_of(free) == "completed")
        assert {str(status_of(job_id)) for job_id in behind} == {"queued"}
        assert status_of(slow) == "running"
    finally:
        running.stop()


@pytest.mark.exclusive
def test_next_one_begins_at_once_when_the_first_ends_or_is_cancelled(
    executor: Any, root: Path, new_job: Any, events: Recorder, app: Flask, user: Any, mode: str
) -> None:
    source = fill(root / "slow", MIB, 8)
    first = new_job(source=source, destination=root / "to", bandwidth_limit="1M")
    wait_for(lambda: status_of(first) == "running")
    second = new_job(source=source, destination=root / "to", bandwidth_limit="1M")
    third = new_job(destination=root / "to")
    with app.app_context():
        control.cancel(second, actor=Actor(user("bob")))
        control.cancel(first, actor=Actor(user("bob")))
    wait_for(lambda: status_of(third) == "completed")
    ended = events_of(first)[-1].at
    begun = next(event.at for event in events_of(third) if event.new_status == JobStatus.RUNNING)
    limit = 0.1 if mode == "one process" else 0.5
    assert 0 <= (begun - ended).total_seconds() < limit


def test_nothing_is_left_of_places_when_jobs_have_ended(root: Path, new_job: Any) -> None:
    ids = [new_job(destination=root / f"to {number}") for number in range(3)]
    moved = new_job(operation=Operation.MOVE, source=fill(root / "away"), destination=root / "to")
    for job_id in (*ids, moved):
        assert claim(job_id)
    end(ids[0])
    end(ids[1], Ending(False, "It failed.", 1))
    rescue.recover()
    with read_connection() as connection:
        left = set(connection.scalars(select(JobPlace.job_id)))
    assert left == {ids[2]}


def test_name_of_any_length_has_its_place(root: Path, new_job: Any) -> None:
    deep = root.joinpath(*(f"{'x' * 200}{number}" for number in range(12)))
    first, second = new_job(destination=deep / "a"), new_job(destination=deep / "b")
    assert claim(first)
    assert not claim(second)  # they cannot be told apart, so that they wait


# --- races --------------------------------------------------------------------------------------


def at_once(acts: list[Callable[[], Any]]) -> list[Any]:
    start = threading.Barrier(len(acts))
    answers: list[Any] = [None] * len(acts)

    def go(index: int) -> None:
        start.wait()
        answers[index] = acts[index]()

    threads = [threading.Thread(target=go, args=(index,)) for index in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return answers


def test_of_many_claims_at_once_one_gets_the_folder(root: Path, new_job: Any) -> None:
    for round_ in range(6):
        folder = root / f"to {round_}"
        ids = [new_job(destination=folder / name) for name in (".", "a", "a/b", ".")]
        answers = at_once([partial(claim, job_id) for job_id in ids])
        assert answers == [True, False, False, False]
        assert [str(status_of(job_id)) for job_id in ids] == ["running"] + ["queued"] * 3
        end(ids[0])
        for job_id in ids[1:]:
            assert claim(job_id)
            end(job_id)


def test_of_many_workers_that_claim_one_job_and_its_neighbours_one_gets_it(
    root: Path, new_job: Any
) -> None:
    """Nobody is ahead of the other: each is the oldest of those that its worker sees."""
    for round_ in range(6):
        folder = root / f"to {round_}"
        older, younger = new_job(destination=folder), new_job(destination=folder / "in")
        # Of the older one nothing keeps the younger but that it runs.
        answers = at_once([partial(claim, one) for one in (older, younger, older, younger)])
        assert sum(answers) == 1
        assert status_of(older) == "running"
        end(older)
        assert claim(younger)
        end(younger)


def test_claim_does_not_overtake_one_that_is_just_being_made(root: Path, new_job: Any) -> None:
    """Ids are given before the rows can be seen: the older job may come to light last."""
    for round_ in range(5):
        made: list[int] = []
        folder = root / f"to {round_}"

        def make_and_claim(made: list[int] = made, folder: Path = folder) -> None:
            job_id = new_job(destination=folder)
            made.append(job_id)
            claim(job_id)

        at_once([make_and_claim] * 4)
        running = [job_id for job_id in made if status_of(job_id) == "running"]
        assert len(running) <= 1
        for job_id in sorted(made):
            if job_id not in running:
                continue
            end(job_id)
        for job_id in sorted(made):
            if status_of(job_id) == "queued":
                assert claim(job_id)
                end(job_id)


def meet(one: UsedPlaces, other: UsedPlaces) -> bool:
    """Whether the first writes where the second writes or, if the first replaces, reads."""
    return any(
        overlap(mine, theirs)
        for mine in one.written
        for theirs in (other.all if one.replaces else other.written)
    )


class Workers:
    """Four threads that claim and end jobs as workers do, and note whom they met."""

    def __init__(self, ids: list[int]) -> None:
        self.met: list[tuple[int, int]] = []
        self._ids = ids
        self._claiming: set[int] = set()
        self._running: dict[int, UsedPlaces] = {}
        self._lock = threading.Lock()

    def run(self) -> None:
        threads = [threading.Thread(target=self._work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    def _work(self) -> None:
        while not all(status_of(job_id) in FINAL for job_id in self._ids):
            with self._lock:
                job = scheduler.find_next([None], refused=self._claiming)
                self._claiming |= {job.job_id} if job else set()
            if job is None:
                time.sleep(0.01)
            else:
                self._try(job.job_id)
                self._claiming.discard(job.job_id)
            session.remove()

    def _try(self, job_id: int) -> None:
        found = places.of_queued(job_id)
        if found is None or claims.claim(job_id, "test:1", None, found) is None:
            return
        with self._lock:
            for other, used in self._running.items():
                if meet(found.used, used) or meet(used, found.used):
                    self.met.append((job_id, other))
            self._running[job_id] = found.used
        time.sleep(0.005)
        with self._lock:
            del self._running[job_id]
        end(job_id)


def test_any_mixture_of_jobs_runs_to_its_end_and_no_two_writers_meet(
    root: Path, new_job: Any
) -> None:
    chance = random.Random(5)  # noqa: S311 - no secret
    names = ["a", "a/b", "a/b/c", "d", "d/e", "."]
    (root / "x").mkdir()
    ids = [
        new_job(
            operation=Operation(chance.choice(["copy", "sync", "move"])),
            source=root / "x" / chance.choice(names),
            destination=root / "y" / chance.choice(names),
        )
        for _ in range(24)
    ]
    workers = Workers(ids)
    workers.run()
    assert workers.met == []
    assert {str(status_of(job_id)) for job_id in ids} == {"completed"}
    with read_connection() as connection:
        assert connection.scalar(select(func.count()).select_from(JobPlace)) == 0


def test_place_of_a_job_that_an_older_release_has_ended_keeps_nobody_waiting(
    root: Path, new_job: Any
) -> None:
    first, second = new_job(destination=root / "to"), new_job(destination=root / "to")
    session.get_one(Job, first).status = JobStatus.COMPLETED
    session.commit()
    session.remove()
    assert claim(second)
    with read_connection() as connection:
        assert set(connection.scalars(select(JobPlace.job_id))) == {first, second}
    blocking.forget_ended()
    with read_connection() as connection:
        assert set(connection.scalars(select(JobPlace.job_id))) == {second}
