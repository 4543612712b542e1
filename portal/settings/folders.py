"""The data folder and the folders of transfers, as they must be before the start."""

from __future__ import annotations

import json
from pathlib import Path

from portal.errors import SettingsError
from portal.runtime import private_files


def prepare(data_dir: Path, roots: tuple[Path, ...]) -> None:
    """Makes the data folder and the default root. Raises SettingsError, which names the
    variable."""
    default_root = data_dir / "files"
    try:
        private_files.make_folder(data_dir)
        if roots == (default_root,):
            private_files.make_folder(default_root)
    except OSError as error:
        raise SettingsError(
            f"PORTAL_DATA_DIR: cannot make the folder {error.filename}: {error.strerror}"
        ) from None
    try:
        private_files.refuse_unwritable(data_dir)
    except OSError as error:
        raise SettingsError(
            f"PORTAL_DATA_DIR: cannot write in the folder {data_dir}: {error.strerror}"
        ) from None
    for root in roots:
        if not root.is_dir() and not _was_on_a_disk(root, data_dir):
            raise SettingsError(f"PORTAL_TRANSFER_ROOTS: there is no folder {root}")


def _was_on_a_disk(root: Path, data_dir: Path) -> bool:
    """Whether the root was on a disk that may come back: the portal serves the others meanwhile.
    See ``engine.KnownMounts``."""
    try:
        known = json.loads((data_dir / "mounts.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(known, dict) and any(root.is_relative_to(point) for point in known)
