"""Marker files go, whatever happens, and nothing of them is ever copied, counted or deleted."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from portal.engine import Run, TransferOrder, precautions, rclone_path
from portal.engine.answers.questions import NoAnswer, Questions
from portal.engine.markers import PREFIX
from portal.engine.precautions import Precautions
from portal.engine.safety.marker_journal import Journal
from portal.engine.safety.probe import LocalFolder, Probe
from portal.transfers.options import Options
from tests.support.attempts import Attempts, Servers
from tests.support.keepsakes import kept, markers, photographs
from tests.support.waiting import wait_for


def notes(attempts: Attempts) -> list[dict[str, str]]:
    folder = attempts.folder / "probes"
    return [json.loads(note.read_text()) for note in folder.glob("*.json")]


def test_nothing_is_left_of_a_job_that_went_well_or_was_refused(attempts, servers, tmp_path):
    photographs(tmp_path / "store" / "photos")
    one = servers.remote("one", servers.start("sftp", tmp_path / "store"))
    two = servers.remote("two", servers.start("webdav", tmp_path / "store"))
    assert not attempts.run("sync", "one:photos", "two:photos", one, two).succeeded
    assert attempts.run("sync", "one:photos", "two:others", one, two).succeeded
    assert markers(tmp_path) == []
    assert notes(attempts) == []


@pytest.mark.parametrize("operation", ["move", "sync"])
@pytest.mark.parametrize("shared", [False, True])
def test_slow_storage_has_the_time_to_remove_markers(
    attempts, servers, tmp_path, monkeypatch, operation, shared
):
    """Only an attempt that is stopped is short of time. ``shared``: a folder of one name lies on
    both ends, and is marked, too."""
    before = photographs(tmp_path / "source")
    (tmp_path / "store" / "photos" / ("2026" if shared else "older")).mkdir(parents=True)
    remote = servers.remote("nas", servers.start("sftp", tmp_path / "store"))
    taken = Questions.remove
    left: list[str] = []

    def slow(self: Any, place: str, name: str) -> None:
        time.sleep(0.5)
        taken(self, place, name)
        left.append(name)

    monkeypatch.setattr(precautions, "_CLOSE_SECONDS", 0.1)
    monkeypatch.setattr(Questions, "remove", slow)
    outcome = attempts.run(operation, tmp_path / "source", "nas:photos", remote)
    assert outcome.succeeded, outcome
    assert left
    assert markers(tmp_path) == []
    assert notes(attempts) == []
    assert before.items() <= kept(tmp_path / "store" / "photos").items()


@pytest.mark.parametrize("failing", [1, 2])
def test_removal_that_fails_at_once_is_tried_again(
    attempts, servers, tmp_path, monkeypatch, failing
):
    """The machine has no time to start the rclone that removes the markers."""
    photographs(tmp_path / "source")
    (tmp_path / "store" / "photos").mkdir(parents=True)
    remote = servers.remote("nas", servers.start("webdav", tmp_path / "store"))
    start, started = Questions.start, []

    def fail_after_the_first(self: Any) -> None:
        started.append(self)
        if 1 < len(started) <= 1 + failing:
            raise NoAnswer("it ended at once")
        start(self)

    monkeypatch.setattr(Questions, "start", fail_after_the_first)
    outcome = attempts.run("sync", tmp_path / "source", "nas:photos", remote)
    assert outcome.succeeded, outcome
    assert len(started) > 1 + failing
    assert markers(tmp_path) == []
    assert notes(attempts) == []


def test_stop_in_the_middle_of_a_look_leaves_no_marker_and_deletes_nothing(
    attempts, servers, tmp_path, monkeypatch
):
    """Both ends are marked while a dry run looks for the markers."""
    before = photographs(tmp_path / "here" / "photos")
    (tmp_path / "there").mkdir()
    one = servers.remote("one", servers.start("sftp", tmp_path / "here"))
    two = servers.remote("two", servers.start("webdav", tmp_path / "there"))
    order = TransferOrder(
        7, 1, "move", "one:photos", "two:", None, dry_run=False, remotes=(one, two)
    )
    run = Run(rclone_path(None), order, data_dir=attempts.folder, grace=2.0)
    seen: list[int] = []
    taken = Precautions._look_deeply

    def look(self: Any, order: TransferOrder, tick: float) -> Any:
        seen.append(len(markers(tmp_path)))
        run.stop()
        return (yield from taken(self, order, tick))

    monkeypatch.setattr(Precautions, "_look_deeply", look)
    for _ in run.readings(tick=0.05):
        pass
    run.close()
    assert seen == [4]
    assert run.outcome().stopped
    assert markers(tmp_path) == []
    assert notes(attempts) == []
    assert kept(tmp_path / "here" / "photos") == before


def test_marker_that_could_not_be_removed_goes_with_the_next_attempt(attempts, servers, tmp_path):
    """The server went away between the marker and its removal."""
    photographs(tmp_path / "source")
    server = servers.start("sftp", tmp_path / "store")
    remote = servers.remote("nas", server)
    left = f"{PREFIX}00112233445566aa"
    (tmp_path / "store" / "photos").mkdir()
    (tmp_path / "store" / "photos" / left).write_bytes(b"x")
    Journal(attempts.folder).noted("nas:photos", left, given_up=True)
    assert attempts.run("sync", tmp_path / "source", "nas:photos", remote).succeeded
    assert markers(tmp_path) == []
    assert notes(attempts) == []


def test_marker_of_a_dead_process_is_found_and_that_of_a_living_one_left_alone(
    attempts, servers, tmp_path
):
    photographs(tmp_path / "source")
    remote = servers.remote("nas", servers.start("sftp", tmp_path / "store"))
    journal = Journal(attempts.folder)
    for number in ("00000000000000aa", "00000000000000bb"):
        journal.noted("nas:photos", PREFIX + number)
        (tmp_path / "store" / "photos").mkdir(exist_ok=True)
        (tmp_path / "store" / "photos" / (PREFIX + number)).write_bytes(b"x")
    dead = next(iter((attempts.folder / "probes").glob("*aa-*.json")))
    told = json.loads(dead.read_text())
    dead.write_text(json.dumps(told | {"owner": "1:1"}))
    assert attempts.run("sync", tmp_path / "source", "nas:photos", remote).succeeded
    assert [path.name[-2:] for path in markers(tmp_path)] == ["bb"]
    assert [note["name"][-2:] for note in notes(attempts)] == ["bb"]


def test_what_cannot_be_removed_is_noted_and_told(tmp_path: Path) -> None:
    class Stuck(LocalFolder):
        def remove(self, name: str) -> None:
            from portal.engine.answers.questions import NoAnswer

            raise NoAnswer("permission denied")

    for name in ("source", "to"):
        (tmp_path / name).mkdir()
    journal = Journal(tmp_path)
    probe = Probe(
        LocalFolder(str(tmp_path / "source")),
        Stuck(str(tmp_path / "to")),
        cross=True,
        exact=False,
        new=False,
        journal=journal,
    )
    assert not probe.run().one_place
    assert probe.remove() == [str(tmp_path / "to")]
    left = [one.place for one in journal.left(lambda place: True)]
    assert left == [str(tmp_path / "to")] * 2


@pytest.mark.parametrize("operation", ["copy", "sync", "move"])
def test_markers_of_others_are_not_copied_counted_or_deleted(attempts, tmp_path, operation):
    """Another job looks at these very folders in this moment."""
    before = photographs(tmp_path / "source")
    (tmp_path / "to").mkdir()
    here, there = (f"{PREFIX}{number:016x}" for number in (1, 2))
    (tmp_path / "source" / here).write_bytes(b"x" * 32)
    (tmp_path / "to" / there).write_bytes(b"y" * 32)
    plan = attempts.run(operation, tmp_path / "source", tmp_path / "to", dry_run=True).plan
    assert plan is None or plan.copies == len(before)
    outcome = attempts.run(operation, tmp_path / "source", tmp_path / "to")
    assert outcome.succeeded
    assert outcome.progress.files_transferred == len(before)
    assert (tmp_path / "source" / here).exists()
    assert kept(tmp_path / "to") == before | {there: b"y" * 32}


@pytest.fixture
def silent():
    """A remote whose server takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        storage = type("Silent", (), {"kind": "webdav"})()
        storage.options = lambda **_: {
            "url": f"http://127.0.0.1:{server.getsockname()[1]}",
            "user": "x",
            "pass": "x",
        }
        yield Servers.remote("nas", storage)


def test_silent_storage_is_given_up_and_nothing_is_deleted(attempts, silent, tmp_path, monkeypatch):
    before = photographs(tmp_path / "source")
    monkeypatch.setattr("portal.engine.answers.questions._TIMEOUT", 2.0)
    began = time.monotonic()
    outcome = attempts.run("move", tmp_path / "source", "nas:photos", silent)
    assert time.monotonic() - began < 20
    assert not outcome.succeeded
    assert outcome.is_retryable
    assert "did not answer" in outcome.reason
    assert kept(tmp_path / "source") == before


def test_stop_ends_an_examination_whose_storage_is_silent(attempts, silent, tmp_path):
    photographs(tmp_path / "source")
    order = TransferOrder(
        *(7, 1, "move", str(tmp_path / "source"), "nas:x", None, False),
        remotes=(silent,),
        options=Options(retries=0),
    )
    run = Run(rclone_path(None), order, data_dir=attempts.folder, grace=2.0)
    begun: list[int] = []

    def follow() -> None:
        for _ in run.readings(begun.append, tick=0.05):
            if begun:
                run.stop()
        run.close()

    thread = threading.Thread(target=follow)
    thread.start()
    wait_for(lambda: not thread.is_alive(), 15)
    assert run.outcome().stopped
