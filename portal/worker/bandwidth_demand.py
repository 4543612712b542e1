"""Estimates how much bandwidth a job can use, from what it moves under the rate that it has.

A job that uses all of its rate may want any amount more. One that uses less wants what it uses and
a little more, so that it can be seen to grow: it then gets its fair share again at once.
"""

from __future__ import annotations

from collections import deque

from portal.transfers.bandwidth_shares import LEAST

#: Seconds over which its use is averaged, at least; and bytes that could have passed in them.
#: rclone moves pieces of 32 KiB, four files at a time, or of 128 KiB.
_WINDOW, _WINDOW_BYTES = 2.0, 512 * 1024
#: Of its rate; who uses less, lends the rest.
_USES_ALL = 0.9
#: A lender that uses so much of its rate within so many seconds wants more. One that did nothing
#: begins with a whole piece of each file, which shows at once.
_GROWS, _GROWS_WITHIN, _BEGINS_WITHIN = 0.95, 1.0, 0.5
#: Seconds without any new figures after which nothing is moved.
_SILENT = 1.0
#: What a lender keeps: this much more than it uses, or ``LEAST``. With less, an uneven source would
#: seem to grow again and again.
_HEADROOM = 1.2
#: A lender's demand follows only changes that matter: others would be told another rate each time.
_FOLLOWS_DOWN, _FOLLOWS_UP = 0.93, 1.1
#: Below this part of its use over twice the time, its use has fallen.
_FALLS = 0.9
#: Samples, of which four come in a second.
_KEPT = 400

Sample = tuple[float, int]


class DemandMeter:
    """``wanted``: bytes a second that the job can use; None: all that it gets."""

    def __init__(self) -> None:
        self.wanted: int | None = None
        #: Seconds and bytes under the present rate, of all rclones.
        self._samples: deque[Sample] = deque(maxlen=_KEPT)
        self._rate: int | None = None
        self._sample: Sample = (0.0, 0)
        self._new_at = 0.0
        #: Seconds that were added because nothing was heard.
        self._waited = 0.0

    def clear(self) -> None:
        """Call this when it stands still because it has to: that says nothing."""
        self.wanted = None
        self._samples.clear()

    def note(self, moment: float, sample: Sample, rate: int | None) -> None:
        """``moment``: of any clock. ``sample``: seconds and bytes since rclone began; zeros while
        none runs. ``rate``: bytes a second to which it is limited."""
        seconds, moved = self._since_last(moment, sample)
        if not rate:
            self.clear()
        elif not self._samples or (rate != self._rate and self.wanted is None):
            # What was moved under another rate is no measure of this one; a lender's use is.
            self._samples.clear()
            self._samples.append((0.0, 0))
        elif seconds:
            before = self._samples[-1]
            self._samples.append((before[0] + seconds, before[1] + moved))
            self._judge(rate)
        self._rate = rate

    def _since_last(self, moment: float, sample: Sample) -> Sample:
        """Returns the seconds that have passed since the last call, and the bytes in them."""
        before, self._sample = self._sample, sample
        if sample == before:
            waited = moment - self._new_at
            if waited < _SILENT:
                return 0.0, 0
            # It waits, for its next try say.
            seconds, self._waited = waited - self._waited, waited
            return max(0.0, seconds), 0
        begun_again = sample[0] < before[0]
        seconds = sample[0] if begun_again else sample[0] - before[0]
        moved = sample[1] if begun_again else sample[1] - before[1]
        seconds -= self._waited
        self._new_at, self._waited = moment, 0.0
        return max(0.01, seconds), max(0, moved)

    def _judge(self, rate: int) -> None:
        if self.wanted is not None and self._grows(rate):
            self.clear()
            return
        window = max(_WINDOW, _WINDOW_BYTES / rate)
        used = self._used(window)
        if used is None or (self.wanted is None and used >= _USES_ALL * rate):
            return
        longer = self._used(2 * window)
        if longer is not None and used > _FALLS * longer:
            used = longer  # steadier
        kept = max(LEAST, int(_HEADROOM * used))
        if self.wanted is None or not _FOLLOWS_DOWN <= kept / self.wanted <= _FOLLOWS_UP:
            self.wanted = kept

    def _grows(self, rate: int) -> bool:
        used = self._used(_BEGINS_WITHIN if self.wanted == LEAST else _GROWS_WITHIN)
        return used is not None and used >= _GROWS * rate

    def _used(self, window: float) -> float | None:
        """Bytes a second within the last ``window`` seconds; None if that is not known yet."""
        last = self._samples[-1]
        # The newest of those that are old enough.
        begin = next((one for one in reversed(self._samples) if one[0] <= last[0] - window), None)
        return None if begin is None else (last[1] - begin[1]) / (last[0] - begin[0])
