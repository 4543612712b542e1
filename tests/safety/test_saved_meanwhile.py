"""A document is saved while it is moved: rclone has read the old version, and would delete the path
of the new one. Where a hash is common it notices most of that; not a version of the same size and
time, as containers of encrypted disks are."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from portal.engine import ConfirmedPlan, Outcome, Remote, Run, TransferOrder, rclone_path
from portal.engine.running.moved_files import Fate, MovedFiles
from portal.remotes.obscure import obscure
from portal.transfers.options import Options
from tests.storages.servers import KINDS, Server
from tests.support.attempts import Attempts, Servers
from tests.support.keepsakes import kept

SIZE = 3_000_000
OLD, NEW = os.urandom(SIZE), os.urandom(SIZE)


def rewrite(document: Path) -> bytes:
    document.write_bytes(NEW)
    return NEW


def replace_by_rename(document: Path) -> bytes:
    saved = document.with_name(".doc.tmp")
    saved.write_bytes(NEW)
    saved.rename(document)
    return NEW


def truncate(document: Path) -> bytes:
    os.truncate(document, 1000)
    return OLD[:1000]


def make_again(document: Path) -> bytes:
    document.unlink()
    document.write_bytes(NEW)
    return NEW


def set_time_back(document: Path) -> bytes:
    before = document.stat()
    with document.open("r+b") as file:
        file.write(NEW)
    os.utime(document, ns=(before.st_atime_ns, before.st_mtime_ns))
    return NEW


SAVES = [rewrite, replace_by_rename, truncate, make_again, set_time_back]


def replace_by_one_of_the_same_time(document: Path) -> bytes:
    before = document.stat()
    saved = document.with_name(".doc.tmp")
    saved.write_bytes(NEW)
    os.utime(saved, ns=(before.st_atime_ns, before.st_mtime_ns))
    saved.rename(document)
    return NEW


class Mover:
    """Moves a document and does something to it when rclone has begun to send it. Without a remote
    the storage is a folder of another disk of this machine."""

    def __init__(self, folder: Path, remote: Remote | None, storage: Path, top: str = "") -> None:
        self.folder = folder
        self.source, self.target = folder / "here", storage / top / "to"
        self.where = f"nas:{top}to" if remote else str(self.target)
        self.remotes = (remote,) if remote else ()
        self.source.mkdir()
        self.document = self.source / "doc.odt"
        self.document.write_bytes(OLD)
        self.run: Run | None = None

    def order(self, **more: Any) -> TransferOrder:
        options = more.pop("options", Options(retries=0, transfers=1))
        source = more.pop("source", self.source)
        return TransferOrder(
            *(7, 1, "move", str(source), self.where, more.pop("limit", "1M")),
            dry_run=False,
            remotes=self.remotes,
            options=options,
            **more,
        )

    def move(
        self, meanwhile: Callable[[Run], object] = lambda run: None, **more: Any
    ) -> tuple[Outcome, bool]:
        """Also whether rclone had begun."""
        order = self.order(**more)
        run = Run(rclone_path(None), order, data_dir=self.folder, backoff=0.1, grace=5.0)
        self.run, begun = run, False
        try:
            for reading in run.readings(tick=0.02):
                sent = (
                    [one for one in reading.current_files if one.bytes_transferred]
                    if reading
                    else []
                )
                if not begun and any(one.name == "doc.odt" for one in sent):
                    begun = True
                    meanwhile(run)
        finally:
            run.close()
        return run.outcome(), begun

    def log(self) -> list[str]:
        assert self.run is not None
        return [f"{one.object}: {one.message}" for one in self.run.take_log()[0]]


@pytest.fixture
def mover(servers: Servers, tmp_path: Path) -> Iterator[Callable[..., Mover]]:
    with TemporaryDirectory(dir="/dev/shm") as another_disk:

        def make(kind: str) -> Mover:
            if kind == "disk":
                return Mover(tmp_path, None, Path(another_disk))
            folder = tmp_path / "there"
            remote = servers.remote("nas", servers.start(kind, folder))
            return Mover(tmp_path, remote, folder, "bucket/" if kind == "s3" else "")

        yield make


WITHOUT_HASH = ["webdav", "ftp"]
WITH_HASH = ["sftp", "s3", "disk"]
KINDS_OF_ENDS = [*WITHOUT_HASH, *WITH_HASH]


def replace_unnoticed(kind: str, document: Path) -> bytes:
    """Where a hash is common, rclone looks at size and time once more."""
    how = replace_by_rename if kind in WITHOUT_HASH else replace_by_one_of_the_same_time
    return how(document)


@pytest.mark.parametrize("kind", KINDS_OF_ENDS)
@pytest.mark.parametrize("save", SAVES)
def test_new_version_stays_and_it_is_told(
    mover: Callable[..., Mover], kind: str, save: Callable[[Path], bytes]
) -> None:
    moving = mover(kind)
    saved: list[bytes] = []
    outcome, _ = moving.move(lambda run: saved.append(save(moving.document)))
    assert saved == [moving.document.read_bytes()]
    assert not outcome.succeeded
    if save in (replace_by_rename, make_again) and kind in WITHOUT_HASH:
        assert outcome.reason == (
            "1 file was changed while it was moved (“doc.odt”). It was not removed from the "
            "source; what is at the destination may be an older version, or parts of both. Retry."
        )
        assert outcome.is_retryable
        assert "doc.odt" in outcome.error_lines[0]
        assert (moving.target / "doc.odt").read_bytes() == OLD
    else:
        # rclone may notice by itself, if it had not read all of it.
        told = ("1 file was changed while", "A file changed while", "What arrived is not what")
        assert (outcome.reason or "").startswith(told)


@pytest.mark.parametrize("kind", WITH_HASH)
def test_new_version_of_the_same_size_and_time_stays(
    mover: Callable[..., Mover], kind: str
) -> None:
    moving = mover(kind)
    outcome, begun = moving.move(lambda run: replace_by_one_of_the_same_time(moving.document))
    assert begun
    assert not outcome.succeeded
    assert (outcome.reason or "").startswith("1 file was changed while it was moved")
    assert kept(moving.source) == {"doc.odt": NEW}


@pytest.mark.parametrize("kind", KINDS_OF_ENDS)
@pytest.mark.parametrize("source", ["folder", "file"])
def test_next_try_sends_the_new_version(
    mover: Callable[..., Mover], kind: str, source: str
) -> None:
    moving = mover(kind)
    outcome, begun = moving.move(
        lambda run: replace_unnoticed(kind, moving.document),
        options=Options(retries=1, transfers=1),
        source=moving.source if source == "folder" else moving.document,
    )
    assert begun
    assert outcome.succeeded
    assert kept(moving.source) == {}
    assert kept(moving.target) == {"doc.odt": NEW}
    assert outcome.progress is not None
    assert (outcome.progress.files_transferred, outcome.progress.bytes_transferred) == (1, SIZE)


@pytest.mark.parametrize("kind", KINDS_OF_ENDS)
@pytest.mark.parametrize("retries", [0, 1])
def test_confirmed_move_keeps_what_was_saved_meanwhile(
    mover: Callable[..., Mover], attempts: Attempts, kind: str, retries: int
) -> None:
    moving = mover(kind)
    plan = attempts.run("move", moving.source, moving.where, *moving.remotes, dry_run=True).plan
    assert plan is not None
    outcome, begun = moving.move(
        lambda run: replace_unnoticed(kind, moving.document),
        options=Options(retries=retries, transfers=1),
        confirmed=ConfirmedPlan(plan.deletes, plan.fingerprint, plan.moment),
    )
    assert begun
    assert outcome.succeeded is bool(retries)
    assert kept(moving.target if retries else moving.source) == {"doc.odt": NEW}


@pytest.mark.parametrize("kind", KINDS_OF_ENDS)
def test_files_that_come_after_a_confirmation_stay(
    mover: Callable[..., Mover], attempts: Attempts, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rclone lists the source some time after the plan was verified."""
    moving = mover(kind)
    plan = attempts.run("move", moving.source, moving.where, *moving.remotes, dry_run=True).plan
    assert plan is not None
    note = MovedFiles.note

    def note_late(self: MovedFiles) -> Any:
        (moving.source / "late").write_bytes(b"late")
        yield from note(self)

    monkeypatch.setattr(MovedFiles, "note", note_late)
    confirmed = ConfirmedPlan(plan.deletes, plan.fingerprint, plan.moment)
    outcome, _ = moving.move(limit=None, confirmed=confirmed)
    assert not outcome.succeeded
    assert (outcome.reason or "").startswith("It was about to delete more than you confirmed")
    assert len(kept(moving.source)) == 1


@pytest.mark.parametrize("kind", ["smb"])
def test_new_version_stays_where_it_is_moved_to_a_share(tmp_path: Path, kind: str) -> None:
    if reason := KINDS[kind].missing():
        pytest.skip(reason)
    with Server(KINDS[kind], tmp_path / "server") as server:
        options = server.options()
        options["pass"] = obscure(options["pass"])
        remote = Remote("nas", KINDS[kind].backend, options)
        moving = Mover(tmp_path, remote, server.files, KINDS[kind].top)
        outcome, begun = moving.move(lambda run: replace_by_rename(moving.document))
        assert begun
        assert not outcome.succeeded
        assert kept(moving.source) == {"doc.odt": NEW}


def many(folder: Path, number: int) -> dict[str, bytes]:
    for one in range(number):
        path = folder / f"{one % 7}" / "deeper" / f"file {one:04}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"{one}".encode() * 9)
    return kept(folder)


@pytest.mark.parametrize("kind", KINDS_OF_ENDS)
def test_move_of_files_that_stay_as_they_are_empties_the_source(
    mover: Callable[..., Mover], kind: str
) -> None:
    moving = mover(kind)
    before = many(moving.source, 200)
    outcome, _ = moving.move(limit=None)
    assert outcome.succeeded
    assert kept(moving.source) == {}
    assert kind == "s3" or list(moving.source.iterdir()) == []
    assert kept(moving.target) == before
    assert outcome.progress is not None
    assert outcome.progress.files_transferred == outcome.progress.files_total == 201
    log = moving.log()
    assert len([one for one in log if one.endswith(": Deleted")]) == 201
    assert "doc.odt: Deleted" in log


@pytest.mark.parametrize("kind", WITH_HASH)
def test_files_that_are_there_already_are_removed_from_the_source_unless_they_change(
    mover: Callable[..., Mover], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = mover(kind)
    before = many(moving.source, 20)
    for number, (name, content) in enumerate(sorted(before.items())):
        there = moving.target / name
        there.parent.mkdir(parents=True, exist_ok=True)
        if number < 17:
            there.write_bytes(content)
        elif number < 19:
            there.write_bytes(b"older")
    remove = MovedFiles.remove

    def save_and_remove(self: MovedFiles, name: str) -> list[bool]:
        """One that is equal is saved after rclone has read it, and before it is removed."""
        if name == "1/deeper/file 0001":
            set_time_back_small(moving.source / name)
        return remove(self, name)

    monkeypatch.setattr(MovedFiles, "remove", save_and_remove)
    outcome, _ = moving.move(limit=None, options=Options(retries=0, transfers=4))
    assert kept(moving.source) == {"1/deeper/file 0001": b"2" * 9}
    assert kept(moving.target) == before
    assert not outcome.succeeded
    assert outcome.progress is not None
    assert (outcome.progress.files_transferred, outcome.progress.files_unchanged) == (4, 16)
    assert not [one for one in moving.log() if "Unchanged skipping" in one]
    monkeypatch.undo()
    outcome, _ = moving.move(limit=None)
    assert outcome.succeeded, outcome.reason
    assert kept(moving.source) == {}
    assert kept(moving.target) == {**before, "1/deeper/file 0001": b"2" * 9}


@pytest.mark.parametrize("kind", WITH_HASH)
@pytest.mark.parametrize("times", [1, 2])
def test_files_of_which_only_the_mode_changes_count_once(
    mover: Callable[..., Mover], kind: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by ``chmod -R``, or by a snapshot of hard links. The next try finds them equal."""
    moving = mover(kind)
    before = many(moving.source, 20)
    for name in sorted(before)[:5]:
        there = moving.target / name
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(before[name])
    remove, met = MovedFiles.remove, Counter[str]()

    def change_and_remove(self: MovedFiles, name: str) -> list[Fate]:
        met[name] += 1
        if met[name] <= times and not name.startswith("1/"):
            (moving.source / name).chmod(0o640 + met[name])
        return remove(self, name)

    monkeypatch.setattr(MovedFiles, "remove", change_and_remove)
    outcome, _ = moving.move(limit=None, options=Options(retries=2, transfers=4))
    assert outcome.succeeded, outcome.reason
    assert max(met.values()) == times + 1
    assert kept(moving.source) == {}
    assert kept(moving.target) == before
    figures = outcome.progress
    assert figures is not None
    assert (figures.files_transferred, figures.files_total, figures.files_unchanged) == (16, 16, 5)
    sent = sum(len(before[name]) for name in sorted(before)[5:])
    assert (figures.bytes_transferred, figures.total_bytes) == (sent, sent)


def set_time_back_small(file: Path) -> None:
    before = file.stat()
    file.write_bytes(b"2" * before.st_size)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("kind", ["webdav", "sftp", "disk"])
def test_odd_names_and_hard_links_are_moved(mover: Callable[..., Mover], kind: str) -> None:
    moving = mover(kind)
    names = [b"nl\nx", b"tab\t", "␊pic".encode(), b"\x7fe", b"100%41", b" sp ", b"trail.",
             "full／slash".encode(), "‛‛".encode(), b"inner\n/a b", "é".encode()]  # fmt: skip
    for number, name in enumerate(names):
        path = moving.source / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"%d" % number)
    for link in ("second", "third"):
        os.link(moving.document, moving.source / link)
    before = kept(moving.source)
    outcome, _ = moving.move(limit=None)
    assert outcome.succeeded, (outcome.reason, outcome.error_lines)
    assert kept(moving.source) == {}
    assert sorted(kept(moving.target).values()) == sorted(before.values())


def test_names_that_rclone_writes_alike_are_told_apart(tmp_path: Path) -> None:
    """Both are no UTF-8; neither is removed before both are copied."""
    folder = tmp_path / "here"
    folder.mkdir()
    for name in (b"a\xff", b"a\xfe", b"b"):
        (folder / os.fsdecode(name)).write_bytes(name)
    files = MovedFiles(folder)
    for _ in files.note():
        pass
    assert files.remove("a\ufffd") == []
    assert len(kept(folder)) == 3
    assert files.remove("a\ufffd") == [Fate.REMOVED, Fate.REMOVED]
    assert list(kept(folder)) == ["b"]
    files.close()
    assert files.remove("b") == [Fate.CHANGED]
    assert list(kept(folder)) == ["b"]


def test_file_that_was_saved_leaves_the_others_to_be_moved(mover: Callable[..., Mover]) -> None:
    moving = mover("webdav")
    many(moving.source, 5)
    outcome, begun = moving.move(lambda run: rewrite(moving.document))
    assert begun
    assert not outcome.succeeded
    assert kept(moving.source) == {"doc.odt": NEW}


@pytest.mark.parametrize("how", ["link", "other folder"])
def test_nothing_is_removed_elsewhere(mover: Callable[..., Mover], how: str) -> None:
    """The folder is replaced meanwhile; the file that is seen there now is not the source's."""
    moving = mover("webdav")
    inner, aside = moving.source / "inner", moving.folder / "aside"
    inner.mkdir()
    moving.document.rename(inner / "doc.odt")

    def change(run: Run) -> None:
        inner.rename(aside)
        if how == "link":
            inner.symlink_to(aside)
        else:
            inner.mkdir()
            (inner / "doc.odt").write_bytes(NEW)

    order = moving.order()
    run = Run(rclone_path(None), order, data_dir=moving.folder, backoff=0.1)
    begun = False
    for reading in run.readings(tick=0.02):
        if not begun and reading and any(one.bytes_transferred for one in reading.current_files):
            begun = True
            change(run)
    run.close()
    assert begun
    assert not run.outcome().succeeded
    assert (aside / "doc.odt").read_bytes() == OLD
    assert how == "link" or (inner / "doc.odt").read_bytes() == NEW


def test_mount_over_the_source_is_not_emptied(
    mover: Callable[..., Mover], bind: Callable[[Path, Path], None]
) -> None:
    moving = mover("webdav")
    other = moving.folder / "other"
    other.mkdir()
    (other / "doc.odt").write_bytes(NEW)
    outcome, begun = moving.move(lambda run: bind(other, moving.source))
    assert begun
    assert not outcome.succeeded
    assert (other / "doc.odt").read_bytes() == NEW


def test_refusal_of_the_system_is_told(
    mover: Callable[..., Mover], monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = os.unlink

    def refuse(path: Any, **more: Any) -> None:
        if path == "doc.odt":
            raise PermissionError(13, "Permission denied")
        unlink(path, **more)

    moving = mover("webdav")
    monkeypatch.setattr("portal.engine.running.moved_files.os.unlink", refuse)
    outcome, _ = moving.move(limit=None)
    assert not outcome.succeeded
    assert (outcome.reason or "").startswith("The portal is not allowed to read or write one")
    assert outcome.error_lines == ("doc.odt: Couldn't delete: permission denied",)
    assert kept(moving.source) == {"doc.odt": OLD}


@pytest.mark.parametrize("how", ["stop", "kill", "pause and stop"])
def test_only_files_that_were_copied_whole_are_gone_after_an_early_end(
    mover: Callable[..., Mover], how: str
) -> None:
    moving = mover("webdav")
    before = {**many(moving.source, 5), "doc.odt": OLD}

    def end(run: Run) -> None:
        if how == "kill":
            run.kill()
        else:
            if how == "pause and stop":
                run.pause()
            run.stop()

    outcome, begun = moving.move(end)
    assert begun
    assert (outcome.succeeded, outcome.stopped) == (False, True)
    left, there = kept(moving.source), kept(moving.target)
    assert left["doc.odt"] == OLD
    for name, content in before.items():
        assert left.get(name, there.get(name)) == content


def test_nothing_is_removed_while_it_is_paused(mover: Callable[..., Mover]) -> None:
    moving = mover("webdav")
    seen: list[dict[str, bytes]] = []

    def pause(run: Run) -> None:
        run.pause()
        seen.append(kept(moving.source))
        run.resume()

    outcome, begun = moving.move(pause)
    assert begun
    assert outcome.succeeded, outcome.reason
    assert seen == [{"doc.odt": OLD}]
    assert kept(moving.source) == {}
    assert kept(moving.target) == {"doc.odt": OLD}


def test_rclone_that_only_copies_cannot_delete_at_the_source(mover: Callable[..., Mover]) -> None:
    """Killed in the middle of its work, it leaves every file there."""
    moving = mover("webdav")
    leaders: list[int] = []
    run = Run(rclone_path(None), moving.order(), data_dir=moving.folder)
    for reading in run.readings(leaders.append, tick=0.02):
        if reading and any(one.bytes_transferred for one in reading.current_files):
            command = Path(f"/proc/{leaders[-1]}/cmdline").read_bytes().split(b"\0")
            assert b"copy" in command
            assert b"move" not in command
            os.killpg(leaders[-1], signal.SIGKILL)
            break
    run.close()
    assert kept(moving.source) == {"doc.odt": OLD}
