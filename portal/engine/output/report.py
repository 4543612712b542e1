"""rclone's report of the files that it has compared: a sign, a space and the name on each line
(``--combined -``), in bounded memory however many files there are."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from portal.engine.output.samples import NO_SAMPLES, Samples
from portal.engine.output.statistics import printable
from portal.engine.process.pipes import PipeReader

EQUAL, ONLY_SOURCE, ONLY_DESTINATION, DIFFERENT, UNREADABLE = b"=", b"+", b"-", b"*", b"!"
_SIGNS = (EQUAL, ONLY_SOURCE, ONLY_DESTINATION, DIFFERENT, UNREADABLE)
_DIFFERENCES = {
    "different": DIFFERENT,
    "only_source": ONLY_SOURCE,
    "only_destination": ONLY_DESTINATION,
}
#: Names that are kept of each kind, and those of them that every list of jobs loads.
MAX_NAMES = 1000
FIRST_NAMES = 10
_NAME_BYTES = 4096
_NAME_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Differences:
    """How many files differ in which way, and the first of their names in each."""

    counts: dict[str, int]
    names: dict[str, list[str]]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def short(self) -> dict[str, Any]:
        """Returns counts and the first few names, in the form of a job's row."""
        return {
            kind: {"count": number, "names": self.names[kind][:FIRST_NAMES]}
            for kind, number in self.counts.items()
        }


class Report:
    """Reads in a thread. Names are kept only of what differs, and only with ``keep_names``."""

    def __init__(
        self,
        *,
        keep_names: bool,
        shown: Callable[[str], str] = str,
        watched: Samples = NO_SAMPLES,
    ) -> None:
        """``shown`` removes from a name what nobody may see. Files in ``watched`` are counted as
        well."""
        self.watched = watched
        self._keep_names = keep_names
        self._shown_as = shown
        self._counts: Counter[bytes] = Counter()
        self._names: dict[bytes, list[bytes]] = {sign: [] for sign in _SIGNS}
        self._pending: tuple[bytes, bytes] | None = None
        self._begun = b""
        self._pipe: PipeReader | None = None

    def read(self, stream: IO[bytes]) -> None:
        self._pipe = PipeReader(stream, self._take_chunk, self._finish, name="rclone-report")
        self._pipe.start()

    @property
    def ended(self) -> bool:
        return self._pipe is not None and self._pipe.ended

    def wait(self) -> None:
        """As of ``PipeReader``."""
        if self._pipe is not None:
            self._pipe.wait()

    def count(self, sign: bytes) -> int:
        return self._counts[sign]

    def differences(self) -> Differences:
        return Differences(
            counts={kind: self._counts[sign] for kind, sign in _DIFFERENCES.items()},
            names={kind: self._shown(sign) for kind, sign in _DIFFERENCES.items()},
        )

    def _shown(self, sign: bytes) -> list[str]:
        names = (name.decode("utf-8", "backslashreplace") for name in self._names[sign])
        return [printable(self._shown_as(name), _NAME_LENGTH) for name in names]

    def _take_chunk(self, chunk: bytes) -> None:
        *lines, begun = (self._begun + chunk).split(b"\n")
        for line in lines:
            self._take_in(line)
        self._begun = begun[:_NAME_BYTES]

    def _finish(self) -> None:
        if self._begun:
            self._take_in(self._begun)
        self._settle()

    def _take_in(self, line: bytes) -> None:
        sign = line[:1]
        if line[1:2] == b" " and sign in _SIGNS:
            self._settle()
            self._counts[sign] += 1
            self._pending = sign, line[2:]
        elif self._pending is not None:
            # The name goes on after a line break of its own.
            sign, name = self._pending
            self._pending = sign, name[:_NAME_BYTES] + b"\n" + line

    def _settle(self) -> None:
        if self._pending is None:
            return
        sign, name = self._pending
        self._pending = None
        self.watched.note(name, at_destination=sign == ONLY_DESTINATION)
        if sign in (EQUAL, DIFFERENT):
            self.watched.note_both(name, differs=sign == DIFFERENT)
        if not self._keep_names or sign == EQUAL:
            return
        kept = self._names[sign]
        if len(kept) < MAX_NAMES or name < kept[-1]:
            # The first by name: two checks of the same files then name the same ones.
            insort(kept, name)
            del kept[MAX_NAMES:]
