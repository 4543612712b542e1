"""The shipped units: systemd understands them, and they let the portal do what it needs alone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.project import ROOT

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
PROGRAM = "/opt/transfer-portal/bin/portal"


def settings_of(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd on this machine")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_nothing_to_say_about_the_unit(unit: Path, tmp_path: Path) -> None:
    # It looks for the program; nothing else is changed.
    checked = tmp_path / unit.name.replace("@.", "@default.")
    checked.write_text(unit.read_text().replace(PROGRAM, "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(checked)], capture_output=True, text=True
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if unit.name[:20] in line]

    assert said == []
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_unit_runs_unprivileged_on_a_system_it_cannot_write(unit: Path) -> None:
    settings = settings_of(unit)

    for name, value in {
        "User": "transfer",
        "ProtectSystem": "strict",
        "NoNewPrivileges": "true",
        "PrivateTmp": "true",
        "CapabilityBoundingSet": "",
        "KillMode": "mixed",
        "EnvironmentFile": "/etc/transfer-portal/portal.env",
    }.items():
        assert settings[name] == [value], name
    # Above the ten seconds in which the portal ends by itself.
    assert int(settings["TimeoutStopSec"][0]) > 10


def test_units_are_there() -> None:
    assert [unit.name for unit in UNITS] == [
        "transfer-portal-web.service",
        "transfer-portal-worker@.service",
    ]
