"""Marker files that may still lie somewhere: noted before they are written, until they are gone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from portal.engine.markers import PREFIX
from portal.engine.process.processes import process_identity, process_lives

_FOLDER = "probes"


@dataclass(frozen=True, slots=True)
class Left:
    """A marker that a dead process has left behind, and its note."""

    place: str
    name: str
    note: Path


class Journal:
    """A file in the data folder: a later attempt finds the markers that an earlier one could not
    remove. Without a data folder nothing is noted."""

    def __init__(self, data_dir: Path | None) -> None:
        self._folder = data_dir / _FOLDER if data_dir is not None else None

    def noted(self, place: str, name: str, *, given_up: bool = False) -> None:
        """``given_up``: the next one to find it has to remove it, even if this process still
        lives."""
        if self._folder is None:
            return
        with suppress(OSError):  # a full disk: the marker is removed all the same
            self._folder.mkdir(mode=0o700, exist_ok=True)
            note = self._note(self._folder, place, name)
            handle = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w") as file:
                json.dump(
                    {"place": place, "name": name, "owner": "" if given_up else process_identity()},
                    file,
                )

    def removed(self, place: str, name: str) -> None:
        if self._folder is not None:
            with suppress(OSError):
                self._note(self._folder, place, name).unlink(missing_ok=True)

    def left(self, mine: Callable[[str], bool]) -> list[Left]:
        """Yields the markers that dead processes have left at places that ``mine`` accepts."""
        if self._folder is None or not self._folder.is_dir():
            return []
        found = []
        for note in self._folder.glob("*.json"):
            with suppress(OSError, ValueError, KeyError, TypeError):
                noted = json.loads(note.read_text())
                place, name, owner = noted["place"], noted["name"], noted["owner"]
                if name.startswith(PREFIX) and mine(place) and not process_lives(owner):
                    found.append(Left(place, name, note))
        return found

    @staticmethod
    def _note(folder: Path, place: str, name: str) -> Path:
        side = "remote" if not place.startswith("/") else "local"
        number = sum(place.encode("utf-8", "surrogatepass")) % 100_000
        return folder / f"{name.removeprefix(PREFIX)}-{side}-{number}.json"
