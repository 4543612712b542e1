"""What one rclone did, judged by its exit code, its log and its report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from portal.engine import partials
from portal.engine.failures.error_names import Names
from portal.engine.failures.exit_codes import (
    is_retryable,
    modes_refused,
    reason_for,
    retryable_reason,
)
from portal.engine.order.command import TransferOrder
from portal.engine.output.alarms import Alarm
from portal.engine.output.found import Found
from portal.engine.output.plan import Plan, PlanBuilder
from portal.engine.output.progress import ProgressParser
from portal.engine.output.report import DIFFERENT, EQUAL, UNREADABLE, Differences, Report
from portal.engine.output.statistics import Error, printable
from portal.engine.output.stderr import StderrReader
from portal.engine.process.group import ProcessGroup
from portal.engine.running.outcome import Outcome
from portal.engine.running.replaced_files import reworded
from portal.engine.running.source_removal import SourceRemoval

_ERROR_LENGTH = 500
_UNREADABLE = (
    "Part of rclone's output could not be read, so this plan would be incomplete. Nothing was "
    "changed. Preview again."
)
_DIFFER = 1  # rclone's exit code of a check that found a difference, among others


@dataclass(frozen=True, slots=True)
class ProcessResult:
    """The result of a process whose group is dead."""

    order: TransferOrder
    group: ProcessGroup
    reader: StderrReader
    parser: ProgressParser
    report: Report | None
    plan_builder: PlanBuilder | None
    removal: SourceRemoval | None = None

    def outcome(self) -> Outcome:
        """Call it when the process has ended, and only if nobody gave it up."""
        exit_code, stopped = self.group.exit_code, self.group.stopped
        assert exit_code is not None  # noqa: S101 - narrows the type
        ended_well = self._ended_well
        succeeded = self.succeeded and self.plan_is_whole
        errors = list(self.reader.errors)
        names = Names((self.order.source, self.order.destination), self.order.remotes)
        nameless = [names.without(error) for error in reworded(errors, self.order)]
        helps_again = not ended_well and is_retryable(exit_code, stopped, nameless)
        words = self._retry_words(nameless)
        reason = None
        if not succeeded:
            reason = _UNREADABLE if ended_well else reason_for(exit_code, stopped, nameless)
        if ended_well and self.removal is not None and self.removal.refused:
            # As rclone's own move would end.
            reason, helps_again = reason_for(1, False, nameless), is_retryable(1, False, nameless)
        elif ended_well and self.removal is not None and (stayed := self._stayed) is not None:
            reason, helps_again, words = stayed, True, self.removal.retry_words
        return Outcome(
            succeeded=succeeded,
            stopped=stopped,
            exit_code=exit_code,
            reason=reason,
            error_lines=() if succeeded else self._shown(errors),
            progress=self.parser.finish(succeeded),
            plan=self._plan() if succeeded else None,
            is_retryable=helps_again,
            retry_words=words,
            found=self._found(succeeded),
            differences=self._differences(),
            size_only=Alarm.SIZE_ONLY in self.reader.alarms,
            by_size=self.reader.by_size,
            modes_refused=not succeeded and modes_refused(nameless),
            marker_below=self.plan_builder is not None and self.plan_builder.marker_below,
            copied_only=self._copied_only,
            stayed=self.removal.stayed if self.removal is not None else {},
            deleted=self.parser.first_deleted,
        )

    def given_up(self, why: str, *, is_retryable: bool) -> Outcome:
        """The outcome of a process that was ended for this reason."""
        return Outcome(
            succeeded=False,
            stopped=False,
            exit_code=self.group.exit_code,
            reason=why,
            error_lines=self._shown(self.reader.errors),
            progress=self.parser.finish(succeeded=False),
            is_retryable=is_retryable,
            retry_words=f"Nothing arrives from {self.order.storage}",
            found=self._found(succeeded=False),
            copied_only=self._copied_only,
            stayed=self.removal.stayed if self.removal is not None else {},
        )

    @property
    def succeeded(self) -> bool:
        refused = self.removal is not None and self.removal.refused
        return self._ended_well and not refused and self._stayed is None

    @property
    def _copied_only(self) -> tuple[int, int]:
        """Files that have arrived and that the next try sends once more, and their bytes. Where it
        compares, it sends only those that were changed."""
        compares = self.order.comparison is not None and not self.order.comparison.every_byte
        if self.removal is not None and compares:
            return self.removal.changed_copies
        return self.parser.copied_only

    @property
    def _stayed(self) -> str | None:
        """A sentence about files that rclone has copied and that could not be removed from the
        source."""
        if self.removal is None:
            return None
        counted = self.reader.statistics
        is_whole = counted is not None and self.reader.ended
        return self.removal.problem(counted if is_whole else None)

    @property
    def _ended_well(self) -> bool:
        """As far as rclone is concerned."""
        # An exit of 0 after SIGTERM has been seen, and after files that were not compared.
        if self.group.stopped or self.reader.alarms:
            return False
        if self.group.exit_code == 0:
            return True
        # A check may find differences: that is what it is for. After a copy, the caller judges
        # them.
        differences = self._differences()
        return differences is not None and differences.total > 0

    @property
    def plan_is_whole(self) -> bool:
        """Whether the plan is complete; also True if there is none. An unreadable line was about a
        file that would be missing, and rclone's own count shows that."""
        if self.plan_builder is None:
            return True
        counted = self.reader.statistics
        return (
            self.reader.ended
            and (self.report is None or self.report.ended)
            and not self.reader.broken_lines
            and counted is not None
            and counted.deletes <= self.plan_builder.removals
            and counted.transfers <= self.plan_builder.transfers
        )

    def _differences(self) -> Differences | None:
        """None if files could not be read: then nobody knows whether they differ."""
        compared = self.order.operation == "check" and self.group.exit_code in (0, _DIFFER)
        if self.report is None or not compared or self.group.stopped or self.reader.alarms:
            return None
        if not self.report.ended:
            return None
        found = self.report.differences()
        unread = self.report.count(UNREADABLE) or self.parser.errors > found.total
        # If rclone only says "they differ" that is an error: an empty list would be a lie.
        unnamed = self.group.exit_code == _DIFFER and not found.total
        return None if unread or unnamed else found

    def _found(self, succeeded: bool) -> Found:
        found = self._differences()
        if not succeeded or found is None:
            return Found()
        if not found.total:
            return Found(outcome="equal")
        return Found("different", differences=found.short(), difference_names=found.names)

    def _plan(self) -> Plan | None:
        if self.plan_builder is None:
            return None
        plan = self.plan_builder.plan()
        if self.report is None:
            return plan
        count = self.report.count
        return replace(plan, unchanged=count(EQUAL), replaces=count(DIFFERENT))

    def _retry_words(self, nameless: Sequence[str]) -> str:
        reason = retryable_reason(nameless)
        words = reason.retry_words.format(storage=self.order.storage) if reason else ""
        return words[:1].upper() + words[1:] if words.startswith("the ") else words

    def _shown(self, errors: Iterable[Error]) -> tuple[str, ...]:
        """Their texts, which name files as people know them, not their partial files."""
        suffix = self.order.partial_suffix
        texts = (partials.whole_names(error.text, suffix) for error in list(errors))
        return tuple(printable(text, _ERROR_LENGTH) for text in texts)
