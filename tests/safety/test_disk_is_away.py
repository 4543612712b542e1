"""A disk that was mounted at a root or below it is away: nothing is written to the folder that is
left of it, which lies on the system disk."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portal.engine import KnownMounts
from portal.engine.process import landlock
from portal.models import Job
from portal.settings import Settings, SettingsError, load_settings
from portal.transfers.states import JobStatus, Operation
from portal.worker.roots import accept_mount, look_at_roots
from tests.support.client import Browser
from tests.support.mounts import Mounts
from tests.support.transfers import fill, stored, tree
from tests.support.waiting import wait_for


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Mounts]:
    with Mounts(tmp_path) as made:
        yield made


@pytest.fixture
def usb(tmp_path: Path, mounts: Mounts) -> Path:
    """A root that is a disk."""
    point = tmp_path / "media" / "usb"
    mounts.disk(tmp_path / "image", point)
    return point


@pytest.fixture
def settings(tmp_path: Path, root: Path, usb: Path) -> Settings:
    return load_settings(data_dir=tmp_path / "data", transfer_roots=(root, usb))


@pytest.fixture
def started(settings: Settings, app: object) -> Settings:
    look_at_roots(settings)
    return settings


@pytest.fixture
def copy(
    new_job: Callable[..., int], execute: Callable[..., None], root: Path, usb: Path
) -> Callable[..., Job]:
    fill(root / "photos")

    def run(**job_fields: object) -> Job:
        number = new_job(**{"source": root / "photos", "destination": usb / "backup", **job_fields})
        execute(number)
        return stored(number)

    return run


def test_nothing_is_written_while_the_disk_is_away(
    started: Settings,
    copy: Callable[..., Job],
    usb: Path,
    tmp_path: Path,
    mounts: Mounts,
    browser: Callable[..., Browser],
) -> None:
    assert copy().status == JobStatus.COMPLETED
    assert browser().get("/readyz").json["parts"]["roots"] == "ok"
    mounts.away(usb)
    job = copy()
    assert (job.status, job.exit_code) == (JobStatus.FAILED, None)
    assert str(job.error).startswith(f"The folder {usb} is not there: the disk that was mounted")
    assert list(usb.iterdir()) == []
    answer = browser().get("/readyz")
    assert answer.status_code == 503
    assert f"The folder {usb} is not there" in answer.json["parts"]["roots"]
    mounts.disk(tmp_path / "image", usb)
    assert browser().get("/readyz").json["parts"]["roots"] == "ok"
    assert copy().status == JobStatus.COMPLETED
    assert {path.name for path in (usb / "backup").iterdir()} == {"file 0", "file 1", "file 2"}


def test_the_folder_itself_is_away(
    started: Settings, copy: Callable[..., Job], usb: Path, mounts: Mounts
) -> None:
    mounts.away(usb)
    usb.rmdir()
    job = copy()
    assert f"The folder {usb} is not there" in str(job.error)
    assert not usb.exists()


def test_nothing_is_deleted_where_the_source_is_a_disk_that_is_away(
    started: Settings, copy: Callable[..., Job], root: Path, usb: Path, mounts: Mounts
) -> None:
    """The empty folder would make a sync empty its destination."""
    fill(usb / "originals")
    mounts.away(usb)
    job = copy(source=usb, destination=root / "photos", operation=Operation.SYNC)
    assert job.status == JobStatus.FAILED
    assert len(list((root / "photos").iterdir())) == 3


def test_start_without_the_disk_does_not_take_its_folder_for_it(
    started: Settings, copy: Callable[..., Job], usb: Path, mounts: Mounts
) -> None:
    mounts.away(usb)
    look_at_roots(started)
    assert copy().status == JobStatus.FAILED
    usb.rmdir()
    started.prepare()
    look_at_roots(started)
    assert copy().status == JobStatus.FAILED
    assert not usb.exists()


def test_disk_below_a_root(
    tmp_path: Path, root: Path, copy: Callable[..., Job], started: Settings, mounts: Mounts
) -> None:
    """The root is /media, and what is plugged in comes after the start."""
    stick = root / "media" / "stick"
    mounts.disk(tmp_path / "stick", stick)
    assert copy(destination=stick / "backup").status == JobStatus.COMPLETED
    mounts.away(stick)
    job = copy(destination=stick / "backup")
    assert f"The folder {stick} is not there" in str(job.error)
    assert list(stick.iterdir()) == []
    assert copy(destination=root / "media" / "elsewhere").status == JobStatus.COMPLETED


def test_another_disk_is_not_taken_for_the_one_before_until_it_is_accepted(
    tmp_path: Path, started: Settings, copy: Callable[..., Job], usb: Path, mounts: Mounts
) -> None:
    mounts.away(usb)
    mounts.disk(tmp_path / "another image", usb)
    job = copy()
    assert str(job.error).startswith(f"Another disk is mounted at {usb} than before.")
    assert not (usb / "backup").exists()
    assert accept_mount(started, str(usb))
    assert copy().status == JobStatus.COMPLETED
    mounts.away(usb)
    mounts.disk(tmp_path / "image", usb)
    assert copy().status == JobStatus.COMPLETED


@pytest.mark.parametrize("how", ["pulled out", "covered"])
def test_disk_that_goes_in_the_middle_of_a_move_is_named_and_nothing_is_lost(
    started: Settings,
    tmp_path: Path,
    root: Path,
    usb: Path,
    mounts: Mounts,
    new_job: Callable[..., int],
    execute: Callable[..., None],
    how: str,
) -> None:
    if landlock.version() == 0:
        pytest.skip(
            "without Landlock nothing holds an rclone that runs back from what is there now"
        )
    source = fill(root / "originals", 200_000, 12)
    before = tree(source)
    job_id = new_job(
        source=source, destination=usb / "to", operation=Operation.MOVE, bandwidth_limit="400k"
    )
    moving = threading.Thread(target=execute, args=(job_id,))
    moving.start()
    wait_for(lambda: any(path.suffix == "" for path in (usb / "to").glob("*")))
    if how == "pulled out":
        mounts.away(usb)
    else:
        mounts.memory(usb)
    moving.join(60)
    job = stored(job_id)
    assert job.status == JobStatus.FAILED
    said = (f"The folder {usb} is not there: the disk", f"Another disk is mounted at {usb}")
    assert str(job.error).startswith(said)
    assert list(usb.iterdir()) == []  # nothing came to the system disk
    gone = len(before) - len(tree(source))
    assert gone < len(before)
    if how == "pulled out":
        mounts.disk(tmp_path / "image", usb)
    else:
        mounts.away(usb)
    arrived = {name: file for name, file in tree(usb / "to").items() if b".portal" not in name}
    assert tree(source) | arrived == before


def test_disk_that_is_given_up_is_forgotten(
    started: Settings, copy: Callable[..., Job], usb: Path, mounts: Mounts
) -> None:
    mounts.away(usb)
    assert copy().status == JobStatus.FAILED
    assert accept_mount(started, str(usb))
    assert copy().status == JobStatus.COMPLETED


def test_file_system_in_memory_may_come_back(tmp_path: Path, mounts: Mounts) -> None:
    point = tmp_path / "memory"
    mounts.memory(point)
    known = KnownMounts(tmp_path, [point])
    known.note()
    mounts.away(point)
    assert known.problem(f"{point}/folder") is not None
    mounts.memory(point)
    assert known.problem(f"{point}/folder") is None


def test_what_is_remembered_is_the_owners_alone(usb: Path, started: Settings) -> None:
    file = started.data_dir / "mounts.json"
    assert str(usb) in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def damage(file: Path, what: str) -> None:
    file.unlink(missing_ok=True)
    if what == "a folder":
        file.mkdir()
    elif what == "a link to nowhere":
        file.symlink_to("/nowhere/mounts.json")
    else:
        file.write_text(what)


DAMAGES = ['{"/media/usb": [', "", "[]", '{"/media/usb": 1}', "a folder", "a link to nowhere"]


@pytest.mark.parametrize("what", DAMAGES)
def test_start_is_refused_where_what_was_remembered_is_damaged(
    settings: Settings, what: str
) -> None:
    """Begun anew, a disk that is away would not be missed any more."""
    settings.prepare()
    file = settings.data_dir / "mounts.json"
    damage(file, what)
    for start in (look_at_roots, lambda found: accept_mount(found, "/media/usb")):
        with pytest.raises(SettingsError) as refused:
            start(settings)
        assert refused.value.message.startswith("PORTAL_DATA_DIR: Which disks belong to the")
        assert f"{file} " in refused.value.message
        assert "mount every disk, remove that file" in refused.value.message
    assert file.is_symlink() or file.exists()  # it is left for whoever looks into it


@pytest.mark.parametrize("what", DAMAGES[:2])
def test_nothing_is_written_to_the_folder_of_a_disk_whose_memory_is_damaged(
    started: Settings,
    copy: Callable[..., Job],
    usb: Path,
    mounts: Mounts,
    browser: Callable[..., Browser],
    what: str,
) -> None:
    mounts.away(usb)
    damage(started.data_dir / "mounts.json", what)
    job = copy()
    assert job.status == JobStatus.FAILED
    assert str(job.error).startswith("Which disks belong to the folders is not known any more:")
    assert list(usb.iterdir()) == []
    assert "not known any more" in browser().get("/readyz").json["parts"]["roots"]


def test_folder_without_a_disk_cannot_be_accepted(
    started: Settings, tmp_path: Path, root: Path, usb: Path
) -> None:
    for folder in (root, tmp_path / "nowhere", usb / "below"):
        assert accept_mount(started, str(folder)) is None
    assert accept_mount(started, str(usb)) is False


def test_root_that_was_removed_is_named(
    started: Settings, copy: Callable[..., Job], root: Path, usb: Path
) -> None:
    fill(usb / "originals")
    shutil.rmtree(root)
    said = f"The folder {root} is not there. Make it or mount it again, then retry."
    assert KnownMounts(started.data_dir, started.transfer_roots).problems() == [said]
    job = copy(source=usb / "originals", destination=root / "to")
    assert (job.status, job.error) == (JobStatus.FAILED, said)
    assert not root.exists()


@pytest.fixture
def stick(tmp_path: Path, root: Path, mounts: Mounts) -> Path:
    """A disk in the middle of a folder that is transferred."""
    point = root / "all" / "stick"
    mounts.disk(tmp_path / "stick", point)
    fill(point)
    fill(root / "all" / "letters")
    return point


@pytest.mark.parametrize("operation", [Operation.SYNC, Operation.COPY, Operation.MOVE])
def test_source_in_which_a_disk_is_away_is_not_taken_for_all_of_it(
    stick: Path,
    root: Path,
    started: Settings,
    copy: Callable[..., Job],
    mounts: Mounts,
    operation: Operation,
) -> None:
    ends = {"source": root / "all", "destination": root / "backup"}
    assert copy(**ends, operation=Operation.SYNC).status == JobStatus.COMPLETED
    before = tree(root / "backup")
    mounts.away(stick)
    job = copy(**ends, operation=operation)
    assert job.status == JobStatus.FAILED
    assert f"A disk inside this folder is away: it was mounted at {stick}." in str(job.error)
    assert tree(root / "backup") == before
    assert copy(source=root / "all" / "letters").status == JobStatus.COMPLETED
    accept_mount(started, str(stick))
    assert copy(**ends, operation=operation).status == JobStatus.COMPLETED


def test_nothing_is_written_beside_a_disk_inside_the_destination_that_is_away(
    stick: Path, root: Path, started: Settings, copy: Callable[..., Job], mounts: Mounts
) -> None:
    fill(root / "photos" / "stick")
    assert copy(destination=root / "all").status == JobStatus.COMPLETED
    mounts.away(stick)
    assert copy(destination=root / "all").status == JobStatus.FAILED
    assert list(stick.iterdir()) == []


@pytest.mark.parametrize("side", ["source", "destination"])
@pytest.mark.parametrize("operation", [Operation.COPY, Operation.MOVE, Operation.CHECK])
def test_pipe_is_refused_at_once(
    started: Settings, copy: Callable[..., Job], root: Path, side: str, operation: Operation
) -> None:
    os.mkfifo(root / "pipe")
    job = copy(**{side: root / "pipe"}, operation=operation)
    assert job.status == JobStatus.FAILED
    assert f"The {side} {root / 'pipe'} is neither a folder nor a file" in str(job.error)
