"""PlaceChecks by marker files, and their removal whatever happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from portal.engine.answers.questions import BackgroundCall, NoAnswer, together, try_to_ask
from portal.engine.answers.single_file import on_disk
from portal.engine.errors import EngineError
from portal.engine.output import samples
from portal.engine.output.statistics import printable
from portal.engine.safety import refusals
from portal.engine.safety.ends import End, Ends
from portal.engine.safety.marker_journal import Journal
from portal.engine.safety.probe import Probe, ProbeResult, has_folder

#: How many folders are compared at the same time, and how much of a path is shown.
_AT_ONCE = 8
_SHOWN = 200
#: Tries to remove markers, as long as all of them took no longer than so many seconds.
_REMOVALS, _QUICK = 3, 10.0


class PlaceChecks:
    """Each gives a sentence why it must not go on; None is the proof that there are two places."""

    def __init__(self, ends: Ends, source: str, destination: str, data_dir: Path | None) -> None:
        self._ends = ends
        self._source, self._destination = source, destination
        self._journal = Journal(data_dir)
        self._kept: Probe | None = None
        self._removal: BackgroundCall[None] | None = None
        self._stopped = False
        #: Where a marker could not be removed.
        self.left_behind: list[str] = []

    def stop(self) -> None:
        """Nothing more is written; whoever goes on gets NoAnswer."""
        self._stopped = True

    # --- the two ends ---------------------------------------------------------------------------

    def of_ends(
        self, source: End, destination: End, *, cross: bool, exact: bool, keep: bool = False
    ) -> str | None:
        """``cross``, ``exact``: see Probe. ``keep``: markers that prove something stay, until
        ``remove()``, for a look by others. Raises NoAnswer."""
        self._ensure_going()
        end = self._destination
        probe = self._kept = Probe(
            source,
            destination,
            cross=cross,
            exact=exact,
            new=end.startswith("/") and not Path(end).is_dir(),
            journal=self._journal,
        )
        try:
            result = probe.run()
        except NoAnswer:
            self.remove()
            raise
        refusal = refusals.ONE_PLACE if result.one_place else result.unproven or None
        if refusal or not keep:
            self.remove()
        return refusal

    @property
    def number(self) -> str:
        """Number of the marker that was kept."""
        assert self._kept is not None  # noqa: S101 - it was kept
        return self._kept.number

    def ignores_case(self) -> bool:
        """Whether the destination, where a marker was kept, takes names that differ in case for
        one."""
        return self._kept is not None and self._kept.ignores_case()

    def on_disk(self) -> bool:
        """Whether the kept marker on this machine still has the content that was written first,
        after the same name was written to the other end."""
        return self._kept is not None and self._kept.is_own_on_disk()

    # --- folders below them ---------------------------------------------------------------------

    def of_pairs(self, pairs: Sequence[tuple[str, str]]) -> str | None:
        """``pairs``: a folder of one end that looks like the other end, and that other end."""
        for outer, inner in pairs[: samples.MAX_ALIKE]:
            result = self._probe_pair(self._ends.at(outer), self._ends.at(inner))
            if result.one_place:
                return refusals.ONE_PLACE
            if result.unproven:
                return result.unproven
        return refusals.LOOKS_ALIKE if len(pairs) > samples.MAX_ALIKE else None

    def of_shared(self, tails: Sequence[str]) -> str | None:
        """``tails``: paths below both ends."""
        return self._first_refusal(partial(self._of_folder, one_way=False), tails)

    def of_new(self, tails: Sequence[str]) -> str | None:
        """``tails``: paths below the source, of folders in which the destination lists no file. One
        that it does not list at all may be there all the same, as a link that it follows. A marker
        makes the folder; what would lie below it is new."""
        below: dict[str, list[str]] = {}
        # rclone cannot be asked for a name that is no text.
        tails = [tail for tail in tails if tail.isascii() or _is_text(tail)]
        for tail in tails:
            below.setdefault(tail.rpartition("/")[0], []).append(tail)
        known = set(tails)
        waiting = [tail for tail in tails if tail.rpartition("/")[0] not in known]
        while waiting:
            listed: list[str] = []
            refusal = self._first_refusal(partial(self._of_new, listed=listed), waiting)
            if refusal:
                return refusal
            waiting = [one for folder in sorted(listed) for one in below.get(folder, [])]
        return None

    def _of_new(self, tail: str, listed: list[str]) -> str | None:
        if _is_local(self._destination):
            path = Path(self._destination, on_disk(tail))
            if path.is_symlink():
                return refusals.LINKED_FOLDER.format(printable(tail, _SHOWN))
            is_there = path.is_dir()
        else:
            is_there = has_folder(self._ends.at_exactly(self._destination), tail)
            if not is_there:
                refusal = self._of_folder(tail, one_way=True)
                return refusal and refusal.replace("Nothing was done", "No file was sent")
        if is_there:
            listed.append(tail)
        return None

    def _first_refusal(
        self, check: Callable[[str], str | None], tails: Sequence[str]
    ) -> str | None:
        for at in range(0, len(tails), _AT_ONCE):
            self._ensure_going()
            some = tails[at : at + _AT_ONCE]
            for refusal in together([partial(check, tail) for tail in some]):
                if refusal:
                    return refusal
        return None

    def _of_folder(self, tail: str, *, one_way: bool) -> str | None:
        outer, inner = (
            self._ends.at_exactly(samples.below(place, on_disk(tail) if _is_local(place) else tail))
            for place in (self._source, self._destination)
        )
        result = self._probe_pair(outer, inner, one_way=one_way)
        shown = printable(tail, _SHOWN)
        if result.one_place:
            return refusals.SHARED_FOLDER.format(shown)
        return refusals.MAY_BE_SHARED.format(shown) if result.unproven else None

    def _probe_pair(self, outer: End, inner: End, *, one_way: bool = False) -> ProbeResult:
        """Both are written to, and read; or, ``one_way``, only the inner one is written to."""
        cross = not one_way
        probe = Probe(
            *(outer, inner),
            cross=cross,
            exact=True,
            new=False,
            journal=self._journal,
            must_cross=cross,
        )
        try:
            return probe.run()
        finally:
            self.left_behind += probe.remove()

    def _ensure_going(self) -> None:
        if self._stopped:
            raise NoAnswer("it was stopped")

    # --- removal --------------------------------------------------------------------------------

    def remove(self) -> None:
        """The markers that were kept."""
        probe, self._kept = self._kept, None
        if probe is not None:
            self.left_behind += probe.remove()

    def start_removal(self) -> None:
        """Begins to remove the kept markers; the rclone that wrote them is gone."""
        probe, self._kept = self._kept, None
        if probe is not None:
            self._removal = BackgroundCall(partial(self._remove_by_another, probe))
            self._removal.start()

    def wait_for_removal(self, seconds: float) -> bool:
        """Whether no removal goes on any more."""
        return self._removal is None or self._removal.wait(seconds)

    def end_removal(self, seconds: float) -> None:
        """Removes the kept markers, as far as so many seconds allow."""
        self.start_removal()
        if self._removal is not None:
            self._removal.wait(seconds)
            self._ends.close()
            self._removal.wait()

    def _remove_by_another(self, probe: Probe) -> None:
        """On a machine that has no time a try may fail at once; of a storage that does not answer
        one takes long, and is enough."""
        began, left = time.monotonic(), [self._destination]
        for _ in range(_REMOVALS):
            left = self._left_by_another(probe)
            if not left or self._stopped or time.monotonic() - began > _QUICK:
                break
        self.left_behind += left

    def _left_by_another(self, probe: Probe) -> list[str]:
        try:
            self._ends.start()
            return probe.remove_by(self._ends.questions)
        except (EngineError, NoAnswer):
            return [self._destination]
        finally:
            self._ends.close()

    def sweep(self) -> None:
        """Removes the markers that earlier attempts could not remove."""
        for left in self._journal.left(self._ends.reachable):
            end = self._ends.at(left.place)
            if not isinstance(try_to_ask(partial(end.remove, left.name)), NoAnswer):
                left.note.unlink(missing_ok=True)


def _is_local(place: str) -> bool:
    return place.startswith("/")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
