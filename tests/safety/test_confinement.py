"""rclone can reach the paths of its own job and nothing else, whatever becomes of these paths while
it runs."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import CapturingLogger

from portal.engine import ProcessSettings, RcloneProcess, TransferOrder, list_matching
from portal.engine.answers.run_once import run_once
from portal.engine.order import confinement
from portal.engine.process import landlock
from portal.engine.process.binary import setpriv_path
from portal.engine.process.group import ProcessGroup
from portal.models import Job
from portal.settings import Settings
from portal.transfers.options import Options
from portal.transfers.states import JobStatus, Operation
from portal.worker.roots import look_at_roots
from tests.support.client import Browser
from tests.support.confined import RCLONE, needs_landlock, run_confined
from tests.support.transfers import fill, status_of, stored, tree
from tests.support.waiting import wait_for


def order(folder: Path, operation: str = "copy", **more: object) -> TransferOrder:
    source, destination = folder / "from", folder / "to"
    for path in (source, destination, folder / "runtime_dir"):
        path.mkdir(exist_ok=True)
    (source / "file").write_text("its own")
    return TransferOrder(1, 1, operation, str(source), str(destination), None, False, **more)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret").write_text("a secret")
    return tmp_path


@needs_landlock
@pytest.mark.parametrize("path", ["/etc/passwd", "/etc/shadow", "/proc/self/environ", "secret"])
def test_nothing_but_its_own_can_be_read(folder: Path, path: str) -> None:
    wanted = folder / "elsewhere" / path
    assert wanted.is_file()
    code, said = run_confined(order(folder), "cat", wanted)
    assert code != 0
    assert "permission denied" in said
    assert run_confined(order(folder), "cat", folder / "from" / "file") == (0, "its own")


@needs_landlock
def test_nothing_can_be_written_but_the_destination(folder: Path) -> None:
    for target in ("elsewhere", "from"):
        code, said = run_confined(order(folder), "touch", folder / target / "new")
        assert (code != 0, "permission denied" in said) == (True, True), target
        code, _ = run_confined(order(folder), "delete", folder / target)
        assert code != 0, target
    assert (folder / "elsewhere" / "secret").exists()
    assert (folder / "from" / "file").exists()
    assert run_confined(order(folder), "touch", folder / "to" / "new") == (0, "")


@needs_landlock
@pytest.mark.parametrize("operation", ["copy", "sync", "check"])
def test_only_a_move_may_take_from_its_source(folder: Path, operation: str) -> None:
    assert run_confined(order(folder, operation), "deletefile", folder / "from" / "file")[0] != 0
    assert run_confined(order(folder, "move"), "deletefile", folder / "from" / "file")[0] == 0


@needs_landlock
def test_dry_run_and_check_may_write_nothing(folder: Path) -> None:
    for told in (order(folder, "check"), order(folder, "sync")):
        dry = TransferOrder(1, 1, told.operation, told.source, told.destination, None, dry_run=True)
        assert run_confined(dry, "touch", folder / "to" / "new")[0] != 0


@needs_landlock
def test_source_of_one_file_is_that_file(folder: Path) -> None:
    (folder / "from").mkdir()
    (folder / "from" / "other").write_text("another's")
    for only in (None, "file"):
        told = order(folder, only=only)
        path = told.source if only else f"{told.source}/file"
        one = TransferOrder(1, 1, "copy", path, told.destination, None, False, only=only)
        assert run_confined(one, "cat", folder / "from" / "file") == (0, "its own")
        assert run_confined(one, "cat", folder / "from" / "other")[0] != 0


@needs_landlock
def test_job_between_local_folders_has_no_network(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        server.settimeout(3)
        code, said = run_confined(
            order(folder), "lsf", ":http:", f"--http-url={url}", "--retries=1"
        )
        assert code != 0
        assert "permission denied" in said


@needs_landlock
def test_question_about_a_remote_reads_no_local_file(folder: Path) -> None:
    told = run_once(RCLONE, ["lsf", "--", str(folder / "elsewhere")], seconds=10, most=1000)
    assert told.exit_code != 0
    found = list_matching(RCLONE, None, str(folder / "elsewhere"), Options(), seconds=10)
    assert (found.files, found.problem) == (1, None)
    one = list_matching(RCLONE, None, str(folder / "elsewhere" / "secret"), Options(), seconds=10)
    assert (one.files, one.problem) == (1, None)


@needs_landlock
def test_portal_itself_is_not_confined(folder: Path) -> None:
    run_confined(order(folder), "version")
    assert (folder / "elsewhere" / "secret").read_text() == "a secret"
    before = threading.active_count()
    subprocess.run(["cat", "/etc/passwd"], check=True, capture_output=True)
    wait_for(lambda: "rclone-parent" not in [one.name for one in threading.enumerate()])
    assert threading.active_count() <= before


@pytest.fixture
def run(new_job: Callable[..., int], execute: Callable[..., None]) -> Callable[..., Job]:
    def finish(**job_fields: object) -> Job:
        number = new_job(**job_fields)
        execute(number)
        return stored(number)

    return finish


def swap_when_it_runs(number: int, started: Path, folder: Path, target: Path) -> threading.Thread:
    """Puts a link to ``target`` in place of the folder once the first bytes have arrived, which is
    after rclone has listed both sides."""

    def swap() -> None:
        wait_for(lambda: any(started.glob("a first*")), 20)
        folder.rename(folder.with_name("away"))
        folder.symlink_to(target)

    thread = threading.Thread(target=swap)
    thread.start()
    return thread


@needs_landlock
def test_link_put_into_the_source_meanwhile_does_not_lead_to_the_data_folder(
    settings: Settings, root: Path, new_job: Callable[..., int], execute: Callable[..., None]
) -> None:
    key = settings.data_dir / "secret_key"
    key.write_text("k" * 64)
    source = root / "from"
    (source / "z").mkdir(parents=True)
    (source / "a first file").write_bytes(os.urandom(2_000_000))
    (source / "z" / "secret_key").write_text("x" * 64)
    os.utime(source / "z" / "secret_key", ns=(key.stat().st_mtime_ns,) * 2)
    number = new_job(source=source, bandwidth_limit="1M", options=Options(transfers=1, retries=0))
    thread = swap_when_it_runs(number, root / "to", source / "z", settings.data_dir)
    execute(number)
    thread.join()
    assert status_of(number) == JobStatus.FAILED
    assert b"k" * 64 not in tree(root / "to").values()


@needs_landlock
def test_link_put_into_the_destination_meanwhile_leads_nowhere(
    root: Path,
    tmp_path: Path,
    new_job: Callable[..., int],
    execute: Callable[..., None],
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    source = root / "from"
    (source / "z").mkdir(parents=True)
    (source / "a first file").write_bytes(os.urandom(2_000_000))
    (source / "z" / "file").write_text("hello")
    number = new_job(source=source, bandwidth_limit="1M", options=Options(transfers=1, retries=0))
    thread = swap_when_it_runs(number, root / "to", root / "to" / "z", outside)
    execute(number)
    thread.join()
    assert list(outside.iterdir()) == []
    assert status_of(number) == JobStatus.FAILED


@pytest.mark.parametrize("version", [0, 1, landlock.version()])
@pytest.mark.parametrize("operation", list(Operation))
def test_every_kind_of_job_works_with_every_landlock(
    root: Path,
    run: Callable[..., Job],
    monkeypatch: pytest.MonkeyPatch,
    version: int,
    operation: Operation,
) -> None:
    monkeypatch.setattr(landlock, "version", lambda: version)
    fill(root / "from" / "sub")
    (root / "from" / "empty").mkdir()
    if operation is Operation.CHECK:
        fill(root / "to" / "sub")
        for path in (root / "from" / "sub").iterdir():
            (root / "to" / "sub" / path.name).write_bytes(path.read_bytes())
    sent = tree(root / "from")
    job = run(source=root / "from", operation=operation, options=Options(checksum=True))
    assert (job.status, job.error) == (JobStatus.COMPLETED, None)
    assert tree(root / "to") == sent
    assert tree(root / "from") == ({} if operation is Operation.MOVE else sent)


@needs_landlock
def test_move_on_one_disk_is_still_a_rename(root: Path, run: Callable[..., Job]) -> None:
    fill(root / "from" / "sub", files=1)
    before = (root / "from" / "sub" / "file 0").stat().st_ino
    run(source=root / "from", operation=Operation.MOVE)
    assert (root / "to" / "sub" / "file 0").stat().st_ino == before
    run(source=root / "to" / "sub" / "file 0", destination=root / "on", operation=Operation.MOVE)
    assert (root / "on" / "file 0").stat().st_ino == before


def test_destination_that_a_failed_job_had_made_is_gone(
    root: Path, run: Callable[..., Job]
) -> None:
    job = run(source=root / "nowhere", destination=root / "new" / "folder")
    assert job.status == JobStatus.FAILED
    assert not (root / "new").exists()


def test_readyz_and_the_start_say_where_nothing_is_confined(
    settings: Settings,
    browser: Callable[..., Browser],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = CapturingLogger()
    monkeypatch.setattr("portal.worker.roots.log", log)
    assert "confinement" not in browser().get("/readyz").json
    monkeypatch.setattr(landlock, "version", lambda: 0)
    said = "rclone is not confined: this kernel has no Landlock, or it is switched off"
    assert browser().get("/readyz").json["confinement"] == said
    look_at_roots(settings)
    assert "rclone is not confined" in [call.args[0] for call in log.calls]


@needs_landlock
@pytest.mark.exclusive
def test_confinement_costs_less_than_five_milliseconds(folder: Path) -> None:
    told, setpriv = order(folder), setpriv_path()

    def seconds(confined: bool) -> float:
        begun = time.perf_counter()
        rules = confinement.of_order(RCLONE, setpriv, told, folder / "runtime_dir")
        if not confined and rules is not None:
            rules.close()
            begun, rules = time.perf_counter(), None
        group = ProcessGroup([setpriv, "true"], {"PATH": "/usr/bin:/bin"}, rules=rules)
        took = time.perf_counter() - begun
        with group.stderr:
            wait_for(group.reap)
        return took

    pairs = [(seconds(True), seconds(False)) for _ in range(31)]
    extra = sorted(one - other for one, other in pairs)[15]
    assert extra < 0.005, f"{extra * 1000:.1f} ms"


def test_transfer_of_the_engine_alone_is_confined_too(folder: Path) -> None:
    told = order(folder)
    transfer = RcloneProcess(ProcessSettings(RCLONE), told)
    transfer.start()
    list(transfer.readings())
    transfer.close()
    assert transfer.outcome().succeeded


@needs_landlock
def test_whoever_removes_partial_files_reaches_the_destination_alone(folder: Path) -> None:
    told = order(folder, "delete")
    (folder / "to" / "part").touch()
    assert run_confined(told, "deletefile", folder / "from" / "file")[0] != 0
    assert run_confined(told, "cat", folder / "from" / "file")[0] != 0
    assert run_confined(told, "deletefile", folder / "to" / "part")[0] == 0
