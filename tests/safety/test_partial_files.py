"""Files that are not whole yet: never taken for files, never another attempt's to remove."""

from __future__ import annotations

import os
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from portal.db.session import session
from portal.engine import Run, TransferOrder, partials, rclone_path
from portal.models import Job
from portal.services.actor import Actor
from portal.services.jobs import claims, rescue
from portal.settings import Settings
from portal.transfers.left_out import left_out_words
from portal.transfers.options import Options
from portal.worker.attempt import name_of_portal
from tests.support.transfers import MIB, fill, status_of, stored, tree

#: Names that somebody may well have given to a file.
LOOK_ALIKES = (
    "backup.20241127.part1-3",
    "photo.jpg.portal1-1",
    "photo.jpg.20241127.portal-part",
    "photo.jpg.zzzzzzzz.portal1-1",
    "photo.jpg.20241127.portal1-1.txt",
    "portal1-1",
)


def suffix(job: int, attempt: int, portal: str = "") -> str:
    return partials.suffix(partials.tag(job, portal), attempt)


def partial(name: str, job: int, attempt: int, portal: str = "") -> str:
    return f"{name}.32a46c13{suffix(job, attempt, portal)}"


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")


@pytest.mark.parametrize(("job", "attempt"), [(1, 1), (35, 36), (2**31, 1295), (2**63 - 1, 10**9)])
def test_suffix_is_one_that_rclone_takes(job: int, attempt: int) -> None:
    assert len(suffix(job, attempt)) <= 16
    assert re.fullmatch(r"\.portal[0-9a-z]{6}-1", suffix(job, 1))
    assert suffix(job, attempt) != suffix(job, attempt + 1)
    assert suffix(job, attempt) != suffix(job - 1, attempt)
    assert suffix(job, attempt) != suffix(job, attempt, "another portal")


def test_error_names_the_file_and_not_its_partial_one() -> None:
    own, others = partial("a.txt", 7, 1), partial("b.txt", 7, 2)
    said = f"Failed to copy: write /to/{own}: no space; {others}"
    shown = f"Failed to copy: write /to/a.txt: no space; {others}"
    assert partials.whole_names(said, suffix(7, 1)) == shown


@pytest.mark.parametrize("operation", ["copy", "sync", "move"])
def test_partial_files_are_neither_copied_nor_counted_nor_deleted(
    new_job: Any, execute: Any, root: Path, operation: str
) -> None:
    source = fill(root / "from")
    put(source, *LOOK_ALIKES, partial("being written", 7, 1), f"in/{partial('x', 8, 2)}")
    put(root / "to", partial("another's", 9, 1), f"sub/{partial('y', 9, 3)}")
    job_id = new_job(source=source, destination=root / "to", operation=operation)
    execute(job_id)
    job = stored(job_id)
    assert (job.status, job.files_transferred, job.files_total) == ("completed", 9, 9)
    there = set(tree(root / "to"))
    assert {name.encode() for name in LOOK_ALIKES} <= there
    assert partial("another's", 9, 1).encode() in there
    assert f"sub/{partial('y', 9, 3)}".encode() in there
    assert len(there) == 11
    assert (source / partial("being written", 7, 1)).exists()
    told = job.left_out_names
    assert told is not None
    assert (told["partials"], sorted(told["first_partials"])) == (
        2,
        sorted([partial("being written", 7, 1), f"in/{partial('x', 8, 2)}"]),
    )


@pytest.mark.parametrize("operation", ["copy", "move"])
@pytest.mark.parametrize("kind", ["sftp", "s3"])
def test_file_that_is_named_like_a_partial_one_is_told(
    attempts: Any, servers: Any, tmp_path: Path, kind: str, operation: str
) -> None:
    names = ["x.deadbeef.portalab-1", "sub/a\nb.00000000.portal0-0"]
    put(tmp_path / "source", "book.txt", *LOOK_ALIKES, *names)
    (tmp_path / "store" / "shelf").mkdir(parents=True)
    remote = servers.remote("nas", servers.start(kind, tmp_path / "store"))
    outcome = attempts.run(operation, tmp_path / "source", "nas:shelf", remote)
    assert outcome.succeeded, outcome
    told = outcome.found.left_out_names
    assert told["partials"] == 2
    assert sorted(told["first_partials"]) == ["sub/a\\nb.00000000.portal0-0", names[0]]
    assert "2 files that are named like" in left_out_words(0, 0, told)
    assert all((tmp_path / "source" / name).exists() for name in names)


@pytest.mark.parametrize("name", [*LOOK_ALIKES, "x.deadbeef.portal-1", "x.DEADBEEF.portal1-1"])
def test_other_names_are_no_partial_ones(name: str) -> None:
    assert not partials.is_partial(name)
    assert partials.is_partial(partial(name, 7, 1))


def test_stopped_attempt_removes_its_own_partial_files_alone(tmp_path: Path) -> None:
    mine = tmp_path / f"photo.jpg.0123abcd{suffix(7, 2)}"
    mine.write_text("half")
    others = [
        f"photo.jpg.0123abcd{suffix(7, 1)}",  # an earlier attempt, of a frozen worker
        f"photo.jpg.0123abcd{suffix(8, 2)}",
        f"photo.jpg.0123abcd{suffix(7, 20)}",
        f"photo{suffix(7, 2)}",
        "photo.jpg",
    ]
    for name in others:
        (tmp_path / name).write_text("not mine")
    folder = tmp_path / f"album.0123abcd{suffix(7, 2)}"
    folder.mkdir()
    link = tmp_path / f"link.0123abcd{suffix(7, 2)}"
    link.symlink_to(tmp_path / "photo.jpg")
    partials.remove([tmp_path, tmp_path / "gone"], suffix(7, 2))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*others, folder.name, link.name]
    )


def test_check_is_not_troubled_by_partial_files(new_job: Any, execute: Any, root: Path) -> None:
    fill(root / "from")
    for name, content in tree(root / "from").items():
        (root / "to").mkdir(exist_ok=True)
        (root / "to" / name.decode()).write_bytes(content)
    put(root / "from", partial("x", 7, 1))
    put(root / "to", partial("y", 8, 1))
    execute(job_id := new_job(operation="check", destination=root / "to"))
    assert (status_of(job_id), stored(job_id).error) == ("completed", None)
    single = new_job(operation="check", source=root / "from/file 0", destination=root / "to")
    execute(single)
    assert (status_of(single), stored(single).error) == ("completed", None)


def test_next_attempt_removes_what_the_dead_one_left_and_nothing_else(
    new_job: Any, execute: Any, root: Path, settings: Settings
) -> None:
    job_id, own = new_job(destination=root / "to"), name_of_portal(settings)
    mine = [partial("file 0", job_id, 1, own), f"deep/{partial('gone', job_id, 2, own)}"]
    others = [partial("file 0", job_id + 1, 1, own), *(f"deep/{name}" for name in LOOK_ALIKES)]
    others.append(partial("file 0", job_id, 1, "another portal's job of this number"))
    assert claims.claim(job_id, "test:2") is not None
    put(root / "to", *mine, *others)
    rescue.recover()
    execute(job_id)
    job = stored(job_id)
    assert (job.status, job.attempt, job.files_transferred) == ("completed", 2, 3)
    there = {name.decode() for name in tree(root / "to")}
    assert there == {"file 0", "file 1", "file 2", *others}


def test_retry_removes_what_the_interrupted_job_left(
    app: Any, new_job: Any, execute: Any, root: Path, user: Any, settings: Settings
) -> None:
    from portal.services.jobs import create

    own = name_of_portal(settings)
    job_id = new_job(destination=root / "to", operation="sync")
    assert claims.claim(job_id, "test:2") is not None
    put(root / "to", partial("file 0", job_id, 1, own), partial("file 0", 99, 1, own), "stray")
    rescue.recover()
    assert status_of(job_id) == "interrupted"
    with app.app_context():
        again = create.retry(stored(job_id), actor=Actor(user("bob"))).id
    execute(again)
    assert status_of(again) == "completed"
    there = {name.decode() for name in tree(root / "to")}
    assert there == {"file 0", "file 1", "file 2", partial("file 0", 99, 1, own)}


def test_nothing_is_there_to_tidy_up_and_the_attempt_goes_on(
    new_job: Any, execute: Any, root: Path
) -> None:
    job_id = new_job(destination=root / "to")
    assert claims.claim(job_id, "test:2") is not None
    rescue.recover()
    execute(job_id)
    assert (status_of(job_id), stored(job_id).error) == ("completed", None)


def test_cancelled_upload_to_webdav_names_the_files_that_are_half_there(
    servers: Any, tmp_path: Path
) -> None:
    fill(tmp_path / "source", 8 * MIB, 2)
    remote = servers.remote("nas", servers.start("webdav", tmp_path / "store"))
    order = TransferOrder(
        *(7, 1, "copy", str(tmp_path / "source"), "nas:to", "2M"),
        dry_run=False,
        remotes=(remote,),
    )
    run = Run(rclone_path(None), order, data_dir=tmp_path, grace=2.0)
    for reading in run.readings(tick=0.05):
        if reading is not None and reading.bytes_transferred > MIB:
            run.stop()
    run.close()
    outcome = run.outcome()
    assert outcome.stopped
    told = outcome.found.left_out_names
    assert told is not None
    there = {path.name for path in (tmp_path / "store" / "to").iterdir()}
    assert there <= set(told["may_remain"])


@pytest.mark.parametrize(
    ("kind", "left"), [("sftp", r"\d\.bin\.\*\.portal.{6}-1"), ("webdav", r"\d\.bin"), ("s3", None)]
)
def test_job_says_what_a_server_that_went_for_good_may_still_hold(
    servers: Any, tmp_path: Path, kind: str, left: str | None
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(3):
        (source / f"{number}.bin").write_bytes(os.urandom(8 * MIB))
    (tmp_path / "store" / "bucket").mkdir(parents=True)
    server = servers.start(kind, tmp_path / "store")
    remote = servers.remote("nas", server)
    order = TransferOrder(
        *(7, 1, "copy", str(source), "nas:bucket/to", "4M"),
        dry_run=False,
        remotes=(remote,),
        options=Options(retries=0),
    )
    run = Run(rclone_path(None), order, data_dir=tmp_path, grace=2.0, patience=4.0)
    try:
        for reading in run.readings(tick=0.05):
            if reading is not None and reading.bytes_transferred > 2 * MIB:
                server.freeze()
    finally:
        run.close()
        server.thaw()
    outcome = run.outcome()
    assert not outcome.succeeded
    told = outcome.found.left_out_names
    if left is None:
        assert told is None
    else:
        assert told is not None
        assert told["may_remain"]
        assert all(re.fullmatch(left, name) for name in told["may_remain"]), told
        there = [path.name for path in (tmp_path / "store").rglob("*bin*") if path.is_file()]
        for name in there:
            assert any(fnmatch(name, one) for one in told["may_remain"]), (there, told)


def test_partial_files_that_the_next_try_has_removed_are_not_told(
    servers: Any, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "0.bin").write_bytes(os.urandom(8 * MIB))
    server = servers.start("sftp", tmp_path / "store")
    order = TransferOrder(
        *(7, 1, "copy", str(source), "nas:to", "4M"),
        dry_run=False,
        remotes=(servers.remote("nas", server),),
        options=Options(retries=1),
    )
    run = Run(rclone_path(None), order, data_dir=tmp_path, grace=2.0, patience=4.0, backoff=0.1)
    frozen = thawed = False
    try:
        for reading in run.readings(tick=0.05):
            if reading is not None and reading.bytes_transferred > 2 * MIB and not frozen:
                server.freeze()
                frozen = True
            if run.trouble is not None and run.trouble.next_try_at is not None and not thawed:
                server.thaw()
                thawed = True
    finally:
        run.close()
        server.thaw()
    assert thawed
    assert run.outcome().succeeded, run.outcome()
    assert run.outcome().found.left_out_names is None
    assert [path.name for path in (tmp_path / "store" / "to").iterdir()] == ["0.bin"]


def test_page_and_api_name_partial_files(
    new_job: Any, browser: Any, execute: Any, root: Path
) -> None:
    job_id = new_job()
    execute(job_id)
    session.get_one(Job, job_id).left_out_names = {"may_remain": ["<b>.*.portal1-1"]}
    session.commit()
    bob = browser("bob")
    page = bob.get(f"/jobs/{job_id}").text
    assert "&lt;b&gt;.*.portal1-1 may remain at the destination" in page
    assert bob.get(f"/api/v1/jobs/{job_id}").json["partial_files"] == ["<b>.*.portal1-1"]


@pytest.mark.parametrize("where", [".", "a", "a/b/c"])
def test_partial_file_in_a_folder_that_nobody_knew_of_goes_with_a_cancel(
    tmp_path: Path, where: str
) -> None:
    """rclone began it after its last statistics."""
    source, destination = tmp_path / "from", tmp_path / "to"
    for name in ("a/b/c", "d"):
        (source / name).mkdir(parents=True)
        (source / name / "big").write_bytes(b"x" * 3_000_000)
    order = TransferOrder(7, 2, "copy", str(source), str(destination), "300k", False)
    run = Run(rclone_path(None), order, data_dir=tmp_path, grace=2.0)
    left = destination / where / f"new.0123abcd{suffix(7, 2)}"
    others = destination / where / f"new.0123abcd{suffix(7, 1)}"
    stopped = False
    try:
        for reading in run.readings(tick=0.05):
            if reading is not None and reading.current_files and not stopped:
                left.parent.mkdir(parents=True, exist_ok=True)
                left.write_bytes(b"half")
                others.write_bytes(b"half")
                run.stop()
                stopped = True
    finally:
        run.close()
    assert run.outcome().stopped
    assert not left.exists()
    assert others.exists()


def test_look_for_partial_files_ends_in_time(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path)
    found = set(partials.folders_below(tmp_path, 5.0))
    assert found == {tmp_path, tmp_path / "a", tmp_path / "a" / "b"}
    assert list(partials.folders_below(tmp_path, 0.0)) == []
