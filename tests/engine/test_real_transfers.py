"""What rclone does on real files, and what the portal says of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from portal.engine import (
    EngineError,
    Phase,
    ProcessSettings,
    RcloneProcess,
    TransferOrder,
    rclone_path,
)
from portal.engine.failures.exit_codes import reason_for

TOTAL = 3_000_006


def tree(folder: Path) -> dict[bytes, bytes]:
    return {
        os.fsencode(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_copy_tells_honest_figures_all_the_way(bench, source, tmp_path):
    outcome, readings = bench.run(source, tmp_path / "to", bandwidth_limit="2M")
    assert tree(tmp_path / "to") == tree(source)
    assert outcome.succeeded
    assert (outcome.exit_code, outcome.reason, outcome.stopped) == (0, None, False)
    percents = [reading.percent or 0 for reading in readings]
    assert percents == sorted(percents)
    assert percents[-1] == 100.0
    assert all(percent < 100 for percent in percents[:-1])
    moving = [r for r in readings if r.phase is Phase.TRANSFERRING and r.current_files]
    assert len(moving) >= 3
    assert all(reading.total_bytes == TOTAL for reading in moving)
    assert all(1_000_000 < reading.speed_bytes < 4_000_000 for reading in moving)
    assert moving[-1].eta_seconds is not None
    assert moving[-1].current_files[0].name == "big"
    final = outcome.progress
    assert final == readings[-1]
    assert final.phase is Phase.FINISHING
    assert (final.bytes_transferred, final.total_bytes) == (TOTAL, TOTAL)
    assert (final.files_transferred, final.files_total, final.eta_seconds) == (3, 3, 0)
    assert 1_000_000 < final.speed_bytes < 4_000_000


def test_sync_deletes_what_the_source_lacks(bench, source, tmp_path):
    target = tmp_path / "to"
    target.mkdir()
    (target / "stray").touch()
    outcome, _ = bench.run(source, target, "sync")
    assert outcome.succeeded
    assert tree(target) == tree(source)


def test_sync_that_only_deletes_ends_complete(bench, source, tmp_path):
    bench.run(source, tmp_path / "to")
    for number in range(200):
        (tmp_path / "to" / f"stray{number}").touch()
    outcome, readings = bench.run(source, tmp_path / "to", "sync")
    assert outcome.succeeded
    assert outcome.progress.percent == 100.0
    assert readings[-1].phase is Phase.FINISHING
    assert tree(tmp_path / "to") == tree(source)


def test_move_counts_files_and_keeps_the_source_folder_itself(bench, source, tmp_path):
    before = tree(source)
    outcome, _ = bench.run(source, tmp_path / "to", "move")
    assert tree(tmp_path / "to") == before
    assert source.is_dir()
    assert tree(source) == {}
    assert (outcome.progress.files_transferred, outcome.progress.bytes_transferred) == (3, TOTAL)
    assert outcome.progress.speed_bytes < TOTAL  # Renames are no speed.


def test_check_of_equal_folders_succeeds_and_counts_files(bench, source, tmp_path):
    shutil.copytree(source, tmp_path / "to")
    outcome, _ = bench.run(source, tmp_path / "to", "check")
    assert outcome.succeeded
    final = outcome.progress
    assert (final.percent, final.files_transferred, final.files_total) == (100.0, 3, 3)
    assert (final.bytes_transferred, final.speed_bytes) == (0, 0)


def test_check_that_finds_a_difference_has_its_answer(bench, source, tmp_path):
    shutil.copytree(source, tmp_path / "to")
    (tmp_path / "to" / "zero").write_text("x")
    outcome, _ = bench.run(source, tmp_path / "to", "check")
    assert (outcome.succeeded, outcome.exit_code, outcome.reason) == (True, 1, None)
    assert outcome.found.outcome == "different"
    assert outcome.found.differences["different"] == {"count": 1, "names": ["zero"]}
    assert (outcome.progress.percent, outcome.progress.files_unchanged) == (100.0, 2)


@pytest.mark.parametrize("operation", ["copy", "sync", "move"])
def test_dry_run_moves_nothing_and_tells_what_would_be_moved(bench, source, tmp_path, operation):
    before = tree(source)
    outcome, _ = bench.run(source, tmp_path / "to", operation, dry_run=True)
    assert outcome.succeeded
    assert tree(source) == before
    assert not (tmp_path / "to").exists()
    final = outcome.progress
    assert (final.bytes_transferred, final.files_transferred, final.speed_bytes) == (0, 0, 0)
    assert (final.total_bytes, final.files_total, final.percent) == (TOTAL, 3, 100.0)


def test_empty_folder_ends_complete_with_nothing_of_nothing(bench, tmp_path):
    (tmp_path / "empty").mkdir()
    outcome, _ = bench.run(tmp_path / "empty", tmp_path / "to")
    final = outcome.progress
    assert (final.percent, final.bytes_transferred, final.total_bytes) == (100.0, 0, 0)


@pytest.mark.parametrize("name", ["zero", "big"])
def test_source_may_be_a_single_file(bench, source, tmp_path, name):
    outcome, _ = bench.run(source / name, tmp_path / "to")
    assert outcome.succeeded
    assert (tmp_path / "to" / name).read_bytes() == (source / name).read_bytes()
    assert (outcome.progress.files_transferred, outcome.progress.files_total) == (1, 1)


def test_ten_thousand_small_files_are_scanned_then_counted(bench, tmp_path):
    for folder in range(10):
        (tmp_path / "many" / str(folder)).mkdir(parents=True)
        for number in range(1000):
            (tmp_path / "many" / str(folder) / str(number)).touch()
    outcome, readings = bench.run(tmp_path / "many", tmp_path / "to", stats_interval=0.02)
    assert outcome.progress.files_transferred == outcome.progress.files_total == 10_000
    for reading in readings:
        scanning = reading.phase in (Phase.SCANNING, Phase.CHECKING)
        assert (reading.total_bytes is None) == scanning
        assert (reading.percent is None) == scanning
    percents = [reading.percent for reading in readings if reading.percent is not None]
    assert len(percents) > 3
    assert percents == sorted(percents)
    bench.run(tmp_path / "many", tmp_path / "to", "check", stats_interval=0.02)


NAMES = [
    b"with space",
    b"quote'\"`$(id)",
    b"new\nline",
    b"-rf",
    b"--config",
    b"\xff\xfe raw",
    b"back\\slash",
    "snö ☃".encode(),
    b" leading",
    b"trailing ",
    b"a:b",
    b"*?[x]",
    b"{{x}}",
]


def test_names_of_every_kind_copy_right(bench, tmp_path):
    folder = tmp_path / "odd"
    for name in NAMES:
        inner = folder / os.fsdecode(b"d" + name)
        inner.mkdir(parents=True)
        (inner / os.fsdecode(name)).write_bytes(name)
        (folder / os.fsdecode(name)).write_bytes(name)
    outcome, _ = bench.run(folder, tmp_path / "to")
    assert outcome.succeeded
    assert tree(tmp_path / "to") == tree(folder)
    assert len(tree(tmp_path / "to")) == 2 * len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_folders_of_every_name_can_be_source_and_destination(bench, tmp_path, name):
    source = tmp_path / os.fsdecode(name)
    source.mkdir()
    (source / "file").write_bytes(name)
    outcome, _ = bench.run(source, tmp_path / "to" / os.fsdecode(name))
    assert outcome.succeeded, outcome
    assert tree(tmp_path / "to" / os.fsdecode(name)) == {b"file": name}


def test_links_are_not_followed_out_of_the_source(bench, source, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (source / "link").symlink_to(tmp_path / "secret")
    outcome, _ = bench.run(source, tmp_path / "to")
    assert outcome.succeeded
    assert "link" not in {entry.name for entry in (tmp_path / "to").iterdir()}


def test_missing_source_is_named(bench, tmp_path):
    outcome, _ = bench.run(tmp_path / "nope", tmp_path / "to", "sync")
    assert (outcome.succeeded, outcome.exit_code) == (False, 3)
    assert outcome.reason == "The source folder does not exist. Check its path, then retry."
    assert outcome.progress.percent is None
    assert outcome.error_lines


def test_folder_that_rclone_cannot_read_back_is_not_taken_for_the_source(bench, source, tmp_path):
    """rclone itself uses this character to write others."""
    (source / "odd\u201b").mkdir()
    outcome, _ = bench.run(source, tmp_path / "to")
    assert outcome.succeeded or outcome.reason.startswith("A folder of the source could not be")
    said = "odd\u201b\u201b: error reading source directory: directory not found"
    assert reason_for(3, False, [said]).startswith("A folder of the source could not be found")


def test_destination_that_is_a_file_is_named(bench, source, tmp_path):
    (tmp_path / "file").touch()
    for destination, begin in (
        (tmp_path / "file", "The destination is, or lies below, a file. Choose a folder."),
        (tmp_path / "file" / "below", "A file lies where the destination needs a folder;"),
    ):
        outcome, _ = bench.run(source / "sub", destination)
        assert outcome.reason.startswith(begin)


def test_name_that_is_too_long_is_named(bench, source, tmp_path):
    (source / ("n" * 250)).touch()
    outcome, _ = bench.run(source, tmp_path / "to" / ("m" * 256))
    assert outcome.reason.startswith("A file name is too long")


def test_overlapping_folders_are_refused_by_rclone_itself(bench, source):
    outcome, _ = bench.run(source, source / "sub" / "deeper", "move")
    assert outcome.reason.startswith("Source and destination overlap.")


def test_full_disk_is_named_and_is_no_success(bench, source, tmp_path):
    (tmp_path / "to").mkdir()
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(tmp_path / "to")]
    if subprocess.run(probe, capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount a small disk")
    mount = f"mount -t tmpfs -o size=1m tmpfs '{tmp_path}/to'"
    bench.wrap(f'exec unshare -rm sh -c "{mount}; exec RCLONE \\"\\$@\\"" sh "$@"')
    outcome, _ = bench.run(source, tmp_path / "to")
    assert not outcome.succeeded
    assert outcome.reason == "The destination disk is full. Free some space there, then retry."
    assert outcome.progress.percent != 100.0


def without_privilege(bench):
    if os.getuid() == 0:
        bench.wrap('exec setpriv --inh-caps=-all --bounding-set=-all -- RCLONE "$@"')


def test_unreadable_folder_is_named(bench, source, tmp_path):
    without_privilege(bench)
    (source / "sub").chmod(0)
    outcome, _ = bench.run(source, tmp_path / "to")
    (source / "sub").chmod(0o755)
    assert not outcome.succeeded
    assert outcome.reason.startswith("The portal is not allowed to read or write")
    assert outcome.progress.errors > 0
    assert any("sub" in line for line in outcome.error_lines)


def test_stop_ends_a_running_copy_and_leaves_no_partial_file(bench, source, tmp_path):
    transfer = bench.transfer(source, tmp_path / "to", bandwidth_limit="500k")
    for reading in transfer.readings():
        if reading is not None and reading.bytes_transferred:
            transfer.stop()
            transfer.stop()
    outcome = transfer.outcome()
    assert (outcome.stopped, outcome.succeeded) == (True, False)
    assert outcome.reason == "The transfer was stopped."
    assert 0 < outcome.progress.percent < 100
    assert not list((tmp_path / "to").rglob("*.portal*-*"))


@pytest.mark.parametrize(("number", "code"), [(9, {-9}), (15, {143, -15})])
def test_killed_from_outside_is_a_failure_with_the_signal_named(
    bench, source, tmp_path, marked, number, code
):
    transfer = bench.transfer(source, tmp_path / "to", bandwidth_limit="500k")
    for reading in transfer.readings():
        if reading is not None and reading.bytes_transferred:
            for pid in marked(7):
                os.kill(pid, number)
    outcome = transfer.outcome()
    assert outcome.exit_code in code
    assert (outcome.stopped, outcome.succeeded) == (False, False)
    assert outcome.reason.startswith(f"rclone was killed by signal {number} (SIG")


@pytest.mark.parametrize("path", ["relative", ":sftp,ssh='touch /tmp/x':/", "--config", "/nul\0"])
def test_only_absolute_local_paths_reach_rclone(path):
    for pair in ((path, "/to"), ("/from", path)):
        with pytest.raises(EngineError):
            RcloneProcess(
                ProcessSettings(rclone_path(None)), TransferOrder(1, 1, "copy", *pair, None, False)
            ).start()


def test_unknown_operation_never_starts():
    with pytest.raises(EngineError, match="purge"):
        RcloneProcess(
            ProcessSettings(rclone_path(None)),
            TransferOrder(1, 1, "purge", "/a", "/b", None, False),
        ).start()


def test_what_has_not_started_or_ended_has_no_outcome(bench, source, tmp_path):
    idle = RcloneProcess(
        ProcessSettings(bench.rclone), TransferOrder(1, 1, "copy", "/a", "/b", None, False)
    )
    idle.stop()
    idle.close()
    with pytest.raises(RuntimeError):
        next(idle.readings())
    running = bench.transfer(source, tmp_path / "to", bandwidth_limit="500k")
    with pytest.raises(RuntimeError):
        running.outcome()
    running.close()
    assert running.outcome().stopped


def test_stray_variables_of_the_portal_do_not_reach_rclone(bench, source, tmp_path, monkeypatch):
    monkeypatch.setenv("RCLONE_DRY_RUN", "true")
    bench.run(source, tmp_path / "to")
    assert tree(tmp_path / "to") == tree(source)
