"""Files and folders as the world has them."""

from __future__ import annotations

import contextlib
import html
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portal.engine import rclone_path
from portal.engine.output.progress import ProgressParser
from portal.engine.output.statistics import parse
from portal.services.jobs import claims
from portal.transfers.names import is_name
from tests.support.transfers import (
    MIB,
    Recorder,
    fill,
    scripted_rclone,
    status_of,
    stored,
    tell,
    tree,
)

ODD_NAMES = (
    b"two words",
    b" blank at both ends ",
    b'it\'s "quoted"',
    b"new\nline",
    b"tab\tand\x1b[31mcolour",
    b"caf\xe9 in latin-1",
    b"\xff\xfe\xfa",
    "東京 🚚 \u202egnp.exe".encode(),
    b"-rf",
    b"--config=nothing",
    b"--",
    b"$(touch owned)`id`;&|",
    b"*?[a-z]{x,y}",
    b"back\\slash",
    b"colon:in:it",
    b"<img src=x onerror=alert(1)>",
    b"%00%2e%2e",
    b"con",
    b"nul.txt",
    b".hidden",
    b"x" * 200,
    b"trailing dot.",
)


def write(folder: Path, name: bytes, content: bytes) -> None:
    descriptor = os.open(os.fsencode(folder) + b"/" + name, os.O_WRONLY | os.O_CREAT, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


@pytest.mark.parametrize("operation", ["copy", "sync", "move", "check"])
def test_odd_names_arrive_byte_for_byte(
    new_job: Any, execute: Any, root: Path, operation: str
) -> None:
    source, target = root / "from", root / "to"
    for folder in (source, target):
        folder.mkdir()
    for name in ODD_NAMES:
        write(source, name, name)
        if operation == "check":
            write(target, name, name)
    before = tree(source)
    assert before.keys() == set(ODD_NAMES)
    job_id = new_job(source=source, operation=operation)
    execute(job_id)
    job = stored(job_id)
    assert (job.status, job.error_lines) == ("completed", [])
    assert tree(target) == before
    assert job.files_total == len(ODD_NAMES)


def test_odd_names_in_work_and_in_errors_are_shown_as_text(
    browser: Any, new_job: Any, execute: Any, root: Path, events: Recorder
) -> None:
    source = root / "from"
    source.mkdir()
    for name in ODD_NAMES:
        write(source, name, b"here")
    (root / "to").mkdir()
    execute(job_id := new_job(source=source, operation="check"))
    job = stored(job_id)
    assert (job.status, job.outcome) == ("completed", "different")
    names = [name for kind in (job.differences or {}).values() for name in kind["names"]]
    assert len(names) == 10
    assert all(is_name(name) for name in names)
    page = browser("charlie").get(f"/jobs/{job_id}").text
    assert "<img src=x" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_odd_names_in_work_are_kept_and_shown_as_text(
    browser: Any, new_job: Any, tmp_path: Path
) -> None:
    job_id, charlie = new_job(), browser("charlie")
    attempt = claims.claim(job_id, "test:1").attempt
    stats = {"bytes": 1, "totalBytes": 9, "transferring": []}
    for name in (*ODD_NAMES[:10], b"<img src=x onerror=alert(1)>"):
        file = {"name": name.decode("utf-8", "replace"), "size": 9, "bytes": 1}
        line = json.dumps({"stats": stats | {"transferring": [file]}})
        figures = ProgressParser("copy", False).read(parse(line.encode()).statistics)
        tell(job_id, attempt, figures)
        page = charlie.get(f"/jobs/{job_id}").text
        assert "Files in transfer" in page
        assert "<img src=x" not in page
        assert "\x1b" not in page


def test_folder_with_an_odd_name_can_be_source_and_destination(
    browser: Any, execute: Any, root: Path
) -> None:
    source = fill(root / "-n 'x' \"y\"\n<b>")
    bob = browser("bob")
    order = {"name": "Odd", "operation": "copy", "source": str(source)}
    answer = bob.post("/jobs", order | {"destination": str(root / "--to ü")})
    assert answer.status_code == 303
    execute(1)
    assert tree(root / "--to ü") == tree(source)
    page = bob.get("/jobs/1").text
    assert "-n 'x' \"y\"\\n<b>" in html.unescape(page)
    assert "<b>" not in page


def test_ten_thousand_files_arrive(new_job: Any, execute: Any, root: Path) -> None:
    source = root / "from"
    for number in range(100):
        (source / str(number)).mkdir(parents=True)
        for file in range(100):
            (source / str(number) / str(file)).write_bytes(b"%d" % file)
    execute(job_id := new_job(source=source))
    job = stored(job_id)
    assert (job.status, job.files_transferred, job.files_total) == ("completed", 10_000, 10_000)
    assert job.bytes_transferred == job.total_bytes == 100 * 190
    assert sum(len(files) for _, _, files in os.walk(root / "to")) == 10_000


def test_empty_folder_is_copied_and_complete(
    browser: Any, new_job: Any, execute: Any, root: Path
) -> None:
    (root / "from").mkdir()
    execute(job_id := new_job(source=root / "from"))
    job = stored(job_id)
    assert (job.status, job.percent, job.bytes_transferred) == ("completed", 100.0, 0)
    assert browser("charlie").get(f"/jobs/{job_id}").status_code == 200


def test_files_of_no_bytes_are_copied(new_job: Any, execute: Any, root: Path) -> None:
    execute(job_id := new_job(source=fill(root / "from", 0, 3)))
    job = stored(job_id)
    assert (job.status, job.percent, job.files_transferred) == ("completed", 100.0, 3)
    assert set(tree(root / "to").values()) == {b""}


def test_single_file_can_be_the_source(new_job: Any, execute: Any, root: Path) -> None:
    fill(root / "from")
    execute(job_id := new_job(source=root / "from" / "file 1"))
    assert status_of(job_id) == "completed"
    assert list(tree(root / "to")) == [b"file 1"]


def test_file_in_the_place_of_the_destination_fails_in_words(
    new_job: Any, execute: Any, root: Path
) -> None:
    (root / "to").write_text("in the way")
    execute(job_id := new_job())
    assert stored(job_id).error.startswith("The destination is, or lies below, a file.")
    assert (root / "to").read_text() == "in the way"


def test_links_are_not_followed_out_of_the_root(
    new_job: Any, execute: Any, root: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    source = fill(root / "from")
    (source / "link").symlink_to(secret)
    (source / "folder").symlink_to("/etc")
    execute(job_id := new_job(source=source))
    assert status_of(job_id) == "completed"
    assert tree(root / "to").keys() == {b"file 0", b"file 1", b"file 2"}


def test_loop_of_links_is_no_fault_of_the_portal(browser: Any, execute: Any, root: Path) -> None:
    (root / "loop").symlink_to(root / "loop")
    order = {"name": "Loop", "operation": "copy", "source": str(root / "loop")}
    answer = browser("bob").post("/jobs", order | {"destination": str(root / "to")})
    assert answer.status_code in (303, 422)
    if answer.status_code == 303:
        execute(1)
        assert stored(1).status == "failed"
        assert stored(1).error != "The portal failed while running this transfer."


def test_unreadable_folder_fails_in_words_and_copies_the_rest(
    new_job: Any,
    execute: Any,
    root: Path,
    tmp_path: Path,
) -> None:
    source = fill(root / "from")
    closed = fill(source / "closed")
    closed.chmod(0)
    with contextlib.ExitStack() as later:
        later.callback(closed.chmod, 0o755)
        options = {}
        if os.geteuid() == 0:
            # Root reads everything, so rclone runs without that right.
            options["rclone"] = without_override(tmp_path)
        execute(job_id := new_job(source=source), **options)
    job = stored(job_id)
    assert job.status == "failed"
    assert job.error.startswith("The portal is not allowed to read or write one of the files.")
    assert any("closed" in line for line in job.error_lines)
    assert len(tree(root / "to")) == 3


def without_override(tmp_path: Path) -> Path:
    """An rclone of this user to whom the modes of files apply, even if that is root."""
    wrapper = tmp_path / "rclone-without-override"
    less = "setpriv --bounding-set=-dac_override,-dac_read_search --pdeathsig TERM --"
    wrapper.write_text(f'#!/bin/sh\nexec {less} "{rclone_path(None)}" "$@"\n')
    wrapper.chmod(0o755)
    return wrapper


@pytest.fixture
def small_disk(root: Path) -> Iterator[Path]:
    """A file system of 2 MiB below the root."""
    folder = root / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_fails_in_words_and_keeps_the_source(
    new_job: Any, execute: Any, root: Path, small_disk: Path
) -> None:
    source = fill(root / "from", MIB, 5)
    before = tree(source)
    execute(job_id := new_job(source=source, destination=small_disk, operation="move"))
    job = stored(job_id)
    assert job.status == "failed"
    assert job.error == "The destination disk is full. Free some space there, then retry."
    arrived = tree(small_disk)
    assert {**tree(source), **arrived} == before
    assert (job.percent or 0) < 100


def test_full_disk_can_be_reported_without_one(new_job: Any, execute: Any, tmp_path: Path) -> None:
    script = scripted_rclone(
        tmp_path,
        """
        tell(700, 1000)
        line = {"level": "error", "msg": "write /to/x: no space left on device", "object": "x"}
        print(json.dumps(line), file=sys.stderr, flush=True)
        sys.exit(1)
        """,
    )
    execute(job_id := new_job(), rclone=script)
    job = stored(job_id)
    assert (job.status, job.bytes_transferred) == ("failed", 700)
    assert job.error == "The destination disk is full. Free some space there, then retry."
