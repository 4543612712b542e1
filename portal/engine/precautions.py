"""The steps of an attempt before its rclone may delete anything. They run while readings go on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

from portal.engine.answers.inquiry import Inquiry
from portal.engine.failures.exit_codes import is_retryable, retryable_reason
from portal.engine.order.command import TransferOrder
from portal.engine.order.comparison import SEND_ALL
from portal.engine.output.progress import Progress
from portal.engine.running.outcome import Outcome
from portal.engine.running.outcomes import stopped
from portal.engine.safety import places, refusals
from portal.engine.safety.doubts import Doubts
from portal.engine.safety.ends import existing
from portal.engine.safety.examination import Examination
from portal.engine.safety.verdict import Verdict

#: Seconds after which what a probe has shown is shown once more before anything is deleted.
_FRESH = 5.0
#: Seconds after which a server has written what it was given; rclone's own waits for five.
_WRITTEN_BACK = 8.0
#: Seconds for a storage to remove markers after the attempt was stopped.
_CLOSE_SECONDS = 5.0

#: Backends whose answer "deleted" is checked once more.
_UNSURE_OF_DELETIONS = frozenset({"ftp"})

#: Folders below both ends whose examination takes so long that the log says so.
_MANY = 100

#: Its result is None if nothing speaks against the transfer; otherwise, how the attempt ends.
Objection = Generator[Progress | None, None, Outcome | None]


class Precautions:
    """The precautions of one attempt, in the thread that reads its progress. Always call
    `close()`."""

    def __init__(
        self,
        rclone: Path,
        moment: float,
        *,
        data_dir: Path | None,
        note: Callable[[str], None],
        dry_run: Callable[[TransferOrder, float], Generator[Progress | None, None, Outcome]],
    ) -> None:
        """``note`` writes a line of the log; ``dry_run`` is one rclone that only looks."""
        self._rclone, self._moment, self._data_dir = rclone, moment, data_dir
        self._note, self._dry_run = note, dry_run
        self._examination: Examination | None = None
        self._stopped = False
        #: Files without a hash were found where only hashes would do.
        self._sends_all = False
        self.begun: Callable[[int], None] | None = None
        self.verdict: Verdict | None = None

    def stop(self) -> None:
        self._stopped = True
        if self._examination is not None:
            self._examination.stop()

    def close(self) -> None:
        """No process of it is left when this returns."""
        if self._examination is None:
            return
        examination, self._examination = self._examination, None
        examination.close(_CLOSE_SECONDS)
        for place in examination.left_behind:
            self._note(
                f"A marker file could not be removed from {place}; the next attempt there does."
            )

    def take(
        self, order: TransferOrder, tick: float, last: Callable[[TransferOrder], Objection]
    ) -> Objection:
        """Takes all steps in order, then ``last``, which may take long. ``with_comparison`` returns
        the order as it has to be run afterwards."""
        began = time.monotonic()
        self._sends_all = False
        objection = yield from self._examine(order, tick)
        if objection is None:
            objection = yield from self._look_deeply(self.with_comparison(order), tick)
            yield from self._remove_markers(tick)
        if objection is None:
            objection = yield from self._look_for_unhashed(self.with_comparison(order), tick)
        if objection is None:
            objection = yield from last(self.with_comparison(order))
        if objection is None and time.monotonic() - began > _FRESH:
            # The earlier answers may be outdated: a disk was mounted, a server moved.
            objection = yield from self._examine(order, tick)
            yield from self._remove_markers(tick)
        return objection

    @property
    def looks_deeply(self) -> bool:
        """Whether what lies below the ends had to be looked through, too."""
        return self.verdict is not None and self.verdict.look is not None

    def prove_again(self, order: TransferOrder, tick: float) -> Objection:
        """Checks that the ends are still two places, while rclone is paused in the middle of its
        work."""
        if self.verdict is None or order.operation not in ("move", "sync"):
            return None
        examination = self._new_examination(order)
        examination.start_to_prove(self.verdict)
        yield from self._await(examination.wait, tick)
        verdict = None if self._stopped else examination.verdict
        self.close()
        return refused(order, verdict) if verdict and verdict.refusal else None

    def found_something(self, order: TransferOrder, tick: float) -> Objection:
        """A storage of objects knows no folders: a path where nothing is may be a mistyped one."""
        if self.verdict is None or not self.verdict.may_be_nothing:
            return None
        examination = self._new_examination(order)
        examination.start_to_look_for_something()
        yield from self._await(examination.wait, tick)
        verdict = None if self._stopped else examination.verdict
        self.close()
        return refused(order, verdict) if verdict and verdict.refusal else None

    def is_deleted(self, order: TransferOrder, names: tuple[str, ...], tick: float) -> Objection:
        """An FTP server that refuses to delete answers as if the file were not there, which rclone
        takes for success."""
        place = order.source if order.operation == "move" else order.destination
        if not names or order.dry_run or order.backend_of(place) not in _UNSURE_OF_DELETIONS:
            return None
        examination = self._new_examination(order)
        single = order.operation == "move" and self.verdict is not None and self.verdict.single
        examination.start_to_look_for_deleted(place, names, single=single)
        yield from self._await(examination.wait, tick)
        verdict = None if self._stopped else examination.verdict
        self.close()
        # One that cannot be asked any more has not shown the opposite.
        if verdict is None or verdict.nameless_errors or verdict.refusal is None:
            return None
        return refused(order, verdict)

    def with_comparison(self, order: TransferOrder) -> TransferOrder:
        verdict = self.verdict
        if verdict is None:
            return order
        return replace(
            order,
            comparison=SEND_ALL if self._sends_all else verdict.comparison,
            folds_case=verdict.folds_case,
            keeps_accents=verdict.keeps_accents,
            single=verdict.single,
            across_mounts=order.operation == "move" and order.is_local and _across_mounts(order),
        )

    # --- steps ----------------------------------------------------------------------------------

    def _new_examination(self, order: TransferOrder) -> Examination:
        self._examination = Examination(
            Inquiry(self._rclone, order, self._moment, self._data_dir, self.begun)
        )
        return self._examination

    def _remove_markers(self, tick: float) -> Iterator[None]:
        """However slow the storage is: only one that has been stopped has no time for it."""
        if self._examination is not None and not self._stopped:
            self._examination.start_removal()
            yield from self._await(self._examination.wait_for_removal, tick)
        self.close()

    def _await(self, has_ended: Callable[[float], bool], tick: float) -> Iterator[None]:
        give_up_at = 0.0
        while not has_ended(tick):
            if self._stopped:
                give_up_at = give_up_at or time.monotonic() + _CLOSE_SECONDS
                if time.monotonic() > give_up_at:
                    return
            yield None

    def _examine(self, order: TransferOrder, tick: float) -> Objection:
        examination = self._new_examination(order)
        examination.start()
        yield from self._await(examination.wait, tick)
        if self._stopped:
            self.close()
            return stopped()
        self.verdict = examination.verdict
        if self.verdict.refusal is None:
            return None
        self.close()
        return refused(order, self.verdict)

    def _look_deeply(self, order: TransferOrder, tick: float) -> Objection:
        """Searches each end for the other's marker, below its top."""
        verdict = self.verdict
        if verdict is None or verdict.look is None:
            return None
        looking = replace(
            order, dry_run=True, confirmed=None, looks_for=verdict.look, samples=verdict.samples
        )
        outcome = yield from self._dry_run(looking, tick)
        if not outcome.succeeded:
            return replace(outcome, progress=None, plan=None)
        plan = outcome.plan
        if outcome.marker_below or plan is None:
            return refused(order, replace(verdict, refusal=refusals.ONE_PLACE))
        if order.operation == "move" and verdict.one_machine and plan.deletes and not plan.copies:
            objection = yield from self._doubt(order, verdict, tick)
            if objection is not None:
                return objection
        return (yield from self._compare_alike(order, verdict, tick))

    def _look_for_unhashed(self, order: TransferOrder, tick: float) -> Objection:
        """A file that would be deleted since an object of its size is there, which has no hash: its
        bytes travel once more, and those of all others."""
        if order.comparison is None or not order.comparison.needs_hashes:
            return None
        outcome = yield from self._dry_run(replace(order, dry_run=True, confirmed=None), tick)
        if not outcome.succeeded:
            return replace(outcome, progress=None, plan=None)
        self._sends_all = outcome.by_size > 0
        if self._sends_all:
            self._note(
                f"The storage knows no hash of {outcome.by_size:,} of the files that are there "
                "already: every file is sent."
            )
        return None

    def _compare_alike(self, order: TransferOrder, verdict: Verdict, tick: float) -> Objection:
        doubts = Doubts.left(order, verdict)
        if not doubts:
            return None
        yield from self._remove_markers(tick)
        if doubts.folders >= _MANY:
            self._note(f"Both ends may be on one machine: {doubts.folders:,} folders are examined.")
        examination = self._new_examination(order)
        examination.start_to_compare(doubts)
        yield from self._await(examination.wait, tick)
        if self._stopped:
            self.close()
            return stopped()
        verdict = examination.verdict
        self.close()
        return refused(order, verdict) if verdict.refusal else None

    def _doubt(self, order: TransferOrder, verdict: Verdict, tick: float) -> Objection:
        """Waits before an order that would copy nothing and delete everything on one machine: a
        server may buffer a write for some seconds, and the disk shows it afterwards."""
        self._note(
            "Every file is at the destination already. Whether these are two places is seen "
            f"in {_WRITTEN_BACK:.0f} s."
        )
        until = time.monotonic() + _WRITTEN_BACK
        while time.monotonic() < until and not self._stopped:
            time.sleep(tick)
            yield None
        if self._examination is not None and self._examination.proven_on_disk():
            return None
        return refused(order, replace(verdict, refusal=refusals.ALL_THERE))


def _across_mounts(order: TransferOrder) -> bool:
    ends = (os.path.realpath(existing(path)) for path in (order.source, order.destination))
    table = places.mounts()
    return len({places.mount_of(end, table).number for end in ends}) > 1


def refused(order: TransferOrder, verdict: Verdict) -> Outcome:
    """The end of one that was not begun."""
    reason = retryable_reason(verdict.nameless_errors)
    return Outcome(
        succeeded=False,
        stopped=False,
        exit_code=None,
        reason=verdict.refusal,
        error_lines=verdict.errors,
        progress=None,
        is_retryable=is_retryable(1, False, verdict.nameless_errors),
        retry_words=reason.retry_words.format(storage=order.storage) if reason else "",
    )
