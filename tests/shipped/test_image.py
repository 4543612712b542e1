"""The Dockerfile: what its commands make serves by what it says, and ends by SIGTERM."""

from __future__ import annotations

import re
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from portal.runtime.version import __version__
from tests.shipped.image import Image, instructions
from tests.support.ports import free_port
from tests.support.waiting import wait_for


def test_image_has_the_wheel_with_all_that_it_reads(image: Image) -> None:
    told = subprocess.run(
        [str(image.installed / "bin" / "portal"), "--version"], capture_output=True, text=True
    )
    assert __version__ in told.stdout, told.stderr
    (root,) = image.installed.glob("lib/python*/site-packages/portal/_root")
    assert (root / "static" / "vendor" / "htmx.min.js").is_file()
    assert (root / "migrations" / "env.py").is_file()
    (licenses,) = root.parents[1].glob("transfer_portal-*.dist-info/licenses")
    assert "Apache License" in (licenses / "LICENSE").read_text()


def test_container_serves_and_ends(image: Image, tmp_path: Path) -> None:
    port = free_port()
    log = tmp_path / "log"
    assert [image.place(volume).is_dir() for volume in image.volumes] == [True, True]
    with log.open("wb") as output:
        container = subprocess.Popen(
            image.command,
            cwd="/",
            env={**image.environment, "PORTAL_HOST": "127.0.0.1", "PORTAL_PORT": str(port)},
            executable=str(image.installed / "bin" / image.command[0]),
            stdout=output,
            stderr=output,
        )
    try:

        def answers() -> bool:
            assert container.poll() is None, log.read_text()
            try:
                address = f"http://127.0.0.1:{port}/readyz"
                with urllib.request.urlopen(address, timeout=5) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        wait_for(answers, 60)
        assert (image.place("/var/lib/transfer-portal") / "portal.sqlite").is_file()
        container.send_signal(signal.SIGTERM)
        assert container.wait(10) == 0, log.read_text()
    finally:
        container.kill()
        container.wait()


def test_image_runs_as_nobody_in_particular_and_ends_by_sigterm() -> None:
    found = dict(instructions())

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", found["USER"])
    assert found["STOPSIGNAL"] == "SIGTERM"
    assert found["ENTRYPOINT"] == '["portal"]'


@pytest.mark.parametrize("stage", ["front", "build"])
def test_stages_that_are_copied_from_are_there(stage: str) -> None:
    assert [rest for word, rest in instructions() if word == "FROM" and rest.endswith(stage)]
