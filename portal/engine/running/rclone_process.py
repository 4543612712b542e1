"""One rclone process from its start to its certain end."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from portal.engine import partials
from portal.engine.errors import EngineError
from portal.engine.order import confinement
from portal.engine.order.command import TransferOrder, command_line, environment, reports
from portal.engine.order.runtime_dir import RuntimeDir
from portal.engine.output.left_out import LeftOut
from portal.engine.output.log import LogLine
from portal.engine.output.plan import PlanBuilder
from portal.engine.output.progress import Progress, ProgressParser
from portal.engine.output.redaction import SecretRedactor
from portal.engine.output.report import Report
from portal.engine.output.stderr import StderrReader
from portal.engine.process.binary import ensure_executable, setpriv_path
from portal.engine.process.group import ProcessGroup
from portal.engine.process.pipes import LONGEST_DRAIN, SILENCE
from portal.engine.running.moved_files import MovedFiles
from portal.engine.running.new_folder import make_folder, remove_empty
from portal.engine.running.outcome import Outcome
from portal.engine.running.process_result import ProcessResult
from portal.engine.running.silence import Activity, moved_by
from portal.engine.running.source_removal import SourceRemoval
from portal.engine.safety.same_place import account

_POLL = 0.01
#: Seconds for which partial files are looked for in folders where none is known to be.
_LOOK_FOR_PARTIALS = 2.0
#: A copied file is accessible to its owner only until it gets the mode of its source.
_PRIVATE = 0o077


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """What every rclone of an attempt is started with. ``data_dir`` marks the process for
    ``end_orphans``; ages of files count from ``moment``, in seconds since 1970; ``stats_interval``
    and ``grace`` in seconds."""

    rclone: Path
    data_dir: Path | None = None
    stats_interval: float = 0.25
    grace: float = 10.0
    moment: float = field(default_factory=time.time)


class RcloneProcess:
    """Runs one order. Call `close()` whatever happens.

    Where rclone is not confined it gets SIGTERM when the thread that called `start()` ends, so the
    same thread should go through `readings()`.
    """

    def __init__(
        self,
        settings: ProcessSettings,
        order: TransferOrder,
        *,
        left_out: LeftOut | None = None,
        moved_files: MovedFiles | None = None,
    ) -> None:
        """What is no file is counted in `left_out`. `moved_files`: those of the source as they
        were noted; needed of an order that `is_copied_first`."""
        self._settings = settings
        self._order = order
        self._redactor = SecretRedactor(_secrets(order))
        self._report = _report(order, self._redactor)
        self._parser = ProgressParser(order.operation, order.dry_run, self._report, order.stayed)
        self._plan_builder = self._new_plan_builder() if order.dry_run else None
        self._left_out = left_out
        self._moved_files = moved_files
        self._removal: SourceRemoval | None = None
        self._running: tuple[ProcessGroup, StderrReader] | None = None
        self._runtime_dir: RuntimeDir | None = None
        self._gave_up = ""
        self._cut_off = ""
        self._may_retry = True
        self._made: list[Path] = []

    def start(self) -> None:
        """Raises EngineError if rclone cannot be started."""
        ensure_executable(self._settings.rclone)
        try:
            self._runtime_dir = RuntimeDir()
            command = command_line(
                setpriv_path(),
                self._settings.rclone,
                self._order,
                self._settings.stats_interval,
                runtime_dir=self._runtime_dir,
                moment=self._settings.moment,
            )
            self._make_destination()
            variables = environment(self._order, self._settings.data_dir)
            group = ProcessGroup(
                command,
                variables | {"TMPDIR": str(self._runtime_dir.folder)},
                output=self._report is not None,
                umask=_PRIVATE if self._order.keeps_modes else -1,
                rules=confinement.of_order(
                    self._settings.rclone, setpriv_path(), self._order, self._runtime_dir.folder
                ),
            )
        except OSError as error:
            raise EngineError(f"rclone cannot be started: {error.strerror}.") from error
        reader = StderrReader(
            group.stderr,
            self._parser,
            self._redactor,
            self._plan_builder,
            self._left_out,
            debug=self._order.names_compared,
            keeps_proven=self._order.is_copied_first,
        )
        self._running = group, reader
        if self._order.is_copied_first:
            files = self._moved_files or MovedFiles(Path(self._order.source))
            confirmed = self._order.confirmed
            most = confirmed.deletes if confirmed is not None else math.inf
            self._removal = SourceRemoval(files, reader, most, self._order.stayed)
        reader.start()
        if self._report is not None:
            self._report.read(group.stdout)

    def _make_destination(self) -> None:
        order = self._order
        if order.local_destination is not None and order.moves:
            like = order.local_source if order.keeps_modes and order.only is None else None
            self._made = make_folder(order.local_destination, like)

    @property
    def pid(self) -> int:
        """The pid of the leader of rclone's process group."""
        return self._started()[0].pid

    @property
    def unreadable_lines(self) -> int:
        """How many lines of rclone's log could not be read."""
        return self._running[1].broken_lines if self._running is not None else 0

    @property
    def found_nothing(self) -> bool:
        """Whether no file was there to be copied, or to be compared."""
        counted = self._running[1].statistics if self._running is not None else None
        return counted is not None and not (counted.transfers or counted.checks)

    def readings(self, tick: float = 0.25) -> Iterator[Progress | None]:
        """Each reading as it comes (the newest, if the caller is slow), the final one last.

        None after at most `tick` seconds of silence. Ends when rclone's group is dead, rclone
        is reaped, and its stderr is read.
        """
        group, reader = self._started()
        while not _over(group, reader):
            yield _next(group, reader, tick)
            self._remove_from_source()
        # The caller says before each step whether the job is still its own.
        while self._removal is not None and self._removal.is_due:
            if self._removal.paused and group.exit_code != 0:
                self._removal.ended = True  # it was killed in its pause: that is the end
                break
            time.sleep(tick if self._removal.paused else 0)
            yield None
            self._remove_from_source()
        self._await_report()
        result = self._result()
        yield self._parser.finish(result.succeeded and result.plan_is_whole)

    def _remove_from_source(self) -> None:
        if self._removal is not None:
            self._removal.remove_some()

    def _new_plan_builder(self) -> PlanBuilder:
        order = self._order
        return PlanBuilder(
            order.operation,
            self._settings.moment,
            self._redactor.without_secrets,
            order.looks_for,
            order.local_destination,
            [account(remote) for remote in order.remotes],
        )

    @property
    def unfinished(self) -> list[str]:
        """Names of incomplete files that may be at the destination: they were in work when rclone
        was killed or lost the storage; or was stopped, where it cannot remove them. `*` is the part
        that rclone adds."""
        group, reader = self._started()
        killed = group.exit_code == -signal.SIGKILL
        cut_off = self._gave_up or killed or (group.stopped and self._order.shows_halves)
        if not cut_off or not self._order.moves or reader.statistics is None:
            return []
        names = [name for name, _ in reader.statistics.in_flight]
        if self._order.leaves_partials:
            suffix = self._order.partial_suffix
            return [f"{self._redactor.without_secrets(name)}.*{suffix}" for name in names]
        if self._order.shows_halves:
            return [self._redactor.without_secrets(name) for name in names]
        return []

    def remove_partials(self) -> None:
        """At a local destination, once it is dead: from the folders that it was last known to be at
        work in, and, while there is time, from all others."""
        top = self._order.local_destination
        if top is None or not self._order.leaves_partials:
            return
        _, reader = self._started()
        in_flight = reader.statistics.in_flight if reader.statistics else ()
        folders = {(top / name).parent for name, _ in in_flight}
        others = partials.folders_below(top, _LOOK_FOR_PARTIALS)
        partials.remove(chain(folders, others), self._order.partial_suffix)

    def take_log(self) -> tuple[list[LogLine], int]:
        """The lines that rclone has logged since they were last taken, without its statistics, and
        how many after these came too fast to be kept."""
        return self._running[1].log.take() if self._running is not None else ([], 0)

    @property
    def log_waits(self) -> bool:
        """Whether so many lines wait that the next ones may come too fast to be kept."""
        return self._running is not None and self._running[1].log.is_filling

    def stop(self) -> None:
        """Asks it to end, and returns at once. SIGKILL follows after the grace, while
        `readings()` is gone through or in `close()`. Of one that has ended: harmless."""
        if self._running is not None:
            group, _ = self._running
            group.stop(self._settings.grace)
            if self._removal is not None and self._removal.paused:
                self._removal.ended = True

    def give_up(self, why: str) -> None:
        """As `stop`, but it is the storage that has failed, for this reason."""
        self._gave_up = why
        self.stop()

    def cut_off(self, why: str, *, is_retryable: bool = False) -> None:
        """Ends it at once, before it writes or deletes anything more, for this reason."""
        self._cut_off, self._may_retry = why, is_retryable
        self.kill()

    def activity(self) -> Activity:
        """How much it has moved and done so far."""
        group, reader = self._started()
        writes = self._order.local_destination is None
        moved = moved_by(group.pid, writes=writes, log_bytes=reader.length)
        return Activity(moved, reader.statistics)

    def kill(self) -> None:
        """Ends it at once, with all that it has left behind."""
        if self._removal is not None:
            self._removal.ended = True
        if self._running is not None:
            self._running[0].kill()

    def pause(self) -> None:
        """Pauses rclone's process; what it has open stays open."""
        if self._running is not None:
            self._running[0].pause()
        if self._removal is not None:
            self._removal.paused = True

    def resume(self) -> None:
        if self._running is not None:
            self._running[0].resume()
        if self._removal is not None:
            self._removal.paused = False

    @property
    def control(self) -> Path | None:
        """The socket of rclone's remote control."""
        return self._runtime_dir.socket if self._runtime_dir else None

    @property
    def travelled(self) -> tuple[float, int]:
        """Seconds since rclone began, and the bytes that it has read and written in them."""
        statistics = self._running[1].statistics if self._running is not None else None
        return (statistics.elapsed, statistics.travelled) if statistics is not None else (0.0, 0)

    def outcome(self) -> Outcome:
        """After `readings()` has ended, or after `close()`."""
        group, _ = self._started()
        if group.exit_code is None:
            raise RuntimeError("the transfer has not ended")
        if why := self._cut_off or self._gave_up:
            return self._result().given_up(why, is_retryable=self._may_retry)
        return self._result().outcome()

    def _result(self) -> ProcessResult:
        group, reader = self._started()
        return ProcessResult(
            *(self._order, group, reader, self._parser, self._report, self._plan_builder),
            removal=self._removal,
        )

    def close(self) -> None:
        """The process group is dead and reaped when this returns, however long that takes."""
        if self._removal is not None:
            self._removal.ended = True
        if self._running is not None:
            group, reader = self._running
            group.stop(self._settings.grace)
            while not group.reap():
                group.kill_if_overdue()
                time.sleep(_POLL)
            reader.wait()
            self._await_report()
            if not self._result().succeeded:
                remove_empty(self._made)
        if self._runtime_dir is not None:
            self._runtime_dir.remove()

    def _await_report(self) -> None:
        if self._report is not None:
            self._report.wait()

    def _started(self) -> tuple[ProcessGroup, StderrReader]:
        if self._running is None:
            raise RuntimeError("the transfer has not been started")
        return self._running


def _next(group: ProcessGroup, reader: StderrReader, tick: float) -> Progress | None:
    until = time.monotonic() + tick
    while True:
        left = max(0.0, until - time.monotonic())
        if reader.ended:
            # Its stderr is read, so it is about to exit: look often.
            time.sleep(min(_POLL, left))
        reading = reader.take(0 if reader.ended else left)
        group.kill_if_overdue()
        due = reader.log.is_filling or time.monotonic() >= until
        if reading is not None or due or _over(group, reader):
            return reading


def _over(group: ProcessGroup, reader: StderrReader) -> bool:
    # A grandchild that left the group may keep stderr open, or write to it without end.
    if not group.reap():
        return False
    moment = time.monotonic()
    silent = moment > max(group.ended_at, reader.silent_since()) + SILENCE
    return reader.ended or silent or moment > group.ended_at + LONGEST_DRAIN


def _secrets(order: TransferOrder) -> set[str]:
    return {secret for remote in order.remotes for secret in remote.secrets}


def _report(order: TransferOrder, redactor: SecretRedactor) -> Report | None:
    if not reports(order):
        return None
    return Report(
        keep_names=order.operation == "check",
        shown=redactor.without_secrets,
        watched=order.samples,
    )
