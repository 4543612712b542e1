"""Files of the source are renamed, deleted or replaced by links while they are transferred: the
reason says that, and the figures are those of the files that arrived."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from portal.engine import Outcome, Remote, Run, TransferOrder, rclone_path
from portal.engine.failures.error_names import Names
from portal.engine.failures.exit_codes import reason_for
from portal.engine.output.statistics import Error
from portal.engine.running.moved_files import Fate, MovedFiles
from portal.engine.running.replaced_files import reworded
from portal.engine.running.source_removal import SourceRemoval
from portal.transfers.options import Options
from tests.support.attempts import Servers
from tests.support.keepsakes import kept

DOCUMENT, SMALL, FIRST = os.urandom(1_800_000), os.urandom(50_000), os.urandom(400_000)
GONE = "Some files were renamed, deleted, or replaced by links or folders at the source during the"
NOT_FOUND = "Some files could not be found when their turn came"

Change = Callable[["Scene"], None]


class Scene:
    def __init__(self, folder: Path, kind: str, servers: Servers, name: str = "doc.odt") -> None:
        self.folder, self.source, self.aside = folder, folder / "here", folder / "aside"
        self.document = self.source / "sub" / name
        self.document.parent.mkdir(parents=True)
        self.aside.mkdir()
        self.document.write_bytes(DOCUMENT)
        (self.source / "sub" / "small").write_bytes(SMALL)
        (self.source / "first").write_bytes(FIRST)
        there = folder / "there"
        top = "bucket/" if kind == "s3" else ""
        self.target = there / top / "to"
        (there / top).mkdir(parents=True)
        self.remotes: tuple[Remote, ...] = ()
        self.where = str(self.target)
        if kind != "local":
            self.remotes = (servers.remote("nas", servers.start(kind, there)),)
            self.where = f"nas:{top}to"

    def run(
        self,
        operation: str,
        change: Change | None = None,
        *,
        when: str = "during",
        retries: int = 0,
        source: Path | None = None,
    ) -> Outcome:
        """``when``: once the document is under way, or before its turn comes."""
        order = TransferOrder(
            *(7, 1, operation, str(source or self.source), self.where, change and "1M"),
            dry_run=False,
            remotes=self.remotes,
            options=Options(retries=retries, transfers=4 if when == "during" else 1),
        )
        begun = False
        watched = len(DOCUMENT if when == "during" else FIRST)
        run = Run(rclone_path(None), order, data_dir=self.folder, backoff=0.1, grace=5.0)
        try:
            for reading in run.readings(tick=0.02):
                files = reading.current_files if reading else ()
                sent = {one.size for one in files if one.bytes_transferred}
                if change is not None and not begun and watched in sent:
                    begun = True
                    change(self)
        finally:
            run.close()
        assert begun or change is None, run.outcome()
        return run.outcome()


@pytest.fixture
def scene(servers: Servers, tmp_path: Path) -> Callable[..., Scene]:
    return lambda kind, name="doc.odt": Scene(tmp_path, kind, servers, name)


def rename(scene: Scene) -> None:
    scene.document.rename(scene.source / "other name")


def rename_folder(scene: Scene) -> None:
    scene.document.parent.rename(scene.source / "other folder")


def delete(scene: Scene) -> None:
    scene.document.unlink()


def link(scene: Scene) -> None:
    scene.document.rename(scene.aside / "doc")
    scene.document.symlink_to(scene.aside / "doc")


def link_to_another(scene: Scene) -> None:
    scene.document.unlink()
    (scene.aside / "other").write_bytes(SMALL)
    scene.document.symlink_to(scene.aside / "other")


def link_to_nothing(scene: Scene) -> None:
    scene.document.unlink()
    scene.document.symlink_to(scene.aside / "nothing")


def link_folder(scene: Scene) -> None:
    scene.document.parent.rename(scene.aside / "sub")
    scene.document.parent.symlink_to(scene.aside / "sub")


def file_for_folder(scene: Scene) -> None:
    scene.document.parent.rename(scene.source / "other folder")
    scene.document.parent.write_bytes(b"a file")


def folder_for_file(scene: Scene) -> None:
    scene.document.unlink()
    scene.document.mkdir()


DURING = [rename, rename_folder, delete, link, link_to_nothing, file_for_folder, folder_for_file]


@pytest.mark.parametrize("operation", ["copy", "move", "sync"])
@pytest.mark.parametrize("kind", ["s3", "sftp"])
@pytest.mark.parametrize("change", [rename, link])
def test_file_that_goes_while_it_is_sent_is_told_to_be_gone(
    scene: Callable[..., Scene], kind: str, operation: str, change: Change
) -> None:
    outcome = scene(kind).run(operation, change)
    assert not outcome.succeeded
    assert (outcome.reason or "").startswith(GONE), outcome


@pytest.mark.parametrize("change", DURING)
def test_each_way_to_go_is_told_alike(scene: Callable[..., Scene], change: Change) -> None:
    moving = scene("s3")
    outcome = moving.run("move", change)
    assert not outcome.succeeded
    assert (outcome.reason or "").startswith(GONE), outcome
    assert any("sub/doc.odt" in line for line in outcome.error_lines)
    assert "sub/doc.odt" not in kept(moving.target)


@pytest.mark.parametrize("kind", ["s3", "sftp"])
def test_files_below_a_folder_that_becomes_a_link_are_not_called_forbidden(
    scene: Callable[..., Scene], kind: str
) -> None:
    """They have arrived, and rclone may not delete what the link leads to."""
    moving = scene(kind)
    outcome = moving.run("move", link_folder)
    assert not outcome.succeeded
    assert "renamed, deleted or replaced at the source while" in (outcome.reason or ""), outcome
    assert kept(moving.aside)["sub/doc.odt"] == DOCUMENT
    assert kept(moving.target)["sub/doc.odt"] == DOCUMENT


@pytest.mark.parametrize(
    ("change", "begin"),
    [(link, GONE), (link_folder, GONE), (folder_for_file, GONE)]
    + [(one, NOT_FOUND) for one in (rename, rename_folder, link_to_nothing, file_for_folder)],
)
@pytest.mark.parametrize("kind", ["s3", "local"])
def test_file_that_is_gone_before_its_turn_is_told(
    scene: Callable[..., Scene], kind: str, change: Change, begin: str
) -> None:
    outcome = scene(kind).run("copy", change, when="before")
    assert not outcome.succeeded
    assert (outcome.reason or "").startswith(begin), outcome


@pytest.mark.parametrize("name", ["permission denied", "no such file.txt", "a: b\nc", "d␊é"])
def test_odd_name_changes_no_reason(scene: Callable[..., Scene], name: str) -> None:
    outcome = scene("s3", name).run("move", link)
    assert (outcome.reason or "").startswith(GONE), outcome


def test_single_file_that_becomes_a_link_is_told(scene: Callable[..., Scene]) -> None:
    moving = scene("s3")
    outcome = moving.run("move", link_to_another, source=moving.document)
    assert (outcome.reason or "").startswith(GONE), outcome
    assert kept(moving.aside) == {"other": SMALL}


@pytest.mark.parametrize(
    ("operation", "message", "begin"),
    [
        ("move", "Couldn't delete: remove /src/a: no such file or directory", GONE),
        (
            "sync",
            "Couldn't delete: remove /src/a: no such file or directory",
            "The transfer failed",
        ),
        ("sync", "Couldn't delete: remove /dst/a: permission denied", "The portal is not allowed"),
        ("move", "Couldn't delete: remove /src/a: permission denied", "The portal is not allowed"),
        ("copy", "Failed to copy: read /src/a: is a directory", GONE),
        ("copy", "Failed to copy: read /src/ab: is a directory", "The transfer failed"),
    ],
)
def test_what_the_system_says_of_other_files_keeps_its_meaning(
    operation: str, message: str, begin: str
) -> None:
    order = TransferOrder(7, 1, operation, "/src", "/dst", None, False)
    (error,) = reworded([Error("", "a", message)], order)
    names = Names([order.source, order.destination])
    assert reason_for(1, False, [names.without(error)]).startswith(begin)


@pytest.mark.parametrize("name", ["long " * 2000, "\udcff", "a\0b", "../x", ""])
def test_name_that_no_disk_holds_changes_no_error(tmp_path: Path, name: str) -> None:
    order = TransferOrder(7, 1, "move", str(tmp_path), "/dst", None, False)
    errors = [Error("", name, f"open {tmp_path}/{name}: permission denied")]
    assert reworded(errors, order) == errors


def test_second_run_takes_what_is_there_now(scene: Callable[..., Scene]) -> None:
    moving = scene("s3")
    assert not moving.run("move", rename).succeeded
    assert moving.run("move").succeeded
    assert kept(moving.source) == {}
    assert kept(moving.target) == {"other name": DOCUMENT, "sub/small": SMALL, "first": FIRST}


# --- where the portal removes the files of the source ------------------------------------------


def before_the_removal(monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]) -> None:
    """Somebody does it when the document has arrived, and before the portal removes it."""
    remove, done = MovedFiles.remove, []

    def late(self: MovedFiles, name: str) -> list[Fate]:
        if name.endswith("doc.odt") and not done:
            done.append(name)
            change()
        return remove(self, name)

    monkeypatch.setattr(MovedFiles, "remove", late)


@pytest.mark.parametrize("kind", ["webdav", "ftp"])
@pytest.mark.parametrize(
    ("change", "arrived"),
    # What has another name now is sent once more.
    [(delete, 3), (link, 3), (rename, 4)],
)
def test_figures_are_those_of_the_files_that_arrived(
    scene: Callable[..., Scene],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    change: Change,
    arrived: int,
) -> None:
    moving = scene(kind)
    before_the_removal(monkeypatch, lambda: change(moving))
    outcome = moving.run("move", retries=1)
    assert outcome.succeeded, outcome
    there = kept(moving.target)
    assert len(there) == arrived
    progress = outcome.progress
    assert progress is not None
    assert (progress.files_transferred, progress.files_total) == (arrived, arrived)
    size = sum(map(len, there.values()))
    assert (progress.bytes_transferred, progress.total_bytes) == (size, size)


@pytest.mark.parametrize("change", [delete, link, rename])
def test_file_that_goes_after_it_arrived_is_not_called_changed(
    scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    moving = scene("webdav")
    before_the_removal(monkeypatch, lambda: change(moving))
    outcome = moving.run("move")
    assert not outcome.succeeded
    assert outcome.is_retryable
    assert outcome.reason == (
        "1 file was renamed, deleted or replaced at the source while it was moved "
        "(“sub/doc.odt”). What has arrived of it stays at the destination. Retry to move what is "
        "there now."
    )
    assert kept(moving.target)["sub/doc.odt"] == DOCUMENT


def test_file_that_goes_beside_one_that_is_saved_is_counted(
    scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have arrived, and nothing is removed yet."""
    moving = scene("webdav")
    remove_some, done = SourceRemoval.remove_some, []

    def late(self: SourceRemoval) -> None:
        if not done and len(self.reader.proven) < 3 and not self.reader.ended:
            return
        if not done:
            done.append(len(self.reader.proven))
            moving.document.unlink()
            (moving.source / "sub" / "small").write_bytes(b"saved")
        remove_some(self)

    monkeypatch.setattr(SourceRemoval, "remove_some", late)
    outcome = moving.run("move", retries=1)
    assert done == [3]
    assert outcome.succeeded, outcome
    assert kept(moving.source) == {}
    assert kept(moving.target) == {"first": FIRST, "sub/small": b"saved", "sub/doc.odt": DOCUMENT}
    assert outcome.progress is not None
    assert (outcome.progress.files_transferred, outcome.progress.files_total) == (3, 3)
