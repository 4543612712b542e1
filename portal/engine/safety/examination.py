"""Proves what must be known before a transfer may delete or overwrite anything.

- The two ends are not one place under two names (``same_place``, ``place_checks``).
- "Equal" is judged by something that can tell (``comparison``).
- There is something at the source: an empty one would empty the destination of a sync.
- No two names of the source fall together at the destination.

Anything that cannot be found out counts as not safe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from portal.engine.answers.inquiry import Inquiry
from portal.engine.answers.questions import BackgroundCall, NoAnswer
from portal.engine.answers.source_names import MISSING_SOURCE, MissingSource, has_file, meeting
from portal.engine.failures.error_names import Names
from portal.engine.failures.exit_codes import DESTINATION_IS_A_FILE, reason_for
from portal.engine.order import comparison
from portal.engine.order.comparison import BYTES, Comparison, Storage
from portal.engine.output.samples import NO_SAMPLES, Samples
from portal.engine.output.statistics import Error, printable
from portal.engine.safety import places, refusals
from portal.engine.safety.case import folds_case, keeps_accents, keeps_forms
from portal.engine.safety.doubts import Doubts
from portal.engine.safety.ends import Ends, existing, is_bucket, is_root
from portal.engine.safety.hard_links import HardLinks
from portal.engine.safety.linked_folders import linked_folder
from portal.engine.safety.place_checks import PlaceChecks
from portal.engine.safety.verdict import Verdict

_SHOWN = 200


class Examination:
    """Examines one order. It runs in a thread of its own: the one who waits goes on."""

    def __init__(self, inquiry: Inquiry) -> None:
        self._order = order = inquiry.order
        self._ends = Ends(inquiry)
        self._hard_links = HardLinks(order, self._ends)
        self._place_checks = PlaceChecks(
            self._ends, order.source, order.destination, inquiry.data_dir
        )
        self._later: BackgroundCall[Verdict] | None = None

    # --- for the thread that waits --------------------------------------------------------------

    def start(self) -> None:
        self._start(self._examine)

    def start_to_prove(self, earlier: Verdict) -> None:
        """Whether the ends are still two places, as they were at the ``earlier`` verdict."""
        self._start(lambda: self._prove_again(earlier))

    def start_to_look_for_something(self) -> None:
        """Whether there is anything at the source at all."""
        self._start(self._look_for_something)

    def start_to_look_for_deleted(
        self, place: str, names: tuple[str, ...], *, single: bool
    ) -> None:
        """Whether files that were said to be deleted there are gone."""
        self._start(lambda: self._look_for_deleted(place, names, single=single))

    def start_to_compare(self, doubts: Doubts) -> None:
        """Whether what may be one place, or one file, is two."""
        self._start(lambda: self._compare(doubts))

    def _start(self, examine: Callable[[], Verdict]) -> None:
        self._later = BackgroundCall(lambda: self._run(examine))
        self._later.start()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended."""
        return self._started.wait(seconds)

    @property
    def verdict(self) -> Verdict:
        """After its end. Raises EngineError if rclone cannot be started."""
        return self._started.answer()

    @property
    def _started(self) -> BackgroundCall[Verdict]:
        assert self._later is not None  # noqa: S101 - it was started
        return self._later

    def stop(self) -> None:
        """It ends soon; markers that were written are removed before."""
        self._place_checks.stop()
        self._ends.stop()

    def close(self, seconds: float) -> None:
        """Every process of it is dead when this returns, and every marker that could be removed in
        so many seconds is gone."""
        self.stop()
        if self._later is not None:
            self._later.wait(seconds)
            self._ends.close()
            self._later.wait()
        self._place_checks.end_removal(seconds)

    def start_removal(self) -> None:
        """After its end: begins to remove the markers that were left for a look."""
        self._place_checks.start_removal()

    def wait_for_removal(self, seconds: float) -> bool:
        """Whether the removal has ended. A storage that is asked and does not answer is given
        up."""
        return self._place_checks.wait_for_removal(seconds)

    @property
    def left_behind(self) -> list[str]:
        """The places where a marker could not be removed."""
        return self._place_checks.left_behind

    def proven_on_disk(self) -> bool:
        """Whether the marker on this machine still has the content that was written first, after
        the same name was written to the other end. Call it while markers are left for a look."""
        return self._place_checks.on_disk()

    # --- its thread -----------------------------------------------------------------------------

    def _run(self, examine: Callable[[], Verdict]) -> Verdict:
        try:
            verdict = examine()
        except NoAnswer as error:
            return self._without_answer(error)
        finally:
            self._ends.close()
        end = self._order.destination
        backend = self._order.backend_of(end)
        if backend is None:
            return replace(verdict, keeps_accents=all(map(keeps_accents, _file_systems(end))))
        return replace(verdict, keeps_accents=keeps_forms(backend))

    def _examine(self) -> Verdict:
        order = self._order
        usual = comparison.choose(
            order.operation, order.options, comparison.LOCAL, comparison.LOCAL
        )
        refusal = self._ends.one_place_by_name(deletes=self._risky(usual))
        if refusal and order.operation != "check":
            return Verdict(usual, refusal)
        if not order.remotes:
            return self._of_this_machine(usual)
        return self._with_storages()

    def _of_this_machine(self, chosen: Comparison) -> Verdict:
        order = self._order
        self._place_checks.sweep()
        single = Path(order.source).is_file()
        verification = comparison.choose("check", order.options, comparison.LOCAL, comparison.LOCAL)
        if self._deletes_what_is_left_out(single):
            return Verdict(chosen, refusals.FILTERED_SYNC)
        if order.operation == "sync" and not order.options.allow_empty_source:
            try:
                if not single and not self._holds_files():
                    return Verdict(chosen, refusals.EMPTY_SOURCE)
            except MissingSource as missing:
                return Verdict(chosen, missing.message)
        folds = False
        if order.operation != "check":
            folds = _folds_case(order.destination, may_write=not order.dry_run)
            if not single and (link := linked_folder(order.source, order.destination)):
                return Verdict(chosen, refusals.LINKED_FOLDER.format(printable(link, _SHOWN)))
        if refusal := self._prove_on_disk(chosen, single):
            return Verdict(chosen, refusal)
        if folds and not single and (refusal := self._meeting_names()):
            return Verdict(chosen, refusal)
        return Verdict(
            chosen, folds_case=folds and not single, verification=verification, single=single
        )

    def _prove_on_disk(self, chosen: Comparison, single: bool) -> str | None:
        order = self._order
        if not (order.moves and self._risky(chosen) and Path(order.source).exists()):
            return None
        refusal = self._prove(single)
        if refusal or single or not self._shares(chosen):
            return refusal
        return self._place_checks.of_shared(places.mounted_in_one(order.source, order.destination))

    def _with_storages(self) -> Verdict:
        order = self._order
        holding = BackgroundCall(self._holds_files)
        if order.operation in ("move", "sync"):
            holding.start()
        try:
            self._ends.start()
            self._place_checks.sweep()
            (source, single), (destination, in_the_way) = self._ends.storages()
        except NoAnswer:
            self.stop()
            holding.wait()
            raise
        chosen = comparison.choose(order.operation, order.options, source, destination)
        verdict = Verdict(
            chosen,
            verification=comparison.choose("check", order.options, source, destination),
            may_be_nothing=source.bucket_based and not single and not is_bucket(order.source),
            single=single,
        )
        try:
            if in_the_way:
                return replace(verdict, refusal=DESTINATION_IS_A_FILE)
            if self._deletes_what_is_left_out(single):
                return replace(verdict, refusal=refusals.FILTERED_SYNC)
            one_machine = self._ends.one_machine(source, destination)
            risky = self._risky(chosen) or (one_machine and order.shows_halves)
            holds = risky and order.operation != "check" and (single or holding.answer())
        except MissingSource as missing:
            return replace(verdict, refusal=missing.message)
        finally:
            holding.wait()
        if order.operation == "check":
            return verdict
        if destination.bucket_based and is_root(order.destination):
            buckets = source.bucket_based and is_root(order.source)
            if risky or not buckets:
                return replace(verdict, refusal=refusals.NO_BUCKET)
        if order.operation == "sync" and not holds and not order.options.allow_empty_source:
            return replace(verdict, refusal=refusals.EMPTY_SOURCE)
        # Where there is no file nothing can be lost, and a folder that is not there must not be
        # made by a marker.
        proves = order.moves and holds
        verdict = replace(verdict, one_machine=one_machine and proves)
        return self._with_proof(verdict, source, destination, proves=proves)

    def _with_proof(
        self, verdict: Verdict, source: Storage, destination: Storage, *, proves: bool
    ) -> Verdict:
        order, single = self._order, verdict.single
        local = order.destination.startswith("/")
        folds = destination.ignores_case and source.kind != destination.kind
        look: str | None = None
        if local:
            folds = _folds_case(order.destination, may_write=not order.dry_run)
        one_machine = verdict.one_machine
        if proves:
            if single and one_machine and (refusal := self._hard_links.of_single()):
                return replace(verdict, refusal=refusal)
            if refusal := self._prove(single, one_machine=one_machine, keep=True):
                return replace(verdict, refusal=refusal)
            try:
                if not local and not destination.ignores_case:
                    folds = self._place_checks.ignores_case()
                if not single and (one_machine or self._may_share(verdict.comparison, source)):
                    look = self._place_checks.number
            finally:
                if look is None:
                    self._place_checks.remove()
        if folds and not single and (refusal := self._meeting_names()):
            self._place_checks.remove()
            return replace(verdict, refusal=refusal)
        folds_names = folds and not destination.ignores_case and not single
        samples = NO_SAMPLES
        if look is not None:
            shared = self._shares(verdict.comparison)
            new = shared or order.shows_halves
            of_source = order.operation == "sync" and not single
            sends_equal = verdict.comparison.needs_hashes
            samples = (
                self._ends.samples(
                    of_source=of_source, shared=shared, new=new, sends_equal=sends_equal
                )
                if one_machine
                else Samples(shared=shared, new=new)
            )
        return replace(verdict, folds_case=folds_names, look=look, samples=samples)

    # --- parts ----------------------------------------------------------------------------------

    def _prove(self, single: bool, *, one_machine: bool = False, keep: bool = False) -> str | None:
        """Whether the ends are one place, or may be."""
        order = self._order
        source = self._ends.at(order.source, single=single)
        # The source of a move changes anyway. That of a sync is written to where there is a reason.
        cross = order.operation == "move" or one_machine
        return self._place_checks.of_ends(
            source, self._ends.at(order.destination), cross=cross, exact=single, keep=keep
        )

    def _risky(self, chosen: Comparison) -> bool:
        """Whether something may be deleted, or written over itself."""
        order = self._order
        return order.operation in ("move", "sync") or (
            order.operation == "copy" and chosen.every_byte
        )

    def _deletes_what_is_left_out(self, single: bool) -> bool:
        """Patterns hold for both ends by one name. Age and size do not: the copy of a file that is
        just being written is older than it, and may be smaller."""
        options = self._order.options
        by_time_or_size = options.min_age is not None or options.max_size is not None
        return self._order.operation == "sync" and by_time_or_size and not single

    def _shares(self, chosen: Comparison) -> bool:
        """Whether a folder below both ends that is one place would be emptied or cut off."""
        return self._order.operation == "move" or chosen.every_byte

    def _may_share(self, chosen: Comparison, source: Storage) -> bool:
        """Whether a server may show one folder below both ends: by a link or a mount of its own."""
        return (
            not source.bucket_based
            and self._shares(chosen)
            and self._ends.one_account()
            and self._ends.may_hold_folders(self._order.destination)
        )

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
        return self._ends.reader().any(filtered=filtered)

    def _meeting_names(self) -> str | None:
        names = self._ends.reader()
        pairs = meeting(names.read)
        if not pairs:
            return None
        pair = " and ".join(f"“{one}”" for one in pairs[0])
        more = "" if len(pairs) == 1 else " (and others)"
        return (
            f"The destination does not tell upper from lower case, so that {pair}{more} would be "
            "one file there. Nothing was done. Rename one of them, or leave it out by a pattern."
        )

    # --- what is asked later --------------------------------------------------------------------

    def _compare(self, doubts: Doubts) -> Verdict:
        refusal = self._hard_links.of(doubts.replaced)
        if refusal is None:
            self._ends.start()
            checks = self._place_checks
            refusal = checks.of_pairs(doubts.pairs) or checks.of_shared(doubts.shared)
            refusal = refusal or checks.of_new(doubts.new)
        return Verdict(Comparison(BYTES), refusal)

    def _prove_again(self, earlier: Verdict) -> Verdict:
        order = self._order
        refusal = self._ends.one_place_by_name(deletes=True)
        if refusal is None and order.remotes:
            self._ends.start()
        if refusal is None and (order.remotes or Path(order.source).exists()):
            refusal = self._prove(earlier.single, one_machine=earlier.one_machine)
        return Verdict(earlier.comparison, refusal)

    def _look_for_something(self) -> Verdict:
        found = self._ends.reader().any(filtered=False)
        refusal = None if found else refusals.NOTHING_FOUND.format(self._order.source)
        return Verdict(Comparison(BYTES), refusal)

    def _look_for_deleted(self, place: str, names: tuple[str, ...], *, single: bool) -> Verdict:
        self._ends.start()
        end = self._ends.at(place, single=single)
        found = [name for name in names if end.find(name) is not None]
        refusal = refusals.NOT_DELETED.format(printable(found[0], _SHOWN)) if found else None
        return Verdict(Comparison(BYTES), refusal)

    def _without_answer(self, error: NoAnswer) -> Verdict:
        """A storage does not answer: without it nothing can be compared, and nothing copied."""
        order = self._order
        names = Names((order.source, order.destination), order.remotes)
        nameless = names.without(Error(error.message, "", error.message))
        reason = reason_for(1, False, (nameless,))
        return Verdict(Comparison(BYTES), reason, (nameless,), errors=error.errors)


def _folds_case(destination: str, *, may_write: bool) -> bool:
    """Whether any part of a local destination takes names that differ by case for one."""
    return any(folds_case(folder, may_write=may_write) for folder in _file_systems(destination))


def _file_systems(destination: str) -> list[str]:
    """The local destination, or the next folder above it, and what is mounted below it."""
    folder = existing(destination)
    below = folder.rstrip("/") + "/"
    return [folder, *(one.point for one in places.mounts() if one.point.startswith(below))]
