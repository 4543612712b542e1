"""What a job can use is told from what it moves: who lends, how much, and when it wants it back."""

from __future__ import annotations

import random

from portal.worker.bandwidth_demand import DemandMeter

MIB = 1024 * 1024
PIECE = 32 * 1024


class Transfer:
    """A transfer whose source gives so many bytes a second, told every quarter of a second."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.meter = DemandMeter()
        self.clock, self.seconds, self.moved = 100.0, seconds, 0.0

    def go(self, seconds: float, source: float, rate: int | None) -> DemandMeter:
        for _ in range(round(seconds * 4)):
            self.clock += 0.25
            self.seconds += 0.25
            self.moved += 0.25 * min(source, rate if rate is not None else source)
            # rclone counts whole pieces.
            self.meter.note(self.clock, (self.seconds, int(self.moved // PIECE) * PIECE), rate)
        return self.meter

    def wait(self, seconds: float, rate: int) -> DemandMeter:
        for _ in range(round(seconds * 4)):
            self.clock += 0.25
            self.meter.note(self.clock, (0.0, 0), rate)
        return self.meter


def test_job_that_uses_all_of_its_rate_wants_any_amount() -> None:
    for rate in (40_000, 100_000, 1 * MIB, 50 * MIB):
        assert Transfer().go(20, 100 * MIB, rate).wanted is None, rate


def test_job_whose_source_is_slower_lends_the_rest_within_three_seconds() -> None:
    transfer = Transfer()
    transfer.go(3, 100 * MIB, 4 * MIB)
    meter = transfer.go(2, 1 * MIB, 4 * MIB)
    assert meter.wanted is not None
    wanted = transfer.go(1, 1 * MIB, 4 * MIB).wanted
    assert wanted is not None
    assert 1.1 * MIB < wanted < 1.3 * MIB


def test_job_that_moves_nothing_keeps_hardly_anything() -> None:
    assert Transfer().go(4, 0, 4 * MIB).wanted == 32 * 1024


def test_lender_that_grows_wants_all_again_within_a_second() -> None:
    transfer = Transfer()
    wanted = transfer.go(5, 1 * MIB, 4 * MIB).wanted
    assert wanted is not None
    transfer.go(3, 1 * MIB, wanted)
    assert transfer.meter.wanted is not None
    transfer.go(1, 100 * MIB, wanted)
    assert transfer.meter.wanted is None


def test_idle_job_that_begins_wants_all_within_a_second() -> None:
    transfer = Transfer()
    transfer.go(5, 0, 4 * MIB)
    transfer.go(3, 0, 32 * 1024)
    assert transfer.go(1, 100 * MIB, 32 * 1024).wanted is None


def test_unsteady_source_does_not_want_all_again_and_again() -> None:
    dice = random.Random(1)  # noqa: S311 - no secret
    transfer, rate, changes = Transfer(), 4 * MIB, 0
    transfer.go(4, 1 * MIB, rate)
    for _ in range(120):
        before = transfer.meter.wanted
        transfer.go(0.25, dice.uniform(0.97, 1.03) * MIB, before or rate)
        changes += transfer.meter.wanted != before
    assert changes <= 6


def test_job_without_an_rclone_lends_while_it_waits_for_its_next_try() -> None:
    transfer = Transfer()
    transfer.go(3, 100 * MIB, 4 * MIB)
    assert transfer.wait(4, 4 * MIB).wanted == 32 * 1024
    transfer.seconds, transfer.moved = 0.0, 0.0
    assert transfer.go(1, 100 * MIB, 32 * 1024).wanted is None


def test_figures_that_come_late_are_no_pause_of_their_own() -> None:
    transfer = Transfer()
    transfer.go(3, 100 * MIB, 4 * MIB)
    last = (transfer.seconds, int(transfer.moved // PIECE) * PIECE)
    for _ in range(6):
        transfer.clock += 0.25
        transfer.meter.note(transfer.clock, last, 4 * MIB)
    transfer.seconds += 1.5
    transfer.moved += 1.5 * 4 * MIB
    assert transfer.go(2, 100 * MIB, 4 * MIB).wanted is None


def test_pause_says_nothing_about_what_it_can_use() -> None:
    transfer = Transfer()
    transfer.go(4, 1 * MIB, 4 * MIB)
    transfer.go(5, 0, 0)
    assert transfer.meter.wanted is None
