"""Keeps the portal's own files from being source or destination of a transfer: a person who can
overwrite the database or read the secret key controls the portal."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from portal import engine
from portal.engine import EngineError, KnownMounts, confinement_problem, rclone_path
from portal.engine.safety import places
from portal.runtime import resources
from portal.settings import SECRETS, Settings, SettingsError
from portal.transfers.local_paths import Roots

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Own:
    """``what``: words that can follow "holds", "is" or "lies in"."""

    place: str
    what: str


def open_to_transfers(settings: Settings) -> Roots:
    """Returns the folders that the settings name, without the portal's own files in them."""
    return Roots.of(settings.transfer_roots, OwnFiles(settings).refusal)


class OwnFiles:
    """Recognises the portal's files by device and path on it, so no link and no bind mount hides
    them."""

    def __init__(self, settings: Settings) -> None:
        self._own = [_Own(places.of_local(str(path)), what) for path, what in _paths(settings)]
        # The default root is in the data folder and is open to transfers.
        self._open = places.of_local(str(settings.data_dir / "files"))

    def refusal(self, path: Path) -> str | None:
        """Returns a sentence about why a transfer cannot use this path; None if it can."""
        if self._overlap(places.of_local(str(path))):
            return "The portal keeps its own files there. Choose another folder."
        if self._mounted_below(path):
            return "The portal's own files are mounted below this folder. Choose another one."
        return None

    def refuse_roots(self, settings: Settings) -> None:
        """Raises SettingsError for the first root that contains one of the portal's own files."""
        for root in settings.transfer_roots:
            found = self._overlap(places.of_local(str(root)))
            if found is None and (found := self._mounted_below(root)):
                found = "holds", found[1]
            if found is not None:
                relation, what = found
                raise SettingsError(
                    f"PORTAL_TRANSFER_ROOTS: {root} {relation} {what}, which a transfer could then "
                    "read and overwrite. Name a folder that has nothing to do with the portal."
                )

    def _mounted_below(self, path: Path) -> tuple[str, str] | None:
        below = (self._overlap(place) for place in places.of_mounts_below(str(path)))
        return next((found for found in below if found is not None), None)

    def _overlap(self, place: str) -> tuple[str, str] | None:
        inside_the_open = place.startswith(self._open)
        for own in self._own:
            if own.place == place:
                return "is", own.what
            if own.place.startswith(place):
                return "holds", own.what
            if place.startswith(own.place) and not inside_the_open:
                return "lies in", own.what
        return None


def _paths(settings: Settings) -> Iterator[tuple[Path, str]]:
    yield settings.data_dir, f"the data folder {settings.data_dir}"
    yield from _private_files(settings)
    yield resources.ROOT, f"the portal's program in {resources.ROOT}"
    yield Path(__file__).parent, f"the portal's program in {Path(__file__).parent}"
    if sys.prefix != sys.base_prefix:
        yield Path(sys.prefix), f"the portal's program in {sys.prefix}"
    rclone = engine.rclone_path(settings.rclone)
    yield rclone, f"rclone, {rclone}"


def _private_files(settings: Settings) -> Iterator[tuple[Path, str]]:
    yield settings.data_dir / "secret_key", f"the secret key in {settings.data_dir}"
    if (database := _database(settings.database_url)) is not None:
        for ending in ("", "-wal", "-shm", "-journal"):
            yield Path(f"{database}{ending}"), f"the database {database}"
    for name in SECRETS:
        if given := os.environ.get(f"PORTAL_{name.upper()}_FILE"):
            yield Path(given), f"the secret in {given}"


def _linked(settings: Settings) -> Iterator[Path]:
    """Yields private files of the portal that have a second name (a hard link)."""
    for path, _ in _private_files(settings):
        with contextlib.suppress(OSError):
            about = path.stat()
            if stat.S_ISREG(about.st_mode) and about.st_nlink > 1:
                yield path


def _database(url: str) -> str | None:
    """Returns the file of an SQLite database; None for other databases."""
    try:
        parts = make_url(url)
    except ArgumentError:
        return None
    name = parts.database or ""
    return str(Path(name).absolute()) if parts.drivername.startswith("sqlite") and name else None


def look_at_roots(settings: Settings) -> None:
    """Raises SettingsError if a transfer could reach the portal's own files. Records which disks
    are mounted, and warns about missing ones."""
    OwnFiles(settings).refuse_roots(settings)
    for file in _linked(settings):
        # Under its second name, wherever that is, neither the path nor Landlock would reveal the
        # file.
        log.warning(
            "a file of the portal's own has a second name (a hard link); if that lies in a folder "
            "open to transfers, it can be copied: remove the other name, or copy the file anew",
            file=str(file),
        )
    mounts = KnownMounts(settings.data_dir, settings.transfer_roots)
    try:
        mounts.note()
    except EngineError as damaged:
        raise SettingsError(f"PORTAL_DATA_DIR: {damaged.reason}") from None
    except OSError as error:
        log.warning("the mounted disks were not written down", error=error.strerror)
    rclone = rclone_path(settings.rclone)
    # If a root is missing, the start reports it a moment later.
    private = [settings.data_dir, *(path for path, _ in _private_files(settings))]
    if rclone.is_file() and (problem := confinement_problem(rclone, private)):
        log.warning("rclone is not confined", reason=problem)
    for problem in mounts.problems():
        log.warning("a folder that is open to transfers is not there", problem=problem)


def accept_mount(settings: Settings, point: str) -> bool | None:
    """Accepts whatever is mounted there now, or that nothing is. Returns True if that changes
    anything, None if no disk is or was there."""
    try:
        return KnownMounts(settings.data_dir, settings.transfer_roots).accept(point)
    except EngineError as damaged:
        raise SettingsError(f"PORTAL_DATA_DIR: {damaged.reason}") from None
