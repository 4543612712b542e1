"""Sample users, and a few slow transfers to watch."""

from __future__ import annotations

import secrets
from pathlib import Path

from portal.errors import Invalid
from portal.models import Role
from portal.services.accounts import users
from portal.services.jobs.create import add_sample
from portal.settings import Settings
from portal.transfers.request import Transfer
from portal.transfers.states import Operation

_SAMPLES = (
    ("Nightly photos", Operation.COPY, 60, 800_000, "2M"),
    ("Laboratory archive", Operation.COPY, 24, 3_000_000, "1M"),
    ("Web site mirror", Operation.SYNC, 300, 40_000, "512k"),
    ("Compare the backups", Operation.CHECK, 40, 100_000, None),
)


def prepare(settings: Settings) -> None:
    """Makes users ``admin``, ``operator`` and ``viewer``, prints their password, adds transfers."""
    password = secrets.token_urlsafe(9)
    for role in Role:
        _user(str(role), role, password)
    print(f"Demo: sign in as admin, operator or viewer with the password {password}", flush=True)  # noqa: T201
    root = settings.transfer_roots[0]
    for name, operation, files, size, limit in _SAMPLES:
        folder = root / "demo" / name.lower().replace(" ", "-")
        _fill(folder, files, size)
        add_sample(
            Transfer(
                name=name,
                operation=operation,
                source=str(folder),
                destination=str(root / "demo-copies" / f"{folder.name}-{secrets.token_hex(3)}"),
                bandwidth_limit=limit,
                dry_run=False,
            ),
            username="operator",
        )


def _user(name: str, role: Role, password: str) -> None:
    try:
        users.create_user(name, role, password)
    except Invalid:
        users.set_password_of(name, password)


def _fill(folder: Path, files: int, size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        path = folder / f"sample-{number:03}.bin"
        if not path.exists():
            path.write_bytes(secrets.token_bytes(size))
