"""A transfer that reaches the data folder takes the key or overwrites the database."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from structlog.testing import CapturingLogger

from portal.engine import rclone_path
from portal.runtime import resources
from portal.settings import Settings, SettingsError, load_settings
from portal.transfers.states import JobStatus, Operation
from portal.worker import Worker
from portal.worker.roots import OwnFiles, look_at_roots
from tests.shipped import environment as shipped
from tests.support.client import Browser
from tests.support.mounts import Mounts
from tests.support.transfers import run_job, stored


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Mounts]:
    with Mounts(tmp_path) as made:
        yield made


def refused(data: Path, *roots: Path, **more: object) -> str:
    settings = load_settings(data_dir=data, transfer_roots=roots, **more)
    settings.prepare()
    with pytest.raises(SettingsError) as caught:
        look_at_roots(settings)
    return str(caught.value)


def test_root_that_holds_the_data_folder_is_refused(tmp_path: Path) -> None:
    said = refused(tmp_path / "x" / "data", tmp_path / "x")
    assert said.startswith(f"PORTAL_TRANSFER_ROOTS: {tmp_path}/x holds the data folder")


@pytest.mark.parametrize("inner", ["", "inner", "files/../secret"])
def test_root_that_is_or_lies_in_the_data_folder_is_refused(tmp_path: Path, inner: str) -> None:
    root = tmp_path / "data" / inner
    (tmp_path / "data" / "files").mkdir(parents=True)
    root.mkdir(parents=True, exist_ok=True)
    assert "the data folder" in refused(tmp_path / "data", root)


@pytest.mark.parametrize("inner", ["files", "files/photos"])
def test_files_in_the_data_folder_are_open(tmp_path: Path, inner: str) -> None:
    root = tmp_path / "data" / inner
    root.mkdir(parents=True)
    look_at_roots(load_settings(data_dir=tmp_path / "data", transfer_roots=(root,)))


@pytest.mark.parametrize("name", ["secret_key", "portal.sqlite", "portal.sqlite-wal"])
def test_second_name_of_a_private_file_is_told(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hard link, which nothing tells from a file of its own."""
    log = CapturingLogger()
    monkeypatch.setattr("portal.worker.roots.log", log)
    settings = load_settings(data_dir=tmp_path / "data")
    settings.prepare()
    (tmp_path / "data" / name).write_text("private")
    look_at_roots(settings)
    assert "hard link" not in str(log.calls)
    (tmp_path / "data" / "files" / "holiday.jpg").hardlink_to(tmp_path / "data" / name)
    look_at_roots(settings)
    said = str(log.calls)
    assert "has a second name (a hard link)" in said
    assert str(tmp_path / "data" / name) in said


def test_default_root_is_open(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "data")
    settings.prepare()
    look_at_roots(settings)


def test_root_that_leads_to_the_data_folder_by_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "innocent").symlink_to(tmp_path / "data")
    assert "the data folder" in refused(tmp_path / "data", tmp_path / "innocent")


def test_root_that_shows_the_data_folder_by_a_bind_mount_is_refused(
    tmp_path: Path, mounts: Mounts
) -> None:
    (tmp_path / "data").mkdir()
    mounts.bind(tmp_path / "data", tmp_path / "innocent")
    assert "is the data folder" in refused(tmp_path / "data", tmp_path / "innocent")
    mounts.bind(tmp_path / "data", tmp_path / "root" / "deep" / "inside")
    assert "holds the data folder" in refused(tmp_path / "data", tmp_path / "root")


def test_root_with_a_database_elsewhere_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    said = refused(tmp_path / "data", root, database_url=f"sqlite:///{root}/portal.sqlite")
    assert "holds the database" in said


@pytest.mark.parametrize(
    "root",
    [Path("/"), resources.ROOT, resources.ROOT / "portal", resources.TEMPLATES, Path(sys.prefix)],
)
def test_root_with_the_program_is_refused(tmp_path: Path, root: Path) -> None:
    assert refused(tmp_path / "data", root).startswith(f"PORTAL_TRANSFER_ROOTS: {root} ")


def test_root_with_rclone_is_refused(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    os.link(rclone_path(None), tools / "rclone")
    assert "holds rclone" in refused(tmp_path / "data", tools, rclone=tools / "rclone")


@pytest.mark.parametrize("command", ["run", "worker"])
def test_the_start_says_so_in_one_sentence(tmp_path: Path, command: str) -> None:
    done = subprocess.run(
        [shipped.python(), str(resources.ROOT / "manage.py"), command],
        env={
            "PATH": os.environ["PATH"],
            "PORTAL_DATA_DIR": str(tmp_path / "data"),
            "PORTAL_TRANSFER_ROOTS": str(tmp_path),
            "PORTAL_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
            "PORTAL_REDIS_URL": "redis://127.0.0.1:1/0",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"Error: PORTAL_TRANSFER_ROOTS: {tmp_path} holds the data folder")


def test_what_was_mounted_into_a_root_later_is_refused_at_the_form(
    settings: Settings, app: Flask, browser: Callable[[str], Browser], root: Path, mounts: Mounts
) -> None:
    mounts.bind(settings.data_dir, root / "innocent" / "inside")
    job_fields = {"name": "Take it", "operation": "copy", "destination": str(root / "to")}
    for source in ("innocent/inside", "innocent", "innocent/inside/secret_key"):
        answer = browser("bob").post("/jobs", {"source": str(root / source), **job_fields})
        assert answer.status_code == 422, source
        assert "The portal" in answer.text


def test_what_was_mounted_into_a_root_later_is_refused_just_before_rclone(
    settings: Settings, root: Path, mounts: Mounts, new_job: Callable[..., int]
) -> None:
    (root / "from").mkdir()
    number = new_job(source=root / "from", destination=root / "to", operation=Operation.SYNC)
    worker = Worker(settings, "test:1")
    mounts.bind(settings.data_dir, root / "to")
    run_job(worker, number)
    job = stored(number)
    assert (job.status, job.exit_code) == (JobStatus.FAILED, None)
    assert "The portal keeps its own files there." in str(job.error)
    assert (settings.data_dir / "portal.sqlite").is_file()


def test_link_in_a_root_that_leads_to_the_data_folder_is_refused(
    settings: Settings, root: Path, app: Flask, browser: Callable[[str], Browser]
) -> None:
    (root / "link").symlink_to(settings.data_dir)
    job_fields = {"name": "Take it", "operation": "copy", "destination": str(root / "to")}
    answer = browser("bob").post("/jobs", {"source": str(root / "link"), **job_fields})
    assert answer.status_code == 422


def test_ordinary_folder_is_nobodys(settings: Settings, root: Path) -> None:
    settings.prepare()
    assert OwnFiles(settings).refusal(root / "photos") is None
