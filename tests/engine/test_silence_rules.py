"""When a storage counts as silent, by figures alone; `remotes/test_silence` has real ones."""

from __future__ import annotations

from typing import Any

import pytest

from portal.engine.output.plan import ConfirmedPlan
from portal.engine.output.statistics import CurrentFile, RcloneStatistics
from portal.engine.running.silence import Activity, Silence, moved_by

MB = 1_000_000


def silence(patience: float = 120.0, **changed: Any) -> Silence:
    usual: dict[str, Any] = {"within": False, "hashes": False, "rate": None, "files": 4}
    return Silence(patience, **usual | changed)


def quiet(one: Silence, seconds: int, statistics: RcloneStatistics | None = None) -> Silence:
    """So many seconds in which its process moves no more than it does by itself."""
    for second in range(seconds + 1):
        one.look(Activity(1000 + 40 * second, statistics or RcloneStatistics()), float(second))
    return one


def test_silence_is_reported_after_15_seconds_and_over_after_the_patience() -> None:
    assert quiet(silence(), 14).seconds(14.0) == 0
    assert quiet(silence(), 15).seconds(15.0) == 15
    assert not quiet(silence(), 119).is_over(119.0)
    assert quiet(silence(), 120).is_over(120.0)
    assert quiet(silence(9), 3).seconds(3.0) == 3


@pytest.mark.parametrize("rate", [1_000, 20_000, 10 * MB])
def test_slow_bytes_are_bytes(rate: int) -> None:
    one = silence()
    for second in range(200):
        one.look(Activity(rate * second, RcloneStatistics()), float(second))
        assert one.seconds(float(second)) == 0


@pytest.mark.parametrize("done", ["listed", "checks", "transfers", "deletes"])
def test_what_is_finished_is_a_sign_of_life_without_a_byte(done: str) -> None:
    one = silence()
    for second in range(200):
        one.look(Activity(0, RcloneStatistics(**{done: second // 10})), float(second))
        assert one.seconds(float(second)) == 0


@pytest.mark.parametrize("counted", ["bytes", "errors"])
def test_bytes_in_buffers_and_errors_are_no_sign_of_life(counted: str) -> None:
    one = silence()
    for second in range(130):
        one.look(Activity(0, RcloneStatistics(**{counted: second})), float(second))
    assert one.is_over(129.0)


def test_pause_counts_from_nothing() -> None:
    one = quiet(silence(), 100)
    one.pause()
    assert (one.seconds(500.0), one.is_over(500.0)) == (0, False)
    one.look(Activity(0, RcloneStatistics()), 500.0)
    assert not one.is_over(600.0)
    assert one.is_over(620.0)


def test_limit_that_lets_bytes_through_in_bursts_makes_it_wait_for_them() -> None:
    slow = quiet(silence(rate="100K"), 130)  # four bursts of 1 MiB take 41 s
    assert not slow.is_over(130.0)
    assert quiet(silence(rate="100K"), 162).is_over(162.0)
    assert quiet(silence(rate="off"), 120).is_over(120.0)
    slow.limit("10M")
    slow.look(Activity(1000, RcloneStatistics()), 131.0)
    assert slow.is_over(131.0)


def file(size: int, done: int) -> CurrentFile:
    return CurrentFile("file", size, done, None, 0)


def test_server_that_reads_a_file_for_its_checksum_gets_the_time_for_it() -> None:
    sent = RcloneStatistics(transferring=(file(2000 * MB, 2000 * MB),))
    asked = RcloneStatistics(checking=(file(2000 * MB, 0),))
    for told in (sent, asked):
        assert not quiet(silence(hashes=True), 219, told).is_over(219.0)
        assert quiet(silence(hashes=True), 221, told).is_over(221.0)
    # One that computes none has only to put the file together.
    assert quiet(silence(), 123, sent).is_over(123.0)
    half = RcloneStatistics(transferring=(file(2000 * MB, 1000 * MB),))
    assert quiet(silence(hashes=True), 121, half).is_over(121.0)


def test_copy_within_one_storage_may_say_nothing_for_ten_times_as_long() -> None:
    assert quiet(silence(within=True), 119).seconds(119.0) == 0
    assert quiet(silence(within=True), 125).seconds(125.0) > 0
    assert not quiet(silence(within=True), 1199).is_over(1199.0)
    assert quiet(silence(within=True), 1200).is_over(1200.0)


def test_process_whose_bytes_cannot_be_known_is_judged_by_what_it_finishes() -> None:
    assert moved_by(2**22 + 1, writes=True, log_bytes=0) is None
    one = silence()
    for second in range(130):
        one.look(Activity(None, RcloneStatistics()), float(second))
    assert one.is_over(129.0)


def test_another_try_may_not_delete_again_what_is_gone() -> None:
    confirmed = ConfirmedPlan(17, "f", 0.0)
    assert [confirmed.after(number).deletes for number in (0, 5, 17, 20)] == [17, 12, 0, 0]
