"""What a copy on this machine keeps of a tree beside the bytes of its files, and what it leaves."""

from __future__ import annotations

import csv
import io
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portal.models import Job
from portal.transfers.options import Options
from portal.transfers.states import JobStatus, Operation
from portal.web.routes.api import job_shapes
from tests.support.client import Browser
from tests.support.transfers import scripted_rclone, stored

LONG_AGO = 1_000_000_000.0


@pytest.fixture
def run(new_job: Callable[..., int], execute: Callable[..., None]) -> Callable[..., Job]:
    """Makes a job, runs it to its end and gives its row."""

    def finish(rclone: Path | None = None, **job_fields: object) -> Job:
        number = new_job(**job_fields)
        execute(number, **({"rclone": rclone} if rclone else {}))
        return stored(number)

    return finish


@pytest.fixture
def source(root: Path) -> Path:
    folder = root / "from"
    (folder / "empty" / "deep").mkdir(parents=True)
    (folder / "sub").mkdir()
    for name, mode in {"plain": 0o644, "key": 0o600, "script": 0o755, "sub/group": 0o640}.items():
        (folder / name).write_text(name)
        (folder / name).chmod(mode)
    (folder / "sub").chmod(0o750)
    for path in ("sub/group", "sub", "empty/deep", "empty"):
        os.utime(folder / path, (LONG_AGO, LONG_AGO))
    return folder


@pytest.fixture
def odd(source: Path) -> Path:
    """The same with what is no file: four links and two special files."""
    for name, target in {
        "link": "plain",
        "folder link": "sub",
        "dangling": "nowhere",
        "sub/way out": "/etc",
    }.items():
        (source / name).symlink_to(target)
    os.mkfifo(source / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(source / "sub")  # no name of a socket may be longer than 107 bytes
        listener.bind("socket")
        os.chdir(here)
    return source


@pytest.fixture
def narrow() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode)
        for path in folder.rglob("*")
        if not path.is_symlink()
    }


@pytest.mark.parametrize("operation", [Operation.COPY, Operation.SYNC])
def test_modes_times_and_empty_folders_arrive(
    source: Path, root: Path, run: Callable[..., Job], operation: Operation
) -> None:
    job = run(source=source, operation=operation)
    assert (job.status, job.error) == (JobStatus.COMPLETED, None)
    assert modes(root / "to") == modes(source)
    for path in ("sub/group", "sub", "empty", "empty/deep"):
        assert (root / "to" / path).stat().st_mtime == LONG_AGO, path


@pytest.mark.usefixtures("narrow")
def test_modes_are_those_of_the_source_whatever_the_umask(
    source: Path, root: Path, run: Callable[..., Job]
) -> None:
    run(source=source)
    assert modes(root / "to") == modes(source)


def test_owner_is_who_runs_the_portal(source: Path, root: Path, run: Callable[..., Job]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(source / "key", 12345, 12345)
    run(source=source)
    about = (root / "to" / "key").stat()
    assert (about.st_uid, about.st_gid) == (0, 0)
    assert stat.S_IMODE(about.st_mode) == 0o600


def test_bits_that_lend_rights_are_not_copied(
    source: Path, root: Path, run: Callable[..., Job]
) -> None:
    (source / "script").chmod(0o6755)
    (source / "sub").chmod(0o2750)
    run(source=source)
    assert modes(root / "to")["script"] == 0o755
    assert modes(root / "to")["sub"] == 0o750


def test_new_file_is_never_open_to_more_than_its_source_not_even_half_written(
    root: Path, run: Callable[..., Job]
) -> None:
    secret = root / "from" / "secret"
    secret.parent.mkdir()
    secret.write_bytes(os.urandom(3_000_000))
    secret.chmod(0o600)
    seen: set[int] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.002):
            for path in (root / "to").glob("secret*"):
                try:
                    seen.add(stat.S_IMODE(path.stat().st_mode))
                except FileNotFoundError:
                    continue

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        run(source=root / "from", bandwidth_limit="2M")
    finally:
        ended.set()
        watcher.join()
    assert seen == {0o600}


def test_folder_that_nobody_may_write_into_arrives_with_what_is_in_it(
    source: Path, root: Path, run: Callable[..., Job]
) -> None:
    (source / "sub").chmod(0o555)
    job = run(source=source)
    assert job.error is None
    assert (root / "to" / "sub" / "group").read_text() == "sub/group"
    assert modes(root / "to")["sub"] == 0o555


def test_destination_without_modes_gets_the_files_all_the_same(
    source: Path, root: Path, tmp_path: Path, run: Callable[..., Job]
) -> None:
    """As a FUSE mount that refuses chmod: rclone fails for each file."""
    body = """
    if "--metadata" in sys.argv:
        said = "Failed to copy: failed to set metadata: failed to change permissions: chmod x"
        print(json.dumps({"level": "error", "msg": said, "object": "x"}), file=sys.stderr)
        sys.exit(1)
    tell(10, 10)
    """
    job = run(source=source, rclone=scripted_rclone(tmp_path, body))
    assert (job.status, job.error) == (JobStatus.COMPLETED, None)


def test_what_is_no_file_is_counted(
    odd: Path, root: Path, run: Callable[..., Job], settings: object
) -> None:
    job = run(source=odd, options=Options(verify=True))
    assert job.status == JobStatus.COMPLETED
    assert (job.links_left_out, job.specials_left_out, job.left_out_names) == (4, 2, None)
    assert not list((root / "to").rglob("*link*"))


def test_what_lies_only_at_the_destination_was_not_left_out(
    odd: Path, root: Path, run: Callable[..., Job]
) -> None:
    to = root / "to"
    to.mkdir()
    for name in ("of its own", "link"):
        (to / name).symlink_to("nowhere")
    os.mkfifo(to / "another fifo")
    job = run(source=odd, operation=Operation.SYNC)
    assert (job.links_left_out, job.specials_left_out) == (4, 2)


def test_page_api_log_and_history_tell_what_was_left_out(
    odd: Path, run: Callable[..., Job], browser: Callable[[str], Browser]
) -> None:
    job = run(source=odd)
    bob = browser("bob")
    words = "4 links, 2 special files"
    assert words in bob.get(f"/jobs/{job.id}").text
    assert f"Left out: {words}" in bob.get("/history").text
    assert f"Left out: {words}." in bob.get(f"/jobs/{job.id}/log/download").text
    with bob.client.application.app_context():
        told = job_shapes.shown(job).left_out.model_dump()
    assert told == {
        "links": 4,
        "specials": 2,
        "names": 0,
        "first_names": [],
        "empty_folders": 0,
        "partials": 0,
        "first_partials": [],
    }
    row = next(csv.DictReader(io.StringIO(bob.post("/history/export").text)))
    assert (row["links_left_out"], row["specials_left_out"]) == ("4", "2")


def test_excluded_links_are_not_left_out(odd: Path, run: Callable[..., Job]) -> None:
    job = run(source=odd, options=Options(exclude=("*link", "fifo")))
    assert (job.links_left_out, job.specials_left_out) == (2, 1)


def test_move_takes_files_and_empty_folders_and_leaves_what_is_no_file(
    odd: Path, root: Path, run: Callable[..., Job]
) -> None:
    job = run(source=odd, operation=Operation.MOVE)
    assert (job.status, job.error) == (JobStatus.COMPLETED, None)
    assert (job.links_left_out, job.specials_left_out) == (4, 2)
    left = {str(path.relative_to(odd)) for path in odd.rglob("*")}
    assert left == {
        *("link", "folder link", "dangling", "fifo"),
        *("sub", "sub/way out", "sub/socket"),
    }
    assert (root / "to" / "empty" / "deep").is_dir()
    assert (root / "to" / "script").stat().st_mode & 0o777 == 0o755


def test_move_of_a_whole_root_leaves_the_root(
    source: Path, root: Path, run: Callable[..., Job]
) -> None:
    job = run(source=source, operation=Operation.MOVE)
    assert job.error is None
    assert list(source.iterdir()) == []


def test_move_of_some_files_leaves_all_folders(
    source: Path, root: Path, run: Callable[..., Job]
) -> None:
    job = run(source=source, operation=Operation.MOVE, options=Options(include=("key",)))
    assert job.error is None
    assert (source / "empty" / "deep").is_dir()
    assert (source / "sub").is_dir()
    assert {path.name for path in (root / "to").rglob("*")} == {"key"}


def test_move_that_fails_removes_no_folder(
    source: Path, root: Path, tmp_path: Path, run: Callable[..., Job]
) -> None:
    run(
        source=source,
        operation=Operation.MOVE,
        rclone=scripted_rclone(tmp_path, "sys.exit(6)"),
        options=Options(retries=0),
    )
    assert (source / "empty" / "deep").is_dir()


def test_a_link_put_in_place_of_a_folder_leads_no_mode_astray(
    source: Path, root: Path, tmp_path: Path, run: Callable[..., Job]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (root / "to").mkdir()
    body = f"os.symlink({str(outside)!r}, {str(root / 'to' / 'sub')!r})\ntell(10, 10)"
    (source / "sub").chmod(0o777)
    run(source=source, rclone=scripted_rclone(tmp_path, body))
    assert stat.S_IMODE(outside.stat().st_mode) == 0o700


def test_name_that_the_destination_cannot_hold_is_named_and_the_job_fails(
    source: Path, root: Path, tmp_path: Path, run: Callable[..., Job]
) -> None:
    body = """
    said = "Failed to copy: open /to/x: file name too long"
    for name in ("a" * 200, "b", "b"):
        print(json.dumps({"level": "error", "msg": said, "object": name}), file=sys.stderr)
    sys.exit(1)
    """
    job = run(source=source, rclone=scripted_rclone(tmp_path, body), options=Options(retries=0))
    assert job.status == JobStatus.FAILED
    assert job.left_out_names == {"names": 2, "first_names": ["a" * 200, "b"]}
