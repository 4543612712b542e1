"""Watches whether a storage answers: reports that nothing arrives, and gives it up in the end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from portal.engine.order.command import TransferOrder
from portal.engine.running.rclone_process import RcloneProcess
from portal.engine.running.silence import Activity, Silence, moved_by
from portal.engine.running.trouble import Trouble

#: Fewer bytes than any answer of a storage.
_SHORT_ANSWER = 256


class StorageWatch:
    """``patience``: seconds without a byte after which a try is given up. ``note`` adds a line to
    the job's log."""

    def __init__(self, patience: float, note: Callable[[str], None]) -> None:
        self._patience = patience
        self._note = note
        self._silence: Silence | None = None
        self._asking = 0
        self._looked_at = 0.0
        #: The current obstacle, if any; the run sets it while it waits for the next try.
        self.trouble: Trouble | None = None
        #: A storage was given up, so parts of files may remain there.
        self.gave_up = False

    def begin_questions(self, leader: int, order: TransferOrder) -> None:
        """Watches the rclone that answers questions before the transfer."""
        self._asking, self._silence = leader, None
        if order.remotes and not math.isinf(self._patience):
            self._silence = Silence(self._patience, noise=_SHORT_ANSWER)

    def look_at_questions(self, order: TransferOrder) -> None:
        """Reports a silent storage; the one who asks gives it up."""
        if self._silence is not None:
            moment = time.monotonic()
            moved = moved_by(self._asking, writes=False, log_bytes=0)
            self._silence.look(Activity(moved, None), moment)
            self._report(self._silence.seconds(moment), order)

    def begin(self, order: TransferOrder, rate: str | None) -> None:
        """Watches the rclone of a transfer; ``rate``: its bandwidth limit."""
        self._silence = None
        if order.remotes and not math.isinf(self._patience):
            self._silence = Silence(
                self._patience,
                within=order.stays_within_one,
                hashes=order.computes_hashes,
                rate=rate if order.is_limited else None,
                files=order.options.transfers,
            )

    def look(
        self, transfer: RcloneProcess, order: TransferOrder, rate: str | None, *, is_idle: bool
    ) -> None:
        """Reports that nothing arrives, and gives the storage up if that lasts. ``is_idle``: it is
        paused or stopped, so nothing has to arrive."""
        moment = time.monotonic()
        # One that is silent is looked at closely: what it holds may have changed when it answers.
        pause = 0.1 if self.trouble is not None else min(1.0, self._patience / 20)
        if self._silence is None or moment - self._looked_at < pause:
            return
        self._looked_at = moment
        if is_idle:
            self._silence.pause()
            self.trouble = None
            return
        if order.is_limited:
            self._silence.limit(rate)
        self._silence.look(transfer.activity(), moment)
        silent = self._silence.seconds(moment)
        self._report(silent, order)
        if self._silence.is_over(moment):
            self._give_up(transfer, order, silent)

    def end(self) -> None:
        self.trouble, self._silence = None, None

    def _report(self, silent: float, order: TransferOrder) -> None:
        if not silent:
            if self.trouble is not None:
                self._note(f"{_capital(order.storage)} answers again.")
            self.trouble = None
        elif self.trouble is None:
            words = f"Nothing arrives from {order.storage}"
            self._note(f"{words} for {silent:.0f} s.")
            self.trouble = Trouble(f"{words}; trying again", silent_since=time.time() - silent)

    def _give_up(self, transfer: RcloneProcess, order: TransferOrder, silent: float) -> None:
        self._silence = None
        self.gave_up = True
        reason = (
            f"Nothing arrived from {order.storage} for {silent:.0f} s, so it was given up. Check "
            "the server and the network, then retry."
        )
        self._note(reason)
        transfer.give_up(reason)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:] if words.startswith("the ") else words
