"""What a wheel carries, what it needs nothing but, and what no tracked file may say."""

from __future__ import annotations

import fnmatch
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
import zipfile
from pathlib import Path

import pytest

from tests.shipped import environment as shipped
from tests.support.ports import free_port
from tests.support.project import ROOT
from tests.support.users import PASSWORD

START_SECONDS = 30
STOP_SECONDS = 10

ALLOWED = [
    "portal/*.py",
    "portal/py.typed",
    "portal/_root/manage.py",
    "portal/_root/migrations/*.py",
    "portal/_root/migrations/script.py.mako",
    "portal/_root/static/*.css",
    "portal/_root/static/*.ico",
    "portal/_root/static/*.js",
    "portal/_root/static/*.png",
    "portal/_root/static/*.svg",
    "portal/_root/static/*.webmanifest",
    "portal/_root/static/vendor/*.gz",
    "portal/_root/static/vendor/*.LICENCE.txt",
    "portal/_root/templates/*.html",
    "portal/_root/templates/doctor/*.txt",
    "transfer_portal-*.dist-info/*",
]
REQUIRED = [
    "portal/__init__.py",
    "portal/_root/manage.py",
    "portal/_root/migrations/env.py",
    "portal/_root/migrations/versions/*.py",
    "portal/_root/static/css/portal.css",
    "portal/_root/static/js/app.js",
    "portal/_root/static/vendor/htmx.min.js",
    "portal/_root/static/vendor/htmx.min.js.gz",
    "portal/_root/static/vendor/idiomorph-ext.min.js",
    "portal/_root/static/vendor/socket.io.esm.min.js",
    "portal/_root/static/vendor/tabler.LICENCE.txt",
    "portal/_root/static/vendor/tabler.min.css",
    "portal/_root/templates/base.html",
    "transfer_portal-*.dist-info/licenses/LICENSE",
    "transfer_portal-*.dist-info/licenses/licences/tabler.txt",
]
NEVER = re.compile(r"(^|/)(\.[^/]*|__pycache__|node_modules|instance|tests)(/|$)|\.(pyc|map|env)$")

# Where the packages came from is the business of the machine that installs them.
REGISTRY_ADDRESS = re.compile(
    rb'"resolved"\s*:|(?:index|find)[-_]url\s*=\s*["\']?http|'
    rb"://[\w.-]*(?:registry|pythonhosted|pypi)\.|://[^\s\"']*/simple/"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run([sys.executable, *build], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment, in a folder with a space, that has the wheel and finds what ships with it."""
    folder = tmp_path_factory.mktemp("with a space")
    venv.create(folder, with_pip=False)
    pip = ["-m", "pip", "--python", str(folder / "bin" / "python"), "install", "-qq"]
    offline = ["--no-deps", "--no-index", "--disable-pip-version-check"]
    done = subprocess.run([sys.executable, *pip, *offline, str(wheel)], capture_output=True)
    assert done.returncode == 0, done.stderr
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (needed,) = shipped.folder().glob("lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_text(str(needed))
    return folder


def files_in(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_wheel_carries_nothing_but_what_is_listed(wheel: Path) -> None:
    def listed(name: str) -> bool:
        return any(fnmatch.fnmatch(name, pattern) for pattern in ALLOWED)

    assert [name for name in files_in(wheel) if NEVER.search(name) or not listed(name)] == []


def test_wheel_carries_what_the_portal_reads(wheel: Path) -> None:
    names = files_in(wheel)
    assert [pattern for pattern in REQUIRED if not fnmatch.filter(names, pattern)] == []


def test_wheel_names_one_version(wheel: Path) -> None:
    from portal.runtime.version import __version__

    assert wheel.name.startswith(f"transfer_portal-{__version__}-")


def test_installed_portal_serves_its_login_page_and_ends_in_time(
    installed: Path, tmp_path: Path
) -> None:
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")},
        "PORTAL_DATA_DIR": str(tmp_path / "data"),
        "PORTAL_ADMIN_PASSWORD": PASSWORD,
        "PORTAL_RCLONE": str(shipped.folder() / "bin" / "rclone"),
    }
    log = tmp_path / "log"
    with log.open("wb") as output:
        portal = subprocess.Popen(
            [str(installed / "bin" / "portal"), "run", "--port", str(port)],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        page = fetch_when_served(f"http://127.0.0.1:{port}/login", portal, log)
        styles = re.findall(r'href="([^"]+\.css)"', page)
        assert any(style.endswith("tabler.min.css") for style in styles)
        for style in styles:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{style}", timeout=5) as answer:
                assert answer.status == 200
        portal.send_signal(signal.SIGTERM)
        assert portal.wait(STOP_SECONDS) == 0, log.read_text()
    finally:
        portal.kill()
        portal.wait()


def test_installed_portal_says_that_it_has_no_checks(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(installed / "bin" / "portal"), "check"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )

    assert done.returncode == 2
    assert "checkout" in done.stdout


def test_no_tracked_file_names_a_package_registry() -> None:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    tracked = [ROOT / os.fsdecode(name) for name in listing.stdout.split(b"\0") if name]
    assert ROOT / "package-lock.json" in tracked

    found = [
        f"{path.relative_to(ROOT)}: {match[0].decode()}"
        for path in tracked
        if path.is_file() and (match := REGISTRY_ADDRESS.search(path.read_bytes()))
    ]

    assert found == []


def test_no_npm_package_needs_an_install_script() -> None:
    assert b"hasInstallScript" not in (ROOT / "package-lock.json").read_bytes()


def fetch_when_served(url: str, portal: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert portal.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError:
            raise
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"nothing served within {START_SECONDS} s:\n{log.read_text()}")
