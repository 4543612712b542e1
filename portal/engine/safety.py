"""Proves what must be known before a transfer may delete or overwrite anything.

- The two ends are not one place under two names (``same_place``, ``probe``).
- "Equal" is judged by something that can tell (``comparison``).
- There is something at the source: an empty one would empty the destination of a sync.
- No two names of the source fall together at the destination.

Anything that cannot be found out counts as not safe.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from portal.engine import comparison, refusals, same_place, samples
from portal.engine.case import folds_case, keeps_accents
from portal.engine.command import Order
from portal.engine.comparison import BYTES, Comparison, Storage
from portal.engine.error_names import Names
from portal.engine.errors import EngineError
from portal.engine.exit_codes import DESTINATION_IS_A_FILE, reason_for
from portal.engine.markers import Journal
from portal.engine.probe import Elsewhere, End, Folder, Probe
from portal.engine.questions import Later, NoAnswer, Questions, together, try_to_ask
from portal.engine.remotes import Remote
from portal.engine.samples import NO_SAMPLES, Samples
from portal.engine.source_names import (
    MISSING_SOURCE,
    MissingSource,
    SourceNames,
    first_files,
    has_file,
    meeting,
)
from portal.engine.statistics import Error, printable

#: How many folders are compared at the same time, and how much of a path is shown.
_AT_ONCE = 8
_SHOWN = 200
_IS_A_FILE = "is a file not a directory"
_NO_ANSWER = "temporarily unavailable: one question was not answered, and the next one was"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``refusal``: a sentence why it must not begin. ``said``: rclone's messages about a storage
    that could not be asked, without names. ``look``: the number of a marker that a dry run has to
    look for in the depths of both ends."""

    comparison: Comparison
    refusal: str | None = None
    said: tuple[str, ...] = ()
    folds_case: bool = False
    keeps_accents: bool = False
    look: str | None = None
    samples: Samples = NO_SAMPLES
    #: The comparison for the verification afterwards.
    verification: Comparison | None = None
    #: A copy that found nothing may have been given a path that does not exist.
    may_be_nothing: bool = False
    #: rclone's words as they may be shown.
    errors: tuple[str, ...] = ()
    #: The source is one file.
    single: bool = False
    #: Both ends may be on one machine, which no path can tell.
    one_machine: bool = False


class Examination:
    """Examines one order. It runs in a thread of its own: the one who waits goes on."""

    def __init__(
        self,
        rclone: Path,
        order: Order,
        moment: float,
        *,
        data_dir: Path | None = None,
        begun: Callable[[int], None] | None = None,
    ) -> None:
        self._rclone, self._order, self._moment = rclone, order, moment
        self._data_dir, self._begun = data_dir, begun
        self._journal = Journal(data_dir)
        self._remotes = {remote.name: remote for remote in order.remotes}
        self._questions: Questions | None = None
        self._names: list[SourceNames] = []
        self._probe: Probe | None = None
        self._stopped = False
        self._verdict: Verdict | None = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        #: Where a marker could not be removed.
        self.left_behind: list[str] = []

    # --- for the thread that waits --------------------------------------------------------------

    def start(self) -> None:
        self._start(self._examine)

    def start_to_look_for_something(self) -> None:
        """Whether there is anything at the source at all."""
        self._start(self._look_for_something)

    def start_to_look_for_deleted(
        self, place: str, names: tuple[str, ...], *, single: bool
    ) -> None:
        """Whether files that were said to be deleted there are gone."""
        self._start(lambda: self._look_for_deleted(place, names, single=single))

    def start_to_compare(self, pairs: list[tuple[str, str]], shared: list[str]) -> None:
        """Whether the places of a pair are one: a folder of one end, and the other end; or the
        folders of a ``shared`` path below both."""
        self._start(lambda: self._compare(pairs, shared))

    def _start(self, ask: Callable[[], Verdict]) -> None:
        self._thread = threading.Thread(
            target=self._run, args=(ask,), name="examination", daemon=True
        )
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended."""
        assert self._thread is not None  # noqa: S101 - it was started
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def verdict(self) -> Verdict:
        """After its end. Raises EngineError if rclone cannot be started."""
        if self._error is not None:
            raise self._error
        assert self._verdict is not None  # noqa: S101 - it has ended
        return self._verdict

    def stop(self) -> None:
        """It ends soon; markers that were written are removed before."""
        self._stopped = True
        for names in list(self._names):
            names.close()

    def close(self, seconds: float) -> None:
        """Every process of it is dead when this returns, and every marker that could be removed in
        so many seconds is gone."""
        self.stop()
        if self._thread is not None:
            self._thread.join(seconds)
            if self._questions is not None:
                self._questions.close()
            self._thread.join()
        if self._probe is not None:
            # The markers that were left for a look. The rclone that wrote them is gone.
            remover = threading.Thread(target=self._remove_later, name="removal", daemon=True)
            remover.start()
            remover.join(seconds)
            if self._questions is not None:
                self._questions.close()
            remover.join()

    def proven_on_disk(self) -> bool:
        """Whether the marker on this machine still has the content that was written first, after
        the same name was written to the other end. Call it while markers are left for a look."""
        return self._probe is not None and self._probe.is_own_on_disk()

    # --- its thread -----------------------------------------------------------------------------

    def _run(self, ask: Callable[[], Verdict]) -> None:
        try:
            verdict = ask()
            end = self._order.destination
            exact = end.startswith("/") and keeps_accents(_existing(end))
            self._verdict = replace(verdict, keeps_accents=exact)
        except NoAnswer as error:
            self._verdict = self._without_answer(error)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            self._error = error
        finally:
            if self._questions is not None:
                self._questions.close()

    def _examine(self) -> Verdict:
        order = self._order
        usual = comparison.choose(
            order.operation, order.options, comparison.LOCAL, comparison.LOCAL
        )
        refused = same_place.refusal(
            order.source, order.destination, self._remotes, deletes=self._risky(usual)
        )
        if refused and order.operation != "check":
            return Verdict(usual, refused)
        if not order.remotes:
            return self._of_this_machine(usual)
        return self._with_storages()

    def _of_this_machine(self, chosen: Comparison) -> Verdict:
        order = self._order
        self._sweep()
        source, destination = Folder(order.source), Folder(_existing(order.destination))
        single = Path(order.source).is_file()
        verification = comparison.choose("check", order.options, comparison.LOCAL, comparison.LOCAL)
        if order.operation == "sync" and not order.options.allow_empty_source:
            try:
                if not single and not self._holds_files():
                    return Verdict(chosen, refusals.EMPTY_SOURCE)
            except MissingSource as missing:
                return Verdict(chosen, missing.said)
        folds = False
        if order.operation != "check":
            folds = folds_case(destination.text, may_write=not order.dry_run)
        if order.moves and self._risky(chosen) and Path(order.source).exists():
            begin = Folder(str(Path(order.source).parent)) if single else source
            if refused := self._probed(begin, destination, single):
                return Verdict(chosen, refused)
        if folds and not single and (refused := self._meeting_names()):
            return Verdict(chosen, refused)
        return Verdict(
            chosen, folds_case=folds and not single, verification=verification, single=single
        )

    def _with_storages(self) -> Verdict:
        order = self._order
        holding = Later(self._holds_files)
        if order.operation in ("move", "sync"):
            holding.start()
        try:
            self._questions = Questions(self._rclone, order, self._data_dir, self._begun)
            self._questions.start()
            self._sweep()
            (source, single), (destination, in_the_way) = together(
                [lambda: self._storage(order.source), lambda: self._storage(order.destination)]
            )
        except NoAnswer:
            self.stop()
            holding.wait()
            raise
        chosen = comparison.choose(order.operation, order.options, source, destination)
        verdict = Verdict(
            chosen,
            verification=comparison.choose("check", order.options, source, destination),
            may_be_nothing=source.bucket_based and not single and not _is_bucket(order.source),
            single=single,
        )
        try:
            if in_the_way:
                return replace(verdict, refusal=DESTINATION_IS_A_FILE)
            holds = self._risky(chosen) and (single or holding.answer())
        except MissingSource as missing:
            return replace(verdict, refusal=missing.said)
        finally:
            holding.wait()
        if order.operation == "check":
            return verdict
        if self._risky(chosen) and destination.bucket_based and _is_root(order.destination):
            return replace(verdict, refusal=refusals.NO_BUCKET)
        if order.operation == "sync" and not holds and not order.options.allow_empty_source:
            return replace(verdict, refusal=refusals.EMPTY_SOURCE)
        # Where there is no file nothing can be lost, and a folder that is not there must not be
        # made by a marker.
        probes = order.moves and holds
        return self._with_probe(verdict, source, destination, probes=probes)

    def _holds_files(self) -> bool:
        """Whether there is a file at the source; of a sync, one that its filters leave. Raises
        MissingSource and NoAnswer."""
        order = self._order
        filtered = order.operation == "sync" and not order.options.allow_empty_source
        if order.source.startswith("/") and not (filtered and order.options.filters):
            if Path(order.source).is_file():
                return True
            found = has_file(order.source)
            if found is None:
                raise MissingSource(MISSING_SOURCE)
            return found
        return self._reader().any(filtered=filtered)

    def _with_probe(
        self, verdict: Verdict, source: Storage, destination: Storage, *, probes: bool
    ) -> Verdict:
        order, single = self._order, verdict.single
        local = order.destination.startswith("/")
        folds = destination.ignores_case and source.kind != destination.kind
        look: str | None = None
        if local:
            folds = folds_case(_existing(order.destination), may_write=not order.dry_run)
        suspicious = probes and self._suspicious(source, destination)
        if probes:
            begin, end = self._end(order.source, single), self._end(order.destination, False)
            try:
                refused = self._probed(begin, end, single, suspicious=suspicious, keep=True)
                if refused:
                    return replace(verdict, refusal=refused)
                assert self._probe is not None  # noqa: S101 - it has just run
                if not local and not destination.ignores_case:
                    folds = self._probe.ignores_case()
                if not single and (suspicious or self._may_share(verdict.comparison, source)):
                    look = self._probe.number
            finally:
                if look is None:
                    self._remove_probe()
        if folds and not single and (refused := self._meeting_names()):
            self._remove_probe()
            return replace(verdict, refusal=refused)
        told = folds and not destination.ignores_case and not single
        samples = NO_SAMPLES
        if look is not None:
            shared = self._shares(verdict.comparison)
            samples = self._samples(single, shared) if suspicious else Samples(shared=shared)
        return replace(verdict, folds_case=told, look=look, samples=samples, one_machine=suspicious)

    def _shares(self, chosen: Comparison) -> bool:
        """Whether a folder below both ends that is one place would be emptied or cut off."""
        return self._order.operation == "move" or chosen.every_byte

    def _may_share(self, chosen: Comparison, source: Storage) -> bool:
        """Whether a server may show one folder below both ends: by a link or a mount of its own."""
        begin, end = self._remote(self._order.source), self._remote(self._order.destination)
        if begin is None or end is None or source.bucket_based or not self._shares(chosen):
            return False
        if not same_place.same_account(begin, end):
            return False
        assert self._questions is not None  # noqa: S101 - it was started
        questions, place = self._questions, self._order.destination
        return try_to_ask(lambda: questions.has_folders(place)) is not False

    def _samples(self, single: bool, shared: bool) -> Samples:
        """A server may not see, in a folder that it has listed before, what another one wrote
        there. Names of older files it does see."""
        order = self._order
        of_source = order.operation == "sync" and not single
        of_destination, of_source_ = together(
            [
                lambda: self._first_names(order.destination),
                lambda: self._first_names(order.source) if of_source else [],
            ]
        )
        return Samples(of_destination, of_source_, shared=shared)

    def _first_names(self, place: str) -> list[str]:
        if place.startswith("/"):
            return first_files(place, samples.MOST) if Path(place).is_dir() else []
        reader = SourceNames(
            self._rclone, self._order, self._moment, self._data_dir, self._begun, place
        )
        self._names.append(reader)
        try:
            return [name for name in reader.first(samples.MOST) if "\ufffd" not in name]
        except MissingSource:
            return []

    def _compare(self, pairs: list[tuple[str, str]], shared: list[str]) -> Verdict:
        """Folders of one end that look like the other end: both are written to, and read. Then the
        folders that both ends hold."""
        chosen = Comparison(BYTES)
        self._questions = Questions(self._rclone, self._order, self._data_dir, self._begun)
        self._questions.start()
        for outer, inner in pairs[: samples.MOST_ALIKE]:
            ends = self._end(outer, False), self._end(inner, False)
            self._probe = Probe(
                *ends, cross=True, exact=True, new=False, journal=self._journal, must_cross=True
            )
            try:
                sight = self._probe.run()
            finally:
                self._remove_probe()
            if sight.one_place:
                return Verdict(chosen, refusals.ONE_PLACE)
            if sight.unproven:
                return Verdict(chosen, sight.unproven)
        if len(pairs) > samples.MOST_ALIKE:
            return Verdict(chosen, refusals.LOOKS_ALIKE)
        for at in range(0, len(shared), _AT_ONCE):
            some = shared[at : at + _AT_ONCE]
            for refused in together([partial(self._compare_shared, tail) for tail in some]):
                if refused:
                    return Verdict(chosen, refused)
        return Verdict(chosen)

    def _compare_shared(self, tail: str) -> str | None:
        """Whether the folders of this path below both ends are one."""
        if self._stopped:
            raise NoAnswer("it was stopped")
        order = self._order
        ends = [
            self._inner_end(samples.below(place, tail))
            for place in (order.source, order.destination)
        ]
        probe = Probe(
            *ends, cross=True, exact=True, new=False, journal=self._journal, must_cross=True
        )
        try:
            sight = probe.run()
        finally:
            self.left_behind += probe.remove()
        shown = printable(tail, _SHOWN)
        if sight.one_place:
            return refusals.SHARED_FOLDER.format(shown)
        return refusals.MAY_BE_SHARED.format(shown) if sight.unproven else None

    def _inner_end(self, text: str) -> End:
        # Not the next folder above it that exists: a name that this machine writes in another way
        # is not found, and proves nothing.
        return Folder(text) if text.startswith("/") else self._end(text, False)

    # --- parts ----------------------------------------------------------------------------------

    def _risky(self, chosen: Comparison) -> bool:
        """Whether something may be deleted, or written over itself."""
        order = self._order
        return order.operation in ("move", "sync") or (
            order.operation == "copy" and chosen.every_byte
        )

    def _probed(
        self,
        source: End,
        destination: End,
        single: bool,
        *,
        suspicious: bool = False,
        keep: bool = False,
    ) -> str | None:
        if self._stopped:
            raise NoAnswer("it was stopped")
        # The source of a move changes anyway. That of a sync is written to where there is a reason.
        cross = self._order.operation == "move" or suspicious
        end = self._order.destination
        self._probe = Probe(
            source,
            destination,
            cross=cross,
            exact=single,
            new=end.startswith("/") and not Path(end).is_dir(),
            journal=self._journal,
        )
        try:
            sight = self._probe.run()
        except NoAnswer:
            self._remove_probe()
            raise
        if sight.one_place or sight.unproven or not keep:
            self._remove_probe()
        return refusals.ONE_PLACE if sight.one_place else sight.unproven or None

    def _remove_probe(self) -> None:
        probe, self._probe = self._probe, None
        if probe is not None:
            self.left_behind += probe.remove()

    def _remove_later(self) -> None:
        probe, self._probe = self._probe, None
        if probe is None:
            return
        self._questions = Questions(self._rclone, self._order, self._data_dir, self._begun)
        try:
            self._questions.start()
            self.left_behind += probe.remove_by(self._questions)
        except EngineError:
            self.left_behind.append(self._order.destination)
        finally:
            self._questions.close()

    def _sweep(self) -> None:
        """The markers that earlier attempts could not remove."""
        for left in self._journal.left(self._reachable):
            end = self._end(left.place, False)

            def remove(end: End = end, name: str = left.name) -> None:
                end.remove(name)

            if not isinstance(try_to_ask(remove), NoAnswer):
                left.note.unlink(missing_ok=True)

    def _reachable(self, place: str) -> bool:
        return place.startswith("/") or place.partition(":")[0] in self._remotes

    def _end(self, text: str, single: bool) -> End:
        if text.startswith("/"):
            return Folder(str(Path(text).parent) if single else _existing(text))
        assert self._questions is not None  # noqa: S101 - it was started
        return Elsewhere(self._questions, _parent(text)[0] if single else text)

    def _storage(self, text: str) -> tuple[Storage, bool]:
        """What the storage is, and whether the source is a single file."""
        if text.startswith("/"):
            return comparison.LOCAL, Path(text).is_file()
        assert self._questions is not None  # noqa: S101 - it was started
        kind = self._remotes[text.partition(":")[0]].backend
        try:
            return comparison.storage(kind, self._questions.features(text)), False
        except NoAnswer as error:
            if _IS_A_FILE not in error.said:
                raise
        # rclone says so as well when a storage gave no answer. One that does not let somebody look
        # says so at the next question; one that was starting, or was busy, may answer it.
        folder, name = _parent(text)
        told = comparison.storage(kind, self._questions.features(folder))
        if self._questions.find(folder, name) is None:
            raise NoAnswer(_NO_ANSWER)
        return told, True

    def _meeting_names(self) -> str | None:
        names = self._reader()
        pairs = meeting(names.read)
        if not pairs:
            return None
        told = " and ".join(f"“{one}”" for one in pairs[0])
        more = "" if len(pairs) == 1 else " (and others)"
        return (
            f"The destination does not tell upper from lower case, so that {told}{more} would be "
            "one file there. Nothing was done. Rename one of them, or leave it out by a pattern."
        )

    def _look_for_something(self) -> Verdict:
        found = self._reader().any(filtered=False)
        chosen = Comparison(BYTES)
        return Verdict(chosen, None if found else refusals.NOTHING_FOUND.format(self._order.source))

    def _look_for_deleted(self, place: str, names: tuple[str, ...], *, single: bool) -> Verdict:
        self._questions = Questions(self._rclone, self._order, self._data_dir, self._begun)
        self._questions.start()
        end = self._end(place, single)
        found = [name for name in names if end.find(name) is not None]
        refusal = refusals.NOT_DELETED.format(printable(found[0], _SHOWN)) if found else None
        return Verdict(Comparison(BYTES), refusal)

    def _reader(self) -> SourceNames:
        names = SourceNames(self._rclone, self._order, self._moment, self._data_dir, self._begun)
        self._names.append(names)
        if self._stopped:
            names.close()
        return names

    def _suspicious(self, source: Storage, destination: Storage) -> bool:
        """Whether both ends may be seen by one machine, in ways that no path can tell."""
        order = self._order
        begin, end = self._remote(order.source), self._remote(order.destination)
        if begin is not None and end is not None:
            if same_place.same_account(begin, end) or (
                source.bucket_based and destination.bucket_based and source.kind == destination.kind
            ):
                return False
            return bool(same_place.addresses(begin) & same_place.addresses(end))
        remote = begin or end
        return remote is not None and any(
            same_place.is_own(address) for address in same_place.addresses(remote)
        )

    def _remote(self, text: str) -> Remote | None:
        return None if text.startswith("/") else self._remotes[text.partition(":")[0]]

    def _without_answer(self, error: NoAnswer) -> Verdict:
        """A storage does not answer: without it nothing can be compared, and nothing copied."""
        order = self._order
        names = Names((order.source, order.destination), order.remotes)
        said = names.without(Error(error.said, "", error.said))
        reason = reason_for(1, False, (said,))
        return Verdict(Comparison(BYTES), reason, (said,), errors=error.errors)


def _existing(path: str) -> str:
    """The folder itself, or the next one above it that exists."""
    folder = Path(path)
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return str(folder)


def _parent(text: str) -> tuple[str, str]:
    """The folder and the name of a file on a remote."""
    remote, _, path = text.partition(":")
    folder, _, name = path.rpartition("/")
    return f"{remote}:{folder}", name


def _is_bucket(text: str) -> bool:
    return "/" not in text.partition(":")[2].strip("/")


def _is_root(text: str) -> bool:
    return not text.partition(":")[2].strip("/")
