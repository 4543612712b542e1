"""Whether one end of a transfer is somewhere inside the other: a few names of one are looked for in
the depths of the other, in a list that is made anyway. The same list shows which folders of both
ends hold a file of one name: those may be one folder, even if the ends are two places. And it shows
folders of the source that are not at the destination, where a server may follow a link that it does
not list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from portal.engine.markers import is_marker

#: Names that are taken of each end, and folders that may look like the end they were taken of.
MAX_SAMPLES = 5
MAX_ALIKE = 10
#: Folders of each end that are noted to find out which are new; of more, the rest is not looked at.
MAX_FOLDERS = 50_000


class Samples:
    """``of_destination``: names below the destination that are looked for in the source, and the
    other way round. A folder that holds all of them may be that end itself. ``shared``: whether to
    note folders of both ends that hold a file of one name; ``new``: those of the source that are
    not at the destination. ``sends_equal``: whether a file may be sent over an equal one."""

    def __init__(
        self,
        of_destination: Sequence[str] = (),
        of_source: Sequence[str] = (),
        *,
        shared: bool = False,
        new: bool = False,
        sends_equal: bool = False,
    ) -> None:
        #: The first file of the destination that would be written over.
        self.replaced: str | None = None
        self._sends_equal = sends_equal
        self._notes_shared, self._notes_new = shared, new
        self._shared: set[bytes] = set()
        #: Folders with a file, by whether it lies at the destination.
        self._folders: dict[bool, set[bytes]] = {False: set(), True: set()}
        self._wanted = {
            False: [f"/{name}".encode("utf-8", "surrogateescape") for name in of_destination],
            True: [f"/{name}".encode("utf-8", "surrogateescape") for name in of_source],
        }
        self._seen: dict[bool, Counter[bytes]] = {False: Counter(), True: Counter()}

    def note(self, name: bytes, *, at_destination: bool) -> None:
        """A file, by its path; ``at_destination``: that is where it was found, and there alone."""
        self._note_folder(name, at_destination)
        for end in self._wanted[at_destination]:
            if name.endswith(end):
                self._seen[at_destination][name[: -len(end)]] += 1

    def note_both(self, name: bytes, *, differs: bool) -> None:
        """A file that both ends hold, by its path; ``differs``: it would be replaced."""
        folder = name.rpartition(b"/")[0]
        if self._notes_shared and folder:
            self._shared.add(folder)
        self._note_folder(name, True)
        if self.replaced is None and (differs or self._sends_equal):
            text = name.decode("utf-8", "surrogateescape")
            if not is_marker(text):
                self.replaced = text

    def _note_folder(self, name: bytes, at_destination: bool) -> None:
        folders = self._folders[at_destination]
        folder = name.rpartition(b"/")[0]
        if self._notes_new and folder and len(folders) < MAX_FOLDERS:
            folders.add(folder)

    def shared(self) -> list[str]:
        """Folders of that path that both ends hold, with a file that both hold."""
        return sorted(folder.decode("utf-8", "surrogateescape") for folder in self._shared)

    def new(self) -> list[str]:
        """Folders of the source below which the destination lists no file."""
        known, found = (
            {one for folder in self._folders[end] for one in _and_those_above(folder)}
            for end in (True, False)
        )
        return sorted(folder.decode("utf-8", "surrogateescape") for folder in found - known)

    def alike(self, *, at_destination: bool) -> list[str]:
        """Folders that hold all the names, by their paths."""
        whole = len(self._wanted[at_destination])
        found = self._seen[at_destination]
        return [
            tail.decode("utf-8", "surrogateescape")
            for tail, number in found.items()
            if number == whole
        ]


def _and_those_above(folder: bytes) -> list[bytes]:
    """The folder and all that hold it."""
    parts = folder.split(b"/")
    return [b"/".join(parts[:length]) for length in range(1, len(parts) + 1)]


def below(place: str, tail: str) -> str:
    slash = "" if place.endswith(("/", ":")) else "/"
    return f"{place}{slash}{tail}"


NO_SAMPLES = Samples()
