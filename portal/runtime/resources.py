"""Finds the files beside the code: in a checkout at its top, in a wheel below ``portal/_root``."""

from pathlib import Path

from portal.errors import PortalError

_PACKAGE = Path(__file__).resolve().parents[1]
ROOT = _PACKAGE.parent if (_PACKAGE.parent / "templates").is_dir() else _PACKAGE / "_root"
TEMPLATES = ROOT / "templates"
STATIC = ROOT / "static"
MIGRATIONS = ROOT / "migrations"


class Incomplete(PortalError):
    """Files that belong to the portal are missing."""


def refuse_incomplete() -> None:
    """Raises Incomplete if files are missing without which no page can be built."""
    for needed in (TEMPLATES / "base.html", STATIC / "css", STATIC / "vendor", MIGRATIONS):
        if not needed.exists():
            raise Incomplete(
                f"The installation is not complete: {needed} is missing. Install the portal anew "
                "(in a checkout: git checkout, then make run)."
            )
