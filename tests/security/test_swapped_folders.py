"""Somebody with a shell swaps a folder of a transfer for a link to the data folder, in a loop, as
long as it runs: nothing of the data folder arrives, and nothing in it changes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from portal.engine import TransferOrder
from portal.engine.order import confinement
from portal.settings import Settings
from portal.transfers.options import Options
from portal.transfers.states import JobStatus, Operation
from tests.support.confined import RCLONE, needs_landlock, run_confined
from tests.support.transfers import status_of, tree

#: So many that some are opened while the link is there.
NAMES = [*(f"key {number:03}" for number in range(150)), "secret_key"]
SECRET, OPEN = b"k" * 64, b"x" * 64


@contextmanager
def swapping(path: Path, spare: Path, target: Path, after: Path | None = None) -> Iterator[None]:
    """Until the end, ``path`` is by turns what it was and a link to ``target``; begun once there is
    a file ``after``."""
    over = threading.Event()
    away, link = spare / "away", spare / "link"
    link.symlink_to(target)

    def swap() -> None:
        while after is not None and not (over.is_set() or after.exists()):
            over.wait(0.001)
        while not over.is_set():
            with suppress(OSError):  # not made yet, or removed by the transfer
                path.rename(away)
                link.rename(path)
                over.wait(0.004)
                path.rename(link)
                away.rename(path)
            over.wait(0.001)

    thread = threading.Thread(target=swap)
    thread.start()
    yield
    over.set()
    thread.join()


def fill(folder: Path, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (folder / name).write_bytes(content)
        os.utime(folder / name, (1_700_000_000, 1_700_000_000))
    return folder


@pytest.fixture
def kept(settings: Settings) -> Callable[[], dict[str, bytes]]:
    """Makes the data folder that of the attack; gives what is there now of its files."""
    fill(settings.data_dir, SECRET)
    return lambda: {name: (settings.data_dir / name).read_bytes() for name in NAMES}


@pytest.fixture
def spare(root: Path) -> Path:
    folder = root / "spare"
    folder.mkdir()
    return folder


def never_arrived(root: Path) -> bool:
    return SECRET not in tree(root / "to").values()


@needs_landlock
@pytest.mark.parametrize("operation", [Operation.COPY, Operation.SYNC, Operation.MOVE])
def test_nothing_of_the_data_folder_arrives_by_a_source_that_is_swapped_all_the_time(
    settings: Settings,
    root: Path,
    spare: Path,
    kept: Callable[[], dict[str, bytes]],
    new_job: Callable[..., int],
    execute: Callable[..., None],
    operation: Operation,
) -> None:
    fill(root / "from" / "z", OPEN)
    number = new_job(source=root / "from", operation=operation, options=Options(retries=0))
    with swapping(root / "from" / "z", spare, settings.data_dir):
        execute(number)
    assert status_of(number) in (JobStatus.FAILED, JobStatus.COMPLETED)
    assert never_arrived(root)
    assert set(kept().values()) == {SECRET}


@needs_landlock
@pytest.mark.parametrize("operation", [Operation.COPY, Operation.SYNC, Operation.MOVE])
def test_nothing_changes_in_the_data_folder_by_a_destination_that_is_swapped_all_the_time(
    settings: Settings,
    root: Path,
    spare: Path,
    kept: Callable[[], dict[str, bytes]],
    new_job: Callable[..., int],
    execute: Callable[..., None],
    operation: Operation,
) -> None:
    fill(root / "from" / "z", OPEN)
    (root / "from" / "a first file").write_bytes(OPEN)
    (root / "to" / "z").mkdir(parents=True)
    # A sync would delete it.
    (settings.data_dir / "only here").write_bytes(SECRET)
    number = new_job(source=root / "from", operation=operation, options=Options(retries=0))
    # Not before: a link that is there already is refused before anything is done.
    with swapping(root / "to" / "z", spare, settings.data_dir, root / "to" / "a first file"):
        execute(number)
    assert set(kept().values()) == {SECRET}
    assert (settings.data_dir / "only here").read_bytes() == SECRET
    assert not list(settings.data_dir.glob("*.portal*")), "partial files"
    assert never_arrived(root)


@needs_landlock
def test_file_of_the_source_swapped_for_a_link_to_the_key_all_the_time_gives_nothing_away(
    settings: Settings,
    root: Path,
    spare: Path,
    kept: Callable[[], dict[str, bytes]],
    new_job: Callable[..., int],
    execute: Callable[..., None],
) -> None:
    fill(root / "from", OPEN)
    number = new_job(source=root / "from", options=Options(retries=0))
    with swapping(root / "from" / "secret_key", spare, settings.data_dir / "secret_key"):
        execute(number)
    assert never_arrived(root)
    assert set(kept().values()) == {SECRET}


@needs_landlock
@pytest.mark.parametrize("name", ["secret_key", "portal.sqlite", "mounts.json"])
def test_rclone_that_follows_links_cannot_read_the_data_folder(tmp_path: Path, name: str) -> None:
    data = tmp_path / "data"
    for folder in (data, tmp_path / "from", tmp_path / "to", tmp_path / "runtime_dir"):
        folder.mkdir()
    (data / name).write_bytes(SECRET)
    (tmp_path / "from" / "file").write_bytes(OPEN)
    (tmp_path / "from" / "link").symlink_to(data / name)
    (tmp_path / "from" / "folder").symlink_to(data)
    order = TransferOrder(1, 1, "copy", f"{tmp_path}/from", f"{tmp_path}/to", None, False)
    for path in (tmp_path / "from" / "link", tmp_path / "from" / "folder" / name, data / name):
        code, said = run_confined(order, "cat", "--copy-links", path)
        assert code != 0
        assert SECRET.decode() not in said
        assert "permission denied" in said
    code, _ = run_confined(
        order, "copy", "--copy-links", "--retries=1", order.source, order.destination
    )
    assert code != 0
    assert list(tree(tmp_path / "to").values()) == [OPEN]


@needs_landlock
def test_destination_that_could_not_be_made_opens_nothing_above_it(tmp_path: Path) -> None:
    """Its disk is away, perhaps, and the next folder that exists holds the data folder too."""
    for folder in ("from", "data", "runtime_dir"):
        (tmp_path / folder).mkdir()
    (tmp_path / "data" / "secret_key").write_bytes(SECRET)
    order = TransferOrder(
        1, 1, "copy", f"{tmp_path}/from", f"{tmp_path}/runtime_dir/../disk/to", None, False
    )
    for told in (
        order,
        TransferOrder(1, 1, "copy", f"{tmp_path}/from", f"{tmp_path}/to", None, False),
    ):
        assert run_confined(told, "cat", tmp_path / "data" / "secret_key")[0] != 0
        assert run_confined(told, "deletefile", tmp_path / "data" / "secret_key")[0] != 0
        assert run_confined(told, "touch", tmp_path / "data" / "new")[0] != 0
    assert set(tree(tmp_path / "data").values()) == {SECRET}


@needs_landlock
def test_data_folder_that_every_rclone_may_read_is_told(tmp_path: Path) -> None:
    assert confinement.problem(RCLONE, [tmp_path]) is None
    for path in ("/usr/local/lib/portal/instance", "/lib/portal", "/etc/ssl/certs/portal"):
        told = confinement.problem(RCLONE, [tmp_path, Path(path)])
        assert told is not None
        assert told.startswith(f"{path} lies in /")
