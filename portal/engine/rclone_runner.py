"""Runs one rclone after another, and does to the one that runs what people ask for meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from portal.engine.answers.single_file import Lookup, Shape, narrow_to_file
from portal.engine.order.command import TransferOrder
from portal.engine.output.left_out import LeftOut
from portal.engine.output.log import LogLine
from portal.engine.output.progress import Progress
from portal.engine.output.statistics import printable
from portal.engine.precautions import Precautions
from portal.engine.running.bandwidth_controller import BandwidthController
from portal.engine.running.moved_files import MovedFiles
from portal.engine.running.outcome import Outcome
from portal.engine.running.outcomes import after_a_beginning, stopped, unknown_source
from portal.engine.running.rclone_process import ProcessSettings, RcloneProcess
from portal.engine.running.storage_watch import StorageWatch
from portal.engine.safety import refusals
from portal.engine.safety.linked_folders import linked_folder
from portal.engine.safety.local_ends import LocalEnds
from portal.transfers import bandwidth

#: Seconds between two looks at the local ends while rclone writes.
_LOOK_AT_ENDS = 0.25
_SHOWN = 200

Readings = Generator[Progress | None, None, Outcome]


@dataclass(frozen=True, slots=True)
class Flow:
    """``most``: bytes a second that rclone may move now or a moment later, since it does not obey a
    lower limit at once; None for any number. ``seconds`` since it began, and the bytes that it has
    ``moved`` in them; zeros while none runs that moves anything."""

    most: int | None
    seconds: float = 0.0
    moved: int = 0


class RcloneRunner:
    """All calls come from the thread that goes through ``run()``, between two readings. Call
    ``close()`` whatever happens."""

    def __init__(
        self,
        order: TransferOrder,
        settings: ProcessSettings,
        *,
        patience: float,
        paused: bool,
        obstacle: Callable[[], str | None],
    ) -> None:
        """``patience`` and ``obstacle``: see ``Run``."""
        self._order = order
        self._settings = settings
        self._bandwidth = BandwidthController(order.bandwidth_limit, order.options.timezone)
        self._obstacle = obstacle
        self._current: RcloneProcess | None = None
        #: Whether it moves what a bandwidth limit is about; a look ahead only lists.
        self._is_limited = False
        self._moved_files: MovedFiles | None = None
        self._shape: Shape | None = None
        self._lines: list[LogLine] = []
        self._lines_left_out = 0
        #: rclone still stands still: it goes on when both ends are known to be what they were.
        self._resuming = False
        self.paused = paused
        self.stopped = False
        self.unreadable_lines = 0
        self.left_out = LeftOut(order.local_source, order.local_destination)
        self.local_ends = LocalEnds(order)
        self.watch = StorageWatch(patience, self.note)
        #: Called with the leader of each process group.
        self.begun: Callable[[int], None] | None = None
        self.precautions: Precautions | None = None
        #: It was cut off after a pause, and everything has to be examined before the next one.
        self.begins_again = False

    # --- what people ask for --------------------------------------------------------------------

    def stop(self) -> None:
        self.stopped = True
        if self._current is not None:
            self._current.stop()

    def kill(self) -> None:
        self.stopped = True
        if self._current is not None:
            self._current.kill()

    def pause(self) -> None:
        if not self.paused:
            self.paused = True
            if self._current is not None:
                self._current.pause()

    def resume(self) -> None:
        if self.paused:
            self.paused = False
            self._resuming = self._current is not None

    def limit(self, bandwidth_limit: str | None) -> None:
        self._bandwidth.bandwidth_limit = bandwidth_limit

    def allow(self, allowed: int | None) -> Flow:
        self._bandwidth.allowed = allowed
        if self._current is None or not self._is_limited:
            return Flow(0 if self.paused else self._bandwidth.next_most)
        return Flow(0 if self.paused else self._bandwidth.most, *self._current.travelled)

    @property
    def runs(self) -> bool:
        """Whether there is an rclone that transfers, compares or looks."""
        return self._current is not None

    # --- the log --------------------------------------------------------------------------------

    def take_log(self) -> tuple[list[LogLine], int]:
        """As ``RcloneProcess.take_log``, of all rclones so far, with what was noted."""
        self._keep_log()
        taken = self._lines, self._lines_left_out
        self._lines, self._lines_left_out = [], 0
        return taken

    @property
    def log_waits(self) -> bool:
        """As ``RcloneProcess.log_waits``."""
        return self._current is not None and self._current.log_waits

    def note(self, words: str) -> None:
        self._keep_log()
        self._lines.append(LogLine(time.time(), "notice", "", words))

    def _keep_log(self) -> None:
        if self._current is not None:
            lines, left_out = self._current.take_log()
            self._lines += lines
            self._lines_left_out += left_out

    # --- one rclone -----------------------------------------------------------------------------

    def run(self, order: TransferOrder, tick: float, *, logged: bool = True) -> Readings:
        """One rclone from its start to its end. Raises EngineError if it cannot be started."""
        yield from self.stand_still(tick)
        shape = yield from self.look_at_source(tick)
        yield from self.stand_still(tick)
        if shape.name is not None:
            order = narrow_to_file(order, shape.name)
        if (reason := self._why_not(shape)) is not None:
            return reason
        transfer = self._start(order)
        self.watch.begin(order, self._bandwidth.rate)
        yield from self._follow(transfer, order, tick, logged=logged)
        self.watch.end()
        # Looked at before the close, which removes a destination that was made for nothing.
        changed = self._changed(order) if order.moves else None
        self.close()
        outcome = transfer.outcome()
        if changed is not None:  # what was done since the last look may have been done elsewhere
            outcome = replace(
                outcome, succeeded=False, reason=changed, is_retryable=False, modes_refused=False
            )
        self.left_out.were_in_work(transfer.unfinished)
        if self.stopped:
            transfer.remove_partials()
        if order.only is not None and outcome.succeeded and transfer.found_nothing:
            self.note("The filters leave out this file: nothing was transferred.")
        return replace(outcome, found_nothing=transfer.found_nothing)

    def close(self) -> None:
        """The process group is dead and reaped when this returns, however long that takes."""
        if self._current is not None:
            self._current.close()
            self._bandwidth.end()
            self.unreadable_lines += self._current.unreadable_lines
            self._keep_log()
            self._current, self._is_limited = None, False

    def note_files(self, order: TransferOrder) -> Iterator[None]:
        """Notes the files of a source from which the portal removes what rclone has copied."""
        self.forget_files()
        if order.is_copied_first:
            self._moved_files = MovedFiles(Path(order.source))
            for step in self._moved_files.note():
                if self.stopped:
                    return
                yield step

    def forget_files(self) -> None:
        if self._moved_files is not None:
            self._moved_files.close()
            self._moved_files = None

    def stand_still(self, tick: float) -> Iterator[None]:
        while self.paused and not self.stopped:
            time.sleep(tick)
            yield None

    def look_at_source(self, tick: float) -> Generator[None, None, Shape]:
        """Whether it is one file, where that matters; asked again after a problem."""
        if not self._order.options.filters:
            return Shape()
        if self._shape is None or self._shape.problem:
            lookup = Lookup(self._settings.rclone, self._order)
            yield from lookup.wait(tick, lambda: self.stopped)
            self._shape = lookup.shape
        return self._shape

    def _why_not(self, shape: Shape) -> Outcome | None:
        """The end of one that must not begin, if so."""
        if self.stopped:
            return stopped()
        if shape.problem:
            return unknown_source(shape)
        if obstacle := self._obstacle() or self.local_ends.changed():
            return Outcome(False, False, None, obstacle, (), None)
        return None

    def _start(self, order: TransferOrder) -> RcloneProcess:
        transfer = RcloneProcess(
            self._settings,
            replace(
                order,
                bandwidth_limit=self._bandwidth.begin(),
                in_small_pieces=self._bandwidth.allowed is not None,
            ),
            left_out=self.left_out,
            moved_files=self._moved_files,
        )
        self._current, self._is_limited = transfer, order.is_limited
        transfer.start()
        if self.begun is not None:
            self.begun(transfer.pid)
        return transfer

    def _follow(
        self, transfer: RcloneProcess, order: TransferOrder, tick: float, *, logged: bool
    ) -> Iterator[Progress | None]:
        looked_at = time.monotonic()
        for reading in transfer.readings(tick):
            yield reading
            if self._resuming:
                yield from self._resume_if_unchanged(transfer, order, tick)
            if order.moves and time.monotonic() - looked_at >= _LOOK_AT_ENDS:
                looked_at = time.monotonic()
                self._ensure_same_ends(transfer)
            self._look_at_storage(transfer, order)
            if not logged:
                transfer.take_log()
            if order.is_limited and not self.paused:
                self._update_bandwidth(transfer)

    def _look_at_storage(self, transfer: RcloneProcess, order: TransferOrder) -> None:
        is_idle = self.paused or self.stopped
        was_silent = self.watch.trouble is not None
        self.watch.look(transfer, order, self._bandwidth.rate, is_idle=is_idle)
        if was_silent and self.watch.trouble is None and order.moves and not is_idle:
            # A server that was away may have come back with other disks. As after a pause.
            transfer.pause()
            self._resuming = True

    def _update_bandwidth(self, transfer: RcloneProcess) -> None:
        rate = self._bandwidth.update(transfer.control, transfer.travelled)
        if rate is not None:
            self.note(f"Bandwidth limit: {bandwidth.words(rate)}.")

    # --- whether the ends are still the ones that were examined ---------------------------------

    def _resume_if_unchanged(
        self, transfer: RcloneProcess, order: TransferOrder, tick: float
    ) -> Iterator[Progress | None]:
        """Resumes after a pause if what was shown before it still holds; otherwise ends rclone."""
        self._resuming = False
        if order.moves and (changed := self._changed(order)) is not None:
            transfer.cut_off(changed)
            return
        if order.moves and self.precautions is not None:
            if self.precautions.looks_deeply:
                self.note(
                    "Both ends may be on one machine, so they are looked through again after the "
                    "pause, and files that were not finished begin anew."
                )
                self.begins_again = True
                transfer.cut_off("The transfer begins again after the pause.")
                return
            objection = yield from self.precautions.prove_again(order, tick)
            if objection is not None and not self.stopped:
                objection = after_a_beginning(objection)
                transfer.cut_off(objection.reason or "", is_retryable=objection.is_retryable)
                return
        if not self.paused:
            if self._bandwidth.allowed is not None and transfer.control is not None:
                self._bandwidth.send(transfer.control)
            transfer.resume()

    def _ensure_same_ends(self, transfer: RcloneProcess) -> None:
        """Ends the transfer if an end has changed. After a pause ``_resume_if_unchanged`` checks
        that."""
        if not self.paused and (changed := self.local_ends.changed()) is not None:
            transfer.cut_off(changed)

    def _changed(self, order: TransferOrder) -> str | None:
        """Also looks for links that came in the place of folders, which takes longer."""
        local = order.local_source is not None and order.local_destination is not None
        if (changed := self.local_ends.changed()) is not None or not local or order.single:
            return changed
        link = linked_folder(order.source, order.destination)
        return refusals.LINKED_MEANWHILE.format(printable(link, _SHOWN)) if link else None
