"""One rclone process from its start to its certain end."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from portal.engine.binary import ensure_executable, setpriv_path
from portal.engine.command import Order, command_line, environment
from portal.engine.errors import EngineError
from portal.engine.exit_codes import reason_for
from portal.engine.progress import Progress, Tracker
from portal.engine.statistics import printable
from portal.engine.stderr import Reader

_POLL = 0.01
_DRAIN = 2.0  # seconds that stderr may stay open after the whole group is dead
_LOST = 1  # exit code when the system no longer knows it
_ERROR_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended. `stopped` holds whatever the exit code, which is negative for a signal."""

    succeeded: bool
    stopped: bool
    exit_code: int
    reason: str | None
    error_lines: tuple[str, ...]
    progress: Progress | None


class Transfer:
    """Runs one order. Call `close()` whatever happens.

    rclone gets SIGTERM when the thread that called `start()` ends, so the same thread should
    go through `readings()`.
    """

    def __init__(
        self,
        rclone: Path,
        order: Order,
        *,
        data_dir: Path | None = None,
        stats_interval: float = 0.25,
        grace: float = 10.0,
    ) -> None:
        self._rclone = rclone
        self._order = order
        self._data_dir = data_dir
        self._stats_interval = stats_interval
        self._grace = grace
        self._tracker = Tracker(order.operation, order.dry_run)
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: Reader | None = None
        self._exit_code: int | None = None
        self._stopped = False
        self._kill_at: float | None = None
        self._ended_at = 0.0
        # A signal must not go out between the reaping and the note of it: by then the number of
        # the group may be someone else's.
        self._lock = threading.Lock()

    def start(self) -> None:
        """Raises EngineError if rclone cannot be started."""
        ensure_executable(self._rclone)
        command = command_line(setpriv_path(), self._rclone, self._order, self._stats_interval)
        try:
            self._process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment(self._order, self._data_dir),
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(f"rclone cannot be started: {error.strerror}.") from error
        assert self._process.stderr is not None
        self._reader = Reader(self._process.stderr, self._tracker)
        self._reader.start()

    def readings(self, tick: float = 0.25) -> Iterator[Progress | None]:
        """Each reading as it comes (the newest, if the caller is slow), the final one last.

        None after at most `tick` seconds of silence. Ends when rclone's group is dead, rclone
        is reaped, and its stderr is read.
        """
        while not self._over():
            yield self._next(tick)
        yield self._tracker.finish(self._exit_code == 0 and not self._stopped)

    def stop(self) -> None:
        """Asks it to end, and returns at once. SIGKILL follows after the grace, while
        `readings()` is gone through or in `close()`. Of one that has ended: harmless."""
        with self._lock:
            if self._process is None or self._exit_code is not None or self._stopped:
                return
            self._stopped = True
            self._kill_at = time.monotonic() + self._grace
            _signal_group(self._process.pid, signal.SIGTERM)

    def outcome(self) -> Outcome:
        """After `readings()` has ended, or after `close()`."""
        if self._exit_code is None or self._reader is None:
            raise RuntimeError("the transfer has not ended")
        succeeded = self._exit_code == 0 and not self._stopped
        lines = tuple(printable(line, _ERROR_LENGTH) for line in list(self._reader.errors))
        return Outcome(
            succeeded=succeeded,
            stopped=self._stopped,
            exit_code=self._exit_code,
            reason=None if succeeded else reason_for(self._exit_code, self._stopped, lines),
            error_lines=lines,
            progress=self._tracker.finish(succeeded),
        )

    def close(self) -> None:
        """The process group is dead and reaped when this returns, however long that takes."""
        if self._process is None or self._reader is None:
            return
        self.stop()
        while not self._reap():
            self._press()
            time.sleep(_POLL)
        self._reader.wait(_DRAIN)

    def _next(self, tick: float) -> Progress | None:
        assert self._reader is not None
        until = time.monotonic() + tick
        while True:
            left = max(0.0, until - time.monotonic())
            if self._reader.ended:
                # Its stderr is read, so it is about to exit: look often.
                time.sleep(min(_POLL, left))
            reading = self._reader.take(0 if self._reader.ended else left)
            self._press()
            if reading is not None or self._over() or time.monotonic() >= until:
                return reading

    def _over(self) -> bool:
        if self._reader is None:
            raise RuntimeError("the transfer has not been started")
        if not self._reap():
            return False
        # A grandchild that left the group may hold stderr open for ever.
        return self._reader.ended or time.monotonic() > self._ended_at + _DRAIN

    def _press(self) -> None:
        with self._lock:
            if self._kill_at is None or self._exit_code is not None or self._process is None:
                return
            if time.monotonic() >= self._kill_at:
                _signal_group(self._process.pid, signal.SIGKILL)

    def _reap(self) -> bool:
        with self._lock:
            if self._exit_code is not None:
                return True
            assert self._process is not None
            code = _exit_code(self._process.pid)
            if code is None:
                return False
            # While the dead leader is not reaped, the number of its group is surely still its
            # own: now is the time to end whatever it left behind.
            _signal_group(self._process.pid, signal.SIGKILL)
            self._process.poll()
            self._ended_at = time.monotonic()
            self._exit_code = code
            return True


def _exit_code(pid: int) -> int | None:
    """None while it runs. Leaves the dead process unreaped."""
    try:
        state = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        # Popen would call this a success.
        return _LOST
    if state is None:
        return None
    return state.si_status if state.si_code == os.CLD_EXITED else -state.si_status


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return
