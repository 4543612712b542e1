"""One attempt of a job, from its first rclone to its certain end: precautions before anything is
deleted, a look ahead where something was confirmed, the transfer, again after errors that may pass,
and a comparison where that was asked."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from portal.engine.order.command import TIDY, TransferOrder
from portal.engine.order.comparison import BYTES, Comparison
from portal.engine.output.cumulative_progress import CumulativeProgress
from portal.engine.output.log import LogLine
from portal.engine.output.plan import ConfirmedPlan
from portal.engine.output.progress import ALMOST, Phase, Progress
from portal.engine.precautions import Objection, Precautions
from portal.engine.rclone_runner import Flow, RcloneRunner, Readings
from portal.engine.running.folder_modes import Folders
from portal.engine.running.outcome import Outcome
from portal.engine.running.outcomes import after_a_beginning, changed_plan, copies_differ, stopped
from portal.engine.running.rclone_process import ProcessSettings
from portal.engine.running.trouble import Trouble

_LONGEST_WAIT = 300.0

T = TypeVar("T")
R = TypeVar("R")


class Run:
    """Call `close()` whatever happens. rclone gets SIGTERM when the thread ends that goes through
    `readings()`; all other calls come from that thread too, between two readings."""

    def __init__(
        self,
        rclone: Path,
        order: TransferOrder,
        *,
        data_dir: Path | None = None,
        stats_interval: float = 0.25,
        grace: float = 10.0,
        backoff: float = 5.0,
        patience: float = math.inf,
        paused: bool = False,
        before: Progress | None = None,
        obstacle: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`backoff`: seconds before the second try; each further wait is twice as long. `before`:
        what earlier attempts have done. `patience`: seconds without a byte from a storage after
        which a try is given up. `obstacle` is asked before each rclone, which may be long after the
        start: it gives a sentence why this one must not run, because a disk is missing say."""
        self._order = order
        self._backoff = backoff
        moment = order.confirmed.moment if order.confirmed else time.time()
        self._cumulative = CumulativeProgress(order.operation, order.dry_run, before)
        self._begun_at = time.time()
        self._outcome: Outcome | None = None
        self._deleted_before = self._deleted()
        #: Files of a move that earlier attempts have taken away.
        self._moved_before = before.files_transferred if before and order.operation == "move" else 0
        #: As in the outcome of the last rclone.
        self._copied_only = (0, 0)
        self._stayed: Mapping[str, int] = {}
        #: Whether an rclone was started that may have done a part of what was confirmed.
        self._acted = False
        #: As of the order.
        self._replaces = 0
        self._runner = RcloneRunner(
            order,
            ProcessSettings(rclone, data_dir, stats_interval, grace, moment),
            patience=patience,
            paused=paused,
            obstacle=obstacle,
        )
        self._note = self._runner.note
        self._watch = self._runner.watch
        self._left_out = self._runner.left_out
        self._precautions = Precautions(
            rclone, moment, data_dir=data_dir, note=self._note, dry_run=self._look
        )
        self._runner.precautions = self._precautions

    def readings(
        self, begun: Callable[[int], None] | None = None, *, tick: float = 0.25
    ) -> Iterator[Progress | None]:
        """Yields new figures as they come, and None after at most `tick` seconds without any. The
        final figures are in the outcome. `begun` is called with the leader of each rclone's process
        group. Raises EngineError if rclone cannot be started."""
        self._runner.begun, self._precautions.begun = begun, self._ask
        outcome = yield from self._move(tick)
        if outcome.succeeded and outcome.found_nothing:
            outcome = (yield from self._precautions.found_something(self._order, tick)) or outcome
        if outcome.succeeded:
            outcome = yield from self._look_for_deleted(outcome, tick)
        if outcome.succeeded and self._verifies:
            outcome = yield from self._verify(outcome, tick)
        self._outcome = outcome

    def stop(self) -> None:
        """Asks it to end, and returns at once. Of one that has ended: harmless."""
        self._runner.stop()
        self._precautions.stop()

    def kill(self) -> None:
        """As `stop`, but rclone gets no time to tidy up: what it would remove may be another's."""
        self._runner.kill()

    def pause(self) -> None:
        """Pauses until `resume()`; if no rclone runs yet, none is started."""
        self._runner.pause()

    def resume(self) -> None:
        """Goes on, once both ends are known to be what they were."""
        self._runner.resume()

    def limit(self, bandwidth_limit: str | None) -> None:
        """Another limit, a rate or a timetable, from now on."""
        self._runner.limit(bandwidth_limit)

    def allow(self, allowed: int | None) -> Flow:
        """Bytes a second that it may move beside its own limit from now on; None: any number."""
        return self._runner.allow(allowed)

    def take_log(self) -> tuple[list[LogLine], int]:
        """As `RcloneProcess.take_log`, of all rclones so far."""
        return self._runner.take_log()

    @property
    def log_waits(self) -> bool:
        """As `RcloneProcess.log_waits`."""
        return self._runner.log_waits

    @property
    def trouble(self) -> Trouble | None:
        """The current obstacle, if any."""
        return self._watch.trouble

    def outcome(self) -> Outcome:
        """After `readings()` has ended, or after `close()`."""
        outcome = self._outcome or self._interrupted()
        unreadable = self._runner.unreadable_lines
        found = {**self._left_out.found(), "unreadable_lines": unreadable}
        return replace(outcome, found=replace(outcome.found, **found))

    def close(self) -> None:
        """Every process group is dead and reaped when this returns, however long that takes."""
        self._runner.close()
        self._runner.forget_files()
        self._precautions.close()

    # --- steps ----------------------------------------------------------------------------------

    @property
    def _verifies(self) -> bool:
        return self._order.options.verify and self._order.moves

    def _look(self, order: TransferOrder, tick: float) -> Readings:
        outcome = yield from _shown(
            self._runner.run(order, tick, logged=False), self._cumulative.scanning
        )
        self._left_out.forget_by_size()
        return outcome

    def _prepare(self, order: TransferOrder, tick: float) -> Objection:
        """The last steps before rclone changes anything."""
        objection = yield from self._verify_confirmed_plan(order, tick)
        if objection is None:
            yield from self._runner.note_files(order)
        return objection

    def _verify_confirmed_plan(self, order: TransferOrder, tick: float) -> Objection:
        """Returns None if it would delete exactly what was confirmed; in a later try, or after a
        restart of a move, when part of that may be done, no more files than that."""
        confirmed = order.confirmed
        if confirmed is None:
            return None
        outcome = yield from self._look(replace(order, dry_run=True, confirmed=None), tick)
        if not outcome.succeeded:
            return replace(outcome, progress=None, plan=None)
        plan = outcome.plan
        within_one = order.is_local or order.stays_within_one
        self._replaces = plan.replaces if plan is not None and within_one else 0
        if plan is not None and plan.fingerprint == confirmed.fingerprint:
            self._note("Verified: it deletes exactly what was confirmed.")
            return None
        begun = self._acted or self._moved_before > 0
        if plan is not None and begun and plan.deletes <= self._remaining(order).deletes:
            return None
        return Outcome(False, False, None, changed_plan(confirmed, plan), (), None)

    def _remaining(self, order: TransferOrder) -> ConfirmedPlan:
        """The part of the confirmed plan that is still to be done. Of a move it is not known which
        files this attempt has moved already."""
        assert order.confirmed is not None  # noqa: S101 - narrows the type
        if order.operation != "sync":
            return order.confirmed.after(self._moved_before)
        return order.confirmed.after(self._deleted() - self._deleted_before)

    def _try(self, tick: float) -> Readings:
        outcome = yield from self._examine_and_run(tick)
        while self._runner.begins_again and not self._runner.stopped:
            self._runner.begins_again = False
            yield from self._tidy(tick)
            self._cumulative.start_retry()
            outcome = yield from self._examine_and_run(tick)
        return outcome

    def _examine_and_run(self, tick: float) -> Readings:
        """Everything that must be known first, then rclone."""
        yield from self._runner.stand_still(tick)
        if not self._runner.stopped:
            yield from self._runner.look_at_source(tick)
        while not self._runner.stopped:
            self._runner.local_ends.note()
            objection = yield from self._attend(
                self._precautions.take(self._order, tick, lambda order: self._prepare(order, tick))
            )
            if objection is not None:
                begun = self._acted or self._order.attempt > 1
                return after_a_beginning(objection) if begun else objection
            if not self._runner.paused:
                break
            # What was shown before a pause is not known to hold after it.
            yield from self._runner.stand_still(tick)
        if self._runner.stopped:
            return stopped()
        order = self._precautions.with_comparison(self._order)
        if order.confirmed is not None:
            order = replace(order, confirmed=self._remaining(order), replaces=self._replaces)
        self._acted = True
        every_byte = order.comparison is not None and order.comparison.every_byte
        self._cumulative.sends_again = every_byte and order.operation != "move"
        if every_byte or order.is_copied_first:
            self._cumulative.repeat(*self._copied_only)
            order = replace(order, stayed=self._stayed)
        outcome = yield from _shown(self._compared(order, tick), self._with_earlier_attempts)
        self._copied_only, self._stayed = outcome.copied_only, outcome.stayed
        return outcome

    def _ask(self, leader: int) -> None:
        """The rclone that answers questions has begun."""
        if not self._runner.runs:
            self._watch.begin_questions(leader, self._order)
        if self._runner.begun is not None:
            self._runner.begun(leader)

    def _attend(self, steps: Generator[T, None, R]) -> Generator[T, None, R]:
        """Passes the steps on, and reports a storage that does not answer. The one who asks it
        gives it up."""
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                self._watch.trouble = None
                result: R = end.value
                return result
            if not self._runner.runs:
                self._watch.look_at_questions(self._order)
            yield step

    def _deleted(self) -> int:
        return self._cumulative.last.files_deleted if self._cumulative.last else 0

    def _compared(self, order: TransferOrder, tick: float) -> Readings:
        """A comparison that turned out to need more than hashes is made again by the bytes."""
        outcome = yield from self._runner.run(order, tick)
        if order.operation == "check" and outcome.size_only and not outcome.stopped:
            self._note("The storage does not know the hash of every file: the bytes are compared.")
            order = replace(order, comparison=Comparison(BYTES, ("--download",)))
            outcome = yield from self._runner.run(order, tick)
        by = order.comparison.by if order.comparison else None
        return replace(outcome, found=replace(outcome.found, compared_by=by))

    def _move(self, tick: float) -> Readings:
        if self._order.attempt > 1 or self._order.earlier:
            yield from self._tidy(tick)
        outcome = yield from self._try(tick)
        if self._order.keeps_modes and not self._runner.stopped and outcome.modes_refused:
            self._note("The destination does not keep the modes of files; it copies without them.")
            self._order = replace(self._order, modes=False)
            self._cumulative.start_retry()
            outcome = yield from self._try(tick)
        for number in range(1, self._order.options.retries + 1):
            if not outcome.is_retryable or self._runner.stopped:
                break
            yield from self._wait(number, outcome.retry_words, tick)
            self._cumulative.start_retry()
            outcome = yield from self._try(tick)
        if outcome.succeeded and (self._watch.gave_up or self._left_out.remaining):
            yield from self._tidy(tick)
        self._runner.local_ends.forget()
        if outcome.exit_code is not None and not (outcome.stopped or self._runner.stopped):
            yield from self._settle_folders(outcome.succeeded)
        # Of an rclone that was never started nothing is added.
        if outcome.progress is not None:
            self._cumulative.read(outcome.progress)
        return replace(outcome, progress=self._cumulative.last)

    def _tidy(self, tick: float) -> Iterator[Progress | None]:
        """Removes the partial files that a killed rclone has left. If that fails, they do no
        harm."""
        if self._order.leaves_partials and not self._runner.stopped:
            order = replace(self._order, operation=TIDY, confirmed=None)
            outcome = yield from _shown(
                self._runner.run(order, tick, logged=False), self._cumulative.scanning
            )
            if outcome.succeeded:
                self._left_out.forget_remaining()

    def _settle_folders(self, succeeded: bool) -> Iterator[None]:
        order = self._order
        if order.local_source is None or not order.moves:
            return
        holds = order.destination_holds_folders
        removes = succeeded and holds and order.operation == "move" and order.takes_folders
        folders = Folders(
            order.local_source,
            order.local_destination,
            modes=order.keeps_modes,
            remove=removes,
            since=self._begun_at,
            passed_over=self._left_out.note_partial,
        )
        yield from folders.settle()
        if not holds:
            self._left_out.empty_folders = folders.empty

    def _with_earlier_attempts(self, reading: Progress) -> Progress:
        reading = self._cumulative.read(reading)
        if self._verifies and reading.percent == 100.0:
            return replace(reading, phase=Phase.CHECKING, percent=ALMOST, eta_seconds=None)
        return reading

    def _wait(self, number: int, retry_words: str, tick: float) -> Iterator[None]:
        # Random, so jobs that failed together do not all come back at the same moment.
        spread = random.uniform(0.8, 1.2)  # noqa: S311 - no secret
        seconds = min(_LONGEST_WAIT, self._backoff * 2.0 ** (number - 1) * spread)
        words = retry_words or f"A temporary error ended try {number}"
        tries = self._order.options.retries + 1
        words = f"{words}; try {number + 1} of {tries}"
        self._note(f"{words} begins in {seconds:.0f} s.")
        self._watch.trouble = Trouble(words, next_try_at=time.time() + seconds)
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._runner.stopped:
            time.sleep(min(tick, left))
            yield None
        self._watch.trouble = None

    def _look_for_deleted(self, done: Outcome, tick: float) -> Readings:
        objection = yield from self._precautions.is_deleted(self._order, done.deleted, tick)
        if objection is None:
            return done
        last = done.progress and self._cumulative.comparing(done.progress)
        last = last and replace(last, phase=Phase.FINISHING, files_deleted=0)
        return replace(done, succeeded=False, reason=objection.reason, progress=last)

    def _verify(self, moved: Outcome, tick: float) -> Readings:
        self._note("Everything is copied; comparing both sides.")
        order = replace(
            self._precautions.with_comparison(self._order),
            operation="check",
            confirmed=None,
            one_way=True,
        )
        verdict = self._precautions.verdict
        order = replace(order, comparison=verdict.verification if verdict else None)
        outcome = yield from _shown(self._compared(order, tick), self._cumulative.comparing)
        differences = outcome.differences
        found = replace(moved.found, compared_by=outcome.found.compared_by)
        if differences is not None and not differences.total:
            return replace(moved, found=found)
        last = moved.progress and self._cumulative.comparing(moved.progress)
        reason = outcome.reason
        if differences is not None:
            reason = copies_differ(differences)
            short, names = differences.short(), differences.names
            found = replace(found, differences=short, difference_names=names)
        elif not outcome.stopped:
            reason = f"Everything was copied, but the comparison afterwards failed. {reason}"
        return replace(outcome, succeeded=False, reason=reason, progress=last, found=found)

    def _interrupted(self) -> Outcome:
        return replace(stopped(), progress=self._cumulative.last)


def _shown(readings: Readings, shown: Callable[[Progress], Progress | None]) -> Readings:
    """Passes each reading through ``shown``; the outcome stays the same."""
    while True:
        try:
            reading = next(readings)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        yield None if reading is None else shown(reading)
